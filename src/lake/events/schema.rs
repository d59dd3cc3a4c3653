//! The columns of the table `events`.

use crate::lake::spec::{TableSpec, timestamp_type, with_day};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::file::properties::WriterProperties;
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

/// The columns of a data file, in order.
pub static FILE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("project", DataType::Utf8, false),
        Field::new("last_seen", timestamp_type(), false),
        Field::new("uid", DataType::Utf8, false),
    ]))
});

/// The columns of the table.
pub static TABLE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| with_day(&FILE_SCHEMA));

/// How data files are written.
pub fn writer_properties(_compression: i32) -> WriterProperties {
    WriterProperties::builder().build()
}
