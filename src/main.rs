//! The command line.

use std::process::ExitCode;

/// What a request holds is taken on one thread and given back on another, for which the system's allocator makes threads wait for
/// each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sentiment::cli::main()
}
