//! Spans as rows of the table, and rows as spans again.

use super::schema::{self, FILE_SCHEMA, TAG_COLUMNS};
use crate::lake::spec::UTC;
use crate::model::{Annotation, Endpoint, Kind, Scope, Span, TraceId, hex};
use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Int32Array, Int32Builder, Int64Array,
    Int64Builder, ListArray, MapArray, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::sync::Arc;

/// Gathers spans into a batch of rows.
#[derive(Debug)]
pub struct RowBuilder {
    rows: usize,
    project: StringBuilder,
    trace_low: Int64Builder,
    trace_id: StringBuilder,
    timestamp: TimestampMicrosecondBuilder,
    span_id: StringBuilder,
    parent_id: StringBuilder,
    kind: StringBuilder,
    name: StringBuilder,
    duration: Int64Builder,
    local: EndpointBuilder,
    remote: EndpointBuilder,
    tag_columns: [StringBuilder; TAG_COLUMNS.len()],
    annotation_offsets: Vec<i32>,
    annotation_given: Vec<bool>,
    annotation_timestamp: TimestampMicrosecondBuilder,
    annotation_value: StringBuilder,
    tag_offsets: Vec<i32>,
    tag_given: Vec<bool>,
    tag_key: StringBuilder,
    tag_value: StringBuilder,
    debug: BooleanBuilder,
    shared: BooleanBuilder,
    v1: StringBuilder,
    cluster_id: StringBuilder,
    namespace: StringBuilder,
    scratch: String,
}

#[derive(Debug, Default)]
struct EndpointBuilder {
    service: StringBuilder,
    ipv4: StringBuilder,
    ipv6: StringBuilder,
    port: Int32Builder,
}

impl EndpointBuilder {
    fn push(&mut self, endpoint: Option<&Endpoint<'_>>, scratch: &mut String) {
        use std::fmt::Write;
        self.service.append_option(endpoint.and_then(|e| e.service.as_deref()));
        match endpoint.and_then(|e| e.ipv4) {
            Some(ip) => {
                scratch.clear();
                // Writing to a string cannot fail.
                let _ = write!(scratch, "{ip}");
                self.ipv4.append_value(&scratch);
            }
            None => self.ipv4.append_null(),
        }
        match endpoint.and_then(|e| e.ipv6) {
            Some(ip) => {
                scratch.clear();
                let _ = write!(scratch, "{ip}");
                self.ipv6.append_value(&scratch);
            }
            None => self.ipv6.append_null(),
        }
        self.port.append_option(endpoint.and_then(|e| e.port).map(i32::from));
    }

    fn finish(&mut self) -> [ArrayRef; 4] {
        [
            Arc::new(self.service.finish()),
            Arc::new(self.ipv4.finish()),
            Arc::new(self.ipv6.finish()),
            Arc::new(self.port.finish()),
        ]
    }
}

impl Default for RowBuilder {
    fn default() -> Self {
        RowBuilder {
            rows: 0,
            project: StringBuilder::new(),
            trace_low: Int64Builder::new(),
            trace_id: StringBuilder::new(),
            timestamp: TimestampMicrosecondBuilder::new().with_timezone(UTC),
            span_id: StringBuilder::new(),
            parent_id: StringBuilder::new(),
            kind: StringBuilder::new(),
            name: StringBuilder::new(),
            duration: Int64Builder::new(),
            local: EndpointBuilder::default(),
            remote: EndpointBuilder::default(),
            tag_columns: Default::default(),
            annotation_offsets: vec![0],
            annotation_given: Vec::new(),
            annotation_timestamp: TimestampMicrosecondBuilder::new().with_timezone(UTC),
            annotation_value: StringBuilder::new(),
            tag_offsets: vec![0],
            tag_given: Vec::new(),
            tag_key: StringBuilder::new(),
            tag_value: StringBuilder::new(),
            debug: BooleanBuilder::new(),
            shared: BooleanBuilder::new(),
            v1: StringBuilder::new(),
            cluster_id: StringBuilder::new(),
            namespace: StringBuilder::new(),
            scratch: String::new(),
        }
    }
}

