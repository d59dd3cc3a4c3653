//! SQL says of events what the model's own rule says, whatever is asked and however the rows come.

use super::{EventRows, Events, StoredEvents};
use crate::fs::RealFs;
use crate::lake::events::TABLE;
use crate::lake::events::rows::RowBuilder;
use crate::lake::events::schema::TABLE_SCHEMA;
use crate::model::ServiceEvent;
use crate::model::event::arbitrary::resend;
use crate::model::event::{Event, settle};
use crate::query::sql::memory::BoundedMemory;
use crate::query::sql::statement::parse;
use crate::query::sql::stored::{Notes, StoredTable};
use arrow::array::{Date32Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use std::path::PathBuf;
use std::sync::Arc;

const PROJECTS: [&str; 2] = ["default", "other"];

/// Rows of projects, each in its day.
fn rows(events: &[(&str, ServiceEvent<'_>, i32)]) -> RecordBatch {
    let mut builder = RowBuilder::default();
    events.iter().for_each(|(project, event, _)| builder.push(project, event));
    let days = Date32Array::from_iter_values(events.iter().map(|(.., day)| *day));
    StoredTable::with_days(&TABLE, &builder.finish().unwrap(), days).unwrap()
}

/// `event_rows` and `events` over rows of the log alone; in batches of few rows and two partitions, so that the rows of
/// an event come in pieces.
fn context(log: Vec<RecordBatch>, memory: usize, batch_rows: usize) -> SessionContext {
    let table = StoredTable::new(Arc::new(RealFs), PathBuf::from("none"), &TABLE, Vec::new(), Notes::default());
    let stored = Arc::new(StoredEvents { table: Arc::new(table), log });
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(BoundedMemory::new(memory))).build_arc().unwrap();
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .with_batch_size(batch_rows)
        .with_sort_spill_reservation_bytes(memory / 16);
    let context = SessionContext::new_with_config_rt(config, runtime);
    let rows = Arc::new(EventRows::new(stored));
    context.register_table("event_rows", rows.clone()).unwrap();
    context.register_table("events", Arc::new(Events::new(rows))).unwrap();
    context
}

/// The rows of an answer in order, cells parted by `|`.
async fn answer(context: &SessionContext, sql: &str) -> Vec<String> {
    let statement = parse(sql).unwrap().remove(0);
    let plan = context.state().statement_to_plan(statement.0).await.unwrap();
    let batches = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
    let mut rows: Vec<String> = Vec::new();
    for batch in batches {
        let cell = |column: usize, row: usize| array_value_to_string(batch.column(column), row).unwrap();
        let row = |row: usize| (0..batch.num_columns()).map(|column| cell(column, row)).collect::<Vec<_>>().join("|");
        rows.extend((0..batch.num_rows()).map(row));
    }
    rows.sort_unstable();
    rows
}

/// What is asked of `{}`.
const QUESTIONS: [&str; 16] = [
    "select * from {}",
    "select count(*) from {}",
    "select project, cluster, uid, first_seen, count from {}",
    "select uid, last_seen from {}",
    "select service, count(*), sum(count) from {} group by service",
    "select labels, message from {}",
    "select uid, service, day from {} where service = 'web'",
    "select count(*) from {} where service is null and namespace = 'n'",
    "select uid, first_seen from {} where last_seen >= to_timestamp_micros(2)",
    "select uid, count from {} where first_seen <= to_timestamp_micros(1) and last_seen >= to_timestamp_micros(2)",
    "select uid, message from {} where count > 1 and message = 'x'",
    "select message, count from {} where uid = 'u' and cluster = 'c'",
    "select message from {} where uid = 'u' and service = 'shop'",
    "select project from {} where project = 'other' and uid in ('v', 'w')",
    "select uid from {} where message = 'none such'",
    "select a.uid, b.message from {} a join {} b on a.uid = b.uid and a.cluster = b.cluster where b.service = 'web'",
];

#[test]
fn every_question_is_answered_as_if_each_event_had_come_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let one = (0..PROJECTS.len(), resend(4)).prop_map(|(project, event)| (PROJECTS[project], event));
    let resends = proptest::collection::vec(one, 1..40);
    let mut runner = TestRunner::new(Config { cases: 6, rng_seed: RngSeed::Fixed(7), ..Config::default() });
    let test = |resends: Vec<(&'static str, ServiceEvent<'static>)>| {
        let day = |event: &ServiceEvent<'_>| event.event.last_seen as i32;
        let placed = |(project, event): (&'static str, ServiceEvent<'static>)| {
            let day = day(&event);
            (project, event, day)
        };
        let mut once = Vec::new();
        for project in PROJECTS {
            let of_project = resends.iter().filter(|(of, _)| *of == project);
            let mut events: Vec<ServiceEvent<'_>> = of_project.map(|(_, event)| event.clone()).collect();
            settle(&mut events);
            once.extend(events.into_iter().map(|event| placed((project, event))));
        }
        let log: Vec<_> = resends.into_iter().map(placed).collect();
        let log: Vec<RecordBatch> = log.chunks(7).map(rows).collect();
        let context = context(log, 64 << 20, 3);
        let once = MemTable::try_new(TABLE_SCHEMA.clone(), vec![vec![rows(&once)]]).unwrap();
        context.register_table("once", Arc::new(once)).unwrap();
        for question in QUESTIONS {
            let asked = |of: &str| runtime.block_on(answer(&context, &question.replace("{}", of)));
            prop_assert_eq!(asked("events"), asked("once"), "{}", question);
        }
        Ok(())
    };
    runner.run(&resends, test).unwrap();
}

fn event(uid: String, message: &str, last_seen: i64) -> ServiceEvent<'static> {
    let event = Event {
        cluster: "c".into(),
        namespace: "n".into(),
        uid: uid.into(),
        message: message.to_owned().into(),
        level: "Normal".into(),
        last_seen,
        first_seen: last_seen,
        count: 1,
        ..Event::default()
    };
    ServiceEvent { service: None, event }
}

