//! Reviews from files and folders as a recipe's sources say.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sentiment::recipe::{DataRecipe, Recipe, RecipeError, Split, SplitKind};
use sentiment::sentiment::Label::{self, Negative, Positive};
use sentiment::train::dataset::{
    self, Columns, DataArg, Dataset, Format, Reading, Row, Rows, describe, override_columns, split,
};

fn recipe(data: &str) -> Recipe {
    parsed(data).unwrap()
}

fn parsed(data: &str) -> Result<Recipe, RecipeError> {
    let text = format!(
        r#"
name = "test"
languages = ["en"]
{data}
[tokenizer]
[padding]
maxlen = 5
[[layers]]
kind = "embedding"
units = 2
[[layers]]
kind = "lstm"
units = 2
[[layers]]
kind = "dense"
units = 1
activation = "sigmoid"
[fit]
"#
    );
    Recipe::parse(&text, "test")
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn labelled(path: &Path, columns: Columns) -> Vec<Result<Row, String>> {
    let reading = Reading {
        columns,
        labels: true,
    };
    let rows = Rows::open(path, reading).unwrap();
    rows.map(|row| row.map_err(|e| e.to_string())).collect()
}

fn pairs(rows: &[Result<Row, String>]) -> Vec<(&str, Label)> {
    rows.iter()
        .map(|row| row.as_ref().unwrap())
        .map(|row| (row.text.as_str(), row.label.unwrap()))
        .collect()
}

fn above(label_above: f64) -> Columns {
    Columns {
        label_above: Some(label_above),
        ..Columns::default()
    }
}

#[test]
fn every_format_gives_the_same_reviews() {
    let dir = tempfile::tempdir().unwrap();
    let expected = [("good, \"very\" good", Positive), ("나빠요", Negative)];
    let tsv = "5\tgood, \"very\" good\n1\t나빠요\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(tsv.as_bytes()).unwrap();
    let xz = include_bytes!("fixtures/rows/two.tsv.xz");
    let bom_crlf = format!("\u{feff}# a comment\r\n{}", tsv.replace('\n', "\r\n"));
    let files: [(&str, Vec<u8>); 7] = [
        ("a.tsv", tsv.into()),
        ("a.tsv.gz", gz.finish().unwrap()),
        ("a.tsv.xz", xz.to_vec()),
        ("windows.tsv", bom_crlf.into()),
        ("header.tsv", "id\tRating\tReview\n7\t5\tgood, \"very\" good\n8\t1\t나빠요".into()),
        (
            "a.csv",
            "\u{feff}review,rating\r\n\"good, \"\"very\"\" good\",5\r\n나빠요,1\r\n".into(),
        ),
        (
            "a.jsonl",
            "{\"text\": \"good, \\\"very\\\" good\", \"stars\": 5}\n\n{\"stars\": \"1\", \"text\": \"나빠요\"}\n".into(),
        ),
    ];
    for (name, bytes) in files {
        let path = write(dir.path(), name, bytes);
        assert_eq!(pairs(&labelled(&path, above(3.0))), expected, "{name}");
    }
}

#[test]
fn a_folder_gives_pos_then_neg_in_the_order_of_file_names() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("train/neg/0_1.txt", "neg 0"),
        ("train/pos/10_9.txt", "pos 10"),
        ("train/pos/1_7.txt", "pos 1"),
        ("train/pos/notes.md", "no review"),
        ("train/unsup/0_0.txt", "unlabelled"),
    ] {
        write(dir.path(), name, text);
    }
    let expected = [
        ("pos 10", Positive),
        ("pos 1", Positive),
        ("neg 0", Negative),
    ];
    for folder in [dir.path(), &dir.path().join("train")] {
        assert_eq!(pairs(&labelled(folder, Columns::default())), expected);
    }
    write(dir.path(), "test/pos/0_1.txt", "a");
    write(dir.path(), "test/neg/0_1.txt", "b");
    let error = Rows::open(dir.path(), Reading::default()).err().unwrap();
    assert!(error.to_string().contains("name one of them"), "{error}");
    // A folder of texts has no labels, and is read where none are wanted.
    let texts = dir.path().join("train/pos");
    let labels = Reading {
        labels: true,
        ..Reading::default()
    };
    let error = Rows::open(&texts, labels).err();
    assert!(error.unwrap().to_string().contains("no pos/ and neg/"));
    let rows = Rows::open(&texts, Reading::default()).unwrap();
    let rows: Vec<_> = rows.map(Result::unwrap).collect();
    assert_eq!(rows[0].text, "pos 10");
    assert!(rows.iter().all(|row| row.label.is_none()));
}