impl RowBuilder {
    /// How many rows wait for [`RowBuilder::finish`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row.
    pub fn push(&mut self, scope: &Scope<'_>, span: &Span<'_>) {
        self.rows += 1;
        self.project.append_value(&scope.project);
        self.trace_low.append_value(span.trace_id.low as i64);
        self.scratch.clear();
        span.trace_id.push_hex(&mut self.scratch);
        self.trace_id.append_value(&self.scratch);
        self.timestamp.append_option(span.timestamp);
        push_id(&mut self.span_id, Some(span.id));
        push_id(&mut self.parent_id, span.parent_id);
        self.kind.append_option(span.kind.map(Kind::name));
        self.name.append_option(span.name.as_deref());
        self.duration.append_option(span.duration);
        self.local.push(span.local.as_ref(), &mut self.scratch);
        self.remote.push(span.remote.as_ref(), &mut self.scratch);
        for annotation in &span.annotations {
            self.annotation_timestamp.append_value(annotation.timestamp);
            self.annotation_value.append_value(&annotation.value);
        }
        self.annotation_given.push(!span.annotations.is_empty());
        self.annotation_offsets.push(self.annotation_value.len() as i32);
        self.push_tags(span);
        self.debug.append_option(span.debug);
        self.shared.append_option(span.shared);
        self.v1.append_option(span.v1.as_deref());
        self.cluster_id.append_option(scope.cluster_id.as_deref());
        self.namespace.append_option(scope.namespace.as_deref());
    }

    /// Both the tags and the list of tag columns are sorted by key, so one walk parts them.
    fn push_tags(&mut self, span: &Span<'_>) {
        let before = self.tag_key.len();
        let mut next_column = 0;
        for (key, value) in &span.tags {
            while next_column < TAG_COLUMNS.len() && TAG_COLUMNS[next_column].0 < key.as_ref() {
                self.tag_columns[next_column].append_null();
                next_column += 1;
            }
            if next_column < TAG_COLUMNS.len() && TAG_COLUMNS[next_column].0 == key {
                self.tag_columns[next_column].append_value(value);
                next_column += 1;
            } else {
                self.tag_key.append_value(key);
                self.tag_value.append_value(value);
            }
        }
        for column in &mut self.tag_columns[next_column..] {
            column.append_null();
        }
        self.tag_given.push(self.tag_key.len() > before);
        self.tag_offsets.push(self.tag_key.len() as i32);
    }

    /// The rows gathered so far, leaving the builder empty.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.project.finish()),
            Arc::new(self.trace_low.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.parent_id.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.duration.finish()),
        ];
        columns.extend(self.local.finish());
        columns.extend(self.remote.finish());
        columns.extend(self.tag_columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));

        let annotations = StructArray::try_new(
            schema::annotation_fields(),
            vec![Arc::new(self.annotation_timestamp.finish()), Arc::new(self.annotation_value.finish())],
            None,
        )?;
        columns.push(Arc::new(ListArray::try_new(
            Arc::new(Field::new("element", DataType::Struct(schema::annotation_fields()), false)),
            OffsetBuffer::new(std::mem::replace(&mut self.annotation_offsets, vec![0]).into()),
            Arc::new(annotations),
            Some(NullBuffer::from(std::mem::take(&mut self.annotation_given))),
        )?));
        let tags = StructArray::try_new(
            schema::tag_fields(),
            vec![Arc::new(self.tag_key.finish()), Arc::new(self.tag_value.finish())],
            None,
        )?;
        columns.push(Arc::new(MapArray::try_new(
            Arc::new(Field::new("key_value", DataType::Struct(schema::tag_fields()), false)),
            OffsetBuffer::new(std::mem::replace(&mut self.tag_offsets, vec![0]).into()),
            tags,
            Some(NullBuffer::from(std::mem::take(&mut self.tag_given))),
            false,
        )?));
        columns.extend([
            Arc::new(self.debug.finish()) as ArrayRef,
            Arc::new(self.shared.finish()),
            Arc::new(self.v1.finish()),
            Arc::new(self.cluster_id.finish()),
            Arc::new(self.namespace.finish()),
        ]);
        RecordBatch::try_new(FILE_SCHEMA.clone(), columns)
    }
}

fn push_id(column: &mut StringBuilder, id: Option<u64>) {
    match id {
        Some(id) => {
            let digits = hex::encode_u64(id);
            // Hex digits are ASCII.
            column.append_value(std::str::from_utf8(&digits).unwrap_or_default());
        }
        None => column.append_null(),
    }
}

/// A row that is no span: which column, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct RowError {
    column: &'static str,
    what: &'static str,
}

