//! The integration tests: real sockets, real files, the real binary. One program, because linking is what costs.

mod config;
mod http;
mod serve;
mod support;
mod wal;
