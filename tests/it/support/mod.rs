//! What the tests share: the real binary as a child process, the databases that it can run over, a disk that forgets what
//! was not synced, a client of gRPC, and Zipkin's and OTLP's formats as others write them.

pub mod grpc;
#[path = "../../../src/codec/otlp/logs/tests/encoded.rs"]
pub mod otlp_logs;
pub mod registry;
pub mod server;
pub mod sim_fs;
pub mod web_socket;
pub mod wire;
pub mod zipkin;
