//! What the tests share: the real binary as a child process, and a disk that forgets what was not synced.

pub mod server;
pub mod sim_fs;
