//! Sets of rows, as bits in memory and as lists in the summary.
//!
//! ```text
//! list = form:u8 (number, as what lies between it and the one before:varint)*     form 0: the numbers that are in the
//!        set, form 1: those that are not, for a set of more than half
//! ```

use crate::codec::pack::{Fault, Reader, put_varint};
use std::ops::Range;

/// Rows of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
}

impl RowSet {
    /// No row of so many.
    pub fn empty(rows: usize) -> Self {
        RowSet { words: vec![0; rows.div_ceil(64)] }
    }

    pub fn insert(&mut self, row: u32) {
        if let Some(word) = self.words.get_mut(row as usize / 64) {
            *word |= 1 << (row % 64);
        }
    }

    pub fn insert_all(&mut self, rows: Range<u32>) {
        rows.for_each(|row| self.insert(row));
    }

    pub fn contains(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    pub fn unite(&mut self, other: &RowSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    pub fn intersect(&mut self, other: &RowSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(number, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(number as u32 * 64 + bit)
            })
        })
    }
}

/// Appends a list of numbers below `universe`, which are in order and differ.
pub fn put_list(numbers: &[u32], universe: u32, out: &mut Vec<u8>) {
    let mut next = 0;
    let mut put = |out: &mut Vec<u8>, number: u32| {
        put_varint(out, u64::from(number - next));
        next = number + 1;
    };
    if numbers.len() <= universe as usize / 2 {
        out.push(0);
        return numbers.iter().for_each(|number| put(out, *number));
    }
    out.push(1);
    let mut from = 0;
    for number in numbers {
        (from..*number).for_each(|absent| put(out, absent));
        from = number + 1;
    }
    (from..universe).for_each(|absent| put(out, absent));
}

/// Reads a list that [`put_list`] wrote.
pub fn read_list(bytes: &[u8], universe: u32) -> Result<Vec<u32>, Fault> {
    let mut reader = Reader::new(bytes);
    let form = reader.byte()?;
    let mut listed = Vec::with_capacity(bytes.len());
    let mut next = 0u64;
    while !reader.is_at_end() {
        let number = next.saturating_add(reader.varint()?);
        match u32::try_from(number) {
            Ok(number) if number < universe => listed.push(number),
            _ => return Err(Fault { what: "a row beyond the last", at: reader.position() }),
        }
        next = number + 1;
    }
    if form == 0 {
        return Ok(listed);
    }
    let mut numbers = Vec::with_capacity(universe as usize - listed.len());
    let mut from = 0;
    for absent in listed {
        numbers.extend(from..absent);
        from = absent + 1;
    }
    numbers.extend(from..universe);
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(set in proptest::collection::btree_set(0u32..300, 0..300)) {
            let numbers: Vec<u32> = set.into_iter().collect();
            for universe in [300, 301, 600, 1_000_000_000] {
                let mut bytes = Vec::new();
                put_list(&numbers, universe, &mut bytes);
                prop_assert_eq!(&read_list(&bytes, universe).unwrap(), &numbers);
                if universe > 100_000 {
                    break;
                }
            }
            let mut rows = RowSet::empty(300);
            numbers.iter().for_each(|row| rows.insert(*row));
            prop_assert_eq!(rows.iter().collect::<Vec<_>>(), numbers.clone());
            prop_assert_eq!(rows.count(), numbers.len());
        }
    }
}
