//! Settings from outside the program: the only file that reads environment variables.

use std::path::PathBuf;

/// The ONNX Runtime library that `ORT_DYLIB_PATH` names; empty counts as not set.
pub fn onnxruntime_library() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// Lets every flag of every subcommand also be given as `SENTIMENT_<FLAG>`, so that no flag can be forgotten.
pub fn with_environment(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_long() {
        Some("help" | "version") | None => arg,
        Some(flag) => {
            let variable = format!("SENTIMENT_{}", flag.to_uppercase().replace('-', "_"));
            arg.env(variable).hide_env_values(true)
        }
    });
    command.mut_subcommands(with_environment)
}
