//! The command as a person or a program sees it: through the real binary.

use super::*;
use crate::support::server::{output, spanlake};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn sql(lake: &Lake, args: &[&str]) -> std::process::Output {
    let data = lake.data();
    let mut all = vec!["sql", "--data", data.to_str().unwrap()];
    all.extend(args);
    output(&all, lake.folder.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_files_are_refused_with_a_message_and_1() {
    let lake = Lake::new().await;
    let reads = lake.folder.path().join("secret.csv");
    std::fs::write(&reads, "a,b\n1,2\n").unwrap();
    let target = lake.folder.path().join("out.csv");
    for (query, said) in [
        ("insert into spans select * from spans".to_owned(), "spanlake: spanlake sql only reads: INSERT is refused; "),
        ("drop view spans".to_owned(), "spanlake: spanlake sql only reads: DROP is refused; "),
        ("create table t as select 1".to_owned(), "spanlake: spanlake sql only reads: CREATE is refused; "),
        (format!("copy (select 1) to '{}'", target.display()), "spanlake: spanlake sql only reads: COPY is refused; "),
        (
            format!("create external table t stored as csv location '{}'", reads.display()),
            "spanlake: spanlake sql only reads: CREATE EXTERNAL TABLE is refused; files cannot be named, ",
        ),
        (format!("select * from '{}'", reads.display()), "spanlake: there is no table "),
        (format!("select * from read_csv('{}')", reads.display()), "spanlake: "),
        (
            "set datafusion.execution.target_partitions = 1".to_owned(),
            "spanlake: spanlake sql only reads: SET is refused; ",
        ),
    ] {
        let refused = sql(&lake, &[&query]);
        assert_eq!(refused.status.code(), Some(1), "{query}");
        assert!(text(&refused.stderr).starts_with(said), "{query}: {}", text(&refused.stderr));
        assert_eq!(text(&refused.stdout), "", "{query}");
    }
    assert!(!target.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_printed_for_a_person() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(1, 2)]).await;
    let shown = sql(&lake, &["select span_id, timestamp, duration, parent_id from spans order by 1"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert_eq!(
        text(&shown.stdout),
        "\
+------------------+--------------------------+----------+-----------+
| span_id          | timestamp                | duration | parent_id |
+------------------+--------------------------+----------+-----------+
| 0000000000000001 | 2026-11-22T12:00:00.001Z | 500      |           |
| 0000000000000002 | 2026-11-22T12:00:00.002Z | 500      |           |
+------------------+--------------------------+----------+-----------+
"
    );
    assert_eq!(text(&shown.stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_reads_back_as_what_was_asked_for() {
    let lake = Lake::new().await;
    lake.post(&small_trace()).await;
    let query = "select span_id, kind, duration, parent_id, tags, annotations from spans order by 1, 2";
    let of = |format: &str| {
        let answer = sql(&lake, &["--format", format, query]);
        assert!(answer.status.success(), "{format}: {}", text(&answer.stderr));
        answer.stdout
    };

    let json: serde_json::Value = serde_json::from_slice(&of("json")).unwrap();
    let expected = serde_json::json!([
        {
            "span_id": "0000000000000001", "kind": "SERVER", "duration": 9000, "parent_id": null,
            "tags": {"http.method": "GET", "user": "u1"},
            "annotations": [
                {"timestamp": "2026-11-22T12:00:00.002Z", "value": "first"},
                {"timestamp": "2026-11-22T12:00:00.003Z", "value": "second"},
            ],
        },
        {
            "span_id": "0000000000000002", "kind": "CLIENT", "duration": null, "parent_id": "0000000000000001",
            "tags": {"error": "", "zone": "z"}, "annotations": null,
        },
        {
            "span_id": "0000000000000002", "kind": "SERVER", "duration": 20000, "parent_id": "0000000000000001",
            "tags": {}, "annotations": null,
        },
    ]);
    assert_eq!(json, expected);

    let lines = of("ndjson");
    let lines: Vec<serde_json::Value> = text(&lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::Value::from(lines), expected);

    assert_eq!(
        text(&of("csv")),
        "\
span_id,kind,duration,parent_id,tags,annotations
0000000000000001,SERVER,9000,,\"{\"\"http.method\"\":\"\"GET\"\",\"\"user\"\":\"\"u1\"\"}\",\
\"[{\"\"timestamp\"\":\"\"2026-11-22T12:00:00.002Z\"\",\"\"value\"\":\"\"first\"\"},\
{\"\"timestamp\"\":\"\"2026-11-22T12:00:00.003Z\"\",\"\"value\"\":\"\"second\"\"}]\"
0000000000000002,CLIENT,,0000000000000001,\"{\"\"error\"\":\"\"\"\",\"\"zone\"\":\"\"z\"\"}\",
0000000000000002,SERVER,20000,0000000000000001,{},
"
    );

    let rows = [
        "0000000000000001|SERVER|9000||{http.method: GET, user: u1}|\
         [{timestamp: 2026-11-22T12:00:00.002Z, value: first}, {timestamp: 2026-11-22T12:00:00.003Z, value: second}]",
        "0000000000000002|CLIENT||0000000000000001|{error: , zone: z}|",
        "0000000000000002|SERVER|20000|0000000000000001|{}|",
    ];
    let parquet = bytes::Bytes::from(of("parquet"));
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    assert_eq!(reader.flat_map(|batch| texts(&batch.unwrap())).collect::<Vec<_>>(), rows);
    let arrow = of("arrow");
    let reader = arrow::ipc::reader::StreamReader::try_new(arrow.as_slice(), None).unwrap();
    assert_eq!(reader.flat_map(|batch| texts(&batch.unwrap())).collect::<Vec<_>>(), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_rows_is_one_in_each_format() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    for (format, expected) in [("json", "[]\n"), ("ndjson", ""), ("csv", "span_id,tags\n")] {
        let answer = sql(&lake, &["--format", format, "select span_id, tags from spans where name = 'none'"]);
        assert_eq!((answer.status.code(), text(&answer.stdout)), (Some(0), expected), "{format}");
    }
    let answer = sql(&lake, &["--format", "arrow", "select span_id from spans where name = 'none'"]);
    let reader = arrow::ipc::reader::StreamReader::try_new(answer.stdout.as_slice(), None).unwrap();
    assert_eq!((reader.schema().field(0).name().as_str(), reader.count()), ("span_id", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_kept_in_a_file_is_there_whole_or_not_at_all() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    let path = lake.folder.path().join("answer.csv");
    let file = path.to_str().unwrap();
    let kept = sql(&lake, &["--format", "csv", "--output", file, "select span_id from spans"]);
    assert_eq!((kept.status.code(), text(&kept.stdout)), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "span_id\n0000000000000001\n");
    let failed =
        sql(&lake, &["--format", "csv", "-o", file, "select 1 / (value - 9000) from generate_series(1, 10000)"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "span_id\n0000000000000001\n", "what was there stays");
    assert!(!lake.folder.path().join("answer.csv.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_read_from_standard_input_where_none_is_given() {
    use std::io::Write;
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    let data = lake.data();
    let mut child = spanlake(&["sql", "--format", "csv", "--data", data.to_str().unwrap()], lake.folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"select count(*) as n from spans;\nselect 7 as x;\n").unwrap();
    let answer = child.wait_with_output().unwrap();
    assert_eq!((answer.status.code(), text(&answer.stdout)), (Some(0), "n\n1\nx\n7\n"));
}

/// As `spanlake sql … | head` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    use std::io::Read;
    let lake = Lake::new().await;
    let data = lake.data();
    let args =
        ["sql", "--format", "csv", "--data", data.to_str().unwrap(), "select * from generate_series(1, 5000000)"];
    let mut child = spanlake(&args, lake.folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"value");
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_what_helps() {
    let lake = Lake::new().await;
    for (query, said) in [
        ("select servce from spans", "spanlake: there is no column \"servce\"; did you mean service?\n"),
        (
            "select * from span",
            "spanlake: there is no table \"span\"; there are spans, tags, events, traces, annotations, event_rows\n",
        ),
        ("selec 1", "spanlake: this is no SQL: "),
        ("select nofunction(1)", "spanlake: "),
    ] {
        let refused = sql(&lake, &[query]);
        assert_eq!(refused.status.code(), Some(1), "{query}");
        let stderr = text(&refused.stderr);
        assert!(stderr.starts_with(said), "{query}: {stderr}");
        assert!(!stderr.contains("DataFusion") && !stderr.contains("backtrace"), "{query}: {stderr}");
    }
}

#[test]
fn a_folder_without_data_is_told_from_one_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let absent = output(&["sql", "select 1"], dir.path());
    assert_eq!(absent.status.code(), Some(1));
    assert_eq!(
        text(&absent.stderr),
        "spanlake: ./spanlake-data is not there, or is no folder; name the folder that `spanlake serve` keeps its data in with --data\n"
    );
    let empty = output(&["sql", "--data", ".", "select 1"], dir.path());
    assert!(
        text(&empty.stderr).starts_with("spanlake: . is no data folder: it has no file node-id; "),
        "{}",
        text(&empty.stderr)
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made");
    for args in [&["sql", "--format", "xml", "select 1"][..], &["sql", "--memory", "1", "select 1"], &["sql", ";"]] {
        assert_eq!(output(args, dir.path()).status.code(), Some(2), "{args:?}");
    }
}

/// Clocks of senders make up any number; what is stored is told, and a program can read the answer on.
#[tokio::test(flavor = "multi_thread")]
async fn instants_outside_the_calendar_are_written_as_their_numbers() {
    let lake = Lake::new().await;
    let mut odd = span(1, 1);
    odd.timestamp = Some(i64::MIN);
    odd.annotations = vec![Annotation { timestamp: i64::MAX, value: "late".into() }];
    let mut none = span(1, 3);
    none.timestamp = None;
    lake.post(&[odd, span(1, 2), none]).await;
    for flushed in [false, true] {
        if flushed {
            lake.flush().await;
        }
        let query = "select timestamp, annotations from spans order by span_id";
        let of = |format: &str| {
            let answer = sql(&lake, &["--format", format, query]);
            assert!(answer.status.success(), "{format}: {}", text(&answer.stderr));
            String::from_utf8(answer.stdout).unwrap()
        };
        let late = serde_json::json!([{"timestamp": "9223372036854775807", "value": "late"}]);
        let rows = serde_json::json!([
            {"timestamp": "-9223372036854775808", "annotations": late},
            {"timestamp": "2026-11-22T12:00:00.002Z", "annotations": null},
            {"timestamp": null, "annotations": null},
        ]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&of("json")).unwrap(), rows);
        assert_eq!(
            of("csv"),
            "\
timestamp,annotations
-9223372036854775808,\"[{\"\"timestamp\"\":\"\"9223372036854775807\"\",\"\"value\"\":\"\"late\"\"}]\"
2026-11-22T12:00:00.002Z,
,
"
        );
        let table = of("table");
        assert!(
            table.contains("| -9223372036854775808     | [{timestamp: 9223372036854775807, value: late}] |"),
            "{table}"
        );
        assert!(!table.contains("ERROR"), "{table}");
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_told_what_to_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("afile"), "x").unwrap();
    let refused = output(&["sql", "--data", "afile", "select 1"], dir.path());
    assert_eq!(refused.status.code(), Some(1));
    let expected = "spanlake: afile is not there, or is no folder; name the folder that `spanlake serve` keeps its data in with --data\n";
    assert_eq!(text(&refused.stderr), expected);
}
