//! The API over a real socket.

mod ats;
mod bad_input;
mod compress;
mod formats;
mod grpc;
mod limits;
mod openapi;
mod zipkin;
