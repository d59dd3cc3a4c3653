//! The events that answer a question.

use super::candidates::{Candidate, Candidates, FileRow};
use super::damage::{Damage, defect};
use super::names::Names;
use super::{EventQuery, Found, Window};
use crate::codec::stored::events::{Head, event_key, service_key};
use crate::error::{Error, Result};
use crate::lake::data_file::Damaged;
use crate::lake::events::lookup::{Lookup, Place, Told, Wanted};
use crate::model::ServiceEvent;
use crate::model::event::newness;
use crate::stop::Stop;
use crate::store::{EventsView, Snapshot};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// What an answer takes at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Events that may be meant.
    pub events: usize,
    /// Bytes of the events that are: a message may have many.
    pub bytes: usize,
    /// Events that are looked for together, where only rows that are not yet known can tell whether they are meant.
    pub late: usize,
}

const LIMITS: Limits = Limits { events: 100_000, bytes: 64 << 20, late: 65_536 };

/// What is looked at between two looks at whether to stop.
pub(super) const STOP_STEPS: usize = 8_192;

/// The events that answer a question. Blocks.
///
/// # Errors
/// Too large, where more events may be meant than an answer holds; busy, where it was to stop.
pub fn find(snapshot: &Snapshot, query: &EventQuery, stop: &Stop) -> Result<Found> {
    find_within(snapshot, query, stop, LIMITS).map(|(found, _)| found)
}

/// With it how many steps it took, see [`Pace`].
pub(super) fn find_within(
    snapshot: &Snapshot,
    query: &EventQuery,
    stop: &Stop,
    limits: Limits,
) -> Result<(Found, usize)> {
    let view = &snapshot.events;
    let mut damage = Damage::of(snapshot);
    let mut files = Vec::with_capacity(view.files.len());
    for file in view.files.iter() {
        stop.check()?;
        files.push(damage.unless(file, Lookup::open(file)));
    }
    let is_early = |(number, file): (usize, &Option<Lookup<'_>>)| match query.window {
        Window::Overlapping { to, .. } => file.as_ref()?.may_be_early(to).then_some(number),
        Window::LastSeen { .. } => None,
    };
    let mut search = Search {
        view,
        query,
        pace: Pace::new(stop),
        limits,
        early_files: files.iter().enumerate().filter_map(is_early).collect(),
        files: &files,
        damage,
        names: Names::default(),
        candidates: Candidates::default(),
        late: Candidates::default(),
    };
    search.seek()?;
    search.gather()?;
    let events = search.read()?;
    Ok((Found { events, damaged: search.damage.files }, search.pace.steps))
}

/// Counts what is looked at, and looks now and then whether to go on.
#[derive(Debug)]
pub(super) struct Pace<'s> {
    stop: &'s Stop,
    /// Rows, and filters of files that a row was asked of.
    pub steps: usize,
}

impl<'s> Pace<'s> {
    pub fn new(stop: &'s Stop) -> Self {
        Pace { stop, steps: 0 }
    }

    pub fn step(&mut self) -> Result<()> {
        self.steps += 1;
        match self.steps.is_multiple_of(STOP_STEPS) {
            true => self.stop.check(),
            false => Ok(()),
        }
    }
}

