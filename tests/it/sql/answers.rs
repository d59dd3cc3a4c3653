//! What is answered: log above table, views, pruning.

use super::*;
use spanlake::error::ErrorKind;
use spanlake::lake::spans::schema::TABLE_SCHEMA;

#[tokio::test]
async fn what_is_only_in_the_log_is_seen_unless_the_table_alone_is_asked_for() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(1, 2)]).await;
    lake.flush().await;
    lake.post(&[span(2, 3)]).await;
    let sql = "select span_id, day from spans order by 1";
    let all = ["0000000000000001|2026-11-22", "0000000000000002|2026-11-22", "0000000000000003|2026-11-22"];
    assert_eq!(lake.rows(sql).await, all);
    assert_eq!(lake.try_rows(sql, true).await.unwrap().0, all[..2]);
    // After the server's end the log is as it was.
    drop(lake.store);
    assert_eq!(ask(Arc::new(RealFs), &lake.folder.path().join("data"), sql, false).await.unwrap().0, all);
}

#[tokio::test]
async fn files_that_cannot_hold_an_answer_are_left_out_before_anything_is_read() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    let mut tomorrow = span(2, 2);
    tomorrow.timestamp = Some(NOON + DAY);
    tomorrow.duration = Some(7_000_000);
    lake.post(&[tomorrow]).await;
    lake.flush().await;
    for (filter, files) in [
        ("timestamp >= '2026-11-23'", 1),
        ("timestamp < '2026-11-20'", 0),
        ("day = '2026-11-22'", 1),
        ("duration > 1000000", 1),
        ("project = 'default'", 2),
        ("project = 'other'", 0),
        ("trace_low > 1", 1),
        ("service = 'shop'", 2),
    ] {
        let plan = lake.rows(&format!("explain select name from spans where {filter}")).await.join("\n");
        let physical = plan.split("physical_plan|").nth(1).unwrap();
        assert_eq!(physical.matches(".parquet").count(), files, "{filter}: {physical}");
    }
}

#[tokio::test]
async fn a_trace_is_found_by_its_id_however_it_is_asked_for() {
    let lake = Lake::new().await;
    let wide = Span { trace_id: TraceId::wide(0xabc, 1), ..span(1, 2) };
    lake.post(&[span(1, 1), wide, span(2, 3)]).await;
    lake.flush().await;
    lake.post(&[span(1, 4), span(5, 5)]).await;
    for (filter, ids) in [
        ("trace_id = '0000000000000001'", "1 4"),
        ("'0000000000000001' = trace_id", "1 4"),
        ("trace_id = '0000000000000abc0000000000000001'", "2"),
        ("trace_low = 1", "1 2 4"),
        ("trace_id in ('0000000000000002', '0000000000000005')", "3 5"),
        ("trace_id in ('0000000000000002', '0000000000000005', '0000000000000001', '0000000000000009')", "1 3 4 5"),
        ("trace_id = '0000000000000002' or trace_low = 5", "3 5"),
        ("trace_id = '0000000000000002' or service = 'none'", "3"),
        ("trace_id = '0000000000000002' and trace_low = 5", ""),
        ("trace_id = 'no id'", ""),
        ("trace_id <> '0000000000000001'", "2 3 5"),
        ("not trace_id in ('0000000000000001')", "2 3 5"),
        ("trace_id = '0000000000000001' and span_id > '0000000000000002'", "4"),
    ] {
        let sql = format!("select cast(cast(right(span_id, 1) as int) as text) from spans where {filter} order by 1");
        assert_eq!(lake.rows(&sql).await.join(" "), ids, "{filter}");
    }
    // A trace is shown with its longest id.
    for id in ["0000000000000abc0000000000000001", "0000000000000002"] {
        assert_eq!(lake.rows(&format!("select trace_id from traces where trace_id = '{id}'")).await, [id]);
    }
    assert!(lake.rows("select trace_id from traces where trace_id = '0000000000000001'").await.is_empty());
}

#[tokio::test]
async fn the_views_answer_the_common_questions() {
    let lake = Lake::new().await;
    lake.post(&small_trace()).await;
    lake.flush().await;
    // Without a root, and without any time.
    let mut orphan = span(17, 9);
    orphan.parent_id = Some(8);
    orphan.timestamp = None;
    orphan.tags = Vec::new();
    lake.post(&[orphan]).await;

    assert_eq!(
        lake.rows("select * from traces order by trace_low").await,
        [
            "0000000000000010|shop|get|2026-11-22T12:00:00.001Z|21000|3|true|default|16",
            "0000000000000011|||||1|false|default|17",
        ]
    );
    assert_eq!(
        lake.rows("select * from annotations order by timestamp").await,
        [
            "0000000000000010|0000000000000001|shop|2026-11-22T12:00:00.002Z|first",
            "0000000000000010|0000000000000001|shop|2026-11-22T12:00:00.003Z|second",
        ]
    );
    assert_eq!(
        lake.rows("select * from tags order by span_id, key").await,
        [
            "0000000000000010|0000000000000001|shop|http.method|GET",
            "0000000000000010|0000000000000001|shop|user|u1",
            "0000000000000010|0000000000000002|shop|error|",
            "0000000000000010|0000000000000002|shop|zone|z",
        ]
    );
    assert_eq!(
        lake.rows("select span_id, kind, tags from spans where trace_low = 16 order by 1, 2").await,
        [
            "0000000000000001|SERVER|{http.method: GET, user: u1}",
            "0000000000000002|CLIENT|{error: , zone: z}",
            "0000000000000002|SERVER|{}",
        ]
    );
}

