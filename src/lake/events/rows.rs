//! Service events as rows of the table, and rows as service events again.

use super::schema::{self, FILE_SCHEMA};
use crate::codec::stored::events::SortKey;
use crate::lake::spec::UTC;
use crate::model::event::{Object, Owner, Source, service};
use crate::model::{Event, ServiceEvent};
use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Int64Array, Int64Builder, ListArray,
    MapArray, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::sync::Arc;

/// The columns of texts that are null where they are empty, in the order of [`optional_texts`].
const OPTIONAL_TEXTS: [&str; 13] = [
    "reason",
    "message",
    "object_kind",
    "object_name",
    "object_namespace",
    "object_uid",
    "object_api_version",
    "object_field_path",
    "name",
    "action",
    "source_component",
    "source_host",
    "source_instance",
];

/// How many of them come before the column `uid`.
const BEFORE_UID: usize = 8;

fn optional_texts<'e>(event: &'e Event<'_>) -> [&'e str; OPTIONAL_TEXTS.len()] {
    [
        &event.reason,
        &event.message,
        &event.object.kind,
        &event.object.name,
        &event.object.namespace,
        &event.object.uid,
        &event.object.api_version,
        &event.object.field_path,
        &event.name,
        &event.action,
        &event.source.component,
        &event.source.host,
        &event.source.instance,
    ]
}

/// Gathers events into a batch of rows.
#[derive(Debug)]
pub struct RowBuilder {
    rows: usize,
    project: StringBuilder,
    cluster: StringBuilder,
    namespace: StringBuilder,
    service: StringBuilder,
    last_seen: TimestampMicrosecondBuilder,
    first_seen: TimestampMicrosecondBuilder,
    count: Int64Builder,
    level: StringBuilder,
    texts: [StringBuilder; OPTIONAL_TEXTS.len()],
    uid: StringBuilder,
    label_offsets: Vec<i32>,
    label_given: Vec<bool>,
    label_key: StringBuilder,
    label_value: StringBuilder,
    owner_offsets: Vec<i32>,
    owner_given: Vec<bool>,
    owner_kind: StringBuilder,
    owner_name: StringBuilder,
    owner_controller: BooleanBuilder,
}

impl Default for RowBuilder {
    fn default() -> Self {
        RowBuilder {
            rows: 0,
            project: StringBuilder::new(),
            cluster: StringBuilder::new(),
            namespace: StringBuilder::new(),
            service: StringBuilder::new(),
            last_seen: TimestampMicrosecondBuilder::new().with_timezone(UTC),
            first_seen: TimestampMicrosecondBuilder::new().with_timezone(UTC),
            count: Int64Builder::new(),
            level: StringBuilder::new(),
            texts: Default::default(),
            uid: StringBuilder::new(),
            label_offsets: vec![0],
            label_given: Vec::new(),
            label_key: StringBuilder::new(),
            label_value: StringBuilder::new(),
            owner_offsets: vec![0],
            owner_given: Vec::new(),
            owner_kind: StringBuilder::new(),
            owner_name: StringBuilder::new(),
            owner_controller: BooleanBuilder::new(),
        }
    }
}

impl RowBuilder {
    /// How many rows wait for [`RowBuilder::finish`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row.
    pub fn push(&mut self, project: &str, row: &ServiceEvent<'_>) {
        let ServiceEvent { service, event } = row;
        self.rows += 1;
        self.project.append_value(project);
        self.cluster.append_value(&event.cluster);
        self.namespace.append_value(&event.namespace);
        self.service.append_option(service.as_deref());
        self.last_seen.append_value(event.last_seen);
        self.first_seen.append_value(event.first_seen);
        self.count.append_value(event.count);
        self.level.append_value(&event.level);
        for (column, text) in self.texts.iter_mut().zip(optional_texts(event)) {
            column.append_option((!text.is_empty()).then_some(text));
        }
        self.uid.append_value(&event.uid);
        for (key, value) in &event.labels {
            self.label_key.append_value(key);
            self.label_value.append_value(value);
        }
        self.label_given.push(!event.labels.is_empty());
        self.label_offsets.push(self.label_key.len() as i32);
        for owner in &event.owners {
            self.owner_kind.append_value(&owner.kind);
            self.owner_name.append_value(&owner.name);
            self.owner_controller.append_value(owner.controller);
        }
        self.owner_given.push(!event.owners.is_empty());
        self.owner_offsets.push(self.owner_kind.len() as i32);
    }