/// What an event's rows are of different days, or say the same in all but the day, is an event of one day.
#[tokio::test]
async fn of_equal_rows_in_two_days_the_later_day_is_shown() {
    let same = || event("u".to_owned(), "m", 5);
    for days in [[1, 2], [2, 1]] {
        let context = context(vec![rows(&days.map(|day| ("default", same(), day)))], 64 << 20, 8_192);
        assert_eq!(answer(&context, "select cast(day as int), message from events").await, ["2|m"]);
        assert_eq!(answer(&context, "select message from events where day = '1970-01-02'").await, [""; 0]);
    }
}

/// Neither the rows of all events nor those of one event need fit into memory.
#[tokio::test]
async fn more_rows_than_memory_holds_are_joined_all_the_same() {
    const EVENTS: i64 = 20_000;
    let message = "x".repeat(600);
    let mut log = Vec::new();
    for resend in 0..3 {
        for first in (0..EVENTS).step_by(2_000) {
            // Every tenth row is of the same event.
            let uid = |n: i64| if n % 10 == 0 { "all".to_owned() } else { format!("uid-{n}") };
            let some = first..first + 2_000;
            let some: Vec<_> = some.map(|n| ("default", event(uid(n), &message, n + resend), 0)).collect();
            log.push(rows(&some));
        }
    }
    let context = context(log, 32 << 20, 1_024);
    let events = EVENTS / 10 * 9 + 1;
    let sql = "select count(*), count(distinct uid), sum(length(message)), max(last_seen) = to_timestamp_micros(20001) \
               from events";
    assert_eq!(answer(&context, sql).await, [format!("{events}|{events}|{}|true", events * 600)]);
    assert_eq!(answer(&context, "select count(*) from event_rows").await, ["60000"]);
    // More of them than are named one by one.
    let late = "select count(*) from events where last_seen >= to_timestamp_micros(10000)";
    assert_eq!(answer(&context, late).await, ["9003"]);
    let both = format!("{late} and first_seen < to_timestamp_micros(10001)");
    assert_eq!(answer(&context, &both).await, ["3"]);
    let plan = answer(&context, "explain analyze select message, labels from events").await.join("\n");
    let sort = plan.lines().find(|line| line.contains("SortExec")).unwrap();
    assert!(sort.contains("spill_count=") && !sort.contains("spill_count=0"), "{plan}");
}