#[test]
fn a_csv_whose_quote_is_never_closed_is_refused_by_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        dir.path(),
        "a.csv",
        "rating,text\n5,good\n1,\"bad\n5,good\n1,bad\n",
    );
    let reading = Reading {
        columns: above(3.0),
        labels: true,
    };
    let rows = Rows::open(&path, reading).unwrap();
    let error = rows.last().unwrap().unwrap_err();
    assert!(!error.is_row());
    let expected = "a.csv: the quote that is opened on line 3 is not closed";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn a_bad_row_is_named_by_file_row_and_column_and_the_next_one_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8], &str); 9] = [
        (
            "a.tsv",
            b"# c\nfive\tgood\n5\tok\n",
            "a.tsv, row 2, column 1: \"five\" is not a rating",
        ),
        (
            "b.tsv",
            b"5 good\n5\tok\n",
            "b.tsv, row 1, column 2: there is no tab",
        ),
        (
            "c.tsv",
            b"5\tba\xff\n5\tok\n",
            "c.tsv, row 1, column 2: not UTF-8 from byte 5 on",
        ),
        (
            "d.csv",
            b"text,rating\n\"a\nb\"\nok,5\n",
            "d.csv, row 2, column 1: 1 fields where the header has 2",
        ),
        (
            "e.csv",
            b"text,rating\nx,\n\nok,5\n",
            "e.csv, row 2, column rating: \"\" is not a rating",
        ),
        (
            "f.csv",
            b"text,rating\n\xff,5\nok,5\n",
            "f.csv, row 2, column text: not UTF-8",
        ),
        (
            "g.jsonl",
            b"{\"text\": \n{\"text\":\"ok\",\"rating\":5}",
            "g.jsonl, row 1, column 9: EOF",
        ),
        (
            "h.jsonl",
            b"{\"text\":3,\"rating\":1}\n{\"text\":\"ok\",\"rating\":5}",
            "h.jsonl, row 1, column text: it is not a string",
        ),
        (
            "i.jsonl",
            b"{\"text\":\"x\"}\n{\"text\":\"ok\",\"rating\":5}",
            "i.jsonl, row 1, column label: none of \"text\"",
        ),
    ];
    for (name, bytes, expected) in cases {
        let path = write(dir.path(), name, bytes);
        let rows = labelled(&path, above(3.0));
        assert_eq!(rows.len(), 2, "{name}: {rows:?}");
        let message = rows[0].as_ref().unwrap_err();
        assert!(message.contains(expected), "{message}");
        assert_eq!(rows[1].as_ref().unwrap().text, "ok", "{name}");
    }
}

#[test]
fn a_header_without_the_columns_ends_the_file_with_one_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.csv", "one,two\nx,1\ny,0\n");
    let rows = labelled(&path, Columns::default());
    assert_eq!(rows.len(), 1);
    let message = rows[0].as_ref().unwrap_err();
    assert!(
        message.contains("row 1, column text: none of \"one\", \"two\""),
        "{message}"
    );
    let named = Columns {
        text: Some("one".into()),
        label: Some("two".into()),
        label_above: None,
    };
    assert_eq!(
        pairs(&labelled(&path, named)),
        [("x", Positive), ("y", Negative)]
    );
}