/// A question being answered.
struct Search<'s> {
    view: &'s EventsView,
    query: &'s EventQuery,
    pace: Pace<'s>,
    limits: Limits,
    /// As in the view; `None` where a file cannot be read.
    files: &'s [Option<Lookup<'s>>],
    /// Of an overlapping window, the files that may have a row first seen in it or before.
    early_files: Vec<usize>,
    damage: Damage<'s>,
    names: Names,
    candidates: Candidates,
    /// Events of which only rows are known that were first seen behind the window: each is meant only if another of its
    /// rows tells of an earlier time. Rows in memory are not kept with them: they are found again.
    late: Candidates,
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
            self.pace.stop.check()?;
            self.seek_file(file, from, to)?;
        }
        self.settle_late()
    }

    fn seek_memory(&mut self, from: i64, to: i64) -> Result<()> {
        let EventQuery { project, cluster, namespace, service, .. } = self.query;
        for memtable in &self.view.memtables {
            self.pace.stop.check()?;
            let rows = match (cluster, namespace, service) {
                (Some(cluster), Some(namespace), Some(service)) => {
                    memtable.of_service(service_key(project, cluster, namespace, Some(service)))
                }
                _ => memtable.all(),
            };
            for stored in &rows {
                self.pace.step()?;
                let Head { key, first_seen, .. } = stored.head().map_err(defect)?;
                let is_meant = (from..=to).contains(&key.last_seen)
                    && self.is_of(key.cluster, key.namespace, key.service)
                    && stored.project().map_err(defect)? == *project;
                if is_meant {
                    let name = self.names.number(key.cluster, key.namespace, key.service);
                    // The row is found again with the others of the event.
                    self.note(name, key.uid, first_seen, None)?;
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
        let read = lookup.seen_between(&entries, (from, to), &mut |place, uid| match self
            .note_row(file, lookup, place, uid)
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                outcome = Err(error);
                ControlFlow::Break(())
            }
        });
        self.damaged_unless(file, read);
        outcome
    }

    /// Notes a row of a file that the event's newest may be.
    fn note_row(&mut self, file: usize, lookup: &Lookup<'_>, place: Place, uid: &str) -> Result<()> {
        self.pace.step()?;
        let Some(entry) = lookup.entries().get(place.entry) else { return Ok(()) };
        let name = self.names.number(&entry.cluster, &entry.namespace, entry.service.as_deref());
        let row = FileRow { file, row: place.row, entry: place.entry };
        // Where there may be more of its rows in the file, all are found again together.
        let row = lookup.has_each_once().then_some((place.told, row));
        self.note(name, uid, place.told.first_seen, row)
    }

    /// Notes an event of which a row is one of the service and the window, with the row if it is the file's only one.
    fn note(&mut self, name: u32, uid: &str, first_seen: i64, row: Option<(Told, FileRow)>) -> Result<()> {
        let is_late = matches!(self.query.window, Window::Overlapping { to, .. } if first_seen > to);
        let event = match is_late && self.candidates.number(&self.names, name, uid).is_none() {
            true => self.late.of(&self.names, name, uid),
            false => self.candidate(name, uid)?,
        };
        if let Some((told, row)) = row {
            event.known_files.push(row.file);
            event.add_row(told, row);
        }
        match self.late.len() >= self.limits.late {
            true => self.settle_late(),
            false => Ok(()),
        }
    }

    /// Makes candidates of the late events that may have an earlier row elsewhere.
    fn settle_late(&mut self) -> Result<()> {
        for late in std::mem::take(&mut self.late).into_all() {
            let is_known = self.candidates.number(&self.names, late.name, &late.uid).is_some();
            if is_known || self.may_be_early(&late)? {
                self.candidate(late.name, &late.uid)?.join(late)?;
            }
        }
        Ok(())
    }

    /// Whether an event of which late rows are known may have a row that was first seen in the window or before.
    fn may_be_early(&mut self, late: &Candidate) -> Result<bool> {
        let Window::Overlapping { to, .. } = self.query.window else { return Ok(true) };
        let Some(name) = self.names.get(late.name) else { return Ok(false) };
        let key = event_key(&self.query.project, &name.cluster, &late.uid);
        for memtable in &self.view.memtables {
            self.pace.step()?;
            if memtable.may_hold(key, to) {
                return Ok(true);
            }
        }
        for file in &self.early_files {
            self.pace.step()?;
            let lookup = self.files.get(*file).and_then(Option::as_ref);
            if !late.known_files.contains(file) && lookup.is_some_and(|lookup| lookup.may_hold(&late.uid, to)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The candidate of this uid in the cluster of this name.
    fn candidate(&mut self, name: u32, uid: &str) -> Result<&mut Candidate> {
        let most = self.limits.events;
        if self.candidates.len() >= most && self.candidates.number(&self.names, name, uid).is_none() {
            return Err(Error::too_large(format!(
                "more than {most} events may be meant; ask for a shorter window, or for the events of one service"
            )));
        }
        Ok(self.candidates.of(&self.names, name, uid))
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
            self.pace.stop.check()?;
            let Some(lookup) = self.file(file) else { continue };
            let mut numbers = Vec::new();
            let mut wanted = Vec::new();
            for (number, candidate) in self.candidates.iter().enumerate() {
                let is_known = candidate.known_files.contains(&file);
                let Some(name) = self.names.get(candidate.name).filter(|_| !is_known) else { continue };
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
                self.pace.step()?;
                let candidate = numbers.get(event).and_then(|number| self.candidates.get_mut(*number));
                if let Some(candidate) = candidate {
                    candidate.add_row(place.told, FileRow { file, row: place.row, entry: place.entry });
                }
            }
            self.damaged_unless(file, read);
        }
        Ok(())
    }

    fn gather_memory(&mut self) -> Result<()> {
        let project = &self.query.project;
        for memtable in &self.view.memtables {
            for candidate in self.candidates.iter_mut() {
                self.pace.step()?;
                let Some(name) = self.names.get(candidate.name) else { continue };
                for stored in memtable.of_event(event_key(project, &name.cluster, &candidate.uid)) {
                    self.pace.step()?;
                    let Head { key, first_seen, count } = stored.head().map_err(defect)?;
                    let is_same = *key.uid == *candidate.uid && *key.cluster == *name.cluster;
                    if is_same && stored.project().map_err(defect)? == project {
                        let told = Told { first_seen, last_seen: key.last_seen, count };
                        candidate.add_stored(told, stored)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the events that are meant.
    fn read(&mut self) -> Result<Vec<ServiceEvent<'static>>> {
        let mut by_file: Vec<Vec<(u64, usize)>> = vec![Vec::new(); self.files.len()];
        let mut answer = Answer { most: self.limits.bytes, bytes: 0, newest: HashMap::new() };
        // The candidates that are meant, as far as their times tell, with what all rows of each tell together.
        let mut meant = HashMap::new();
        for (number, candidate) in self.candidates.iter().enumerate() {
            let Some(told) = candidate.told.filter(|told| self.is_in_window(told)) else { continue };
            if !self.may_be_of(candidate)? {
                continue;
            }
            if let Some(stored) = &candidate.memory {
                answer.put(number, stored.event().map_err(defect)?)?;
            }
            for FileRow { file, row, .. } in &candidate.in_files {
                by_file[*file].push((*row, number));
            }
            meant.insert(number, told);
        }
        for (file, mut rows) in by_file.into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            self.pace.stop.check()?;
            rows.sort_unstable();
            self.read_file(file, &rows, &mut answer)?;
        }
        Ok(self.told(answer.newest, &meant))
    }

    /// Whether the newest row of an event may be one of the service, by where the rows lie that it may be.
    fn may_be_of(&self, candidate: &Candidate) -> Result<bool> {
        if let Some(stored) = &candidate.memory {
            let key = stored.sort_key().map_err(defect)?;
            if self.is_of(key.cluster, key.namespace, key.service) {
                return Ok(true);
            }
        }
        Ok(candidate.in_files.iter().any(|row| {
            let entry = self.file(row.file).and_then(|lookup| lookup.entries().get(row.entry));
            entry.is_some_and(|entry| self.is_of(&entry.cluster, &entry.namespace, entry.service.as_deref()))
        }))
    }

    fn read_file(&mut self, file: usize, rows: &[(u64, usize)], answer: &mut Answer) -> Result<()> {
        let Some(lookup) = self.file(file) else { return Ok(()) };
        let wanted: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
        let mut outcome = Ok(());
        let read = lookup.events(&wanted, &mut |row, event| {
            let place = rows.partition_point(|(other, _)| *other < row);
            let Some((_, number)) = rows.get(place) else { return ControlFlow::Continue(()) };
            outcome = self.pace.step().and_then(|()| answer.put(*number, event));
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

    /// The events that are meant, of the newest row of each and of what all its rows tell.
    fn told(
        &self,
        newest: HashMap<usize, ServiceEvent<'static>>,
        told: &HashMap<usize, Told>,
    ) -> Vec<ServiceEvent<'static>> {
        let mut events = Vec::with_capacity(newest.len());
        for (number, mut row) in newest {
            if let Some(Told { first_seen, count, .. }) = told.get(&number) {
                (row.event.first_seen, row.event.count) = (*first_seen, *count);
            }
            if self.is_of(&row.event.cluster, &row.event.namespace, row.service.as_deref()) {
                events.push(row);
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

/// The newest row of each event, whole, by the event's number, and what they take.
struct Answer {
    most: usize,
    bytes: usize,
    newest: HashMap<usize, ServiceEvent<'static>>,
}

impl Answer {
    /// Puts a row in the place of an older one of its event.
    fn put(&mut self, number: usize, row: ServiceEvent<'_>) -> Result<()> {
        let before = match self.newest.get(&number) {
            Some(before) if newness(before, &row).is_ge() => return Ok(()),
            Some(before) => before.memory(),
            None => 0,
        };
        self.bytes = self.bytes.saturating_sub(before) + row.memory();
        let most = self.most;
        if self.bytes > most {
            return Err(Error::too_large(format!(
                "the events of the answer take more than {most} bytes; ask for a shorter window, or for the events of one service"
            )));
        }
        self.newest.insert(number, row.into_owned());
        Ok(())
    }
}
