//! Times word vectors: `cargo bench --bench vectors -- FILE QUESTIONS.json` prints JSON; beside gensim by `make bench-vectors`.

use std::path::Path;
use std::time::Instant;

use sentiment::vectors::{Method, Question, WordVectors};
use serde::Deserialize;

/// As `benches/vectors.py` writes them.
#[derive(Deserialize)]
struct Asked {
    positive: Vec<String>,
    negative: Vec<String>,
    method: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [file, questions] = &arguments[..] else {
        println!("give a set of vectors and a file of questions: make bench-vectors");
        return Ok(());
    };
    let questions: Vec<Asked> = serde_json::from_slice(&std::fs::read(questions)?)?;
    let start = Instant::now();
    let vectors = WordVectors::load(Path::new(file), None)?;
    let load = start.elapsed().as_secs_f64();
    let (mut seconds, mut answers) = (Vec::new(), Vec::new());
    for Asked {
        positive,
        negative,
        method,
    } in &questions
    {
        let question = Question {
            positive,
            negative,
            method: match method.as_str() {
                "cosmul" => Method::CosMul,
                _ => Method::Cosine,
            },
            top: 10,
        };
        let start = Instant::now();
        let found = vectors.most_similar(question)?;
        seconds.push(start.elapsed().as_secs_f64());
        let pairs = found.into_iter().map(|answer| (answer.word, answer.score));
        answers.push(pairs.collect::<Vec<_>>());
    }
    let said = serde_json::json!({"load_s": load, "question_s": seconds, "answers": answers});
    println!("{said}");
    Ok(())
}
