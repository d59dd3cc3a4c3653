//! What the tests share: the real binary as a child process, a disk that forgets what was not synced, and Zipkin's
//! formats as others write them.

pub mod server;
pub mod sim_fs;
pub mod wire;
pub mod zipkin;