#[test]
fn a_file_cut_short_in_compression_is_an_error_and_not_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for row in 0..20_000 {
        writeln!(gz, "{}\tthis is review {row}", 1 + row % 5).unwrap();
    }
    let whole = gz.finish().unwrap();
    let path = write(dir.path(), "cut.tsv.gz", &whole[..whole.len() / 2]);
    let rows = labelled(&path, above(3.0));
    let (last, before) = rows.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok) && before.len() < 20_000);
    assert!(last.as_ref().unwrap_err().contains("cut.tsv.gz"));
    let xz = include_bytes!("fixtures/rows/two.tsv.xz");
    let path = write(dir.path(), "cut.tsv.xz", &xz[..xz.len() / 2]);
    let reading = Reading {
        columns: above(3.0),
        labels: true,
    };
    let errors: Vec<String> = match Rows::open(&path, reading) {
        Ok(rows) => rows
            .filter_map(Result::err)
            .map(|e| e.to_string())
            .collect(),
        Err(error) => vec![error.to_string()],
    };
    assert_eq!(
        errors,
        [format!("{}: incomplete xz stream", path.display())]
    );
}

#[test]
fn what_cannot_be_known_from_a_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "reviews.dat", "5\tgood\n");
    let error = Format::of(&path).unwrap_err().to_string();
    assert!(
        error.contains("reviews.dat: its name does not say"),
        "{error}"
    );
    let error = Format::of(&dir.path().join("none.tsv")).unwrap_err();
    assert!(error.to_string().contains("none.tsv"), "{error}");
    let path = write(dir.path(), "reviews.txt", "good\n");
    let labels = Reading {
        labels: true,
        ..Reading::default()
    };
    assert!(Rows::open(&path, labels).is_err());
}

#[test]
fn rows_without_wanted_labels_carry_their_ids_and_languages() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        dir.path(),
        "a.jsonl",
        "{\"id\": 7, \"text\": \"a\", \"language\": \"en\", \"rating\": null}\n\"b\"\n",
    );
    let rows: Vec<Row> = Rows::open(&path, Reading::default())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows[0].id, Some(7.into()));
    assert_eq!(rows[0].language.as_deref(), Some("en"));
    assert_eq!((rows[1].text.as_str(), &rows[1].id), ("b", &None));
    let path = write(dir.path(), "a.tsv", "one\n2\ttwo\tand a half\n");
    let texts: Vec<String> = Rows::open(&path, Reading::default())
        .unwrap()
        .map(|row| row.unwrap().text)
        .collect();
    assert_eq!(texts, ["one", "two\tand a half"]);
}

fn two_sources(dir: &Path, dedupe: bool) -> Dataset {
    let shopping = write(dir, "s.tsv", "4\tgood\n2\tbad\n4\tgood\n5\t \n");
    let movies = write(dir, "m.tsv", "4\tgood\n10\tgreat\n");
    let recipe = recipe(&format!(
        "[data]\ndedupe = {dedupe}\n[[data.source]]\nname = \"shopping\"\nlabel_above = 3\nweight = 2.0\n\
         [[data.source]]\nname = \"movies\"\nlabel_above = 7"
    ));
    let inputs = [
        DataArg {
            source: Some("movies".into()),
            path: movies,
        },
        DataArg {
            source: None,
            path: shopping,
        },
    ];
    dataset::read(&recipe.data, &inputs).unwrap()
}