/// A batch of rows, to be read as spans. Columns that the batch lacks read as null, so that files of an older schema
/// are read by this one too.
#[derive(Debug)]
pub struct Rows<'a> {
    len: usize,
    project: &'a StringArray,
    trace_low: &'a Int64Array,
    trace_id: &'a StringArray,
    timestamp: Option<&'a TimestampMicrosecondArray>,
    span_id: &'a StringArray,
    parent_id: Option<&'a StringArray>,
    kind: Option<&'a StringArray>,
    name: Option<&'a StringArray>,
    duration: Option<&'a Int64Array>,
    local: EndpointColumns<'a>,
    remote: EndpointColumns<'a>,
    tag_columns: [Option<&'a StringArray>; TAG_COLUMNS.len()],
    annotations: Option<(&'a ListArray, &'a TimestampMicrosecondArray, &'a StringArray)>,
    tags: Option<(&'a MapArray, &'a StringArray, &'a StringArray)>,
    debug: Option<&'a BooleanArray>,
    shared: Option<&'a BooleanArray>,
    v1: Option<&'a StringArray>,
    cluster_id: Option<&'a StringArray>,
    namespace: Option<&'a StringArray>,
}

#[derive(Debug)]
struct EndpointColumns<'a> {
    service: Option<&'a StringArray>,
    ipv4: Option<&'a StringArray>,
    ipv6: Option<&'a StringArray>,
    port: Option<&'a Int32Array>,
}

impl<'a> Rows<'a> {
    /// Finds the columns of a batch.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, RowError> {
        let text = |name: &'static str| match batch.column_by_name(name) {
            None => Ok(None),
            Some(column) => match column.as_string_opt::<i32>() {
                Some(texts) => Ok(Some(texts)),
                None => Err(RowError { column: name, what: "is not text" }),
            },
        };
        let required = |name: &'static str| text(name)?.ok_or(RowError { column: name, what: "is missing" });
        let long = |name: &'static str| {
            batch.column_by_name(name).map(|c| c.as_primitive_opt::<Int64Type>().ok_or(wrong(name))).transpose()
        };
        let int = |name: &'static str| {
            batch.column_by_name(name).map(|c| c.as_primitive_opt::<Int32Type>().ok_or(wrong(name))).transpose()
        };
        let boolean =
            |name: &'static str| batch.column_by_name(name).map(|c| c.as_boolean_opt().ok_or(wrong(name))).transpose();
        let timestamp = batch
            .column_by_name("timestamp")
            .map(|c| c.as_primitive_opt::<TimestampMicrosecondType>().ok_or(wrong("timestamp")))
            .transpose()?;
        let mut tag_columns = [None; TAG_COLUMNS.len()];
        for (found, (_, column)) in tag_columns.iter_mut().zip(TAG_COLUMNS) {
            *found = text(column)?;
        }
        Ok(Rows {
            len: batch.num_rows(),
            project: required("project")?,
            trace_low: long("trace_low")?.ok_or(RowError { column: "trace_low", what: "is missing" })?,
            trace_id: required("trace_id")?,
            timestamp,
            span_id: required("span_id")?,
            parent_id: text("parent_id")?,
            kind: text("kind")?,
            name: text("name")?,
            duration: long("duration")?,
            local: EndpointColumns {
                service: text("service")?,
                ipv4: text("local_ipv4")?,
                ipv6: text("local_ipv6")?,
                port: int("local_port")?,
            },
            remote: EndpointColumns {
                service: text("remote_service")?,
                ipv4: text("remote_ipv4")?,
                ipv6: text("remote_ipv6")?,
                port: int("remote_port")?,
            },
            tag_columns,
            annotations: batch.column_by_name("annotations").map(|c| annotation_columns(c)).transpose()?,
            tags: batch.column_by_name("tags").map(|c| tag_columns_of(c)).transpose()?,
            debug: boolean("debug")?,
            shared: boolean("shared")?,
            v1: text("v1")?,
            cluster_id: text("cluster_id")?,
            namespace: text("namespace")?,
        })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn project(&self, row: usize) -> &'a str {
        self.project.value(row)
    }

    pub fn trace_low(&self, row: usize) -> u64 {
        self.trace_low.value(row) as u64
    }

    pub fn scope(&self, row: usize) -> Scope<'a> {
        Scope {
            project: Cow::Borrowed(self.project.value(row)),
            cluster_id: value(self.cluster_id, row).map(Cow::Borrowed),
            namespace: value(self.namespace, row).map(Cow::Borrowed),
        }
    }

    /// The span of a row.
    pub fn span(&self, row: usize) -> Result<Span<'a>, RowError> {
        let trace_id = TraceId::parse(self.trace_id.value(row))
            .ok_or(RowError { column: "trace_id", what: "is not 16 or 32 hex digits" })?;
        let mut span = Span::new(trace_id, id("span_id", self.span_id.value(row))?);
        span.timestamp = self.timestamp.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        span.parent_id = value(self.parent_id, row).map(|text| id("parent_id", text)).transpose()?;
        span.kind = match value(self.kind, row) {
            None => None,
            // A kind of a later version reads as none.
            Some(name) => Kind::from_name(name),
        };
        span.name = value(self.name, row).map(Cow::Borrowed);
        span.duration = self.duration.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        span.local = self.local.get(row)?;
        span.remote = self.remote.get(row)?;
        if let Some((list, timestamps, values)) = self.annotations {
            let (start, end) = extent(list.value_offsets(), row);
            span.annotations.reserve_exact(end - start);
            for at in start..end {
                let value = Cow::Borrowed(values.value(at));
                span.annotations.push(Annotation { timestamp: timestamps.value(at), value });
            }
        }
        if let Some((map, keys, values)) = self.tags {
            let (start, end) = extent(map.value_offsets(), row);
            span.tags.reserve(end - start + TAG_COLUMNS.len());
            span.tags.extend((start..end).map(|at| (Cow::Borrowed(keys.value(at)), Cow::Borrowed(values.value(at)))));
        }
        for ((key, _), column) in TAG_COLUMNS.iter().zip(self.tag_columns) {
            if let Some(text) = value(column, row) {
                span.tags.push((Cow::Borrowed(key), Cow::Borrowed(text)));
            }
        }
        Span::settle_tags(&mut span.tags);
        span.debug = self.debug.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        span.shared = self.shared.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        span.v1 = value(self.v1, row).map(Cow::Borrowed);
        Ok(span)
    }
}

