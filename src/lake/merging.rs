//! What merging files has in common, whatever the table: how much of each is read at a time, and in which columns.

use super::data_file::{Damaged, DataFile};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Rows read at a time of each file, and given out at a time, at most.
pub const BATCH_ROWS: usize = 8_192;
/// About how many bytes the rows read at a time of a file take in memory at most, if the file's first rows are like its
/// others.
pub const SOURCE_BYTES: usize = 2 << 20;
/// About how many bytes are given out at a time at most.
pub const OUTPUT_BYTES: usize = 4 << 20;
/// Rows that are read first, to see how large they are.
const PROBE_ROWS: usize = 32;
/// How many times its size in the file a row is expected to take in memory.
const EXPANSION: u64 = 16;

/// How many rows of a file are read at a time: few where they are large. The file's size alone does not tell, since what
/// repeats takes next to nothing there and all of its length in memory.
pub fn rows_at_a_time(file: &DataFile) -> Result<usize, Damaged> {
    let info = file.info();
    let packed = info.size.saturating_mul(EXPANSION) / info.rows.max(1);
    let mut bytes = usize::try_from(packed).unwrap_or(usize::MAX);
    if let Some(first) = file.scan(None, PROBE_ROWS)?.next_batch()? {
        bytes = bytes.max(row_bytes(&first));
    }
    Ok((SOURCE_BYTES / bytes.max(1)).clamp(1, BATCH_ROWS))
}

/// About how many bytes a row of the batch takes.
pub fn row_bytes(batch: &RecordBatch) -> usize {
    batch.get_array_memory_size() / batch.num_rows().max(1)
}

/// The batch in the columns of a table's files: columns that it lacks are null.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => compute::cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}
