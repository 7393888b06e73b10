//! What real Keras answered, case by case: `tests/fixtures/golden`, or the folder that `SENTIMENT_GOLDEN` names.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;
use std::path::PathBuf;

use sentiment::text::imdb::{ImdbArguments, Part};
use sentiment::text::lower::lower;
use sentiment::text::pad::{Item, PadArguments, pad_sequences};
use sentiment::text::split::text_to_word_sequence;
use sentiment::text::tokenizer::{Dictionary, Document};
use sentiment::text::{
    CleanRule, Encoder, EncoderSpec, Encoding, Level, Moment, PaddingSpec, Side, TextError,
    TextSpec, Tokenizer, TokenizerConfig, TokenizerSpec, clean,
};
use serde_json::{Map, Value, json};

fn read(name: &str) -> Value {
    let folder = std::env::var_os("SENTIMENT_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden"),
        PathBuf::from,
    );
    let path = folder.join(name);
    serde_json::from_str(
        &std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
    )
    .unwrap()
}

/// Runs every case of a file; `answer` gives what we say and what is expected.
fn run(name: &str, answer: impl Fn(&Value, &Value) -> (Value, Value)) {
    let file = read(name);
    let cases = file["cases"].as_array().unwrap();
    let mut equal = 0;
    let mut wrong = Vec::new();
    for case in cases {
        let (ours, expected) = answer(&file, case);
        if ours == expected {
            equal += 1;
        } else {
            wrong.push(format!("{}: {ours}\n  expected {expected}", case["id"]));
        }
    }
    // Written past the test runner, which keeps what a passing test prints.
    let line = format!("{name}: {} cases, {equal} equal\n", cases.len());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    assert_eq!(
        cases.len() as u64,
        file["case_count"].as_u64().unwrap(),
        "{name}: cases in the file"
    );
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

/// An error as far as it is compared: the Python exception's name.
fn error(error: &TextError) -> Value {
    json!({"error": error.python_type()})
}

fn expected_error(case: &Value) -> Option<Value> {
    case.get("expected_error")
        .map(|e| json!({"error": e["type"]}))
}

fn config(value: &Value) -> TokenizerConfig {
    TokenizerConfig {
        num_words: value["num_words"].as_i64(),
        filters: value["filters"].as_str().unwrap().into(),
        lower: value["lower"].as_bool().unwrap(),
        split: value["split"].as_str().unwrap().into(),
        char_level: value["char_level"].as_bool().unwrap(),
        oov_token: value["oov_token"].as_str().map(str::to_owned),
    }
}

enum Owned {
    Text(String),
    Tokens(Vec<String>),
}

impl Owned {
    fn list(value: &Value) -> Vec<Owned> {
        let one = |document: &Value| match document {
            Value::String(text) => Owned::Text(text.clone()),
            tokens => Owned::Tokens(serde_json::from_value(tokens.clone()).unwrap()),
        };
        value.as_array().into_iter().flatten().map(one).collect()
    }

    fn as_document(&self) -> Document<'_> {
        match self {
            Owned::Text(text) => Document::Text(text),
            Owned::Tokens(tokens) => Document::Tokens(tokens),
        }
    }
}

fn sequences<I: serde::de::DeserializeOwned>(value: &Value) -> Vec<Vec<I>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn fitted(case: &Value) -> Result<Tokenizer, TextError> {
    let mut tokenizer = Tokenizer::new(config(&case["config"]));
    for batch in case["fit_batches"].as_array().into_iter().flatten() {
        let batch = Owned::list(batch);
        tokenizer.fit_on_texts(batch.iter().map(Owned::as_document))?;
    }
    Ok(tokenizer)
}

fn map<K: ToString, V: serde::Serialize>(map: &Dictionary<K, V>) -> Value {
    Value::Object(map.iter().map(|(k, v)| (k.to_string(), json!(v))).collect())
}

/// Objects compare without order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(
                keys.into_iter()
                    .map(|k| (k.clone(), sorted(&map[k])))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

fn to_sequences(tokenizer: &Tokenizer, texts: &Value) -> Result<Value, TextError> {
    let texts = Owned::list(texts);
    let ids: Result<Vec<_>, _> = texts
        .iter()
        .map(|text| tokenizer.text_to_sequence(text.as_document()))
        .collect();
    Ok(json!(ids?))
}

fn back(tokenizer: &Tokenizer, ids: &Value) -> Result<Value, TextError> {
    let texts: Result<Vec<_>, _> = sequences(ids)
        .iter()
        .map(|ids| tokenizer.sequence_to_text(ids))
        .collect();
    Ok(json!(texts?))
}

