//! Answers from a source that does what it is told: small, large, cut off, left alone.

use super::*;
use crate::model::TraceId;
use crate::store::EventsView;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One step of a source: so many rows, so many at the end of a trace, an error, a panic, or a file that turns out
/// damaged.
#[derive(Clone, Copy)]
enum Step {
    Rows(usize),
    Ends(usize),
    Fails,
    Panics,
    Damaged,
}

struct Steps {
    steps: VecDeque<Step>,
    damaged: Vec<String>,
    /// How many chunks were asked for.
    asked: Arc<AtomicUsize>,
}

impl Source for Steps {
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let spans = |rows| vec![Span::new(TraceId::narrow(1), 1); rows];
        match self.steps.pop_front() {
            Some(Step::Rows(rows)) => Ok(Some(Chunk::of(spans(rows), false))),
            Some(Step::Ends(rows)) => Ok(Some(Chunk::of(spans(rows), true))),
            Some(Step::Fails) => Err(Error::damaged("a page cannot be read")),
            Some(Step::Panics) => panic!("a fault in a source"),
            Some(Step::Damaged) => {
                self.damaged.push(format!("part-{}.parquet", self.damaged.len()));
                Ok(Some(Chunk::of(Vec::new(), false)))
            }
            None => Ok(None),
        }
    }

    fn damaged(&self) -> &[String] {
        &self.damaged
    }
}

/// A kibibyte a row between brackets, a line's end after each trace.
struct Kibibytes;

impl Format for Kibibytes {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn spans(&mut self, spans: Vec<Span<'static>>, out: &mut Vec<u8>) {
        out.resize(out.len() + (spans.len() << 10), b'x');
    }

    fn end_trace(&mut self, out: &mut Vec<u8>) {
        out.push(b'\n');
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.push(b']');
    }
}

/// A query under way, with what the source was asked and what stops it.
struct Lookup {
    outcome: Result<Outcome, Refusal>,
    asked: Arc<AtomicUsize>,
    stop: Stop,
    task: tokio::task::JoinHandle<()>,
}

async fn look_up(steps: &[Step], bounds: &Bounds, patience: Duration) -> Lookup {
    let (head, answer) = oneshot::channel();
    let asked = Arc::new(AtomicUsize::new(0));
    let source = Steps { steps: steps.iter().copied().collect(), damaged: Vec::new(), asked: asked.clone() };
    let stop = Stop::never();
    let sender = Sender { handle: Handle::current(), streams: bounds.streams.clone(), patience, stop: stop.clone() };
    let task = tokio::task::spawn_blocking(move || sender.answer(|_| Ok(source), Kibibytes, head));
    Lookup { outcome: received(answer, Waiting(stop.clone())).await, asked, stop, task }
}

const PATIENT: Duration = Duration::from_secs(3600);
/// More than is held back.
const LARGE: Step = Step::Rows(300);

/// The body's length, or that it was cut off.
async fn length(outcome: Outcome) -> Result<usize, ()> {
    let body = outcome.into_parts().0.unwrap();
    body.collect().await.map(|body| body.to_bytes().len()).map_err(|_| ())
}

#[tokio::test]
async fn a_small_trace_is_sent_with_its_length() {
    let lookup = look_up(&[Step::Rows(1), Step::Rows(2)], &Bounds::new(), PATIENT).await;
    let (body, incomplete) = lookup.outcome.unwrap().into_parts();
    assert_eq!(incomplete, None);
    let hint = axum::body::HttpBody::size_hint(&body.unwrap());
    assert_eq!(hint.exact(), Some(3 * 1024 + 2));
}

#[tokio::test]
async fn no_span_is_no_body_and_says_what_could_not_be_read() {
    let lookup = look_up(&[], &Bounds::new(), PATIENT).await;
    assert!(lookup.outcome.unwrap().body.is_none());
    let lookup = look_up(&[Step::Damaged, Step::Damaged], &Bounds::new(), PATIENT).await;
    let (body, incomplete) = lookup.outcome.unwrap().into_parts();
    assert!(body.is_none());
    assert_eq!(incomplete.unwrap(), "part-0.parquet, part-1.parquet");
}

