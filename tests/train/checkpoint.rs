//! `--checkpoint`: killed at any moment, it ends with the weights that it would have
//! had anyway.

use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use crate::follow::{heard, signalled};
use crate::program::{Room, signal, stderr};
use crate::shop::{published, room_with_reviews, write_recipe};
use serde_json::Value;

const EVERYTHING: &str = "epochs = 200\nbucket = true\nschedule = \"cosine\"\nglobal_clipnorm = 1.0\n\
                          crop = { share = 0.5, least = 2 }\nearly_stopping = { patience = 200 }";

const TRAIN: [&str; 4] = ["train", "shop.toml", "--data", "shop.tsv"];
const CHECKPOINT: [&str; 4] = ["--checkpoint", "kept", "--checkpoint-every", "7"];

fn train(room: &Room, args: &[&str]) -> Output {
    room.run(&[&TRAIN, args].concat(), b"")
}

fn start(room: &Room, args: &[&str]) -> Child {
    room.command(&[&TRAIN, args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The checkpoints there are, by their steps.
fn kept(room: &Room) -> Vec<(usize, PathBuf)> {
    let entries = fs::read_dir(room.path("kept")).into_iter().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?;
            let steps = name.strip_prefix("step-")?.strip_suffix(".safetensors")?;
            Some((steps.parse().ok()?, path.clone()))
        })
        .collect();
    found.sort();
    found
}

/// Ends a training by a signal after so many of its epochs, or lets it end.
fn stopped(child: Child, epochs: usize, name: &str) -> (bool, Output) {
    signalled(child, ("train: epoch ", epochs), name)
}

/// Everything that training decides: the graph's bytes and the history without its times.
fn made(room: &Room, version: u32) -> (Vec<u8>, Value) {
    let file = |name| fs::read(room.path(&format!("models/shop/{version}/{name}"))).unwrap();
    let mut history: Value = serde_json::from_slice(&file("history.json")).unwrap();
    for epoch in history["epochs"].as_array_mut().unwrap() {
        assert!(epoch.as_object_mut().unwrap().remove("seconds").is_some());
    }
    (file("model.onnx"), history)
}

#[test]
fn a_training_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    let room = room_with_reviews();
    write_recipe(&room, EVERYTHING);
    let output = train(&room, &["--threads", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let whole = made(&room, 1);

    for (version, threads) in [(2, ["1", "2"]), (3, ["2", "2"])] {
        let mut kills = 0;
        loop {
            let threads = ["--threads", threads[kills % 2]];
            let child = start(&room, &[&CHECKPOINT[..], &threads].concat());
            let (sent, output) = stopped(child, 2 + 20 * kills, "KILL");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert_eq!(printed.contains("goes on from"), kills > 0, "{printed}");
            if !sent {
                assert!(output.status.success(), "{}", stderr(&output));
                break;
            }
            kills += 1;
        }
        assert!(kills >= 3, "only {kills} kills");
        assert!(made(&room, version) == whole, "after {kills} kills");
        assert!(!room.path("kept").exists(), "a finished training is over");
    }
}

#[test]
fn an_interrupt_keeps_the_last_step_and_says_how_to_go_on() {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 60\nbucket = true");
    assert!(train(&room, &[]).status.success());

    let child = start(&room, &CHECKPOINT);
    let (sent, output) = stopped(child, 1, "INT");
    assert!(sent, "it ended before the signal");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the same command goes on from the checkpoint in kept"),
        "{said}"
    );
    assert_eq!(
        published(&room)
            .iter()
            .filter(|f| f.contains("/2/"))
            .count(),
        0
    );

    let (steps, path) = kept(&room).pop().unwrap();
    let output = train(&room, &CHECKPOINT);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    // 230 training reviews are 15 steps of 16; the last step of an epoch is also the beginning of the next.
    let name = path.file_name().unwrap().display();
    let places = [(steps / 15 + 1, steps % 15), (steps / 15, 15)];
    let from = places.map(|(epoch, step)| format!("{name}: epoch {epoch}, after step {step}\n"));
    assert!(
        from.iter().any(|from| printed.contains(from)),
        "{from:?} in {printed}"
    );
    assert!(made(&room, 2) == made(&room, 1));
}

/// A training that was stopped after some checkpoints.
fn stopped_training() -> Room {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 100000");
    let (sent, _) = stopped(start(&room, &CHECKPOINT), 2, "KILL");
    assert!(sent);
    assert!(kept(&room).len() >= 2);
    room
}

#[test]
fn the_checkpoint_of_another_training_is_refused_by_what_differs() {
    let room = stopped_training();
    let before = kept(&room);
    let said = |args: &[&str]| {
        let output = train(&room, &[&CHECKPOINT, args].concat());
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    assert!(said(&["--seed", "6"]).contains("recipe.fit.seed is 5 there and 6 here"));
    write_recipe(&room, "epochs = 99");
    assert!(said(&[]).contains("recipe.fit.epochs is 100000 there and 99 here"));
    write_recipe(&room, "epochs = 100000");
    let mut reviews = fs::read_to_string(room.path("shop.tsv")).unwrap();
    reviews.push_str("5\tone great box more\n");
    room.write("shop.tsv", reviews);
    let said = said(&[]);
    assert!(
        said.contains("is of another training: data is \""),
        "{said}"
    );
    assert_eq!(kept(&room), before);
}

#[test]
fn a_damaged_checkpoint_costs_steps_and_with_no_good_one_nothing_is_started_over() {
    let room = stopped_training();
    let files = kept(&room);
    let [.., (_, older), (_, newer)] = &files[..] else {
        panic!("two are kept")
    };
    let whole = fs::read(newer).unwrap();
    fs::write(newer, &whole[..whole.len() / 2]).unwrap();
    let (sent, output) = stopped(start(&room, &CHECKPOINT), 2, "KILL");
    assert!(sent, "{}", stderr(&output));
    let printed = String::from_utf8_lossy(&output.stdout);
    let older_name = older.file_name().unwrap().to_str().unwrap();
    assert!(
        printed.contains(&format!("{older_name}: epoch")),
        "{printed}"
    );
    assert!(
        stderr(&output).contains("is damaged"),
        "{}",
        stderr(&output)
    );

    let files = kept(&room);
    for (_, path) in &files {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let output = train(&room, &CHECKPOINT);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("its contents do not match their SHA-256"),
        "{said}"
    );
    assert!(said.contains("remove its folder to start over"), "{said}");
    assert_eq!(kept(&room), files);
}

#[test]
fn two_trainings_do_not_share_a_folder() {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 100000");
    let mut first = start(&room, &CHECKPOINT);
    let mut said = BufReader::new(first.stderr.take().unwrap());
    assert!(heard(&mut said, "train: epoch ", 1).0, "it ended early");
    let output = train(&room, &CHECKPOINT);
    signal(first.id(), "KILL");
    first.wait().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("another training is using this folder"),
        "{said}"
    );
}
