//! Answers from a source that does what it is told: small, large, cut off, left alone.

use super::*;
use crate::model::TraceId;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One step of a source: so many rows, an error, or a file that turns out damaged.
#[derive(Clone, Copy)]
enum Step {
    Rows(usize),
    Fails,
    Damaged,
}

struct Steps {
    steps: VecDeque<Step>,
    damaged: Vec<String>,
    /// How many chunks were asked for.
    asked: Arc<AtomicUsize>,
}

impl Source for Steps {
    fn next_chunk(&mut self) -> Result<Option<Vec<Span<'static>>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.steps.pop_front() {
            Some(Step::Rows(rows)) => Ok(Some(vec![Span::new(TraceId::narrow(1), 1); rows])),
            Some(Step::Fails) => Err(Error::damaged("a page cannot be read")),
            Some(Step::Damaged) => {
                self.damaged.push(format!("part-{}.parquet", self.damaged.len()));
                Ok(Some(Vec::new()))
            }
            None => Ok(None),
        }
    }

    fn damaged(&self) -> &[String] {
        &self.damaged
    }
}

/// A kibibyte a row between brackets.
struct Kibibytes;

impl Format for Kibibytes {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn spans(&mut self, spans: Vec<Span<'static>>, out: &mut Vec<u8>) {
        out.resize(out.len() + (spans.len() << 10), b'x');
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.push(b']');
    }
}

/// A lookup under way, with its bounds and what the source was asked.
struct Lookup {
    outcome: Result<Outcome, Refusal>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

async fn look_up(steps: &[Step], bounds: &Bounds, patience: Duration) -> Lookup {
    let (head, answer) = oneshot::channel();
    let asked = Arc::new(AtomicUsize::new(0));
    let source = Steps { steps: steps.iter().copied().collect(), damaged: Vec::new(), asked: asked.clone() };
    let sender = Sender { handle: Handle::current(), streams: bounds.streams.clone(), patience };
    let task = tokio::task::spawn_blocking(move || sender.answer(|| Ok(source), Kibibytes, head));
    Lookup { outcome: answer.await.unwrap(), asked, task }
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
