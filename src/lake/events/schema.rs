//! The columns of the table `events`: one list, from which the Arrow schema, the table's own schema and the encoding of
//! each column come. `schemas/events.json` publishes it; a test holds the two together.

use crate::lake::spec::{TableSpec, column, properties, timestamp_type, with_day, zstd};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::sync::{Arc, LazyLock};

/// See [`TableSpec::version`].
pub const VERSION: u32 = 1;

/// The table. A row's day is that of its last-seen.
pub const TABLE: TableSpec = TableSpec {
    name: "events",
    version: VERSION,
    key: "uid",
    file_schema: || FILE_SCHEMA.clone(),
    table_schema: || TABLE_SCHEMA.clone(),
    writer_properties,
};

/// The entries of the map of labels.
pub fn label_fields() -> Fields {
    vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)].into()
}

/// The fields of an owner.
pub fn owner_fields() -> Fields {
    vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("controller", DataType::Boolean, false),
    ]
    .into()
}

/// The columns of a data file, in order: all of the table's but [`crate::lake::spec::DAY`].
pub static FILE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let label = Field::new("key_value", DataType::Struct(label_fields()), false);
    let owner = Field::new("element", DataType::Struct(owner_fields()), false);
    Arc::new(Schema::new(vec![
        text("project", false),
        text("cluster", false),
        text("namespace", false),
        text("service", true),
        Field::new("last_seen", timestamp_type(), false),
        Field::new("first_seen", timestamp_type(), false),
        Field::new("count", DataType::Int64, false),
        text("level", false),
        text("reason", true),
        text("message", true),
        text("object_kind", true),
        text("object_name", true),
        text("object_namespace", true),
        text("object_uid", true),
        text("object_api_version", true),
        text("object_field_path", true),
        text("uid", false),
        text("name", true),
        text("action", true),
        text("source_component", true),
        text("source_host", true),
        text("source_instance", true),
        Field::new("labels", DataType::Map(Arc::new(label), false), true),
        Field::new("owners", DataType::List(Arc::new(owner)), true),
    ]))
});

/// The columns of the table: those of a file and the partition column.
pub static TABLE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| with_day(&FILE_SCHEMA));

/// The columns that rows are sorted by, in order.
pub const SORT_COLUMNS: [&str; 6] = ["project", "cluster", "namespace", "service", "last_seen", "uid"];

/// Columns whose values are few by their nature, however many events there are.
const FEW_VALUES: [&str; 17] = [
    "project",
    "cluster",
    "namespace",
    "service",
    "level",
    "reason",
    "object_kind",
    "object_namespace",
    "object_api_version",
    "object_field_path",
    "count",
    "action",
    "source_component",
    "source_host",
    "labels.key_value.key",
    "owners.list.element.kind",
    "owners.list.element.controller",
];

/// How data files are written.
///
/// * Uids are random, so that a dictionary is only overhead: length-delta encoded, which leaves bare digits that the
///   entropy coder halves. So are the uids of objects, though many events share one: where they do, the compressor
///   sees it.
/// * `last_seen` grows within a service: packed as deltas. It is the one column that is looked up by its pages' bounds;
///   bounds of the others' would be bytes that nobody reads.
/// * A message often tells what the last one told but for a number: its column is compressed harder.
/// * Columns of few values lie uncompressed behind their dictionaries, as those of spans do, and so does `last_seen`: a
///   lookup reads from several files, and of each a compressed column costs it more than the decompressing.
/// * The filter of `uid` is asked for each uid of an answer in each file, so it is wrong in one of 10,000 cases.
pub fn writer_properties(compression_level: i32) -> WriterProperties {
    let mut properties = properties(&FILE_SCHEMA, &SORT_COLUMNS, compression_level)
        .set_column_statistics_enabled(column("last_seen"), EnabledStatistics::Page)
        .set_column_bloom_filter_enabled(column("uid"), true)
        .set_column_bloom_filter_fpp(column("uid"), 0.000_1)
        .set_column_dictionary_enabled(column("last_seen"), false)
        .set_column_encoding(column("last_seen"), Encoding::DELTA_BINARY_PACKED)
        .set_column_compression(column("last_seen"), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(column("first_seen"), false)
        .set_column_encoding(column("first_seen"), Encoding::PLAIN)
        .set_column_compression(column("message"), zstd(compression_level.max(6)));
    for id in ["uid", "object_uid"] {
        properties = properties
            .set_column_dictionary_enabled(column(id), false)
            .set_column_encoding(column(id), Encoding::DELTA_LENGTH_BYTE_ARRAY);
    }
    properties = properties.set_column_compression(column("uid"), zstd(1));
    for few in FEW_VALUES {
        properties = properties.set_column_compression(column(few), Compression::UNCOMPRESSED);
    }
    properties.build()
}