fn state(tokenizer: &Tokenizer) -> Map<String, Value> {
    let counts: Vec<Value> = tokenizer
        .word_counts
        .iter()
        .map(|(w, n)| json!([w, n]))
        .collect();
    Map::from_iter([
        ("document_count".to_owned(), json!(tokenizer.document_count)),
        ("word_counts".to_owned(), json!(counts)),
        ("word_docs".to_owned(), map(&tokenizer.word_docs)),
        ("word_index".to_owned(), map(&tokenizer.word_index)),
        ("index_word".to_owned(), map(&tokenizer.index_word)),
        ("index_docs".to_owned(), map(&tokenizer.index_docs)),
    ])
}

/// The production encoder, of a bundle's slimmer vocabulary, must give the ids that the tokenizer gives, wherever a recipe
/// can say the same.
fn check_encoder(tokenizer: &Tokenizer, texts: &Value) {
    let config = &tokenizer.config;
    let spec = EncoderSpec {
        text: TextSpec::default(),
        tokenizer: TokenizerSpec {
            level: if config.char_level {
                Level::Char
            } else {
                Level::Word
            },
            num_words: match config.num_words {
                Some(0) | None => None,
                Some(n) => Some(n as usize),
            },
            filters: config.filters.clone(),
            lower: config.lower,
            split: config.split.clone(),
            oov: config.oov_token.clone(),
            ..TokenizerSpec::default()
        },
        padding: PaddingSpec {
            maxlen: 100_000,
            padding: Side::Pre,
            truncating: Side::Pre,
            value: 0,
        },
    };
    let mut tokenizer = tokenizer.clone();
    tokenizer.config.num_words = tokenizer.config.num_words.filter(|n| *n != 0);
    let mut kept = tokenizer.clone();
    kept.forget_cut();
    let Ok(encoder) = Encoder::from_json(spec, &kept.to_json()) else {
        return;
    };
    let mut ids = Vec::new();
    for text in texts
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        encoder.encode(text, Moment::Serve, &mut ids);
        assert_eq!(
            ids.iter().copied().map(Some).collect::<Vec<_>>(),
            tokenizer.text_to_sequence(Document::Text(text)).unwrap(),
            "encoder on {text:?}"
        );
    }
}

fn tokenizer_case(case: &Value) -> (Value, Value) {
    if let Some(expected) = expected_error(case) {
        let ours = fitted(case).and_then(|t| {
            to_sequences(&t, &case["texts"]).and_then(|_| back(&t, &case["back_sequences"]))
        });
        return (ours.unwrap_or_else(|e| error(&e)), expected);
    }
    let tokenizer = fitted(case).unwrap();
    let mut ours = state(&tokenizer);
    ours.insert(
        "sequences".into(),
        to_sequences(&tokenizer, &case["texts"]).unwrap(),
    );
    let expected = case["expected"].as_object().unwrap();
    if expected.contains_key("back_texts") {
        ours.insert(
            "back_texts".into(),
            back(&tokenizer, &case["back_sequences"]).unwrap(),
        );
    }
    ours.retain(|key, _| expected.contains_key(key));
    check_encoder(&tokenizer, &case["texts"]);
    (sorted(&Value::Object(ours)), sorted(&case["expected"]))
}

#[test]
fn text_to_word_sequence_splits_as_keras_does() {
    run("text_to_word_sequence.json", |_, case| {
        let text = |key: &str| case[key].as_str().unwrap();
        let ours = text_to_word_sequence(
            text("text"),
            text("filters"),
            case["lower"].as_bool().unwrap(),
            text("split"),
        );
        let expected = expected_error(case).unwrap_or_else(|| case["expected"].clone());
        (
            ours.map_or_else(|e| error(&e), |words| json!(words)),
            expected,
        )
    });
}

#[test]
fn word_tokenizers_learn_and_answer_as_keras_does() {
    run("tokenizer_word.json", |_, case| tokenizer_case(case));
}

#[test]
fn character_tokenizers_learn_and_answer_as_keras_does() {
    run("tokenizer_char.json", |_, case| tokenizer_case(case));
}

#[test]
fn random_tokenizers_learn_and_answer_as_keras_does() {
    run("tokenizer_random.json", |_, case| tokenizer_case(case));
}

