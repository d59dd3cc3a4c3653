//! The program; all of it is in the library's [`spanlake::cli`].

use std::process::ExitCode;

/// Requests are decoded into many short texts by one thread and freed by another: the system's allocator is slow at it
/// and keeps the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // Memory that a flush has freed goes back to the system after 10 ms instead of a second, in which a busy server
    // would have taken as much anew: a tenth less at the peak. (At once, lookups would give and take with each page.)
    // SAFETY: sets a number in the allocator, before there is another thread; an option that it does not know it ignores.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 10) };
    spanlake::cli::main()
}
