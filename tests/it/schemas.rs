//! Other engines and people's scripts rely on what `schemas/` publishes of the tables.

use serde_json::Value;
use spanlake::fs::RealFs;
use spanlake::lake::{Table, TableSpec, events, spans};
use std::sync::Arc;

/// Holds what is published to the code, and to the table that it creates.
async fn check(published: &str, spec: &'static TableSpec, sort_columns: &[&str]) {
    let published: Value = serde_json::from_str(published).unwrap();
    assert_eq!(published["name"], spec.name);
    assert_eq!(published["version"], spec.version);
    assert_eq!(published["sortColumns"], serde_json::json!(sort_columns));
    let columns = published["columns"].as_array().unwrap();
    for column in columns {
        assert!(column["meaning"].as_str().is_some_and(|meaning| meaning.ends_with('.')), "{column}");
    }
    let table_schema = (spec.table_schema)();
    let of_code: Vec<(&str, bool)> =
        table_schema.fields().iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
    let named: Vec<(&str, bool)> =
        columns.iter().map(|c| (c["name"].as_str().unwrap(), c["nullable"].as_bool().unwrap())).collect();
    assert_eq!(named, of_code);

    let dir = tempfile::tempdir().unwrap();
    Table::open(Arc::new(RealFs), dir.path(), spec).await.unwrap();
    let log = std::fs::read_to_string(dir.path().join("_delta_log/00000000000000000000.json")).unwrap();
    let actions = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let metadata = actions.into_iter().find_map(|action| action.get("metaData").cloned()).unwrap();
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let created: Vec<_> =
        schema["fields"].as_array().unwrap().iter().map(|f| (&f["name"], &f["type"], &f["nullable"])).collect();
    let described: Vec<_> = columns.iter().map(|c| (&c["name"], &c["type"], &c["nullable"])).collect();
    assert_eq!(described, created);
    assert_eq!(metadata["name"], published["name"]);
    assert_eq!(metadata["partitionColumns"], published["partitionColumns"]);
    assert_eq!(metadata["configuration"]["spanlake.schema.version"], spec.version.to_string());
}

#[tokio::test]
async fn the_published_schema_of_spans_is_that_of_the_code_and_of_a_new_table() {
    let published = include_str!("../../schemas/spans.json");
    check(published, &spans::TABLE, &spans::schema::SORT_COLUMNS).await;
}

#[tokio::test]
async fn the_published_schema_of_events_is_that_of_the_code_and_of_a_new_table() {
    let published = include_str!("../../schemas/events.json");
    check(published, &events::TABLE, &events::schema::SORT_COLUMNS).await;
}