fn matrix(
    tokenizer: &Tokenizer,
    sequences: &[Vec<Option<i64>>],
    mode: &str,
) -> Result<(Vec<usize>, Value), TextError> {
    let matrix = tokenizer.sequences_to_matrix(sequences, mode)?;
    Ok((
        matrix.shape().to_vec(),
        json!(
            matrix
                .rows()
                .into_iter()
                .map(|r| r.to_vec())
                .collect::<Vec<_>>()
        ),
    ))
}

/// Equal but for the last bit of numpy's logarithm.
fn near(ours: Value, expected: &Value) -> Value {
    let numbers = |v: &Value| -> Option<Vec<Vec<f64>>> { serde_json::from_value(v.clone()).ok() };
    match (numbers(&ours), numbers(expected)) {
        (Some(a), Some(b))
            if a.len() == b.len()
                && a.iter().zip(&b).all(|(a, b)| {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12)
                }) =>
        {
            expected.clone()
        }
        _ => ours,
    }
}

#[test]
fn sequences_to_matrix_counts_as_keras_does() {
    run("sequences_to_matrix.json", |_, case| {
        let mut tokenizer = fitted(case).unwrap();
        if let Some(fit) = case.get("fit_sequences").filter(|v| !v.is_null()) {
            tokenizer.fit_on_sequences(&sequences(fit)).unwrap();
        }
        if let Some(texts) = case.get("texts") {
            assert_eq!(
                to_sequences(&tokenizer, texts).unwrap(),
                case["sequences"],
                "{}",
                case["id"]
            );
        }
        let mode = case["mode"].as_str().unwrap();
        let ours = matrix(&tokenizer, &sequences(&case["sequences"]), mode);
        match (ours, expected_error(case)) {
            (Err(e), expected) => (error(&e), expected.unwrap_or(Value::Null)),
            (Ok(_), Some(expected)) => (json!("no error"), expected),
            (Ok((shape, rows)), None) => {
                let rows = if mode == "tfidf" {
                    near(rows, &case["expected"])
                } else {
                    rows
                };
                let expected: Value = json!([case["shape"], case["expected"]]);
                (json!([shape, rows]), expected)
            }
        }
    });
}

#[test]
fn tokenizers_are_written_and_read_as_keras_does() {
    run("tokenizer_json.json", |_, case| {
        let text = case["json_string"].as_str().unwrap();
        if case.get("config").is_some() && case["to_json_kwargs"] == json!({}) {
            let mut fitted = fitted(case).unwrap();
            // The order of these two follows Python's sets; what they say is compared after parsing.
            let theirs = Tokenizer::from_json(text).unwrap();
            assert_eq!(
                (&fitted.word_docs, &fitted.index_docs),
                (&theirs.word_docs, &theirs.index_docs)
            );
            fitted.word_docs = theirs.word_docs;
            fitted.index_docs = theirs.index_docs;
            assert_eq!(fitted.to_json(), text, "{}", case["id"]);
        }
        let answer = || -> Result<(Value, Value), TextError> {
            let mut tokenizer = Tokenizer::from_json(text)?;
            if let Some(texts) = case.get("refit_texts") {
                let texts = Owned::list(texts);
                tokenizer.fit_on_texts(texts.iter().map(Owned::as_document))?;
            }
            let ids = to_sequences(&tokenizer, &case["texts"])?;
            let mut ours = Map::new();
            ours.insert("back_texts".into(), back(&tokenizer, &ids)?);
            for (key, mode) in [("binary_matrix", "binary"), ("tfidf_matrix", "tfidf")] {
                if let Some(expected) = case.get(key) {
                    ours.insert(
                        key.into(),
                        near(matrix(&tokenizer, &sequences(&ids), mode)?.1, expected),
                    );
                }
            }
            ours.insert("sequences".into(), ids);
            if let Some(expected) = case.get("state_after_load") {
                let mut state = state(&tokenizer);
                state.retain(|key, _| expected.get(key).is_some());
                let mut known: Map<String, Value> = expected.as_object().unwrap().clone();
                known.retain(|key, _| state.contains_key(key));
                assert!(known.len() >= 4, "the state has our fields");
                assert_eq!(
                    sorted(&Value::Object(state)),
                    sorted(&Value::Object(known)),
                    "{}",
                    case["id"]
                );
            }
            let mut expected = Map::new();
            for key in ours.keys() {
                expected.insert(key.clone(), case[key].clone());
            }
            Ok((Value::Object(ours), Value::Object(expected)))
        };
        match (answer(), expected_error(case)) {
            (Ok(pair), None) => pair,
            (Ok(_), Some(expected)) => (json!("no error"), expected),
            (Err(e), expected) => (error(&e), expected.unwrap_or(Value::Null)),
        }
    });
}

