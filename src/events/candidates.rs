//! The events that a question may mean, each once, with what is known of its rows so far.

use super::damage::defect;
use super::names::Names;
use crate::error::Result;
use crate::lake::events::lookup::Told;
use crate::model::event::newness;
use crate::store::StoredEvent;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// A row of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRow {
    /// The number of the file.
    pub file: usize,
    pub row: u64,
    /// The number of its entry in the file's directory.
    pub entry: usize,
}

/// An event that may be meant. However many rows it has, only those that may be its newest are kept.
#[derive(Debug)]
pub(super) struct Candidate {
    /// By its number: the service that it was seen under, and its cluster.
    pub name: u32,
    pub uid: Arc<str>,
    /// What its rows tell together; `None` while none is known.
    pub told: Option<Told>,
    /// The newest of those last seen that lie in memory.
    pub memory: Option<StoredEvent>,
    /// Those last seen that lie in files. Which of several is the newest the whole rows tell.
    pub in_files: Vec<FileRow>,
    /// The files all of whose rows of the event are known.
    pub known_files: Vec<usize>,
}

impl Candidate {
    fn new(name: u32, uid: Arc<str>) -> Self {
        Candidate { name, uid, told: None, memory: None, in_files: Vec::new(), known_files: Vec::new() }
    }

    /// Adds a row in memory.
    pub fn add_stored(&mut self, told: Told, stored: StoredEvent) -> Result<()> {
        if self.add_told(told) && self.memory.as_ref().map_or(Ok(true), |best| is_newer(&stored, best))? {
            self.memory = Some(stored);
        }
        Ok(())
    }

    /// Adds a row of a file.
    pub fn add_row(&mut self, told: Told, row: FileRow) {
        if self.add_told(told) {
            self.in_files.push(row);
        }
    }

    /// Adds what a row tells; whether it may be the newest.
    fn add_told(&mut self, told: Told) -> bool {
        let Some(all) = self.told.replace(told) else { return true };
        let order = told.last_seen.cmp(&all.last_seen);
        if order == Ordering::Greater {
            (self.memory, self.in_files) = (None, Vec::new());
        }
        self.told = Some(Told {
            first_seen: all.first_seen.min(told.first_seen),
            last_seen: all.last_seen.max(told.last_seen),
            count: all.count.max(told.count),
        });
        order != Ordering::Less
    }

    /// Adds what else is known of the event, of other rows.
    pub fn join(&mut self, other: Candidate) -> Result<()> {
        let Candidate { told, memory, in_files, known_files, .. } = other;
        self.known_files.extend(known_files);
        let Some(told) = told else { return Ok(()) };
        if let Some(stored) = memory {
            self.add_stored(told, stored)?;
        }
        for row in in_files {
            self.add_row(told, row);
        }
        Ok(())
    }
}

/// Whether a row is newer than another that was last seen at the same time.
fn is_newer(row: &StoredEvent, other: &StoredEvent) -> Result<bool> {
    if row.is_same_row(other) {
        return Ok(false);
    }
    let (row, other) = (row.event().map_err(defect)?, other.event().map_err(defect)?);
    Ok(newness(&row, &other).is_gt())
}

/// Candidates by cluster and uid.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    all: Vec<Candidate>,
    /// Those of a uid, one for each cluster.
    by_uid: HashMap<Arc<str>, Vec<u32>>,
}

impl Candidates {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.all.iter_mut()
    }

    pub fn into_all(self) -> Vec<Candidate> {
        self.all
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut Candidate> {
        self.all.get_mut(number)
    }

    /// The number of the candidate of a uid in the cluster of a name.
    pub fn number(&self, names: &Names, name: u32, uid: &str) -> Option<usize> {
        let cluster = |name: u32| names.get(name).map(|name| &name.cluster);
        let is_same =
            |number: &usize| self.all.get(*number).is_some_and(|candidate| cluster(candidate.name) == cluster(name));
        self.by_uid.get(uid)?.iter().map(|number| *number as usize).find(is_same)
    }

    /// The candidate of a uid in the cluster of a name; a new one, of which nothing is known, if there is none yet.
    pub fn of(&mut self, names: &Names, name: u32, uid: &str) -> &mut Candidate {
        let number = match self.number(names, name, uid) {
            Some(number) => number,
            None => {
                let uid: Arc<str> = uid.into();
                self.by_uid.entry(uid.clone()).or_default().push(self.all.len() as u32);
                self.all.push(Candidate::new(name, uid));
                self.all.len() - 1
            }
        };
        &mut self.all[number]
    }
}
