//! The columns of the table `spans`: one list, from which the Arrow schema, the table's own schema and the encoding of
//! each column come. `schemas/spans.json` publishes it; a test holds the two together.

use crate::lake::spec::{TableSpec, column, properties, timestamp_type, with_day, zstd};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::sync::{Arc, LazyLock};

/// See [`TableSpec::version`].
pub const VERSION: u32 = 1;

/// The table. A row's day is that of the span's timestamp.
pub const TABLE: TableSpec = TableSpec {
    name: "spans",
    version: VERSION,
    key: "trace_low",
    file_schema: || FILE_SCHEMA.clone(),
    table_schema: || TABLE_SCHEMA.clone(),
    writer_properties,
};

/// Tags with a column of their own: those that people search and group by most. The others lie in the map `tags`; a
/// reader who wants all of them takes both (the SQL view `tags` does).
pub const TAG_COLUMNS: [(&str, &str); 8] = [
    ("db.system", "db_system"),
    ("error", "error"),
    ("http.method", "http_method"),
    ("http.path", "http_path"),
    ("http.route", "http_route"),
    ("http.status_code", "http_status_code"),
    ("rpc.method", "rpc_method"),
    ("rpc.service", "rpc_service"),
];

/// The fields of an annotation.
pub fn annotation_fields() -> Fields {
    vec![Field::new("timestamp", timestamp_type(), false), Field::new("value", DataType::Utf8, false)].into()
}

/// The entries of the tag map.
pub fn tag_fields() -> Fields {
    vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)].into()
}

/// The columns of a data file, in order: all of the table's but [`crate::lake::spec::DAY`].
pub static FILE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let mut fields = vec![
        Field::new("project", DataType::Utf8, false),
        Field::new("trace_low", DataType::Int64, false),
        Field::new("trace_id", DataType::Utf8, false),
        Field::new("timestamp", timestamp_type(), true),
        Field::new("span_id", DataType::Utf8, false),
        text("parent_id"),
        text("kind"),
        text("name"),
        Field::new("duration", DataType::Int64, true),
        text("service"),
        text("local_ipv4"),
        text("local_ipv6"),
        Field::new("local_port", DataType::Int32, true),
        text("remote_service"),
        text("remote_ipv4"),
        text("remote_ipv6"),
        Field::new("remote_port", DataType::Int32, true),
    ];
    fields.extend(TAG_COLUMNS.iter().map(|(_, column)| text(column)));
    let annotation = Field::new("element", DataType::Struct(annotation_fields()), false);
    let tag = Field::new("key_value", DataType::Struct(tag_fields()), false);
    fields.extend([
        Field::new("annotations", DataType::List(Arc::new(annotation)), true),
        Field::new("tags", DataType::Map(Arc::new(tag), false), true),
        Field::new("debug", DataType::Boolean, true),
        Field::new("shared", DataType::Boolean, true),
        text("v1"),
        text("cluster_id"),
        text("namespace"),
    ]);
    Arc::new(Schema::new(fields))
});

/// The columns of the table: those of a file and the partition column.
pub static TABLE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| with_day(&FILE_SCHEMA));

/// The columns that rows are sorted by, in order.
pub const SORT_COLUMNS: [&str; 5] = ["project", "trace_low", "trace_id", "timestamp", "span_id"];

/// Columns whose values are few by their nature, however many spans there are.
const FEW_VALUES: [&str; 16] = [
    "project",
    "kind",
    "service",
    "local_ipv4",
    "local_port",
    "remote_service",
    "remote_ipv4",
    "remote_port",
    "http_method",
    "http_status_code",
    "db_system",
    "rpc_service",
    "cluster_id",
    "namespace",
    "debug",
    "shared",
];

/// How data files are written. Each choice is the best of those measured on two sets of spans: generated ones (44 spans
/// a trace, random tags) and recorded ones replayed with fresh ids (4.6 spans a trace); figures are bytes a span, the
/// recorded set's second.
///
/// * `trace_low`, `trace_id`: runs of equal values, for the compressor to see; plain, at its fastest level, which takes
///   the runs and no spurious matches (trace id at level 1: 0.23 and 3.8; at level 3: 0.23 and 4.8).
/// * `span_id`, `parent_id`: random, so that a dictionary is only overhead. As text of one length they are
///   length-delta encoded, which leaves bare hex digits that the entropy coder halves: 8.14 of the 8 that are random
///   (at level 6: 8.8).
/// * Times: plain, 1.9 and 2.4 for `timestamp` against 2.7 and 3.0 delta-packed: a block of deltas is as wide as the
///   one that leads to another trace.
/// * Tags: dictionaries, and level 6 for what falls out of them (15.6 and 4.2 against 16.9 and 4.5 at level 3).
/// * Columns of few values lie uncompressed behind their dictionaries: 0.6 bytes more, a fifth to a third off a lookup.
///   Not for the bytes, but because the reader makes a zstd context for each column it reads, and making one asks the
///   processor what it can do, which a virtual machine answers slowly.
/// * A lookup decodes the dictionaries and one page of each column, so both are small (pages of 4,096 rows: a byte
///   less, a tenth more time; of 16,384: two bytes less, twice the time).
pub fn writer_properties(compression_level: i32) -> WriterProperties {
    let mut properties = properties(&FILE_SCHEMA, &SORT_COLUMNS, compression_level)
        // Only `trace_low` is looked up by pages; bounds of the other columns' pages would be bytes that nobody reads.
        .set_column_statistics_enabled(column("trace_low"), EnabledStatistics::Page)
        .set_column_bloom_filter_enabled(column("trace_low"), true)
        .set_column_bloom_filter_fpp(column("trace_low"), 0.001);
    for plain in ["trace_low", "trace_id", "timestamp", "duration", "annotations.list.element.timestamp"] {
        properties = properties
            .set_column_dictionary_enabled(column(plain), false)
            .set_column_encoding(column(plain), Encoding::PLAIN);
    }
    for id in ["span_id", "parent_id"] {
        properties = properties
            .set_column_dictionary_enabled(column(id), false)
            .set_column_encoding(column(id), Encoding::DELTA_LENGTH_BYTE_ARRAY);
    }
    for id in ["trace_low", "trace_id", "span_id", "parent_id"] {
        properties = properties.set_column_compression(column(id), zstd(1));
    }
    for tag in ["tags.key_value.key", "tags.key_value.value"] {
        properties = properties.set_column_compression(column(tag), zstd(compression_level.max(6)));
    }
    for few in FEW_VALUES {
        properties = properties.set_column_compression(column(few), Compression::UNCOMPRESSED);
    }
    properties.build()
}