fn item(value: &Value) -> Item {
    match value {
        Value::Null => Item::None,
        Value::Bool(b) => Item::Int(i64::from(*b)),
        Value::Number(n) => n
            .as_i64()
            .map_or_else(|| Item::Float(n.as_f64().unwrap()), Item::Int),
        Value::String(s) => Item::Text(s.clone()),
        Value::Array(items) => Item::List(items.iter().map(item).collect()),
        Value::Object(_) => panic!("an object in a sequence"),
    }
}

fn nested(values: &[Item], shape: &[usize]) -> Value {
    match shape {
        [] => match &values[0] {
            Item::Int(n) => json!(n),
            Item::Float(x) => json!(x),
            Item::Text(s) => json!(s),
            Item::None | Item::List(_) => Value::Null,
        },
        [len, rest @ ..] => {
            let size: usize = rest.iter().product();
            Value::Array(
                (0..*len)
                    .map(|at| nested(&values[at * size..(at + 1) * size], rest))
                    .collect(),
            )
        }
    }
}

/// JSON true is 1 and 2.0 is 2 here: the element type is compared by itself.
fn as_numbers(value: &Value) -> Value {
    match value {
        Value::Bool(b) => json!(f64::from(u8::from(*b))),
        Value::Number(n) => json!(n.as_f64()),
        Value::Array(items) => Value::Array(items.iter().map(as_numbers).collect()),
        other => other.clone(),
    }
}