    /// The rows gathered so far, leaving the builder empty.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.project.finish()),
            Arc::new(self.cluster.finish()),
            Arc::new(self.namespace.finish()),
            Arc::new(self.service.finish()),
            Arc::new(self.last_seen.finish()),
            Arc::new(self.first_seen.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.level.finish()),
        ];
        let (before, behind) = self.texts.split_at_mut(BEFORE_UID);
        columns.extend(before.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.uid.finish()));
        columns.extend(behind.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));

        let labels = StructArray::try_new(
            schema::label_fields(),
            vec![Arc::new(self.label_key.finish()), Arc::new(self.label_value.finish())],
            None,
        )?;
        columns.push(Arc::new(MapArray::try_new(
            Arc::new(Field::new("key_value", DataType::Struct(schema::label_fields()), false)),
            OffsetBuffer::new(std::mem::replace(&mut self.label_offsets, vec![0]).into()),
            labels,
            Some(NullBuffer::from(std::mem::take(&mut self.label_given))),
            false,
        )?));
        let owners = StructArray::try_new(
            schema::owner_fields(),
            vec![
                Arc::new(self.owner_kind.finish()),
                Arc::new(self.owner_name.finish()),
                Arc::new(self.owner_controller.finish()),
            ],
            None,
        )?;
        columns.push(Arc::new(ListArray::try_new(
            Arc::new(Field::new("element", DataType::Struct(schema::owner_fields()), false)),
            OffsetBuffer::new(std::mem::replace(&mut self.owner_offsets, vec![0]).into()),
            Arc::new(owners),
            Some(NullBuffer::from(std::mem::take(&mut self.owner_given))),
        )?));
        RecordBatch::try_new(FILE_SCHEMA.clone(), columns)
    }
}

/// A row that is no event: which column, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct RowError {
    column: &'static str,
    what: &'static str,
}

/// A batch of rows, to be read as service events. Columns that the batch lacks read as null, so that files of an older
/// schema are read by this one too.
#[derive(Debug)]
pub struct Rows<'a> {
    len: usize,
    project: &'a StringArray,
    cluster: &'a StringArray,
    namespace: &'a StringArray,
    service: Option<&'a StringArray>,
    last_seen: &'a TimestampMicrosecondArray,
    first_seen: &'a TimestampMicrosecondArray,
    count: &'a Int64Array,
    level: &'a StringArray,
    texts: [Option<&'a StringArray>; OPTIONAL_TEXTS.len()],
    uid: &'a StringArray,
    labels: Option<(&'a MapArray, &'a StringArray, &'a StringArray)>,
    owners: Option<OwnerColumns<'a>>,
}

#[derive(Debug)]
struct OwnerColumns<'a> {
    list: &'a ListArray,
    kind: &'a StringArray,
    name: &'a StringArray,
    controller: &'a BooleanArray,
}