/// `tags` holds all tags in SQL, so nobody need know which have a column of their own.
#[tokio::test]
async fn a_tag_is_asked_for_by_its_key_wherever_it_is_stored() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    let mut post = span(1, 2);
    post.tags[0].1 = "POST".into();
    lake.post(&[post]).await;
    assert_eq!(
        lake.rows("select tags['http.method'], tags['user'], tags['none'] from spans order by span_id").await,
        ["GET|u1|", "POST|u1|"]
    );
    assert_eq!(lake.rows("select span_id from spans where tags['http.method'] = 'POST'").await, ["0000000000000002"]);
    assert_eq!(
        lake.rows("select tags['http.method'] m, count(*) from spans group by m order by m").await,
        ["GET|1", "POST|1"]
    );
    assert_eq!(
        lake.rows("select a.tags['http.method'] from spans a join spans b on a.span_id = b.parent_id").await,
        [""; 0]
    );
    let plan = lake.rows("explain select span_id from spans where tags['http.method'] = 'POST'").await.join("\n");
    assert!(plan.contains("predicate=http_method"), "{plan}");
    assert!(!plan.contains("all_tags"), "{plan}");
}

#[tokio::test]
async fn the_tables_describe_themselves() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    let tables = "select table_name from information_schema.tables where table_schema = 'public' order by 1";
    assert_eq!(lake.rows(tables).await, ["annotations", "event_rows", "events", "spans", "tags", "traces"]);
    assert!(lake.rows("show tables").await.len() >= 4);
    let described: Vec<String> = lake.rows("describe spans").await;
    let names: Vec<&str> = described.iter().filter_map(|row| row.split('|').next()).collect();
    let expected: Vec<&String> = TABLE_SCHEMA.fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_error_that_is_no_damage_is_the_statements_own() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    let error = lake.try_rows("select span_id from spans where 1 / (duration - 500) > 0", false).await.unwrap_err();
    assert!(error.message().starts_with("division by zero; "), "{error}");
}

#[tokio::test]
async fn memory_is_bounded_and_what_does_not_fit_is_said_so_or_spilled() {
    let lake = Lake::new().await;
    let options = SqlOptions { memory: 32 << 20, table_only: false };
    let engine = Engine::new(Arc::new(RealFs), &lake.data(), options).unwrap();
    let run = async |sql: &str| -> Result<usize> {
        let mut answer = engine.run(&parse(sql)?[0]).await?;
        let mut rows = 0;
        while let Some(batch) = answer.rows.next().await {
            rows += batch?.num_rows();
        }
        Ok(rows)
    };
    let sorted =
        "select value, cast(value as text) || repeat('x', 200) as t from generate_series(1, 300000) order by t desc";
    assert_eq!(run(sorted).await.unwrap(), 300_000);
    let error = run("select array_length(array_agg(repeat('x', 100) || value)) from generate_series(1, 1000000)")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.message().ends_with("; give it more with --memory, or ask for less at once"), "{error}");
}

/// Nanoseconds, in which DataFusion would compare them, end in 2262.
#[tokio::test]
async fn instants_are_compared_in_microseconds_however_far_away() {
    let lake = Lake::new().await;
    let mut ancient = span(1, 2);
    ancient.timestamp = Some(-100_000 * 365 * DAY);
    lake.post(&[span(1, 1), ancient]).await;
    for flushed in [false, true] {
        if flushed {
            lake.flush().await;
        }
        for (filter, count) in [
            ("timestamp > '9000-01-01'", "0"),
            ("timestamp < '9000-01-01T00:00:00Z'", "2"),
            ("'1000-01-01' < timestamp", "1"),
            ("timestamp between '1000-01-01' and '9000-01-01'", "1"),
            ("timestamp in ('2026-11-22T12:00:00.001Z', '9000-01-01')", "1"),
            ("timestamp = '2026-11-22 12:00:00.001'", "1"),
            ("timestamp > date '9000-01-01'", "0"),
            ("timestamp > to_timestamp('2026-11-22T00:00:00')", "1"),
            ("timestamp < now() or timestamp > now()", "2"),
        ] {
            let sql = format!("select count(*) from spans where {filter}");
            assert_eq!(lake.rows(&sql).await, [count], "{filter}");
        }
        let named = "select start > '9000-01-01' as far from traces where start >= '2026-11-22'";
        assert_eq!(lake.rows(named).await, ["false"]);
    }
}
