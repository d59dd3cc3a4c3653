//! The bench: loads a server over HTTP with traces as random as real ones, measures what that cost it, and times lookups
//! and searches whose every answer is checked.
//!
//! In: a seed or a recording, and a server: one that runs, or one that is started here on an empty folder. Out: a
//! [`report`] for a person or a program.
//!
//! ```text
//! generate (seed, number) -> trace --write--> bodies --bounded queue--> load: N connections -> server
//! replay   (seed, round)  -> spans ----------^                             | 202: counted and timed; 503: waited, again
//! measure: /proc of the server, its table's folder  <----------------------+
//! lookup:  random trace ids of those sent -> answer's spans counted against (seed, number)
//! registry: services and instances -> heartbeats at their usual rate, discovery; CPU, times, memory
//! events:   a month of service events, posted and written -> the last hour of random services; CPU, times, bytes
//! search:  questions about a survey of what was sent -> answers held against it
//! ```
//!
//! Invariants:
//! * what was sent is never remembered: ids and span counts of a trace follow from the seed and its number;
//! * the server's CPU is read after what it acknowledged is committed, not before;
//! * the client's own CPU is measured and told, since it may share the server's cores;
//! * figures are counts and times as measured; the best of some runs is named as such, and all are shown.

mod binary;
pub mod client;
pub mod describe;
pub mod draw;
pub mod events;
mod expect;
pub mod generate;
mod growth;
pub mod load;
pub mod lookup;
pub mod measure;
pub mod otlp;
pub mod registry;
pub mod replay;
pub mod report;
pub mod run;
pub mod search;
pub mod server;
pub mod shop;
pub mod source;
mod survey;
pub mod write;
