//! The program; all of it is in the library's [`spanlake::cli`].

use std::process::ExitCode;

/// Requests are decoded into many short texts by one thread and freed by another: the system's allocator is slow at it
/// and keeps the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    spanlake::cli::main()
}
