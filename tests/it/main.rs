//! The integration tests: real sockets, real files, the real binary. One program, because linking is what costs.

mod ats;
mod bench;
mod config;
mod http;
mod kill;
mod lookup;
mod outside;
mod proto3;
mod recorded;
mod serve;
mod servicecomb;
mod sql;
mod store;
mod support;
mod wal;
mod zipkin;
