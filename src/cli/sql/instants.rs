//! Instants and days outside the calendar (its years have six digits at most), which senders' clocks make up: they are
//! written as the number that is stored, in quotes where the format has quotes.

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder};
use arrow::util::display::{ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult};
use std::fmt::Write;
use std::sync::Arc;

/// The options to write the values of a table with.
pub fn table_options() -> FormatOptions<'static> {
    FormatOptions::default().with_display_error(true).with_formatter_factory(Some(&Instants))
}

/// The options to write JSON with.
pub fn json_options() -> EncoderOptions {
    EncoderOptions::default().with_encoder_factory(Arc::new(Instants))
}

/// Makes the writers of columns that hold such a value; the others have those that they would have.
#[derive(Debug)]
pub struct Instants;

impl ArrayFormatterFactory for Instants {
    fn create_array_formatter<'a>(
        &self,
        array: &'a dyn Array,
        options: &FormatOptions<'a>,
        _: Option<&'a Field>,
    ) -> Result<Option<ArrayFormatter<'a>>, ArrowError> {
        let null = options.null();
        let texts = outside(array)?.map(|texts| ArrayFormatter::new(Box::new(Texts { texts, null }), true));
        Ok(texts)
    }
}

impl EncoderFactory for Instants {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let nulls = array.nulls().cloned();
        Ok(outside(array)?.map(|texts| NullableEncoder::new(Box::new(Texts { texts, null: "" }), nulls)))
    }
}

/// The texts of a column, if it holds a value outside the calendar.
pub fn outside(array: &dyn Array) -> Result<Option<ArrayRef>, ArrowError> {
    if !matches!(array.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
        return Ok(None);
    }
    let numbers = cast(array, &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    let options = FormatOptions::default().with_display_error(false);
    let calendar = ArrayFormatter::try_new(array, &options)?;
    let rows = || (0..numbers.len()).filter(|row| numbers.is_valid(*row));
    let (least, greatest) =
        (rows().min_by_key(|row| numbers.value(*row)), rows().max_by_key(|row| numbers.value(*row)));
    let within = |row: Option<usize>| row.is_none_or(|row| calendar.value(row).try_to_string().is_ok());
    if within(least) && within(greatest) {
        return Ok(None);
    }
    let mut texts = StringBuilder::new();
    for row in 0..numbers.len() {
        let text = || calendar.value(row).try_to_string().unwrap_or_else(|_| numbers.value(row).to_string());
        texts.append_option(numbers.is_valid(row).then(text));
    }
    Ok(Some(Arc::new(texts.finish())))
}

/// Values as texts that need no escaping.
struct Texts<'a> {
    texts: ArrayRef,
    null: &'a str,
}

impl DisplayIndex for Texts<'_> {
    fn write(&self, row: usize, f: &mut dyn Write) -> FormatResult {
        let texts = self.texts.as_string::<i32>();
        f.write_str(if texts.is_valid(row) { texts.value(row) } else { self.null })?;
        Ok(())
    }
}

impl Encoder for Texts<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(self.texts.as_string::<i32>().value(row).as_bytes());
        out.push(b'"');
    }
}
