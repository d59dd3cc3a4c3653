//! The events that answer a question.

use super::damage::{Damage, defect};
use super::names::Names;
use super::{EventQuery, Found, Window};
use crate::codec::stored::events::{event_key, service_key};
use crate::error::{Error, Result};
use crate::lake::data_file::Damaged;
use crate::lake::events::lookup::{Lookup, Place, Told, Wanted};
use crate::model::ServiceEvent;
use crate::model::event::settle;
use crate::stop::Stop;
use crate::store::{EventsView, Snapshot, StoredEvent};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What an answer takes at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Events that may be meant.
    pub events: usize,
    /// Bytes of the events that are: a message may have many.
    pub bytes: usize,
    /// Rows that are looked for together, where only other rows can tell whether theirs are events that are meant.
    pub late: usize,
}

const LIMITS: Limits = Limits { events: 100_000, bytes: 64 << 20, late: 65_536 };

/// Rows between two looks at whether to stop.
const STOP_ROWS: usize = 8_192;

/// The events that answer a question. Blocks.
///
/// # Errors
/// Too large, where more events may be meant than an answer holds; busy, where it was to stop.
pub fn find(snapshot: &Snapshot, query: &EventQuery, stop: &Stop) -> Result<Found> {
    find_within(snapshot, query, stop, LIMITS)
}

pub(super) fn find_within(snapshot: &Snapshot, query: &EventQuery, stop: &Stop, limits: Limits) -> Result<Found> {
    let view = &snapshot.events;
    let mut damage = Damage::of(snapshot);
    let mut files = Vec::with_capacity(view.files.len());
    for file in view.files.iter() {
        stop.check()?;
        files.push(damage.unless(file, Lookup::open(file)));
    }
    let mut search = Search {
        view,
        query,
        stop,
        limits,
        files: &files,
        damage,
        names: Names::default(),
        candidates: Vec::new(),
        by_uid: HashMap::new(),
        late: Vec::new(),
    };
    search.seek()?;
    search.gather()?;
    let events = search.read()?;
    Ok(Found { events, damaged: search.damage.files })
}

/// An event that may be meant.
struct Candidate {
    /// By its number: the service that it was seen under, and its cluster.
    name: u32,
    uid: Arc<str>,
    rows: Vec<Row>,
}

/// A row of an event.
struct Row {
    told: Told,
    at: At,
}

enum At {
    Memory(StoredEvent),
    /// The file, the row, and the number of its entry in the file's directory.
    File(usize, u64, usize),
}

/// A row that was last seen in the window and first seen behind its end: its event is meant only if another of its rows
/// tells of an earlier time.
struct Late {
    name: u32,
    uid: String,
    /// The file and its row; `None` in memory.
    row: Option<(usize, Place)>,
}

/// A question being answered.
struct Search<'s> {
    view: &'s EventsView,
    query: &'s EventQuery,
    stop: &'s Stop,
    limits: Limits,
    /// As in the view; `None` where a file cannot be read.
    files: &'s [Option<Lookup<'s>>],
    damage: Damage<'s>,
    names: Names,
    candidates: Vec<Candidate>,
    /// Those of a uid, one for each cluster.
    by_uid: HashMap<Arc<str>, Vec<u32>>,
    late: Vec<Late>,
}

impl<'s> Search<'s> {
    /// The times between which the newest row of an event that is meant was last seen.
    fn seen(&self) -> (i64, i64) {
        match self.query.window {
            Window::LastSeen { from, to } => (from, to),
            Window::Overlapping { from, .. } => (from, i64::MAX),
        }
    }

    /// Finds the events that may be meant: the newest row of each is one of the service and the window.
    fn seek(&mut self) -> Result<()> {
        let (from, to) = self.seen();
        self.seek_memory(from, to)?;
        for file in 0..self.files.len() {
            self.stop.check()?;
            self.seek_file(file, from, to)?;
        }
        self.settle_late()
    }

    fn seek_memory(&mut self, from: i64, to: i64) -> Result<()> {
        let EventQuery { project, cluster, namespace, service, .. } = self.query;
        for memtable in &self.view.memtables {
            self.stop.check()?;
            let rows = match (cluster, namespace, service) {
                (Some(cluster), Some(namespace), Some(service)) => {
                    memtable.of_service(service_key(cluster, namespace, Some(service)))
                }
                _ => memtable.all(),
            };
            for (number, stored) in rows.iter().enumerate() {
                if number % STOP_ROWS == STOP_ROWS - 1 {
                    self.stop.check()?;
                }
                let key = stored.sort_key().map_err(defect)?;
                let is_meant = (from..=to).contains(&key.last_seen)
                    && self.is_of(key.cluster, key.namespace, key.service)
                    && stored.project().map_err(defect)? == *project;
                if !is_meant {
                    continue;
                }
                let name = self.names.number(key.cluster, key.namespace, key.service);
                if self.is_late(stored.event().map_err(defect)?.event.first_seen) {
                    self.late.push(Late { name, uid: key.uid.to_owned(), row: None });
                    self.settle_late_if_many()?;
                } else {
                    // Its row is found again with the others of the event.
                    self.candidate(name, key.uid)?;
                }
            }
        }
        Ok(())
    }