impl<'a> Rows<'a> {
    /// Finds the columns of a batch.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, RowError> {
        let mut texts = [None; OPTIONAL_TEXTS.len()];
        for (found, name) in texts.iter_mut().zip(OPTIONAL_TEXTS) {
            *found = text(batch, name)?;
        }
        Ok(Rows {
            len: batch.num_rows(),
            project: given(text(batch, "project")?, "project")?,
            cluster: given(text(batch, "cluster")?, "cluster")?,
            namespace: given(text(batch, "namespace")?, "namespace")?,
            service: text(batch, "service")?,
            last_seen: given(instant(batch, "last_seen")?, "last_seen")?,
            first_seen: given(instant(batch, "first_seen")?, "first_seen")?,
            count: given(long(batch, "count")?, "count")?,
            level: given(text(batch, "level")?, "level")?,
            texts,
            uid: given(text(batch, "uid")?, "uid")?,
            labels: batch.column_by_name("labels").map(|c| label_columns(c)).transpose()?,
            owners: batch.column_by_name("owners").map(owner_columns).transpose()?,
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

    /// What the rows of a project are sorted by.
    pub fn sort_key(&self, row: usize) -> SortKey<'a> {
        SortKey {
            cluster: self.cluster.value(row),
            namespace: self.namespace.value(row),
            service: value(self.service, row),
            last_seen: self.last_seen.value(row),
            uid: self.uid.value(row),
        }
    }

    /// The event of a row.
    ///
    /// # Errors
    /// Where a column is null that the table's schema says is not.
    pub fn event(&self, row: usize) -> Result<ServiceEvent<'a>, RowError> {
        let [
            reason,
            message,
            kind,
            object_name,
            object_namespace,
            object_uid,
            api_version,
            field_path,
            name,
            action,
            component,
            host,
            instance,
        ] = self.texts.map(|column| Cow::Borrowed(value(column, row).unwrap_or_default()));
        let required = |column: &'a StringArray, name: &'static str| match column.is_valid(row) {
            true => Ok(Cow::Borrowed(column.value(row))),
            false => Err(RowError::null(name)),
        };
        let time = |column: &TimestampMicrosecondArray, name: &'static str| match column.is_valid(row) {
            true => Ok(column.value(row)),
            false => Err(RowError::null(name)),
        };
        let event = Event {
            cluster: required(self.cluster, "cluster")?,
            namespace: required(self.namespace, "namespace")?,
            uid: required(self.uid, "uid")?,
            name,
            object: Object {
                kind,
                namespace: object_namespace,
                name: object_name,
                uid: object_uid,
                api_version,
                field_path,
            },
            level: required(self.level, "level")?,
            reason,
            message,
            action,
            source: Source { component, host, instance },
            first_seen: time(self.first_seen, "first_seen")?,
            last_seen: time(self.last_seen, "last_seen")?,
            count: if self.count.is_valid(row) { self.count.value(row) } else { return Err(RowError::null("count")) },
            labels: self.labels(row),
            owners: self.owners(row),
        };
        Ok(ServiceEvent { service: value(self.service, row).map(Cow::Borrowed), event })
    }

    /// Labels that only a later version knows are left out.
    fn labels(&self, row: usize) -> Vec<(&'static str, Cow<'a, str>)> {
        let Some((map, keys, values)) = self.labels.filter(|(map, ..)| map.is_valid(row)) else { return Vec::new() };
        let known = |at: usize| Some((service::known(keys.value(at))?, Cow::Borrowed(values.value(at))));
        let mut labels: Vec<_> = extent(map.value_offsets(), row).filter_map(known).collect();
        labels.sort_by_key(|(key, _)| service::rank(key));
        labels.dedup_by_key(|(key, _)| *key);
        labels
    }

    fn owners(&self, row: usize) -> Vec<Owner<'a>> {
        let Some(columns) = self.owners.as_ref().filter(|columns| columns.list.is_valid(row)) else {
            return Vec::new();
        };
        let owner = |at: usize| Owner {
            kind: Cow::Borrowed(columns.kind.value(at)),
            name: Cow::Borrowed(columns.name.value(at)),
            controller: columns.controller.value(at),
        };
        extent(columns.list.value_offsets(), row).map(owner).collect()
    }
}

impl RowError {
    /// Of a column that the table's schema says is never null.
    pub fn null(column: &'static str) -> RowError {
        RowError { column, what: "is null" }
    }
}

fn wrong(column: &'static str) -> RowError {
    RowError { column, what: "has another type than the table's schema says" }
}

pub(super) fn given<T>(column: Option<T>, name: &'static str) -> Result<T, RowError> {
    column.ok_or(RowError { column: name, what: "is missing" })
}

pub(super) fn text<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<Option<&'a StringArray>, RowError> {
    batch.column_by_name(name).map(|column| column.as_string_opt::<i32>().ok_or(wrong(name))).transpose()
}

pub(super) fn long<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<Option<&'a Int64Array>, RowError> {
    batch.column_by_name(name).map(|column| column.as_primitive_opt::<Int64Type>().ok_or(wrong(name))).transpose()
}

pub(super) fn instant<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<Option<&'a TimestampMicrosecondArray>, RowError> {
    let typed = |column: &'a ArrayRef| column.as_primitive_opt::<TimestampMicrosecondType>().ok_or(wrong(name));
    batch.column_by_name(name).map(typed).transpose()
}

