//! The integration tests: real sockets, real files, the real binary. One program, because linking is what costs.

mod ats;
mod auth;
mod bench;
mod ccs;
mod clients;
mod config;
mod context;
mod events;
mod http;
mod kie;
mod kill;
mod kill_registry;
mod lookup;
mod outside;
mod proto3;
mod recorded;
mod sae;
mod schemas;
mod serve;
mod servicecomb;
mod sql;
mod store;
mod support;
mod wal;
mod zipkin;
