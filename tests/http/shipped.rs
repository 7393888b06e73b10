//! The models that come with the program, through the doors that its users have.

use std::path::Path;

use sentiment::bundle::{Bundle, folder};
use sentiment::sentiment::sigmoid;
use serde_json::{Value, json};

use crate::program::Room;
use crate::server::Server;

const KOREAN: [(&str, &str); 5] = [
    ("여기 상품 정말 좋네요! 추천합니다.", "긍정"),
    ("판매자님... 너무 짱이에요.. 대박나삼", "긍정"),
    ("ㅁㄴㅇㅈㄴㅇ리뉴쓰기도 귀찮아", "부정"),
    ("별로에요. 기대했던 것보다 못해요.", "부정"),
    (
        "진짜 배송도 늦고 개짜증나네요. 뭐 이런 걸 상품이라고 만듬?",
        "부정",
    ),
];

const ENGLISH: [(&str, &str); 4] = [
    ("This movie is good.", "positive"),
    ("This movie is not good.", "negative"),
    ("The acting was great.", "positive"),
    ("The acting was not great.", "negative"),
];

fn models() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    folder.to_str().unwrap().to_owned()
}

/// Each text's answer: asked alone, in a batch, and at the prompt.
fn answers(texts: &[&str]) -> Vec<[Value; 3]> {
    let models = models();
    let server = Server::of(Room::new(), &["--models", &models]);
    let batch = server.post(&json!({"texts": texts})).json();
    let lines: Vec<String> = texts.iter().map(|text| json!(text).to_string()).collect();
    server.room().write("texts.jsonl", lines.join("\n"));
    let args = ["predict", "--models", &models, "--input", "texts.jsonl"];
    let prompt = server.room().answers(&args, "");
    assert_eq!(prompt.len(), texts.len());
    texts
        .iter()
        .zip(prompt)
        .enumerate()
        .map(|(at, (text, prompt))| {
            let alone = server.post(&json!({"text": text})).json();
            [alone, batch["results"][at].clone(), prompt]
        })
        .collect()
}

#[test]
fn the_courses_five_sentences_are_judged_as_in_the_course() {
    let texts = KOREAN.map(|(text, _)| text);
    for (answers, (text, display)) in answers(&texts).iter().zip(KOREAN) {
        for answer in answers {
            assert_eq!(answer["display"], display, "{text}: {answer}");
            assert_eq!(answer["model"], "naver", "{answer}");
        }
    }
}

#[test]
fn one_not_turns_an_english_sentence_round() {
    let texts = ENGLISH.map(|(text, _)| text);
    for (answers, (text, label)) in answers(&texts).iter().zip(ENGLISH) {
        for answer in answers {
            assert_eq!(answer["label"], label, "{text}: {answer}");
            assert_eq!(answer["model"], "imdb", "{answer}");
        }
    }
}

#[test]
fn every_door_gives_the_ids_and_scores_of_training() {
    for name in ["imdb", "naver"] {
        let bundle = Bundle::load(&folder::resolve(Path::new(&models()), name).unwrap()).unwrap();
        let server = Server::of(Room::new(), &["--models", &models()]);
        let texts: Vec<&str> = bundle.golden.iter().map(|row| row.text.as_str()).collect();
        let batch = server.post(&json!({"texts": texts, "model": name})).json();
        for (at, row) in bundle.golden.iter().enumerate() {
            let alone = server.post(&json!({"text": row.text, "model": name}));
            for answer in [&alone.json(), &batch["results"][at]] {
                assert_eq!(answer["tokens"]["used"], row.ids.len(), "{answer}");
                let raw = answer["raw_score"].as_f64().unwrap();
                assert!((raw - sigmoid(row.logit)).abs() < 1e-5, "{answer}");
            }
        }
    }
}

#[test]
fn what_moved_a_score_is_what_a_reader_would_mark() {
    let server = Server::of(Room::new(), &["--models", &models()]);
    for (text, good, bad) in [
        (
            "Mr. Smith's plot is thin, but the acting is wonderful. I loved it!<br />The music was awful.",
            &["wonderful", "loved"][..],
            &["awful", "thin"][..],
        ),
        (
            "배송이 정말 빨라요! 😀 그런데 포장은 별로예요… 다시는 안 살래요.",
            &["빨라요"],
            &["별로예요"],
        ),
    ] {
        let found = server.post(&json!({"text": text, "explain": true})).json();
        let characters: Vec<char> = text.chars().collect();
        let mut parts: Vec<(f64, String)> = found["explanation"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| {
                let at = |name: &str| part[name].as_u64().unwrap() as usize;
                let words = characters[at("start")..at("end")].iter().collect();
                (part["contribution"].as_f64().unwrap(), words)
            })
            .collect();
        assert!(parts.iter().all(|(_, words)| words != "br"), "{parts:?}");
        parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let among = |part: Option<&(f64, String)>, words: &[&str]| {
            part.is_some_and(|(_, part)| words.iter().any(|word| part.starts_with(word)))
        };
        assert!(among(parts.last(), good), "{parts:?}");
        assert!(among(parts.first(), bad), "{parts:?}");
    }
    let long = "The plot is thin, but the acting is wonderful. ".repeat(30);
    let found = server.post(&json!({"text": long, "explain": true})).json();
    assert_eq!(found["explanation"].as_array().unwrap().len(), 64);
    assert_eq!(found["explanation"][63]["end"], long.trim_end().len() - 1);
}

#[test]
fn a_line_that_waits_for_a_place_in_the_queue_is_not_late_for_it() {
    let models = models();
    let limits = ["--threads", "1", "--queue", "2", "--deadline", "250ms"];
    let server = Server::of(Room::new(), &[&["--models", &models][..], &limits].concat());
    // Together they take many times the deadline.
    let line = json!("it was not a good film ".repeat(80)).to_string() + "\n";
    let kind = ("content-type", "application/x-ndjson");
    let body = line.repeat(2_000);
    let answer = server.send("POST", "/v1/sentiment", &[kind], Some(body.as_bytes()));
    let answers = answer.text();
    assert_eq!(answers.lines().count(), 2_000);
    let refused = answers.lines().find(|line| line.contains("error"));
    assert_eq!(refused, None);
}

/// Sentences of other kinds than the templates that the models learned negation from, none of them among those.
#[test]
fn most_sentences_with_a_negation_are_understood() {
    for sentences in [
        include_str!("../fixtures/negation/en.tsv"),
        include_str!("../fixtures/negation/ko.tsv"),
    ] {
        let (labels, texts): (Vec<&str>, Vec<&str>) = sentences
            .lines()
            .map(|line| line.split_once('\t').unwrap())
            .unzip();
        let answers = answers(&texts);
        let wrong: Vec<&str> = answers
            .iter()
            .zip(labels.iter().zip(&texts))
            .filter(|([alone, ..], (label, _))| alone["label"] != **label)
            .map(|(_, (_, text))| *text)
            .collect();
        assert!(
            wrong.len() * 6 <= texts.len(),
            "{} of {}: {wrong:#?}",
            wrong.len(),
            texts.len()
        );
    }
}
