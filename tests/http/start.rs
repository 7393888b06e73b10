//! What stops the start: one line that says what is wrong, and exit code 1.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
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
        &["--log-level", "warning"],
        &["--threads", "100000"],
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

/// The same, started by another program.
fn by_way_of(first: &[&str], command: &Command) -> Command {
    let mut other = Command::new(first[0]);
    other
        .args(&first[1..])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

#[test]
fn as_many_files_can_be_open_as_the_system_lets_it_have() {
    let room = Room::of(&[ENGLISH]);
    let limited = |limit: &str, room: &Room| {
        let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        by_way_of(
            &["sh", "-c", &script],
            &room.serve(&["--read-timeout", "1h"]),
        )
    };
    let command = limited("-Sn 100", &room);
    let mut server = Server::started(room, command);
    let silent: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    assert_eq!(server.get("/healthz").status, 200);
    drop(silent);
    let enough = !server.log().contains("fewer files can be open");
    server.signal("TERM");
    server.logged("every request was answered");
    let most: usize = {
        let hard = Command::new("sh")
            .args(["-c", "ulimit -Hn"])
            .output()
            .unwrap();
        let said = String::from_utf8(hard.stdout).unwrap();
        said.trim().parse().unwrap_or(usize::MAX)
    };
    assert_eq!(enough, most >= 10_064);

    let room = Room::of(&[ENGLISH]);
    let command = limited("-n 500", &room);
    let server = Server::started(room, command);
    assert!(
        server.log().contains("fewer files can be open"),
        "{}",
        server.log()
    );
}

#[test]
fn there_are_as_many_batch_threads_as_cpus_that_it_may_use() {
    let room = Room::of(&[ENGLISH]);
    let mut command = room.serve(&[]);
    command.env_remove("SENTIMENT_THREADS");
    if Command::new("taskset").arg("--version").output().is_err() {
        eprintln!("SKIPPED: batch threads by affinity, for taskset is missing");
        assert!(std::env::var("CI").as_deref() != Ok("true"));
        return;
    }
    let command = by_way_of(&["taskset", "-c", "0"], &command);
    let server = Server::started(room, command);
    let tasks = format!("/proc/{}/task", server.process());
    let names = std::fs::read_dir(tasks)
        .unwrap()
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default());
    let threads = names
        .filter(|name| name.starts_with("batch-english"))
        .count();
    assert_eq!(threads, 1);
}

#[test]
fn a_flag_without_a_value_is_given_or_not_by_what_its_variable_says() {
    let room = Room::of(&[ENGLISH]);
    for (said, logged) in [
        ("1", false),
        ("yes", false),
        ("0", true),
        ("false", true),
        ("", true),
    ] {
        let room = Room::of(&[ENGLISH]);
        let mut command = room.serve(&[]);
        command.env("SENTIMENT_NO_ACCESS_LOG", said);
        // Without a database there is nothing to train for.
        command.env("SENTIMENT_WITH_WORKER", "false");
        let server = Server::started(room, command);
        server.get("/healthz");
        let log = server.stopped();
        assert_eq!(
            log.contains("route=\"/healthz\""),
            logged,
            "{said:?}\n{log}"
        );
    }
    let mut command = room.serve(&[]);
    let output = command.env("SENTIMENT_WITH_WORKER", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--database"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_server_that_may_choose_says_what_it_took_and_why() {
    let room = Room::of(&[ENGLISH]);
    let mut command = room.command(&["serve", "--listen", "127.0.0.1:0", "--threads", "1"]);
    // Where there is one it cannot be seen.
    command.env("CUDA_VISIBLE_DEVICES", "");
    let server = Server::started(room, command);
    let log = server.log();
    assert!(log.contains("no usable GPU, computing on the CPU"), "{log}");
    assert!(log.contains("CUDA"), "{log}");
    assert_eq!(server.get("/readyz").json()["models"][0]["provider"], "cpu");
}
