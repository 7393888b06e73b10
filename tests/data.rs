//! `sentiment data`, `vectors`, `export` and `models similar` as their users start them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests send signals")]
mod program;
#[expect(dead_code, reason = "other tests have Korean models")]
#[path = "small/mod.rs"]
mod small;

use std::path::Path;

use program::{Room, stderr};
use serde_json::json;
use small::ENGLISH;

fn said(room: &Room, args: &[&str], input: &str) -> String {
    let output = room.run(args, input.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

const REVIEWS: &str = "rating\tdocument\n10\tA fine film, fine!\n10\tA fine film, fine!\n1\tbad\n8\tgood good good\n\
                       2\t\n";

#[test]
fn reviews_are_described_as_the_course_looks_at_them() {
    let room = Room::new();
    room.write("reviews.tsv", REVIEWS);
    let args = [
        "data",
        "describe",
        "reviews.tsv",
        "--label-above",
        "5",
        "--histogram",
        "lengths.svg",
    ];
    let said = said(&room, &args, "");
    for part in [
        "rows        4\nduplicates  1\nempty       1\npositive    3\nnegative    1\n",
        "ratings\n10       2\n1        1\n8        1\n",
        "lengths in words\ncount    4.000000\nmean     3.000000\nstd      1.414214\n",
        "5 different words, the most frequent\n        4 fine\n        3 good\n",
        "characters: \" !,Aabdefgilmno\"",
        "tail 20 %          3          1\nrandom 20 %        3          1\n",
    ] {
        assert!(said.contains(part), "{said}\nlacks\n{part}");
    }
    let picture = std::fs::read_to_string(room.path("lengths.svg")).unwrap();
    assert!(picture.contains("4 texts by their length in words"));
}

/// Thirty reviews of either label, and a recipe that splits them.
fn room_with_splits() -> Room {
    let room = Room::new();
    let row = |at: usize| format!("{}\treview {at}\n", 1 + 4 * (at % 2));
    room.write("reviews.tsv", (0..60).map(row).collect::<String>());
    room.write(
        "recipe.toml",
        "name = \"split\"\nlanguages = [\"en\"]\n[[data.source]]\nname = \"reviews\"\nlabel_above = 3\n[data]\n\
         validation = { split = \"tail\", fraction = 0.25 }\ntest = { split = \"random\", fraction = 0.2, seed = 1 }\n\
         [tokenizer]\n[padding]\nmaxlen = 4\n[[layers]]\nkind = \"embedding\"\nunits = 2\n[[layers]]\nkind = \"flatten\"\n\
         [[layers]]\nkind = \"dense\"\nunits = 1\nactivation = \"sigmoid\"\n[fit]\n",
    );
    room
}

#[test]
fn splits_are_written_out_as_the_course_makes_them() {
    let room = room_with_splits();
    let split = |args: &[&str]| -> Vec<Vec<String>> {
        let args = [&["data", "split", "reviews.tsv", "--out", "out"], args].concat();
        let printed = said(&room, &args, "");
        let rows = ["train", "validation", "test"].map(|name| {
            let Ok(text) = std::fs::read_to_string(room.path(&format!("out/{name}.jsonl"))) else {
                return Vec::new();
            };
            let lines: Vec<serde_json::Value> = program::lines(text.as_bytes());
            assert!(printed.contains(&format!("{name}.jsonl: {} reviews", lines.len())));
            let text = |line: &serde_json::Value| {
                let number = line["text"]
                    .as_str()
                    .unwrap()
                    .split(' ')
                    .next_back()
                    .unwrap();
                let label = ["negative", "positive"][number.parse::<usize>().unwrap() % 2];
                assert_eq!(line["label"], label);
                line["text"].as_str().unwrap().to_owned()
            };
            lines.iter().map(text).collect()
        });
        std::fs::remove_dir_all(room.path("out")).unwrap();
        let mut all: Vec<&String> = rows.iter().flatten().collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 60);
        rows.to_vec()
    };
    let random = ["--split", "random", "--label-above", "3"];
    let drawn = split(&random);
    assert_eq!((drawn[0].len(), drawn[2].len()), (48, 12));
    assert_eq!(drawn, split(&random));
    assert_ne!(drawn, split(&[&random[..], &["--seed", "7"]].concat()));
    let tail = split(&["--split", "tail", "--label-above", "3"]);
    let last: Vec<String> = (48..60).map(|at| format!("review {at}")).collect();
    assert_eq!(tail[2], last);
    let by_recipe = split(&["--recipe", "recipe.toml"]);
    let sizes: Vec<usize> = by_recipe.iter().map(Vec::len).collect();
    assert_eq!(sizes, [36, 12, 12]);
}

#[test]
fn what_was_split_is_read_again_and_what_cannot_be_split_is_refused() {
    let room = room_with_splits();
    let args = [
        "data",
        "split",
        "reviews.tsv",
        "--label-above",
        "3",
        "--out",
        "out",
    ];
    said(&room, &args, "");
    let described = said(&room, &["data", "describe", "out/train.jsonl"], "");
    assert!(described.contains("rows        48\n"), "{described}");
    for (flags, words) in [
        (&["--fraction", "1.5"][..], "--fraction"),
        (&["--recipe", "recipe.toml", "--seed", "3"], "--seed"),
    ] {
        let output = room.run(&[&args[..3], flags, &["--out", "out"]].concat(), b"");
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}

#[test]
fn texts_are_encoded_as_the_model_reads_them() {
    let room = Room::new();
    ENGLISH.publish(&room.path("models"));
    let lines = room.answers(&["data", "encode", "--model", "english"], "good film the\n");
    let tokens: Vec<_> = lines[0]["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["token"])
        .collect();
    assert_eq!(tokens, ["good", "film", "the"]);
    assert_eq!(lines[0]["tokens"][1]["id"], json!(null));
    assert_eq!(lines[0]["row"].as_array().unwrap().len(), 8);
    // A file of another system's begins with a mark.
    let marked = room.answers(
        &["data", "encode", "--model", "english"],
        "\u{feff}good film the\n",
    );
    assert_eq!(marked[0], lines[0]);
    let args = ["data", "encode", "--model", "english", "--matrix", "count"];
    let rows = room.answers(&args, "good the good\nbad\n");
    assert_eq!(rows.len(), 2);
    let id = lines[0]["tokens"][0]["id"].as_u64().unwrap() as usize;
    assert_eq!((&rows[0][id], &rows[1][id]), (&json!(2.0), &json!(0.0)));
}

#[test]
fn matrices_have_their_columns_by_the_ids_of_the_model() {
    let room = Room::new();
    room.write("ranks.json", r#"{"good": 1, "film": 2, "the": 40}"#);
    let model = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/keras_small/flatten_keras2/model.h5")
        .display()
        .to_string();
    let args = [
        "import",
        "--name",
        "ranks",
        "--model",
        &model,
        "--tokenizer",
        "ranks.json",
        "--index-from",
        "3",
    ];
    said(&room, &args, "");
    // More tokens than a row has, one that is cut and one that is unknown.
    let text = "good film good good good good good good good the new\n";
    let encoded = room.answers(&["data", "encode", "--model", "ranks"], text);
    let ids: Vec<_> = encoded[0]["tokens"].as_array().unwrap().iter().collect();
    assert_eq!((&ids[0]["id"], &ids[9]["id"]), (&json!(4), &json!(2)));
    let args = ["data", "encode", "--model", "ranks", "--matrix", "count"];
    let rows = room.answers(&args, text);
    let mut expected = vec![json!(0.0); 30];
    // The start, two tokens that are cut or unknown, eight times good, once film.
    for (id, count) in [(1, 1.0), (2, 2.0), (4, 8.0), (5, 1.0)] {
        expected[id] = json!(count);
    }
    assert_eq!(rows[0], json!(expected));
}

#[test]
fn vectors_answer_at_a_prompt_and_so_does_a_model() {
    let room = Room::new();
    let set = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors/set.txt");
    let set = set.display().to_string();
    let found = said(
        &room,
        &[
            "vectors",
            "similar",
            &set,
            "w3",
            "w10",
            "--negative",
            "w44",
            "--top",
            "3",
        ],
        "",
    );
    assert_eq!(found.lines().count(), 3);
    // b + c - a
    let analogy = said(
        &room,
        &["vectors", "analogy", &set, "w44", "w3", "w10", "--top", "3"],
        "",
    );
    assert_eq!(found, analogy);
    let described = said(&room, &["vectors", "describe", &set], "");
    assert!(
        described.starts_with("80 words, 7 dimensions"),
        "{described}"
    );
    for format in ["text", "json"] {
        let twins = [
            "vectors",
            "similarity",
            &set,
            "twin-a",
            "twin-b",
            "--format",
            format,
        ];
        let likeness: f64 = serde_json::from_str(&said(&room, &twins, "")).unwrap();
        assert!((likeness - 1.0).abs() < 1e-6, "{likeness}");
    }
    ENGLISH.publish(&room.path("models"));
    let alike = said(
        &room,
        &["models", "similar", "english", "good", "--top", "2"],
        "",
    );
    let words: Vec<&str> = alike
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert_eq!(words, ["great", "love"]);
    let args = [
        "models", "similar", "english", "good", "--top", "2", "--format", "json",
    ];
    let alike: serde_json::Value = serde_json::from_str(&said(&room, &args, "")).unwrap();
    assert_eq!(alike[0]["word"], "great");
    for (negative, word) in [
        (",", ","),
        ("bad,absent", "absent"),
        (",bad,,absent,", "absent"),
    ] {
        let args = [
            "models",
            "similar",
            "english",
            "good",
            "--negative",
            negative,
        ];
        let said = stderr(&room.run(&args, b""));
        assert_eq!(said, format!("error: there is no vector for {word:?}\n"));
    }
    let output = room.run(&["vectors", "similar", &set, "absent"], b"");
    assert_eq!(
        stderr(&output),
        "error: there is no vector for \"absent\"\n"
    );
}

#[test]
fn a_model_goes_out_as_keras_and_comes_back() {
    let room = Room::new();
    ENGLISH.publish(&room.path("models"));
    for file in ["out.keras", "out.h5"] {
        let out = said(&room, &["export", "--format", "keras", "english", file], "");
        assert!(out.contains("maxlen=8, padding=\"post\""), "{out}");
        let args = [
            "import",
            "--name",
            "back",
            "--model",
            file,
            "--tokenizer",
            "models/english/1/tokenizer.json",
        ];
        said(&room, &args, "");
        let ask = |model: &str| {
            room.answers(&["predict", "--model", model], "good great bad\n")[0]["raw_score"].clone()
        };
        assert_eq!(ask("back"), ask("english"));
    }
    said(
        &room,
        &["export", "--format", "onnx", "english", "out.onnx"],
        "",
    );
    let graph = std::fs::read(room.path("models/english/1/model.onnx")).unwrap();
    assert_eq!(std::fs::read(room.path("out.onnx")).unwrap(), graph);
    let output = room.run(&["export", "--format", "keras", "english", "out.onnx"], b"");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn vectors_are_trained_on_texts_without_labels_and_known_again() {
    let room = Room::new();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/models/recipes/imdb.toml");
    // A tune is heard and a picture seen, with breaks that the recipe takes out.
    let texts = [
        "a tune heard<br />loud",
        "A song, heard loud",
        "a picture seen far",
        "a view seen far",
    ];
    for (number, text) in texts.iter().cycle().take(80).enumerate() {
        room.write(&format!("texts/{number:02}.txt"), text);
    }
    room.write("lines.txt", "a tune heard loud\na view seen far\n");
    let train = |out: &str, data: &[&str]| {
        let args = [
            "vectors",
            "train",
            recipe,
            "--out",
            out,
            "--dimensions",
            "8",
        ];
        let more = ["--epochs", "40", "--sample", "0", "--lr", "0.1", "--data"];
        room.run(&[&args[..], &more, data].concat(), b"")
    };
    let output = train("words.txt", &["texts", "lines.txt"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let about = stderr(&output);
    assert!(about.contains("9 words of 328 in 82 texts"), "{about}");
    let similarity = |one, other| -> f32 {
        let args = ["vectors", "similarity", "words.txt", one, other];
        said(&room, &args, "").trim().parse().unwrap()
    };
    assert!(similarity("tune", "song") > similarity("tune", "view") + 0.2);
    assert!(
        !room
            .run(&["vectors", "similarity", "words.txt", "br", "tune"], b"")
            .status
            .success()
    );

    let output = train("none.txt", &["lines.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("have 0 words that come 5 times"),
        "{}",
        stderr(&output)
    );
    let output = train("none.txt", &["nowhere.txt"]);
    assert!(
        stderr(&output).contains("nowhere.txt"),
        "{}",
        stderr(&output)
    );
    assert!(!room.path("none.txt").exists());
}

#[test]
fn sentences_are_composed_from_the_templates_that_the_models_learn_negation_from() {
    let room = Room::new();
    for (name, count) in [("imdb", "6000"), ("naver", "8000")] {
        let templates = format!(
            "{}/models/recipes/{name}-templates.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        let args = ["data", "compose", &templates, "--count", count];
        let composed = said(&room, &args, "");
        assert_eq!(composed, said(&room, &args, ""));
        let mut seen = std::collections::HashSet::new();
        let mut positive = 0;
        for line in composed.lines() {
            let (label, sentence) = line.split_once('\t').unwrap();
            positive += usize::from(label == "positive");
            assert!(label == "positive" || label == "negative", "{line}");
            assert!(!sentence.contains(['{', '}', '|', '\t']), "{line}");
            assert!(seen.insert(sentence), "{line} twice");
        }
        assert_eq!(
            (seen.len(), positive * 2),
            (count.parse().unwrap(), seen.len())
        );
        room.write(&format!("{name}.tsv"), &composed);
        let described = said(&room, &["data", "describe", &format!("{name}.tsv")], "");
        assert!(
            described.contains(&format!("rows        {count}\nduplicates  0\n")),
            "{described}"
        );
    }
    room.write("wrong.txt", "+ a fine {thing}\n- none\n");
    let output = room.run(&["data", "compose", "wrong.txt", "--out", "out.tsv"], b"");
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(
        error.contains("wrong.txt: line 1: there is no slot \"thing\""),
        "{error}"
    );
    assert!(!room.path("out.tsv").exists());
}
