//! What a table is: its name, its columns, and how its files are written.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
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

/// Rows of a row group: large enough to compress, small enough that the dictionaries a lookup must decode stay small.
pub const ROW_GROUP_ROWS: usize = 131_072;
/// Rows of a page, the least that a lookup decodes of a column.
pub const PAGE_ROWS: usize = 3_072;

/// A column by its path: `labels.key_value.key`.
pub fn column(name: &str) -> ColumnPath {
    ColumnPath::new(name.split('.').map(str::to_owned).collect())
}

/// The compressor, at a level.
pub fn zstd(level: i32) -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default())
}

/// How the files of every table are written; what is said of single columns comes on top. Each file says what it is
/// sorted by. A column's least and greatest value is kept for each row group, not for each page: bounds that nobody
/// looks up by would be bytes that nobody reads.
pub fn properties(file_schema: &Schema, sort_columns: &[&str], compression_level: i32) -> WriterPropertiesBuilder {
    let places = sort_columns.iter().filter_map(|name| file_schema.index_of(name).ok());
    let sorting = places.map(|index| SortingColumn { column_idx: index as i32, descending: false, nulls_first: true });
    WriterProperties::builder()
        .set_created_by(concat!("spanlake ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(zstd(compression_level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(128 * 1024)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting.collect()))
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
