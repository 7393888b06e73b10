//! Sets of word vectors, against what gensim answered (tests/reference/vectors.py).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use sentiment::vectors::{Method, Question, VectorError, WordVectors};
use serde_json::Value;

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/vectors")
        .join(file)
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().unwrap().iter();
    values
        .map(|value| value.as_str().unwrap().to_owned())
        .collect()
}

fn near(found: f32, expected: &Value) -> bool {
    let expected = expected.as_f64().unwrap();
    (f64::from(found) - expected).abs() < 2e-6 * (1.0 + expected.abs())
}

#[test]
fn every_format_gives_the_same_set_and_gensims_answers() {
    let said = fs::read(fixture("answers.json")).unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    for file in ["set.txt", "set.bin", "glove.txt.gz", "set.vec.xz"] {
        let vectors = WordVectors::load(&fixture(file), None).unwrap();
        assert_eq!((vectors.len(), vectors.dimensions), (80, 7), "{file}");
        assert_eq!(vectors.words().last(), Some("김치"), "{file}");
        for asked in said["most_similar"].as_array().unwrap() {
            let method = match asked["method"].as_str().unwrap() {
                "cosine" => Method::Cosine,
                _ => Method::CosMul,
            };
            let question = Question {
                positive: &strings(&asked["positive"]),
                negative: &strings(&asked["negative"]),
                method,
                top: 6,
            };
            let found = vectors.most_similar(question).unwrap();
            let expected = asked["similar"].as_array().unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    near(found.score, &expected[1]),
                    "{file}: {found:?}, {expected}"
                );
                // gensim leaves the order of equal scores open.
                if !found.word.starts_with("twin") {
                    assert_eq!(found.word, expected[0].as_str().unwrap(), "{file}: {asked}");
                }
            }
        }
        for pair in said["similarity"].as_array().unwrap() {
            let (one, other) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
            assert!(
                near(vectors.similarity(one, other).unwrap(), &pair[2]),
                "{file}: {pair}"
            );
        }
        for group in said["doesnt_match"].as_array().unwrap() {
            let out = vectors.doesnt_match(&strings(&group[0])).unwrap();
            assert_eq!(out, group[1].as_str().unwrap(), "{file}");
        }
    }
}

#[test]
fn the_first_words_can_be_read_alone() {
    for file in ["set.txt", "set.bin", "glove.txt.gz"] {
        let vectors = WordVectors::load(&fixture(file), Some(5)).unwrap();
        assert_eq!(
            vectors.words().collect::<Vec<_>>(),
            ["w0", "w1", "w2", "w3", "w4"],
            "{file}"
        );
    }
}

#[test]
fn a_word_without_a_vector_is_named() {
    let vectors = WordVectors::load(&fixture("set.txt"), None).unwrap();
    let question = Question {
        positive: &["w1".to_owned(), "absent".to_owned()],
        negative: &[],
        method: Method::Cosine,
        top: 3,
    };
    let refused = vectors.most_similar(question).unwrap_err();
    assert!(matches!(refused, VectorError::Missing(word) if word == "absent"));
    assert!(vectors.doesnt_match(&["absent".to_owned()]).is_err());
}

#[test]
fn of_a_word_that_stands_twice_the_first_vector_counts_and_words_may_have_spaces() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("set.txt");
    fs::write(&path, "a 1 0\n. . . 0 1\na 5 5\nb 2 2\n").unwrap();
    let vectors = WordVectors::load(&path, None).unwrap();
    assert_eq!(vectors.words().collect::<Vec<_>>(), ["a", ". . .", "b"]);
    assert_eq!(vectors.vector("a"), Some(&[1.0, 0.0][..]));
    assert_eq!(vectors.vector("b"), Some(&[2.0, 2.0][..]));
}

#[test]
fn what_is_no_set_of_vectors_or_too_large_is_said_before_it_is_read() {
    let room = tempfile::tempdir().unwrap();
    for (name, text, words) in [
        ("empty.txt", "", "line 1 is empty"),
        ("prose.txt", "it was a film\n", "neither a header"),
        (
            "short.txt",
            "3 2\na 1 2\nb 1 2\n",
            "it ends after 2 of 3 words",
        ),
        ("torn.txt", "a 1 2\nb 1\n", "fewer than 2 numbers"),
        ("odd.txt", "2 2\na 1 2\nb 1 x\n", "\"x\" is no number"),
        ("huge.txt", "900000000 9000\na 1 2\n", "MB of memory"),
    ] {
        let path = room.path().join(name);
        fs::write(&path, text).unwrap();
        let refused = WordVectors::load(&path, None).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused:?} lacks {words:?}");
        assert!(refused.contains(name), "{refused}");
    }
}
