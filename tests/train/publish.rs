//! From reviews to a bundle that answers, and nothing left where it fails.

use std::fs;
use std::process::{Output, Stdio};

use crate::follow::signalled;
use crate::program::{Room, stderr};
use crate::shop::{published, room_with_reviews, write_recipe, write_recipe_of};
use sentiment::bundle::Bundle;
use sentiment::sentiment::sigmoid;

fn train(room: &Room, args: &[&str]) -> Output {
    let first = ["train", "shop.toml", "--data", "shop.tsv"];
    room.run(&[&first, args].concat(), b"")
}

const BUNDLE: [&str; 7] = [
    "shop/1/curves.svg",
    "shop/1/golden.jsonl",
    "shop/1/history.json",
    "shop/1/manifest.json",
    "shop/1/model.onnx",
    "shop/1/tokenizer.json",
    "shop/ACTIVE",
];

#[test]
fn every_kind_of_layer_learns_and_becomes_a_bundle() {
    let room = room_with_reviews();
    let last = |kind: &str, more: &str| {
        format!(
            "[[layers]]\nkind = \"embedding\"\nunits = 8\n[[layers]]\nkind = \"{kind}\"\nunits = 8\n{more}\n"
        )
    };
    let all = "return_sequences = true\n[[layers]]\nkind = ";
    for (at, layers) in [
        last("simple_rnn", "dropout = 0.1\nrecurrent_dropout = 0.1"),
        last("gru", ""),
        last("gru", "reset_after = false"),
        last("gru", "bidirectional = \"concat\""),
        last("lstm", "bidirectional = \"sum\""),
        last("lstm", "bidirectional = \"mul\""),
        last("simple_rnn", "bidirectional = \"ave\""),
        last("gru", &format!("{all}\"attention_pooling\"\nunits = 4")),
        last("lstm", &format!("{all}\"global_max_average_pooling\"")),
        last(
            "dense",
            "activation = \"relu\"\n[[layers]]\nkind = \"flatten\"",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        write_recipe_of(&room, &layers, "epochs = 12");
        let output = train(&room, &[]);
        assert!(output.status.success(), "{layers}: {}", stderr(&output));
        let version = room.path(&format!("models/shop/{}", at + 1));
        let bundle = Bundle::load(&version).unwrap();
        let test = bundle.manifest.metrics.test.unwrap();
        assert!(test.all.accuracy > 0.95, "{layers}: {}", test.all.accuracy);
    }
}

#[test]
fn reviews_become_a_model_that_answers_as_it_was_trained() {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 6\nearly_stopping = { patience = 6 }");
    let output = train(&room, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(published(&room), BUNDLE);
    let printed = String::from_utf8(output.stdout).unwrap();
    for part in [
        "shop: 360 reviews, 180 positive, 180 negative",
        "training 230, validation 58, test 72",
        "proven in ONNX Runtime",
        "wrote models/shop/1",
    ] {
        assert!(printed.contains(part), "{part:?} in {printed}");
    }

    let bundle = Bundle::load(&room.path("models/shop/1")).unwrap();
    let test = bundle.manifest.metrics.test.unwrap();
    assert_eq!((test.all.rows, test.all.accuracy), (72, 1.0));

    // The trainer's own ids and logits, against those that the program finds for the same texts.
    let texts: Vec<&str> = bundle.golden.iter().map(|row| row.text.as_str()).collect();
    let lines: Vec<String> = texts
        .iter()
        .map(|text| serde_json::to_string(text).unwrap())
        .collect();
    room.write("texts.jsonl", lines.join("\n"));
    let args = ["predict", "--input", "texts.jsonl", "--model", "shop"];
    let answers = room.answers(&args, "");
    assert_eq!(answers.len(), texts.len());
    for (answer, row) in answers.iter().zip(&bundle.golden) {
        assert_eq!(answer["tokens"]["used"], row.ids.len(), "{answer}");
        let raw = answer["raw_score"].as_f64().unwrap();
        assert!((raw - sigmoid(row.logit)).abs() < 1e-5, "{answer}");
    }
}

#[test]
fn a_reader_that_goes_away_takes_no_model_with_it() {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 6");
    for version in ["1", "2"] {
        let mut child = room
            .command(&["train", "shop.toml", "--data", "shop.tsv"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        match version {
            "1" => drop(child.stdout.take()),
            _ => drop(child.stderr.take()),
        }
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{version}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        Bundle::load(&room.path("models/shop").join(version)).unwrap();
    }
}

#[test]
fn a_seed_gives_the_same_weights_for_any_number_of_threads() {
    let room = room_with_reviews();
    write_recipe(
        &room,
        "epochs = 2\nbucket = true\ncrop = { share = 0.5, least = 2 }",
    );
    for (at, args) in [
        &["--threads", "1"][..],
        &["--threads", "3"],
        &["--threads", "1", "--seed", "6"],
    ]
    .into_iter()
    .enumerate()
    {
        let output = train(&room, args);
        assert!(output.status.success(), "{at}: {}", stderr(&output));
    }
    let graph = |version: u32| fs::read(room.path(&format!("models/shop/{version}/model.onnx")));
    let [first, second, other] = [1, 2, 3].map(|version| graph(version).unwrap());
    assert!(first == second, "threads change the weights");
    assert!(first != other, "the seed changes nothing");
    let active = fs::read_to_string(room.path("models/shop/ACTIVE")).unwrap();
    assert_eq!(active.trim(), "1");
}

#[test]
fn what_cannot_be_trained_is_named_and_leaves_nothing() {
    let room = room_with_reviews();
    room.write("good.tsv", "5\tgreat box\n4\tgreat day\n".repeat(40));
    room.write("worse.tsv", "5\tgreat box\nfive\tgreat day\n");
    let fine = "epochs = 1";
    for (fit, data, parts) in [
        (
            "epochs = 1\nlearning_rat = 0.1",
            "shop.tsv",
            &["shop.toml", "learning_rat"][..],
        ),
        ("epochs = 0", "shop.tsv", &["fit.batch_size and fit.epochs"]),
        (fine, "nowhere.tsv", &["nowhere.tsv"]),
        (fine, "films=shop.tsv", &["films"]),
        (fine, "good.tsv", &["all 80 reviews are positive"]),
        (fine, "worse.tsv", &["worse.tsv", "2", "five"]),
    ] {
        write_recipe(&room, fit);
        let output = room.run(&["train", "shop.toml", "--data", data], b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{data}: {said}");
        for part in parts {
            assert!(said.contains(part), "{data}: {part:?} in {said}");
        }
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(published(&room).is_empty(), "{:?}", published(&room));
    }
}

#[test]
fn a_loss_that_is_no_number_stops_with_the_step_and_the_learning_rate() {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 50");
    let recipe = fs::read_to_string(room.path("shop.toml")).unwrap();
    room.write(
        "shop.toml",
        recipe.replace("learning_rate = 0.02", "learning_rate = 1e38"),
    );
    let output = train(&room, &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("at step "), "{said}");
    assert!(said.contains("learning rate 1"), "{said}");
    assert!(published(&room).is_empty());
}

#[test]
fn rows_without_a_known_word_are_counted() {
    let room = room_with_reviews();
    write_recipe(&room, "epochs = 2");
    let recipe = fs::read_to_string(room.path("shop.toml")).unwrap();
    let few = recipe.replace("num_words = 40\noov = \"<OOV>\"", "num_words = 4");
    assert_ne!(few, recipe);
    room.write("shop.toml", few);
    let output = train(&room, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let manifest = Bundle::load(&room.path("models/shop/1")).unwrap().manifest;
    let training = manifest.training;
    let unread = training.unread;
    assert!(unread.train > 0);
    let said = format!(
        "left out, as no token of theirs is known: {}, {} and {} of these",
        unread.train, unread.validation, unread.test
    );
    assert!(printed.contains(&said), "{said:?} in {printed}");
    let all = [
        training.train_rows + unread.train,
        training.validation_rows + unread.validation,
        training.test_rows + unread.test,
    ];
    assert_eq!(all, [230, 58, 72]);
}

/// Starts a training without end, interrupts it after its first epoch, and returns what it says.
fn interrupted(room: &Room, args: &[&str]) -> Output {
    write_recipe(room, "epochs = 1000000");
    let first = ["train", "shop.toml", "--data", "shop.tsv"];
    let child = room
        .command(&[&first, args].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sent, output) = signalled(child, ("epoch 1/1000000: ", 1), "INT");
    assert!(sent, "it ended early");
    output
}

#[test]
fn an_interrupt_leaves_no_half_bundle() {
    let room = room_with_reviews();
    let output = interrupted(&room, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("nothing was written"), "{said}");
    assert!(said.contains("--keep-best"), "{said}");
    assert!(published(&room).is_empty());
}

#[test]
fn an_interrupt_can_keep_the_best_epoch_so_far() {
    let room = room_with_reviews();
    let output = interrupted(&room, &["--keep-best"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(published(&room), BUNDLE);
    Bundle::load(&room.path("models/shop/1")).unwrap();
}
