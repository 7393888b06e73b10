//! Settings from outside the program: the only file that reads environment variables.

use std::path::PathBuf;

/// The ONNX Runtime library that `ORT_DYLIB_PATH` names; empty counts as not set.
pub fn onnxruntime_library() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}