#[test]
fn sources_keep_their_own_thresholds_and_count_what_they_drop() {
    let dir = tempfile::tempdir().unwrap();
    let all = two_sources(dir.path(), false);
    let found: Vec<_> = all
        .examples
        .iter()
        .map(|e| (e.source, e.text.as_str(), e.label))
        .collect();
    let expected = [
        (0, "good", Positive),
        (0, "bad", Negative),
        (0, "good", Positive),
        (1, "good", Negative),
        (1, "great", Positive),
    ];
    assert_eq!(found, expected);
    let once = two_sources(dir.path(), true);
    assert_eq!(once.examples.len(), 4);
    let [shopping, movies] = &once.sources[..] else {
        panic!("two sources were given");
    };
    assert_eq!(
        (shopping.rows, shopping.duplicates, shopping.skipped),
        (2, 1, 1)
    );
    assert_eq!((movies.rows, movies.duplicates, movies.skipped), (2, 0, 0));
    assert_eq!(shopping.weight, 2.0);
    assert_ne!(shopping.fingerprint, all.sources[0].fingerprint);
    assert_eq!(movies.fingerprint, all.sources[1].fingerprint);
    assert_eq!(movies.fingerprint.len(), 64);

    let everything = dataset::Splits {
        train: vec![0, 1, 2, 3],
        ..dataset::Splits::default()
    };
    let shown = describe(&once, &everything, &[4, 3, 4, 6]).to_string();
    for part in [
        "shopping: 2 reviews, 1 positive, 1 negative, 1 duplicates dropped, 1 empty",
        "review length mean : 3.50",
        "review length max  : 6",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

fn of_labels(labels: &[Label]) -> Dataset {
    Dataset {
        sources: Vec::new(),
        examples: labels
            .iter()
            .map(|&label| dataset::Example {
                text: String::new(),
                label,
                source: 0,
            })
            .collect(),
    }
}

#[test]
fn test_is_split_off_before_validation_and_nothing_is_lost() {
    let labels: Vec<Label> = [Positive, Negative].repeat(500);
    let data = of_labels(&labels);
    let tail = recipe(
        "[data]\nvalidation = { split = \"tail\", fraction = 0.2 }\ntest = { split = \"tail\", fraction = 0.1 }",
    );
    let found = split(&tail.data, &data).unwrap();
    assert_eq!(found.test, (900..1000).collect::<Vec<_>>());
    assert_eq!(found.validation, (720..900).collect::<Vec<_>>());
    assert_eq!(found.train, (0..720).collect::<Vec<_>>());

    let random = recipe(
        "[data]\nshuffle_seed = 113\nvalidation = { split = \"random\", fraction = 0.2, seed = 42 }\n\
         test = { split = \"random\", fraction = 0.1, seed = 42 }",
    );
    let found = split(&random.data, &data).unwrap();
    assert_eq!(found, split(&random.data, &data).unwrap());
    assert_eq!((found.test.len(), found.validation.len()), (100, 180));
    let mut all = [&found.train[..], &found.validation, &found.test].concat();
    assert_ne!(all, (0..1000).collect::<Vec<_>>());
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_source_that_only_teaches_changes_no_split() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let rows = |rows: std::ops::Range<usize>| -> String {
        let row = |at: usize| format!("{}\ttext {at}\n", 1 + at % 2 * 4);
        rows.map(row).collect()
    };
    fs::write(path("reviews.tsv"), rows(0..200)).unwrap();
    fs::write(path("phrases.tsv"), rows(200..250)).unwrap();
    let with = |source: &str| {
        format!(
            "[data]\nshuffle_seed = 113\nvalidation = {{ split = \"random\", fraction = 0.2, seed = 4 }}\n\
             test = {{ split = \"tail\", fraction = 0.1 }}\n{source}"
        )
    };
    let reviews = "[[data.source]]\nname = \"reviews\"\nlabel_above = 3\n";
    let phrases = "[[data.source]]\nname = \"phrases\"\nlabel_above = 3\ntrain_only = true\n";
    let texts = |source: &str, paths: &[&str]| {
        let recipe = recipe(&with(source));
        let inputs: Vec<_> = paths
            .iter()
            .map(|name| format!("{name}={}", path(&format!("{name}.tsv")).display()))
            .map(|input| input.parse().unwrap())
            .collect();
        let data = dataset::read(&recipe.data, &inputs).unwrap();
        let splits = split(&recipe.data, &data).unwrap();
        [splits.train, splits.validation, splits.test].map(|rows| -> Vec<String> {
            let text = |row: usize| data.examples[row].text.clone();
            rows.into_iter().map(text).collect()
        })
    };
    let [train, validation, test] = texts(reviews, &["reviews"]);
    // Wherever the source stands.
    for (sources, paths) in [
        ([reviews, phrases], ["reviews", "phrases"]),
        ([phrases, reviews], ["phrases", "reviews"]),
    ] {
        let found = texts(&sources.concat(), &paths);
        assert_eq!(found[1..], [validation.clone(), test.clone()]);
        assert_eq!(found[0][..train.len()], train);
        assert_eq!(found[0][train.len()..].len(), 50);
    }
    let error = parsed(&with(phrases)).unwrap_err().to_string();
    assert!(
        error.contains("data.validation has no rows to take: every data.source is train_only"),
        "{error}"
    );
}

/// `tests/reference/split_sizes.py` asked Keras and scikit-learn.
#[test]
fn splits_have_the_sizes_that_keras_and_scikit_learn_give_them() {
    let sizes = include_str!("fixtures/rows/split_sizes.json");
    let sizes: Vec<(usize, f64, usize, usize)> = serde_json::from_str(sizes).unwrap();
    assert!(sizes.len() > 100);
    for (rows, fraction, tail, random) in sizes {
        let labels: Vec<Label> = [Positive, Negative]
            .into_iter()
            .cycle()
            .take(rows)
            .collect();
        let data = of_labels(&labels);
        for (kind, expected) in [(SplitKind::Tail, tail), (SplitKind::Random, random)] {
            let recipe = DataRecipe {
                test: Some(Split {
                    split: kind,
                    fraction,
                    seed: 42,
                }),
                ..DataRecipe::default()
            };
            let found = split(&recipe, &data).unwrap();
            assert_eq!(found.test.len(), expected, "{fraction} of {rows}");
            assert_eq!(found.train.len(), rows - expected);
        }
    }
}

#[test]
fn a_split_of_one_class_is_an_error_that_names_it() {
    let mut labels = vec![Positive; 50];
    labels.extend([Negative; 50]);
    let tail = "[data]\nvalidation = { split = \"tail\", fraction = 0.2 }";
    let message = split(&recipe(tail).data, &of_labels(&labels)).unwrap_err();
    let expected = "all 20 rows of the validation set are negative";
    assert!(message.to_string().contains(expected), "{message}");
    let shuffled = format!("{tail}\nshuffle_seed = 1");
    split(&recipe(&shuffled).data, &of_labels(&labels)).unwrap();
    let message = split(&recipe(tail).data, &of_labels(&[Positive; 50])).unwrap_err();
    let expected = "all 50 reviews are positive: a model learns from both labels";
    assert!(message.to_string().contains(expected), "{message}");
}

#[test]
fn the_command_line_overrides_columns_in_every_source() {
    let mut recipe = recipe("[[data.source]]\nname = \"one\"\nlabel_above = 3\ntext = \"body\"");
    let given = Columns {
        text: None,
        label: Some("stars".into()),
        label_above: Some(7.0),
    };
    override_columns(&mut recipe.data, &given);
    let source = &recipe.data.source[0];
    assert_eq!(source.text.as_deref(), Some("body"));
    assert_eq!(source.label.as_deref(), Some("stars"));
    assert_eq!(source.label_above, Some(7.0));
}

#[test]
fn the_share_that_is_read_ends_at_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..50_000)
        .map(|row| format!("{}\treview {row}\n", row % 2))
        .collect();
    let mut rows = Rows::open(&write(dir.path(), "a.tsv", text), Reading::default()).unwrap();
    rows.next().unwrap().unwrap();
    assert!(rows.share().unwrap() < 0.9);
    assert_eq!(rows.by_ref().count(), 49_999);
    assert_eq!(rows.share(), Some(1.0));
}
