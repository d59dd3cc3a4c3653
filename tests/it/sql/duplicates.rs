//! Rows equal in every sent field are one row in every answer, wherever their copies lie.

use super::*;

#[tokio::test]
async fn a_row_that_lies_in_two_files_is_one_row_in_every_answer() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(1, 2), span(2, 3)]).await;
    lake.flush().await;
    let mut retagged = span(1, 1);
    retagged.tags[1].1 = "u2".into();
    lake.post(&[span(1, 2), span(2, 3), retagged, span(3, 4)]).await;
    lake.flush().await;
    lake.post(&[span(2, 3), span(1, 5)]).await;
    lake.flush().await;
    assert_eq!(lake.data_files().len(), 3);

    assert_eq!(lake.rows("select count(*) from spans").await, ["6"]);
    assert_eq!(lake.rows("select count(*) from spans where duration = 500").await, ["6"]);
    assert_eq!(
        lake.rows("select trace_id, span_id, tags['user'] from spans order by 1, 2, 3").await,
        [
            "0000000000000001|0000000000000001|u1",
            "0000000000000001|0000000000000001|u2",
            "0000000000000001|0000000000000002|u1",
            "0000000000000001|0000000000000005|u1",
            "0000000000000002|0000000000000003|u1",
            "0000000000000003|0000000000000004|u1",
        ]
    );
    assert_eq!(
        lake.rows("select trace_id, span_count from traces order by 1").await,
        ["0000000000000001|4", "0000000000000002|1", "0000000000000003|1"]
    );
    assert_eq!(lake.rows("select count(*) from tags").await, ["12"]);
    // A trace asked for by its id is read another way.
    assert_eq!(lake.rows("select count(*) from spans where trace_id = '0000000000000002'").await, ["1"]);
    // The same table twice in one statement.
    assert_eq!(lake.rows("select count(*) from spans a join spans b on a.span_id = b.span_id").await, ["8"]);
}

#[tokio::test]
async fn a_row_in_a_file_and_in_the_log_or_twice_in_the_log_is_one_row() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(2, 2)]).await;
    lake.flush().await;
    lake.post(&[span(1, 1), span(3, 3)]).await;
    lake.post(&[span(3, 3), span(3, 4)]).await;
    lake.clock.advance(5);
    lake.post(&[span(3, 4)]).await;
    assert_eq!(lake.rows("select count(*), count(distinct span_id) from spans").await, ["4|4"]);
    for (trace, count) in [(1, "1"), (2, "1"), (3, "2")] {
        let sql = format!("select count(*) from spans where trace_low = {trace}");
        assert_eq!(lake.rows(&sql).await, [count], "{trace}");
    }
}

/// Senders of different projects may draw the same ids, and then these are different spans.
#[tokio::test]
async fn equal_spans_of_two_projects_or_clusters_are_two_rows() {
    let lake = Lake::new().await;
    let clustered = || Scope { cluster_id: Some("c1".into()), ..scope("b") };
    for round in 0..2 {
        lake.post_as(scope("b"), &[span(1, 1), span(7, 2)]).await;
        lake.post_as(scope("a"), &[span(1, 1), span(9, 3)]).await;
        lake.post_as(clustered(), &[span(1, 1)]).await;
        if round == 0 {
            lake.flush().await;
        }
    }
    let expected = ["a|1||1", "a|9||1", "b|1|c1|1", "b|1||1", "b|7||1"];
    let sql = "select project, trace_low, cluster_id, count(*) from spans group by 1, 2, 3 order by 1, 2, 3 nulls last";
    assert_eq!(lake.rows(sql).await, expected, "file and log");
    lake.flush().await;
    assert_eq!(lake.rows(sql).await, expected, "file and file");
    assert_eq!(
        lake.rows("select project, span_count from traces where trace_low = 1 order by 1").await,
        ["a|1", "b|2"]
    );
}

/// A span without a plausible timestamp lies in the day of its arrival, so its copies may lie in different days.
#[tokio::test]
async fn a_span_without_a_timestamp_that_is_sent_again_on_another_day_is_one_row() {
    let lake = Lake::new().await;
    let mut timeless = span(1, 1);
    timeless.timestamp = None;
    let mut implausible = span(1, 2);
    implausible.timestamp = Some(5);
    let strays = [timeless, implausible];
    lake.post(&strays).await;
    lake.post(&[span(1, 3)]).await;
    lake.flush().await;
    lake.clock.advance(DAY);
    lake.post(&strays).await;
    let mut tomorrow = span(1, 4);
    tomorrow.timestamp = Some(NOON + DAY);
    lake.post(&[tomorrow]).await;
    assert_eq!(lake.rows("select count(*) from spans").await, ["4"], "file and log");
    lake.flush().await;
    lake.clock.advance(DAY);
    lake.post(&strays).await;
    lake.flush().await;
    assert_eq!(lake.data_files().len(), 3);
    assert_eq!(lake.rows("select count(*) from spans").await, ["4"], "files of three days");
    assert_eq!(
        lake.rows("select span_id, day from spans order by 1").await,
        [
            "0000000000000001|2026-11-22",
            "0000000000000002|2026-11-22",
            "0000000000000003|2026-11-22",
            "0000000000000004|2026-11-23"
        ]
    );
}

/// Most statements read files without copies, and those are to be read without detours.
#[tokio::test]
async fn copies_cost_nothing_in_the_plan_where_there_are_none() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    lake.post(&[span(2, 2)]).await;
    lake.flush().await;
    let plan = lake.rows("explain select name from spans where service = 'shop'").await.join("\n");
    let physical = plan.split("physical_plan|").nth(1).unwrap();
    let nodes: Vec<&str> = physical.lines().map(str::trim).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(nodes.iter().filter(|node| node.ends_with("Exec")).count(), 1, "{physical}");
    assert!(physical.contains("predicate=service"), "{physical}");
}
