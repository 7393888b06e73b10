//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    sentiment::cli::main()
}
