//! Sets of word vectors, against what gensim answered (tests/reference/vectors.py).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
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
            let place = |word: &str| vectors.words().position(|known| known == word);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    near(found.score, &expected[1]),
                    "{file}: {found:?}, {expected}"
                );
            }
            // gensim leaves the order of equal scores open; ours is the set's.
            let mut rest = &found[..];
            while let [first, ..] = rest {
                let alike = rest.iter().take_while(|other| other.score == first.score);
                let (tie, after) = rest.split_at(alike.count());
                let at = found.len() - rest.len();
                let places: Vec<_> = tie.iter().map(|found| place(&found.word)).collect();
                assert!(places.is_sorted(), "{file}: {tie:?}");
                let mut ours: Vec<&str> = tie.iter().map(|found| &*found.word).collect();
                let theirs = expected[at..at + tie.len()].iter();
                let mut theirs: Vec<&str> = theirs.map(|pair| pair[0].as_str().unwrap()).collect();
                ours.sort_unstable();
                theirs.sort_unstable();
                // Of equal ones at the cut any may be left out.
                if !after.is_empty() || tie.len() == 1 {
                    assert_eq!(ours, theirs, "{file}: {asked}");
                }
                rest = after;
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
fn of_equal_scores_the_first_words_of_the_set_are_kept_at_the_cut() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("set.txt");
    fs::write(&path, "z 1 0\nlow 0 1\nd 2 0\nb 3 0\nc 4 0\na 5 0\n").unwrap();
    let vectors = WordVectors::load(&path, None).unwrap();
    for method in [Method::Cosine, Method::CosMul] {
        let question = Question {
            positive: &["z".to_owned()],
            negative: &[],
            method,
            top: 3,
        };
        let found = vectors.most_similar(question).unwrap();
        let words: Vec<&str> = found.iter().map(|found| &*found.word).collect();
        assert_eq!(words, ["d", "b", "c"]);
        assert!(found.iter().all(|other| other.score == found[0].score));
    }
}

#[test]
fn a_vector_of_zeros_is_like_nothing_as_in_gensim() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("set.txt");
    fs::write(&path, "none 0 0\na 1 2\nb 2 1\n").unwrap();
    let vectors = WordVectors::load(&path, None).unwrap();
    assert_eq!(vectors.similarity("none", "a").unwrap(), 0.0);
    assert_eq!(vectors.similarity("none", "none").unwrap(), 0.0);
    let words = ["a", "b", "none"].map(str::to_owned);
    assert_eq!(vectors.doesnt_match(&words).unwrap(), "none");
}

fn zipped(path: &Path, files: &[(&str, &[u8])]) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn sets_are_read_out_of_the_archives_that_they_are_published_in() {
    let room = tempfile::tempdir().unwrap();
    let expected = WordVectors::load(&fixture("set.txt"), None).unwrap();
    for file in ["set.txt", "set.bin"] {
        let bytes = fs::read(fixture(file)).unwrap();
        let path = room.path().join(format!("{file}.zip"));
        zipped(&path, &[(file, &bytes)]);
        let found = WordVectors::load(&path, None).unwrap();
        assert!(found.words().eq(expected.words()), "{file}");
        for word in expected.words() {
            assert_eq!(found.vector(word), expected.vector(word), "{file}: {word}");
        }
    }
    let two = room.path().join("glove.zip");
    zipped(&two, &[("50d.txt", b"a 1 2\n"), ("100d.txt", b"a 1 2\n")]);
    let refused = WordVectors::load(&two, None).unwrap_err().to_string();
    assert!(
        refused.contains("glove.zip: the archive holds 2 files"),
        "{refused}"
    );
    let none = room.path().join("none.zip");
    fs::write(&none, "a 1 2\n").unwrap();
    assert!(
        WordVectors::load(&none, None)
            .unwrap_err()
            .to_string()
            .contains("none.zip")
    );
}

#[test]
fn a_first_word_with_spaces_does_not_make_a_set_binary() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("set.vec");
    for text in [
        "2 2\nNew York 0.1 -2e-3\nb 1 2\n",
        "2 2\n. . . 0.1 -2e-3 \nb 1 2\n",
    ] {
        fs::write(&path, text).unwrap();
        let vectors = WordVectors::load(&path, None).unwrap();
        assert_eq!(vectors.len(), 2);
        let first = vectors.words().next().unwrap().to_owned();
        assert_eq!(vectors.vector(&first), Some(&[0.1, -2e-3][..]), "{first:?}");
    }
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("bomb.txt.gz");
    let mut packed = flate2::write::GzEncoder::new(
        fs::File::create(&path).unwrap(),
        flate2::Compression::fast(),
    );
    packed.write_all(b"a 1 2\n").unwrap();
    for _ in 0..40 {
        packed.write_all(&vec![b'0'; 1 << 20]).unwrap();
    }
    packed.finish().unwrap();
    let refused = WordVectors::load(&path, None).unwrap_err().to_string();
    assert!(refused.contains("bomb.txt.gz"), "{refused}");
    assert!(refused.contains("a line is longer than 16 MB"), "{refused}");
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
