//! `sentiment sweep`: the figures of `train`, whatever runs beside them, and nothing lost when it is killed.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Output, Stdio};

use serde_json::{Value, json};

use crate::follow::signalled;
use crate::program::{Room, lines, stderr};
use crate::shop::{published, room_with_reviews, write_recipe};

const SWEEP: [&str; 4] = ["sweep", "shop.toml", "--data", "shop.tsv"];
const GRID: [&str; 2] = ["--grid", "lr=0.02,0.0005,units=4,8"];

fn room() -> Room {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 6");
    room
}

fn sweep(room: &Room, args: &[&str]) -> Output {
    room.run(&[&SWEEP, args].concat(), b"")
}

/// Every run but for how long it took, in an order that does not depend on that.
fn runs(room: &Room, folder: &str) -> Vec<Value> {
    let bytes = fs::read(room.path(folder).join("runs.jsonl")).unwrap_or_default();
    let mut runs = lines(&bytes);
    for run in &mut runs {
        run.as_object_mut().unwrap().remove("seconds");
        for epoch in run["history"]["epochs"].as_array_mut().unwrap() {
            epoch.as_object_mut().unwrap().remove("seconds");
        }
    }
    runs.sort_by_key(|run| run["settings"].to_string());
    runs
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn refused(output: &Output, words: &str) {
    let said = stderr(output);
    assert!(!output.status.success() && said.contains(words), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn the_best_recipe_makes_the_same_figures_again_when_it_is_trained() {
    let room = room();
    let output = sweep(&room, &GRID);
    done(&output);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(
        table.contains("val_loss") && table.contains("wrote sweep/best.toml"),
        "{table}"
    );
    let all = runs(&room, "sweep");
    let settings: Vec<&Value> = all.iter().map(|run| &run["settings"]).collect();
    for expected in [(0.0005, 4), (0.0005, 8), (0.02, 4), (0.02, 8)] {
        let expected = json!({"lr": expected.0, "units": expected.1});
        assert!(settings.contains(&&expected), "{settings:?}");
    }
    let loss = |run: &&Value| run["result"]["val_loss"].as_f64().unwrap();
    let best = all
        .iter()
        .min_by(|a, b| loss(a).total_cmp(&loss(b)))
        .unwrap();
    let plot = fs::read_to_string(room.path("sweep/runs.svg")).unwrap();
    assert!(
        plot.starts_with("<svg") && plot.contains("lr=0.02 units="),
        "{plot}"
    );
    assert_eq!(published(&room), [""; 0], "a sweep publishes nothing");

    done(&room.run(&["train", "sweep/best.toml", "--data", "shop.tsv"], b""));
    let history = fs::read(room.path("models/shop/1/history.json")).unwrap();
    let history: Value = serde_json::from_slice(&history).unwrap();
    let epoch = best["result"]["epoch"].as_u64().unwrap() as usize;
    assert_eq!(
        history["epochs"][epoch - 1]["val_loss"],
        best["result"]["val_loss"]
    );
}

#[test]
fn figures_do_not_depend_on_what_runs_beside() {
    let room = room();
    done(&sweep(
        &room,
        &[
            &GRID[..],
            &["--jobs", "1", "--threads", "2", "--out", "one"],
        ]
        .concat(),
    ));
    done(&sweep(
        &room,
        &[
            &GRID[..],
            &["--jobs", "3", "--threads", "3", "--out", "three"],
        ]
        .concat(),
    ));
    let one = runs(&room, "one");
    assert_eq!(one.len(), 4);
    assert_eq!(one, runs(&room, "three"));
}

fn start(room: &Room, args: &[&str]) -> Child {
    room.command(&[&SWEEP, args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A sweep of runs that take a while, one after the other.
fn long_room() -> Room {
    let room = room();
    write_recipe(&room, "epochs = 200");
    room
}

/// Ends a sweep by a signal once it has said this.
fn stopped_after(room: &Room, words: &str, name: &str) -> Output {
    let every = ["--jobs", "1", "--checkpoint-every", "7"];
    let child = start(room, &[&GRID[..], &every].concat());
    let (sent, output) = signalled(child, (words, 1), name);
    assert!(sent, "it ended early: {}", stderr(&output));
    output
}

#[test]
fn a_killed_sweep_goes_on_with_what_is_left() {
    let room = long_room();
    stopped_after(&room, "val_accuracy", "KILL");
    let kept = runs(&room, "sweep").len();
    assert!((1..4).contains(&kept), "{kept} runs were done");
    // What a crash in the middle of a line leaves.
    let path = room.path("sweep/runs.jsonl");
    let mut file = fs::File::options().append(true).open(path).unwrap();
    file.write_all(b"{\"settings\":{\"lr\":0.0").unwrap();
    let output = sweep(&room, &GRID);
    done(&output);
    let said = stderr(&output);
    assert!(
        said.contains(&format!("4 runs, {kept} of them done before")),
        "{said}"
    );
    done(&sweep(&room, &[&GRID[..], &["--out", "whole"]].concat()));
    assert_eq!(runs(&room, "sweep"), runs(&room, "whole"));
}

#[test]
fn a_run_that_is_stopped_and_killed_half_way_ends_as_one_that_is_not() {
    let room = long_room();
    stopped_after(&room, "val_accuracy", "INT");
    let kept = runs(&room, "sweep").len();
    assert!((1..4).contains(&kept), "{kept} runs were done");
    let output = stopped_after(&room, "goes on from epoch", "KILL");
    assert!(stderr(&output).contains(", after step "));
    let output = sweep(&room, &GRID);
    done(&output);
    let said = stderr(&output);
    assert!(said.contains("goes on from epoch"), "{said}");
    assert!(!room.path("sweep/checkpoints").exists());
    done(&sweep(&room, &[&GRID[..], &["--out", "whole"]].concat()));
    assert_eq!(runs(&room, "sweep"), runs(&room, "whole"));
}

#[test]
fn an_interrupted_sweep_shows_what_it_has_and_says_how_to_go_on() {
    let room = long_room();
    let output = stopped_after(&room, "val_accuracy", "INT");
    refused(&output, "the same command goes on with the others");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("wrote sweep/best.toml"), "{table}");
}

#[test]
fn a_reader_that_goes_away_takes_no_run_with_it() {
    let room = room();
    let mut child = start(&room, &GRID);
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success());
    assert_eq!(runs(&room, "sweep").len(), 4);
    assert!(room.path("sweep/best.toml").exists());
}

#[test]
fn more_draws_add_to_fewer() {
    let room = room();
    let draw = |runs: &str| {
        let args = [
            "--grid",
            "lr=1e-4..1e-1:log",
            "units=2..6",
            "--random",
            runs,
        ];
        let args = [args[0], args[1], "--grid", args[2], args[3], args[4]];
        done(&sweep(&room, &args));
    };
    draw("2");
    let two = runs(&room, "sweep");
    draw("3");
    let three = runs(&room, "sweep");
    assert_eq!((two.len(), three.len()), (2, 3));
    assert!(two.iter().all(|run| three.contains(run)));
}

#[test]
fn what_cannot_be_searched_is_named() {
    let room = room();
    for (grid, words) in [
        ("nonsense=1", "nonsense: a parameter is a path"),
        ("layers.gru.units=3", "the recipe has no layer \"gru\""),
        ("lr=fast", "lr=fast: fit.learning_rate"),
        ("units=0", "units=0"),
        ("fit.speed=1", "speed"),
        ("data.shuffle_seed=1", "data.shuffle_seed"),
        ("lr", "\"lr\" is not a parameter with its values"),
    ] {
        refused(&sweep(&room, &["--grid", grid]), words);
    }
    assert!(!room.path("sweep").exists());
    done(&sweep(&room, &["--grid", "lr=0.01"]));
    room.write("other.tsv", "5\tgreat stuff\n1\tawful stuff\n".repeat(40));
    let other = [
        "sweep",
        "shop.toml",
        "--data",
        "other.tsv",
        "--grid",
        "lr=0.01",
    ];
    refused(&room.run(&other, b""), "a sweep of something else");
    room.write("full/notes.txt", "mine");
    refused(
        &sweep(&room, &["--grid", "lr=0.01", "--out", "full"]),
        "not a sweep's folder",
    );
}