pub(super) fn value(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

fn extent(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn label_columns(column: &ArrayRef) -> Result<(&MapArray, &StringArray, &StringArray), RowError> {
    let map = column.as_map_opt().ok_or(wrong("labels"))?;
    let keys = map.keys().as_string_opt::<i32>().ok_or(wrong("labels"))?;
    let values = map.values().as_string_opt::<i32>().ok_or(wrong("labels"))?;
    Ok((map, keys, values))
}

fn owner_columns(column: &ArrayRef) -> Result<OwnerColumns<'_>, RowError> {
    let list = column.as_list_opt::<i32>().ok_or(wrong("owners"))?;
    let fields = list.values().as_struct_opt().ok_or(wrong("owners"))?;
    let text = |name| fields.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).ok_or(wrong("owners"));
    let controller = fields.column_by_name("controller").and_then(|c| c.as_boolean_opt()).ok_or(wrong("owners"))?;
    Ok(OwnerColumns { list, kind: text("kind")?, name: text("name")?, controller })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::arbitrary::any_event;
    use arrow::array::new_null_array;
    use proptest::prelude::*;

    fn batch(rows: &[(String, ServiceEvent<'_>)]) -> RecordBatch {
        let mut builder = RowBuilder::default();
        for (project, event) in rows {
            builder.push(project, event);
        }
        assert_eq!(builder.rows(), rows.len());
        builder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn a_row_reads_as_the_event_that_it_was(
            rows in proptest::collection::vec((any::<String>(), any_event()), 0..5)
        ) {
            let batch = batch(&rows);
            prop_assert_eq!(batch.schema_ref(), &*FILE_SCHEMA);
            let read = Rows::of(&batch).unwrap();
            let events: Vec<_> =
                (0..read.len()).map(|row| (read.project(row).to_owned(), read.event(row).unwrap())).collect();
            prop_assert_eq!(&events, &rows);
            for (row, (_, ServiceEvent { service, event })) in rows.iter().enumerate() {
                let wanted = SortKey {
                    cluster: &event.cluster,
                    namespace: &event.namespace,
                    service: service.as_deref(),
                    last_seen: event.last_seen,
                    uid: &event.uid,
                };
                prop_assert_eq!(read.sort_key(row), wanted);
            }
        }
    }

    #[test]
    fn texts_that_are_not_known_are_null() {
        let batch = batch(&[("default".to_owned(), ServiceEvent { service: None, event: Event::default() })]);
        let nulls: Vec<&str> = FILE_SCHEMA
            .fields()
            .iter()
            .zip(batch.columns())
            .filter(|(_, column)| column.null_count() == 1)
            .map(|(field, _)| field.name().as_str())
            .collect();
        let nullable: Vec<&str> = FILE_SCHEMA
            .fields()
            .iter()
            .filter(|field| field.is_nullable())
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(nulls, nullable);
    }

    #[test]
    fn a_file_with_fewer_columns_is_read_all_the_same() {
        let event = Event { uid: "u".into(), level: "Normal".into(), reason: "Started".into(), ..Event::default() };
        let full = batch(&[("default".to_owned(), ServiceEvent { service: Some("web".into()), event: event.clone() })]);
        let required: Vec<usize> =
            FILE_SCHEMA.fields().iter().enumerate().filter(|(_, f)| !f.is_nullable()).map(|(place, _)| place).collect();
        let few = full.project(&required).unwrap();
        let read = Rows::of(&few).unwrap().event(0).unwrap();
        assert_eq!(read, ServiceEvent { service: None, event: Event { reason: "".into(), ..event } });
        for missing in &required {
            let without: Vec<usize> = required.iter().copied().filter(|place| place != missing).collect();
            let error = Rows::of(&full.project(&without).unwrap()).unwrap_err().to_string();
            assert_eq!(error, format!("column {}: is missing", FILE_SCHEMA.field(*missing).name()));
        }
    }

    #[test]
    fn a_column_of_another_type_or_without_values_is_told_by_its_name() {
        let full = batch(&[("default".to_owned(), ServiceEvent { service: None, event: Event::default() })]);
        let replaced = |name: &str, data_type: &DataType| {
            let place = FILE_SCHEMA.index_of(name).unwrap();
            let mut fields: Vec<Field> = FILE_SCHEMA.fields().iter().map(|field| field.as_ref().clone()).collect();
            fields[place] = Field::new(name, data_type.clone(), true);
            let mut columns = full.columns().to_vec();
            columns[place] = new_null_array(data_type, 1);
            RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap()
        };
        for field in FILE_SCHEMA.fields() {
            let other = replaced(field.name(), &DataType::Float64);
            let error = Rows::of(&other).unwrap_err().to_string();
            assert_eq!(error, format!("column {}: has another type than the table's schema says", field.name()));
        }
        for name in ["cluster", "namespace", "uid", "level", "first_seen", "last_seen", "count"] {
            let empty = replaced(name, FILE_SCHEMA.field_with_name(name).unwrap().data_type());
            let error = Rows::of(&empty).unwrap().event(0).unwrap_err().to_string();
            assert_eq!(error, format!("column {name}: is null"));
        }
    }

    #[test]
    fn labels_are_read_by_rank_each_once() {
        // Another engine may have written the map in an order of its own.
        let mut builder = RowBuilder::default();
        let labels = vec![("app", "a".into()), ("later.version", "x".into()), ("service.name", "b".into())];
        builder.push("p", &ServiceEvent { service: None, event: Event { labels, ..Event::default() } });
        let batch = builder.finish().unwrap();
        let read = Rows::of(&batch).unwrap().event(0).unwrap();
        assert_eq!(read.event.labels, [("service.name", "b".into()), ("app", "a".into())]);
    }
}
