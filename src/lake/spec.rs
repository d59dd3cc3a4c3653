//! What a table is: its name, its columns, and how its files are written.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// The column that partitions each table: a day (UTC), in the path and not in the files.
pub const DAY: &str = "day";

/// The time zone of timestamps: the tables' type `timestamp` is an instant.
pub const UTC: &str = "UTC";

/// A timestamp column's type.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// A table.
#[derive(Debug)]
pub struct TableSpec {
    /// Also the name of its folder.
    pub name: &'static str,
    /// The version of the schema, kept in the table's property `spanlake.schema.version`. It grows when a column is
    /// added; columns are never changed or dropped, and a column that a file lacks reads as null.
    pub version: u32,
    /// The column that rows are looked up by, which has a bloom filter.
    pub key: &'static str,
    /// The columns of a data file, in order: all of the table's but [`DAY`].
    pub file_schema: fn() -> SchemaRef,
    /// The columns of the table: those of a file and the partition column.
    pub table_schema: fn() -> SchemaRef,
    /// How data files are written, at a zstd level.
    pub writer_properties: fn(i32) -> WriterProperties,
}

/// The columns of a table whose files have these.
pub fn with_day(file_schema: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = file_schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DAY, DataType::Date32, true)));
    Arc::new(Schema::new(fields))
}

/// The rows of each project, in order: whatever the table, they are sorted by it first.
pub fn by_project(batch: &RecordBatch) -> Vec<(String, RecordBatch)> {
    let Some(projects) = batch.column_by_name("project").and_then(|column| column.as_string_opt::<i32>()) else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    let mut start = 0;
    while start < batch.num_rows() {
        let project = projects.value(start);
        let len = (start..batch.num_rows()).take_while(|row| projects.value(*row) == project).count();
        parts.push((project.to_owned(), batch.slice(start, len)));
        start += len;
    }
    parts
}