#[test]
fn pad_sequences_pads_and_cuts_as_keras_does() {
    run("pad_sequences.json", |_, case| {
        let rows: Vec<Vec<Item>> = case["sequences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row.as_array().unwrap().iter().map(item).collect())
            .collect();
        let arguments = PadArguments {
            maxlen: case["maxlen"].as_u64().map(|n| n as usize),
            dtype: case["dtype"].as_str().unwrap(),
            padding: case["padding"].as_str().unwrap(),
            truncating: case["truncating"].as_str().unwrap(),
            value: item(&case["value"]),
        };
        match pad_sequences(&rows, &arguments) {
            Err(e) => (error(&e), expected_error(case).unwrap_or(Value::Null)),
            Ok(padded) => {
                let ours = json!([
                    padded.shape,
                    as_numbers(&nested(&padded.values, &padded.shape))
                ]);
                let expected = json!([case["shape"], as_numbers(&case["expected"])]);
                (ours, expected_error(case).unwrap_or(expected))
            }
        }
    });
}

#[test]
fn imdb_ids_are_those_of_load_data() {
    run("imdb_encoding.json", |_, case| {
        let args = &case["args"];
        let arguments = ImdbArguments {
            num_words: args["num_words"].as_i64(),
            skip_top: args["skip_top"].as_i64().unwrap(),
            maxlen: args["maxlen"].as_u64().map(|n| n as usize),
            start_char: args["start_char"].as_i64(),
            oov_char: args["oov_char"].as_i64(),
            index_from: args["index_from"].as_i64().unwrap(),
        };
        match arguments.encode(
            &sequences(&case["raw_train"]),
            &sequences(&case["raw_test"]),
        ) {
            Err(e) => (error(&e), expected_error(case).unwrap_or(Value::Null)),
            Ok((train, test)) => {
                let split = |part: &Part| json!([part.sequences, part.kept]);
                let expected = json!([
                    [case["expected_train"], case["kept_train"]],
                    [case["expected_test"], case["kept_test"]]
                ]);
                (
                    json!([split(&train), split(&test)]),
                    expected_error(case).unwrap_or(expected),
                )
            }
        }
    });
}

#[test]
fn imdb_texts_become_the_ids_of_the_data_set() {
    run("imdb_text.json", |file, case| {
        let defaults = TokenizerSpec::default();
        let tokens =
            text_to_word_sequence(case["text"].as_str().unwrap(), &defaults.filters, true, " ")
                .unwrap();
        let arguments = ImdbArguments {
            num_words: case["num_words"].as_i64(),
            ..ImdbArguments::default()
        };
        let ranks = tokens
            .iter()
            .map(|token| file["word_index"][token].as_i64());
        let unknown = (case["unknown_words"] == "oov").then_some(2);
        let ids = arguments.encode_text(ranks, unknown);
        let mut ours = json!({"tokens": tokens, "ids": ids});
        let mut expected = json!({"tokens": case["tokens"], "ids": case["expected_ids"]});
        if let Some(maxlen) = case.get("maxlen").and_then(Value::as_u64) {
            let row = ids.iter().map(|id| Item::Int(*id)).collect();
            let arguments = PadArguments {
                maxlen: Some(maxlen as usize),
                ..PadArguments::default()
            };
            let padded = pad_sequences(&[row], &arguments).unwrap();
            ours["padded"] = nested(&padded.values, &padded.shape[1..]);
            expected["padded"] = case["expected_padded"].clone();
        }
        // The encoder, whose policy for unknown words is oov_char.
        if unknown.is_some() {
            let mut entries: Vec<(&String, i64)> = file["word_index"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(w, r)| (w, r.as_i64().unwrap()))
                .collect();
            entries.sort_by_key(|(_, rank)| *rank);
            let index: Map<String, Value> = entries
                .iter()
                .map(|(w, r)| ((*w).clone(), json!(r)))
                .collect();
            let words: Map<String, Value> = entries
                .iter()
                .map(|(w, r)| (r.to_string(), json!(w)))
                .collect();
            let num_words = case["num_words"].as_u64().unwrap() as usize;
            let json = json!({"class_name": "Tokenizer", "config": {
                "num_words": num_words, "word_counts": "{}", "word_docs": "{}", "index_docs": "{}",
                "word_index": Value::Object(index).to_string(), "index_word": Value::Object(words).to_string(),
            }});
            let spec = EncoderSpec {
                text: TextSpec::default(),
                tokenizer: TokenizerSpec {
                    encoding: Encoding::Imdb,
                    num_words: Some(num_words),
                    ..defaults
                },
                padding: PaddingSpec {
                    maxlen: case.get("maxlen").and_then(Value::as_u64).unwrap_or(500) as usize,
                    padding: Side::Pre,
                    truncating: Side::Pre,
                    value: 0,
                },
            };
            let encoder = Encoder::from_json(spec, &json.to_string()).unwrap();
            let mut encoded = Vec::new();
            encoder.encode(case["text"].as_str().unwrap(), Moment::Serve, &mut encoded);
            let mut row = Vec::new();
            encoder.pad(&encoded, encoder.spec().padding.maxlen, &mut row);
            match expected.get("padded") {
                Some(padded) => assert_eq!(json!(row), *padded, "encoder on {}", case["id"]),
                None => assert_eq!(json!(encoded), expected["ids"], "encoder on {}", case["id"]),
            }
        }
        (ours, expected)
    });
}

#[test]
fn korean_is_cleaned_as_the_course_does() {
    run("korean_clean.json", |file, case| {
        let mut tokenizer = Tokenizer::new(config(&file["config"]));
        let texts = Owned::list(&file["fit_texts"]);
        tokenizer
            .fit_on_texts(texts.iter().map(Owned::as_document))
            .unwrap();
        assert_eq!(
            sorted(&map(&tokenizer.word_index)),
            sorted(&file["word_index"])
        );
        let cleaned = clean::clean(&[CleanRule::Korean], case["text"].as_str().unwrap());
        let ids = tokenizer
            .text_to_sequence(Document::Text(&cleaned))
            .unwrap();
        let row = ids.iter().flatten().map(|id| Item::Int(*id)).collect();
        let arguments = PadArguments {
            maxlen: Some(8),
            ..PadArguments::default()
        };
        let padded = pad_sequences(&[row], &arguments).unwrap();
        let ours = json!([cleaned, ids, nested(&padded.values, &padded.shape[1..])]);
        (
            ours,
            json!([
                case["expected_clean"],
                case["expected_sequence"],
                case["expected_padded"]
            ]),
        )
    });
}

#[test]
fn every_single_character_is_lowered_as_python_does() {
    let file = read("python_lower_map.json");
    let table = file["lower"].as_object().unwrap();
    let character = |hex: &str| char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap();
    let expected: std::collections::HashMap<char, String> = table
        .iter()
        .map(|(from, to)| {
            (
                character(from),
                to.as_array()
                    .unwrap()
                    .iter()
                    .map(|c| character(c.as_str().unwrap()))
                    .collect(),
            )
        })
        .collect();
    assert_eq!(expected.len() as u64, file["count"].as_u64().unwrap());
    let mut equal = 0;
    for c in '\0'..=char::MAX {
        let ours = lower(&c.to_string());
        let theirs = expected.get(&c).cloned().unwrap_or_else(|| c.to_string());
        assert_eq!(ours, theirs, "U+{:04X}", u32::from(c));
        equal += usize::from(expected.contains_key(&c));
    }
    println!(
        "python_lower_map.json: {} cases, {equal} equal",
        expected.len()
    );
}