#[tokio::test]
async fn a_large_trace_arrives_whole() {
    let lookup = look_up(&[LARGE; 20], &Bounds::new(), PATIENT).await;
    assert_eq!(length(lookup.outcome.unwrap()).await, Ok(20 * 300 * 1024 + 2));
}

#[tokio::test]
async fn a_failure_before_the_head_is_an_error_and_after_it_cuts_the_answer_off() {
    let early = look_up(&[Step::Rows(1), Step::Fails], &Bounds::new(), PATIENT).await;
    assert_eq!(early.outcome.err().unwrap().status, 500);
    let late = look_up(&[LARGE, LARGE, Step::Fails], &Bounds::new(), PATIENT).await;
    assert_eq!(length(late.outcome.unwrap()).await, Err(()));
}

#[tokio::test]
async fn damage_that_the_head_named_is_passed_over_and_later_damage_cuts_the_answer_off() {
    let early = look_up(&[Step::Damaged, LARGE, LARGE], &Bounds::new(), PATIENT).await;
    let outcome = early.outcome.unwrap();
    assert_eq!(outcome.incomplete.as_ref().unwrap(), "part-0.parquet");
    assert_eq!(length(outcome).await, Ok(600 * 1024 + 2));
    let late = look_up(&[LARGE, LARGE, Step::Damaged, LARGE], &Bounds::new(), PATIENT).await;
    assert_eq!(length(late.outcome.unwrap()).await, Err(()));
}

#[tokio::test]
async fn a_source_runs_ahead_of_its_reader_by_a_few_parts_only_and_ends_when_the_reader_goes() {
    let bounds = Bounds::new();
    let lookup = look_up(&[LARGE; 1000], &bounds, PATIENT).await;
    drop(lookup.outcome);
    lookup.task.await.unwrap();
    assert!(lookup.asked.load(Ordering::SeqCst) <= PARTS + 3);
    assert_eq!(bounds.streams.available_permits(), STREAMS);
}

#[tokio::test]
async fn a_reader_that_stands_still_is_cut_off() {
    let lookup = look_up(&[LARGE; 1000], &Bounds::new(), Duration::from_millis(1)).await;
    // Nothing is read until the task has given up.
    lookup.task.await.unwrap();
    assert_eq!(length(lookup.outcome.unwrap()).await, Err(()));
}

#[tokio::test]
async fn a_trace_is_ended_only_where_the_source_says_so() {
    let steps = [Step::Rows(1), Step::Ends(1), Step::Ends(2), Step::Rows(1), Step::Ends(0)];
    let lookup = look_up(&steps, &Bounds::new(), PATIENT).await;
    let body = lookup.outcome.unwrap().body.unwrap().collect().await.unwrap().to_bytes();
    let text: String = String::from_utf8(body.to_vec()).unwrap().split('\n').map(|t| format!("{} ", t.len())).collect();
    // The brackets count.
    assert_eq!(text, "2049 2048 1024 1 ");
}

#[tokio::test]
async fn who_reads_to_the_end_or_goes_away_or_stops_waiting_gives_the_query_up() {
    let read = look_up(&[LARGE; 2], &Bounds::new(), PATIENT).await;
    assert!(read.stop.check().is_ok());
    assert!(length(read.outcome.unwrap()).await.is_ok());
    assert!(read.stop.check().is_err());

    let gone = look_up(&[LARGE; 1000], &Bounds::new(), PATIENT).await;
    assert!(gone.stop.check().is_ok());
    drop(gone.outcome);
    assert!(gone.stop.check().is_err());

    let stop = Stop::never();
    let (_head, answer) = oneshot::channel();
    let mut waiting = Box::pin(received(answer, Waiting(stop.clone())));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    assert!(stop.check().is_ok());
    drop(waiting);
    assert!(stop.check().is_err());
}