    fn seek_file(&mut self, file: usize, from: i64, to: i64) -> Result<()> {
        let stats = self.view.files.get(file).and_then(|file| file.info().stats.last_seen);
        if stats.is_some_and(|(least, greatest)| greatest < from || least > to) {
            return Ok(());
        }
        let EventQuery { project, cluster, namespace, service, .. } = self.query;
        let Some(lookup) = self.file(file) else { return Ok(()) };
        let entries = lookup.entries_of(project, cluster.as_deref(), namespace.as_deref(), service.as_deref());
        let mut outcome = Ok(());
        let mut rows = 0;
        let read = lookup.seen_between(&entries, (from, to), &mut |place, uid| {
            rows += 1;
            let noted = match rows % STOP_ROWS {
                0 => self.stop.check(),
                _ => Ok(()),
            };
            match noted.and_then(|()| self.note(file, lookup, place, uid)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    outcome = Err(error);
                    ControlFlow::Break(())
                }
            }
        });
        self.damaged_unless(file, read);
        outcome
    }

    /// Notes a row of a file that the event's newest may be.
    fn note(&mut self, file: usize, lookup: &Lookup<'_>, place: Place, uid: &str) -> Result<()> {
        let Some(entry) = lookup.entries().get(place.entry) else { return Ok(()) };
        let name = self.names.number(&entry.cluster, &entry.namespace, entry.service.as_deref());
        if self.is_late(place.told.first_seen) {
            self.late.push(Late { name, uid: uid.to_owned(), row: Some((file, place)) });
            return self.settle_late_if_many();
        }
        let once = lookup.has_each_once();
        let candidate = self.candidate(name, uid)?;
        if once {
            candidate.rows.push(Row { told: place.told, at: At::File(file, place.row, place.entry) });
        }
        Ok(())
    }

    fn is_late(&self, first_seen: i64) -> bool {
        matches!(self.query.window, Window::Overlapping { to, .. } if first_seen > to)
    }

    fn settle_late_if_many(&mut self) -> Result<()> {
        if self.late.len() < self.limits.late {
            return Ok(());
        }
        self.settle_late()
    }

    /// Makes candidates of the late rows whose event may have an earlier row elsewhere.
    fn settle_late(&mut self) -> Result<()> {
        let late = std::mem::take(&mut self.late);
        for (number, late) in late.into_iter().enumerate() {
            if number % STOP_ROWS == STOP_ROWS - 1 {
                self.stop.check()?;
            }
            if !self.may_be_early(&late)? {
                continue;
            }
            let row = late.row.filter(|(file, _)| self.file(*file).is_some_and(Lookup::has_each_once));
            let candidate = self.candidate(late.name, &late.uid)?;
            if let Some((file, place)) = row {
                candidate.rows.push(Row { told: place.told, at: At::File(file, place.row, place.entry) });
            }
        }
        Ok(())
    }

    /// Whether an event of which a late row is known may have a row that was first seen in the window or before.
    fn may_be_early(&self, late: &Late) -> Result<bool> {
        let Window::Overlapping { to, .. } = self.query.window else { return Ok(true) };
        let Some(name) = self.names.get(late.name) else { return Ok(false) };
        let key = event_key(&name.cluster, &late.uid);
        for stored in self.view.memtables.iter().flat_map(|memtable| memtable.of_event(key)) {
            let event = stored.event().map_err(defect)?.event;
            let is_same = event.uid == late.uid.as_str() && event.cluster == *name.cluster;
            if is_same && event.first_seen <= to && stored.project().map_err(defect)? == self.query.project {
                return Ok(true);
            }
        }
        let may_be = |(number, lookup): (usize, &Lookup<'_>)| {
            let is_own = late.row.is_some_and(|(file, _)| file == number);
            !(is_own && lookup.has_each_once()) && lookup.may_hold(&late.uid, to)
        };
        Ok(self.files.iter().enumerate().filter_map(|(number, file)| Some((number, file.as_ref()?))).any(may_be))
    }

    /// The candidate of this uid in the cluster of this name.
    fn candidate(&mut self, name: u32, uid: &str) -> Result<&mut Candidate> {
        let cluster = |name: u32| self.names.get(name).map(|name| &name.cluster);
        let of_uid = self.by_uid.get(uid).map(Vec::as_slice).unwrap_or_default();
        let is_same = |number: &&u32| {
            let candidate = self.candidates.get(**number as usize);
            candidate.is_some_and(|candidate| cluster(candidate.name) == cluster(name))
        };
        if let Some(number) = of_uid.iter().find(is_same).copied() {
            return Ok(&mut self.candidates[number as usize]);
        }
        let most = self.limits.events;
        if self.candidates.len() >= most {
            return Err(Error::too_large(format!(
                "more than {most} events may be meant; ask for a shorter window, or for the events of one service"
            )));
        }
        let uid: Arc<str> = uid.into();
        let number = self.candidates.len();
        self.by_uid.entry(uid.clone()).or_default().push(number as u32);
        self.candidates.push(Candidate { name, uid, rows: Vec::new() });
        Ok(&mut self.candidates[number])
    }

    /// Whether a service is the one that is asked for.
    fn is_of(&self, cluster: &str, namespace: &str, service: Option<&str>) -> bool {
        let query = self.query;
        query.cluster.as_deref().is_none_or(|wanted| wanted == cluster)
            && query.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && query.service.as_deref().is_none_or(|wanted| service == Some(wanted))
    }

    fn file(&self, number: usize) -> Option<&'s Lookup<'s>> {
        self.files.get(number)?.as_ref()
    }

    /// Notes a file that could not be read, of which what was read stays.
    fn damaged_unless(&mut self, file: usize, read: std::result::Result<(), Damaged>) {
        if let Some(data) = self.view.files.get(file) {
            self.damage.unless(data, read);
        }
    }

    /// Finds all other rows of the candidates, of whatever service and time.
    fn gather(&mut self) -> Result<()> {
        self.gather_memory()?;
        for file in 0..self.files.len() {
            self.stop.check()?;
            let Some(lookup) = self.file(file) else { continue };
            // A row that is known is the only one of its event there.
            let is_known = |candidate: &Candidate| {
                candidate.rows.iter().any(|row| matches!(row.at, At::File(of, ..) if of == file))
            };
            let mut numbers = Vec::new();
            let mut wanted = Vec::new();
            for (number, candidate) in self.candidates.iter().enumerate() {
                let Some(name) = self.names.get(candidate.name).filter(|_| !is_known(candidate)) else { continue };
                numbers.push(number);
                wanted.push(Wanted {
                    cluster: &name.cluster,
                    uid: &candidate.uid,
                    namespace: &name.namespace,
                    service: name.service.as_deref(),
                });
            }
            let mut found = Vec::new();
            let read = lookup.rows_of(&self.query.project, &wanted, &mut |event, place| found.push((event, place)));
            for (event, place) in found {
                let candidate = numbers.get(event).and_then(|number| self.candidates.get_mut(*number));
                if let Some(candidate) = candidate {
                    candidate.rows.push(Row { told: place.told, at: At::File(file, place.row, place.entry) });
                }
            }
            self.damaged_unless(file, read);
        }
        Ok(())
    }

    fn gather_memory(&mut self) -> Result<()> {
        for memtable in &self.view.memtables {
            self.stop.check()?;
            for candidate in &mut self.candidates {
                let Some(name) = self.names.get(candidate.name) else { continue };
                for stored in memtable.of_event(event_key(&name.cluster, &candidate.uid)) {
                    let event = stored.event().map_err(defect)?.event;
                    let is_same = event.uid == *candidate.uid && event.cluster == *name.cluster;
                    if !is_same || stored.project().map_err(defect)? != self.query.project {
                        continue;
                    }
                    let told = Told { first_seen: event.first_seen, last_seen: event.last_seen, count: event.count };
                    drop(event);
                    candidate.rows.push(Row { told, at: At::Memory(stored) });
                }
            }
        }
        Ok(())
    }

    /// Reads the events that are meant.
    fn read(&mut self) -> Result<Vec<ServiceEvent<'static>>> {
        let mut by_file: Vec<Vec<(u64, usize)>> = vec![Vec::new(); self.files.len()];
        let mut answer = Answer { most: self.limits.bytes, bytes: 0, rows: Vec::new() };
        // The candidates that are meant, as far as their times tell, with what is known of all rows of each.
        let mut meant = HashMap::new();
        for (number, candidate) in self.candidates.iter().enumerate() {
            let Some(all) = told_by_all(&candidate.rows).filter(|all| self.is_in_window(all)) else { continue };
            let newest: Vec<&Row> = candidate.rows.iter().filter(|row| row.told.last_seen == all.last_seen).collect();
            // One row alone is the newest: where it lies tells whether it is meant. Of several that needs the rows.
            if let [Row { at: At::File(file, _, entry), .. }] = newest.as_slice()
                && let Some(entry) = self.file(*file).and_then(|lookup| lookup.entries().get(*entry))
                && !self.is_of(&entry.cluster, &entry.namespace, entry.service.as_deref())
            {
                continue;
            }
            for row in newest {
                match &row.at {
                    At::Memory(stored) => answer.push(number, stored.event().map_err(defect)?)?,
                    At::File(file, row, _) => by_file[*file].push((*row, number)),
                }
            }
            meant.insert(number, all);
        }
        for (file, mut rows) in by_file.into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            self.stop.check()?;
            rows.sort_unstable();
            self.read_file(file, &rows, &mut answer)?;
        }
        Ok(self.settled(answer.rows, &meant))
    }

    fn read_file(&mut self, file: usize, rows: &[(u64, usize)], answer: &mut Answer) -> Result<()> {
        let Some(lookup) = self.file(file) else { return Ok(()) };
        let wanted: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
        let mut outcome = Ok(());
        let mut read_rows = 0;
        let read = lookup.events(&wanted, &mut |row, event| {
            let place = rows.partition_point(|(other, _)| *other < row);
            let Some((_, number)) = rows.get(place) else { return ControlFlow::Continue(()) };
            read_rows += 1;
            outcome = match read_rows % STOP_ROWS {
                0 => self.stop.check(),
                _ => Ok(()),
            };
            if outcome.is_ok() {
                outcome = answer.push(*number, event);
            }
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        self.damaged_unless(file, read);
        outcome
    }

    /// Whether an event of which all rows tell this is in the window.
    fn is_in_window(&self, all: &Told) -> bool {
        match self.query.window {
            Window::LastSeen { from, to } => (from..=to).contains(&all.last_seen),
            Window::Overlapping { from, to } => all.first_seen <= to && all.last_seen >= from,
        }
    }

    /// Makes events of the newest rows of each, which come with the number of their event.
    fn settled(
        &self,
        rows: Vec<(usize, ServiceEvent<'static>)>,
        told: &HashMap<usize, Told>,
    ) -> Vec<ServiceEvent<'static>> {
        let mut by_event: HashMap<usize, Vec<ServiceEvent<'static>>> = HashMap::with_capacity(told.len());
        for (number, event) in rows {
            by_event.entry(number).or_default().push(event);
        }
        let mut events = Vec::with_capacity(by_event.len());
        for (number, mut rows) in by_event {
            settle(&mut rows);
            for mut row in rows {
                if let Some(Told { first_seen, count, .. }) = told.get(&number) {
                    (row.event.first_seen, row.event.count) = (*first_seen, *count);
                }
                if self.is_of(&row.event.cluster, &row.event.namespace, row.service.as_deref()) {
                    events.push(row);
                }
            }
        }
        events.sort_unstable_by(|a, b| {
            let (a, b) = (&a.event, &b.event);
            let newest = b.last_seen.cmp(&a.last_seen);
            newest.then_with(|| (&a.cluster, &a.uid).cmp(&(&b.cluster, &b.uid)))
        });
        events
    }
}

/// What all rows of an event tell together; `None` where there are none.
fn told_by_all(rows: &[Row]) -> Option<Told> {
    let join = |a: Told, b: Told| Told {
        first_seen: a.first_seen.min(b.first_seen),
        last_seen: a.last_seen.max(b.last_seen),
        count: a.count.max(b.count),
    };
    rows.iter().map(|row| row.told).reduce(join)
}

/// Whole rows with the numbers of their events, and what they take.
struct Answer {
    most: usize,
    bytes: usize,
    rows: Vec<(usize, ServiceEvent<'static>)>,
}

impl Answer {
    fn push(&mut self, number: usize, event: ServiceEvent<'_>) -> Result<()> {
        self.bytes += weight(&event);
        let most = self.most;
        if self.bytes > most {
            return Err(Error::too_large(format!(
                "the events of the answer take more than {most} bytes; ask for a shorter window, or for the events of one service"
            )));
        }
        self.rows.push((number, event.into_owned()));
        Ok(())
    }
}

/// About how many bytes an event takes in memory.
fn weight(event: &ServiceEvent<'_>) -> usize {
    let ServiceEvent { service, event } = event;
    let object = &event.object;
    let texts = [
        &event.cluster,
        &event.namespace,
        &event.uid,
        &event.name,
        &object.kind,
        &object.namespace,
        &object.name,
        &object.uid,
        &object.api_version,
        &object.field_path,
        &event.level,
        &event.reason,
        &event.message,
        &event.action,
        &event.source.component,
        &event.source.host,
        &event.source.instance,
    ];
    let texts: usize = texts.into_iter().chain(service).map(|text| text.len()).sum();
    let labels: usize = event.labels.iter().map(|(_, value)| value.len() + 40).sum();
    let owners: usize = event.owners.iter().map(|owner| owner.kind.len() + owner.name.len() + 56).sum();
    size_of::<ServiceEvent<'_>>() + texts + labels + owners
}
