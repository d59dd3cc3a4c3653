//! Configuration items: a value by a key and labels, for services to take their settings from.
//!
//! In: items that a dialect has checked. Out: single items, lists by labels, the states that an item had, and whether
//! and when anything of a list changed.
//!
//! ```text
//! image: everything but the values, by id and by labels      database: the whole rows, and earlier ones
//!   `- which items match, in which order         ->            their values, as they are on disk
//! feed: the last changes that are on disk        ->            unchanged since a revision? wake those who wait
//! ```
//!
//! * Each tenant has one counter, its revision. Every put and every drop has a greater one than the one before, over
//!   restarts too. It begins with [`FIRST`], so that a client that asks with 0 has seen nothing yet.
//! * What is answered is on disk: a list waits for the changes that it saw in the image. It is told with a revision of
//!   before it was read, so that whoever asks again with it misses nothing.
//! * "Unchanged" is said only where it is certain: the feed reaches back over a bounded number of changes, and to the
//!   start of the server at most.

mod feed;
mod item;
mod operations;
mod query;
pub(super) mod rows;
mod state;
#[cfg(test)]
mod tests;

pub(super) use feed::Feed;
pub use feed::{Waiting, Watch};
pub use item::{Entry, Item, NewItem, Status, ValueType};
pub use operations::{Imported, Listed, Override, Page, Room};
pub use query::{KeyPattern, Labels, Query};
pub(super) use state::{Change, Items, Totals};

/// The revision of a tenant that never had an item.
pub const FIRST: i64 = 1;