#[tokio::test]
async fn a_query_whose_time_is_over_is_refused_and_its_source_not_opened() {
    let bounds = Bounds::new();
    let stop = Stop::after(Duration::from_nanos(1));
    while stop.check().is_ok() {
        tokio::task::yield_now().await;
    }
    let (head, answer) = oneshot::channel();
    let sender = Sender { handle: Handle::current(), streams: bounds.streams.clone(), patience: PATIENT, stop };
    let open = |_| -> Result<Steps> { panic!("opened") };
    tokio::task::spawn_blocking(move || sender.answer(open, Kibibytes, head)).await.unwrap();
    let refusal = received(answer, Waiting(Stop::never())).await.err().unwrap();
    assert_eq!(refusal.status, 503);
    assert!(refusal.message.contains("query.timeout"), "{}", refusal.message);
}

#[tokio::test]
async fn a_source_that_panics_is_an_error_before_the_head_and_a_cut_after_it() {
    let early = look_up(&[Step::Panics], &Bounds::new(), PATIENT).await;
    assert_eq!(early.outcome.err().unwrap().status, 500);
    let late = look_up(&[LARGE, Step::Panics], &Bounds::new(), PATIENT).await;
    assert_eq!(length(late.outcome.unwrap()).await, Err(()));
}

#[tokio::test]
async fn one_large_answer_too_many_is_refused_while_small_ones_go_on() {
    let bounds = Bounds::new();
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(look_up(&[LARGE; 1000], &bounds, PATIENT).await);
    }
    let refused = look_up(&[LARGE; 2], &bounds, PATIENT).await;
    assert_eq!(refused.outcome.err().unwrap().status, 503);
    assert!(look_up(&[Step::Rows(1)], &bounds, PATIENT).await.outcome.is_ok());
    for lookup in open {
        drop(lookup.outcome);
        lookup.task.await.unwrap();
    }
}

#[tokio::test]
async fn questions_for_events_wait_for_places_of_their_own_and_leave_those_of_lookups_alone() {
    let bounds = Bounds::new();
    let view = || Snapshot::of_events(EventsView::default());
    let (begun, mut under_way) = mpsc::channel(EVENTS);
    let mut ends = Vec::new();
    let mut questions = tokio::task::JoinSet::new();
    for number in 0..EVENTS {
        let (end, told_to_end) = std::sync::mpsc::channel::<()>();
        ends.push(end);
        let (places, begun) = (bounds.events.clone(), begun.clone());
        let work = move |_: &Snapshot, _: &Stop| {
            begun.blocking_send(()).unwrap();
            // Until the other side is gone.
            told_to_end.recv().unwrap_err();
            Ok(number)
        };
        questions.spawn(async move { run(&places, Stop::never(), view, work).await });
    }
    for _ in 0..EVENTS {
        under_way.recv().await.unwrap();
    }
    // One more waits as long as it may take, and is refused.
    let short = Stop::after(Duration::from_millis(1));
    let refused = run(&bounds.events, short, view, |_, _| -> Result<()> { panic!("begun") }).await.unwrap_err();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.message, "too many queries are under way\nask again in a second");
    // Lookups and searches have all of theirs.
    assert_eq!(run(&bounds.at_once, Stop::never(), view, |_, _| Ok(7)).await.unwrap(), 7);
    assert_eq!((bounds.at_once.available_permits(), bounds.searches.available_permits()), (AT_ONCE, SEARCHES));
    // One that has time gets the place of the next that ends.
    let mut waiting = Box::pin(run(&bounds.events, Stop::never(), view, |_, _| Ok("done")));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(ends);
    assert_eq!(waiting.await.unwrap(), "done");
    let mut done: Vec<usize> = questions.join_all().await.into_iter().map(|number| number.unwrap()).collect();
    done.sort_unstable();
    assert_eq!((done, bounds.events.available_permits()), ((0..EVENTS).collect(), EVENTS));
}
