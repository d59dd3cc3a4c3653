//! What happened to a service in the last hour, asked of random services and held against what was told.

use super::generate::{Events, SERVICES, Telling, service};
use super::{AskReport, EventsOptions};
use crate::bench::client::{Answer, Connection, Target};
use crate::bench::draw::mix;
use crate::bench::measure::Percentiles;
use crate::model::event::{count_together, settle};
use crate::model::{Event, ServiceEvent};
use hyper::StatusCode;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Questions before those that are timed.
const WARM_UP: u64 = 100;
/// How many wrong answers are described.
const EXAMPLES: usize = 5;
/// The server's clock tells times in this zone, where nothing else is set.
const UTC_OFFSET: i32 = 8 * 3_600;

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    first_seen: String,
    last_seen: String,
    count: i64,
    level: String,
    obj_type: String,
    obj_name: String,
    reason: String,
    message: String,
}

#[derive(Deserialize)]
struct Answered {
    code: i64,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    event_list: Vec<Line>,
}

/// Asks; `now` is when the events of the last hour were told.
pub(super) async fn ask(
    target: &Target,
    events: Events,
    options: &EventsOptions,
    now: i64,
) -> Result<AskReport, String> {
    let expected = expected(events, now);
    let mut connection = Connection::new(target.clone());
    // The connection's own time is none of a question's.
    connection.get("/health").await?;
    let mut report = AskReport {
        questions: options.questions,
        milliseconds: Percentiles::default(),
        first_milliseconds: 0.0,
        events_per_answer: 0.0,
        wrong: 0,
        examples: Vec::new(),
    };
    let mut times = Vec::new();
    let mut told = 0;
    let warm_up = WARM_UP.min(options.questions);
    for question in 0..warm_up + options.questions {
        let number = mix(options.seed, 0x0061_736b, question) % SERVICES;
        let answer = connection.get(&path(number)).await?;
        if question == 0 {
            report.first_milliseconds = f64::from(answer.micros) / 1_000.0;
        }
        let wanted = expected.get(&number).map(Vec::as_slice).unwrap_or_default();
        // The warm-up's answers are checked as well, but neither timed nor counted.
        if question >= warm_up {
            times.push(answer.micros);
            told += wanted.len();
        }
        if let Err(wrong) = check(&answer, wanted) {
            report.wrong += 1;
            if report.examples.len() < EXAMPLES {
                report.examples.push(format!("{}: {wrong}", service(number).name));
            }
        }
    }
    report.milliseconds = Percentiles::of(times);
    report.events_per_answer = told as f64 / options.questions.max(1) as f64;
    Ok(report)
}

fn path(number: u64) -> String {
    let service = service(number);
    format!(
        "/v2/index.php?Action=DescribeServiceEvent&clusterId={}&serviceName={}&namespace={}",
        service.cluster, service.name, service.namespace
    )
}

/// The lines of each service's answer, in order.
fn expected(events: Events, now: i64) -> BTreeMap<u64, Vec<Line>> {
    let mut by_service: BTreeMap<u64, Vec<ServiceEvent<'static>>> = BTreeMap::new();
    for slot in events.last_hour() {
        for Telling { slot, again } in events.tellings(slot) {
            // With all that was told of the event before.
            let rows = (0..=again).map(|again| events.event(Telling { slot, again }, now));
            by_service.entry(events.service_of(slot)).or_default().extend(rows);
        }
    }
    let lines = |mut rows: Vec<ServiceEvent<'static>>| {
        settle(&mut rows);
        let settled: Vec<Event<'static>> = rows.into_iter().map(|row| row.event).collect();
        let counted = count_together(&settled);
        let mut lines: Vec<Line> = counted
            .iter()
            .map(|counted| Line {
                first_seen: local(counted.first_seen),
                last_seen: local(counted.last_seen),
                count: counted.count,
                level: counted.group.level.to_owned(),
                obj_type: counted.group.kind.to_owned(),
                obj_name: counted.group.name.to_owned(),
                reason: counted.group.reason.to_owned(),
                message: counted.group.message.to_owned(),
            })
            .collect();
        lines.sort_unstable();
        lines
    };
    by_service.into_iter().map(|(number, rows)| (number, lines(rows))).collect()
}

fn local(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros + i64::from(UTC_OFFSET) * 1_000_000);
    time.unwrap_or_default().format("%Y-%m-%d %H:%M:%S").to_string()
}

fn check(answer: &Answer, wanted: &[Line]) -> Result<(), String> {
    if answer.status != StatusCode::OK {
        return Err(format!("answered {}: {}", answer.status, answer.excerpt()));
    }
    let unreadable = |error| format!("answered what cannot be read: {error}: {}", answer.excerpt());
    let answered: Answered = serde_json::from_slice(&answer.body).map_err(unreadable)?;
    let lines = answered.data.filter(|_| answered.code == 0).map(|data| data.event_list);
    let Some(mut lines) = lines else { return Err(format!("answered a refusal: {}", answer.excerpt())) };
    if !lines.is_sorted_by(|a, b| a.last_seen >= b.last_seen) {
        return Err("the events are not in order".to_owned());
    }
    lines.sort_unstable();
    let Some((told, wanted)) = lines.iter().zip(wanted).find(|(told, wanted)| told != wanted) else {
        return match lines.len() == wanted.len() {
            true => Ok(()),
            false => Err(format!("answered {} events where {} were told", lines.len(), wanted.len())),
        };
    };
    Err(format!("answered {told:?} where {wanted:?} was told"))
}
