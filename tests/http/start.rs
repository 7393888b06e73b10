//! What stops the start: one line that says what is wrong, and exit code 1.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::program::{Room, stderr};
use crate::server::Server;
use crate::small::{ENGLISH, KOREAN, Small};

/// The line that a server ends with that cannot start.
fn refusal(command: &mut Command) -> String {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        said += &(line.unwrap() + "\n");
        if said.contains("listening on") {
            // It would go on for ever.
            child.kill().unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    let errors: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert_eq!(said.lines().last(), Some(errors[0]), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    errors[0].to_owned()
}

#[test]
fn two_models_that_claim_a_language_stop_the_start() {
    let other = Small {
        name: "other",
        ..ENGLISH
    };
    let room = Room::of(&[ENGLISH, KOREAN, other]);
    let line = refusal(&mut room.serve(&[]));
    for part in ["\"en\"", "\"english\"", "\"other\"", "default_for"] {
        assert!(line.contains(part), "{line}");
    }
    // Also when one of them is damaged: it claims what it claims.
    room.write("models/other/1/model.onnx", "");
    assert!(refusal(&mut room.serve(&[])).contains("\"other\""));
}

#[test]
fn a_missing_runtime_is_one_clear_line() {
    let room = Room::of(&[ENGLISH]);
    let library = room.path("libonnxruntime.so");
    let mut command = room.serve(&[]);
    let line = refusal(command.env("ORT_DYLIB_PATH", &library));
    assert!(
        line.contains("ONNX Runtime") && line.contains("ORT_DYLIB_PATH"),
        "{line}"
    );
    room.write("libonnxruntime.so", "not a library");
    let line = refusal(command.env("ORT_DYLIB_PATH", &library));
    assert!(line.contains("libonnxruntime.so"), "{line}");
}

#[test]
fn a_gpu_that_was_asked_for_and_is_not_there_stops_the_start() {
    let room = Room::of(&[ENGLISH]);
    let flags = ["serve", "--device", "cuda", "--listen", "127.0.0.1:0"];
    let mut command = room.command(&flags);
    // Where there is one it cannot be seen.
    let line = refusal(command.env("CUDA_VISIBLE_DEVICES", ""));
    assert!(line.contains("GPU") && line.contains("cuda"), "{line}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let room = Room::of(&[ENGLISH]);
    let mut command = room.command(&[
        "serve",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--listen",
        &address,
    ]);
    let line = refusal(&mut command);
    assert!(line.contains(&address) && line.contains("in use"), "{line}");
}

#[test]
fn a_default_model_or_a_folder_that_is_not_there_is_named() {
    let room = Room::of(&[ENGLISH]);
    let line = refusal(&mut room.serve(&["--default-model", "nobody"]));
    assert!(
        line.contains("\"nobody\"") && line.contains("--default-model"),
        "{line}"
    );
    let line = refusal(&mut room.serve(&["--models", "nowhere"]));
    assert!(line.contains("nowhere"), "{line}");
}

#[test]
fn a_wrong_flag_is_wrong_usage() {
    let room = Room::of(&[]);
    for flags in [
        &["--queue", "0"][..],
        &["--nonsense"],
        &["--listen", "nowhere"],
        &["--log-level", "a=b=c"],
    ] {
        let output = room.serve(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let said = stderr(&output);
        assert!(said.contains(flags[0]), "{said}");
    }
}

#[test]
fn flags_can_be_given_in_the_environment() {
    let room = Room::of(&[ENGLISH]);
    std::fs::rename(room.path("models"), room.path("elsewhere")).unwrap();
    let line = refusal(room.serve(&[]).env("SENTIMENT_MODELS", "not-here"));
    assert!(line.contains("not-here"), "{line}");
    let server = Server::of(room, &["--models", "elsewhere"]);
    assert_eq!(server.get("/readyz").status, 200);
}