impl<'a> EndpointColumns<'a> {
    fn get(&self, row: usize) -> Result<Option<Endpoint<'a>>, RowError> {
        let endpoint = Endpoint {
            service: value(self.service, row).map(Cow::Borrowed),
            ipv4: match value(self.ipv4, row) {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| RowError { column: "ipv4", what: "is not an address" })?),
            },
            ipv6: match value(self.ipv6, row) {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| RowError { column: "ipv6", what: "is not an address" })?),
            },
            port: self.port.filter(|c| c.is_valid(row)).and_then(|c| u16::try_from(c.value(row)).ok()),
        };
        Ok((!endpoint.is_empty()).then_some(endpoint))
    }
}

fn wrong(column: &'static str) -> RowError {
    RowError { column, what: "has another type than the table's schema says" }
}

fn id(column: &'static str, text: &str) -> Result<u64, RowError> {
    hex::decode_u64(text.as_bytes()).ok_or(RowError { column, what: "is not 16 hex digits" })
}

fn value(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

fn extent(offsets: &[i32], row: usize) -> (usize, usize) {
    (offsets[row] as usize, offsets[row + 1] as usize)
}

type AnnotationColumns<'a> = (&'a ListArray, &'a TimestampMicrosecondArray, &'a StringArray);

fn annotation_columns(column: &ArrayRef) -> Result<AnnotationColumns<'_>, RowError> {
    let list = column.as_list_opt::<i32>().ok_or(wrong("annotations"))?;
    let fields = list.values().as_struct_opt().ok_or(wrong("annotations"))?;
    let timestamps = fields.column_by_name("timestamp").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let values = fields.column_by_name("value").and_then(|c| c.as_string_opt::<i32>());
    Ok((list, timestamps.ok_or(wrong("annotations"))?, values.ok_or(wrong("annotations"))?))
}

fn tag_columns_of(column: &ArrayRef) -> Result<(&MapArray, &StringArray, &StringArray), RowError> {
    let map = column.as_map_opt().ok_or(wrong("tags"))?;
    let keys = map.keys().as_string_opt::<i32>().ok_or(wrong("tags"))?;
    let values = map.values().as_string_opt::<i32>().ok_or(wrong("tags"))?;
    Ok((map, keys, values))
}
