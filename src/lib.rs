//! Spanlake: a distributed tracing backend in one binary.
//!
//! The rooms, from the ground up; a room uses only those below it:
//!
//! | floor | room | what lives there |
//! |---|---|---|
//! | 0 | [`model`] | what a span is; no input or output, no clock |
//! | 1 | [`codec`] | wire formats to and from the model, pure functions over bytes |
//! | 2 | [`wal`], [`lake`], [`registry`] | the write-ahead log; the table of Parquet files; the database of services and their instances |
//! | 3 | [`store`] | log, memory tables, flush and file catalogue; the one consistent view that readers take |
//! | 4 | [`ingest`], [`query`], [`events`] | admission and acknowledgement; lookups and SQL; service events as one answer |
//! | 5 | [`insight`] | what is known of a service: the registry and traces joined |
//! | 6 | [`api`] | one folder a dialect: routes, request and response types, error bodies |
//! | 7 | [`server`] | puts the rooms together: listener, limits, orderly shutdown |
//! | 8 | [`cli`], [`bench`] | the commands; the generator of traces behind one of them |
//!
//! Beside them [`config`], [`clock`], [`error`], [`fs`] and [`stop`]: settings, time, errors, the disk, and when work is given up.

pub mod api;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod error;
pub mod events;
pub mod fs;
pub mod ingest;
pub mod insight;
pub mod lake;
pub mod model;
pub mod query;
pub mod registry;
pub mod server;
pub mod stop;
pub mod store;
pub mod wal;
