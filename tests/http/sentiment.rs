//! What texts become: shapes, order, ids, routing, and the errors of single texts.

use serde_json::{Value, json};

use sentiment::sentiment::sigmoid;

use crate::program::Room;
use crate::server::Server;
use crate::small::{ENGLISH, KOREAN, LOGIT, Small, TEMPERATURE};

/// A model that knows words without letters.
const DIGITS: Small = Small {
    words: ["최고 100", "최악 0", "그냥 50"],
    ..KOREAN
};

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-5
}

/// The results of a list.
fn results(server: &Server, body: &Value) -> Vec<Value> {
    let answer = server.post(body);
    assert_eq!(answer.status, 200, "{}", answer.shown());
    answer.json()["results"].as_array().unwrap().clone()
}

/// Of each result its model, of each error its code.
fn fates(results: &[Value]) -> Vec<&str> {
    results
        .iter()
        .map(|result| {
            let fate = result.get("model").unwrap_or(&result["error"]["code"]);
            fate.as_str().unwrap()
        })
        .collect()
}

#[test]
fn a_text_is_answered_by_one_result() {
    let server = Server::start(&[]);
    let found = server.post(&json!({"text": "great"})).json();
    assert_eq!(found["label"], "positive");
    assert_eq!(found["display"], "+");
    assert_eq!(found["model"], "english");
    assert_eq!(found["version"], "1");
    assert_eq!(found["language"], "en");
    let tokens = json!({"used": 1, "total": 1, "unknown": 0, "truncated": false});
    assert_eq!(found["tokens"], tokens);
    assert!(near(&found["raw_score"], sigmoid(LOGIT)));
    assert!(near(&found["score"], sigmoid(LOGIT / TEMPERATURE)));
    assert!(near(&found["confidence"], sigmoid(LOGIT / TEMPERATURE)));
    assert_eq!(found.get("id"), None);

    let found = server.post(&json!({"text": "최악 배송"})).json();
    assert_eq!(found["label"], "negative");
    assert_eq!(found["display"], "-");
    assert!(near(&found["raw_score"], sigmoid(-LOGIT / 2.0)));
    assert!(near(
        &found["confidence"],
        sigmoid(LOGIT / 2.0 / TEMPERATURE)
    ));
}

#[test]
fn texts_and_reviews_are_answered_in_their_order_with_their_ids() {
    let server = Server::start(&[]);
    let words = ["good", "별로", "hate", "최고"];
    let labels = ["positive", "negative", "negative", "positive"];
    let texts: Vec<&str> = words.into_iter().cycle().take(200).collect();
    let found = results(&server, &json!({"texts": texts}));
    assert_eq!(found.len(), 200);
    for (at, result) in found.iter().enumerate() {
        assert_eq!(result["label"], labels[at % 4], "{at}");
        assert_eq!(result["model"], ["english", "korean"][at % 2], "{at}");
        assert_eq!(result.get("id"), None);
    }
    let reviews: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| json!({"id": format!("r{at}"), "text": text}))
        .collect();
    let found = results(&server, &json!({"reviews": reviews}));
    assert_eq!(found.len(), 200);
    for (at, result) in found.iter().enumerate() {
        assert_eq!(result["id"], format!("r{at}"));
        assert_eq!(result["label"], labels[at % 4], "{at}");
    }
}

#[test]
fn ids_need_not_be_there_nor_be_unique() {
    let server = Server::start(&[]);
    let reviews = json!({"reviews": [
        {"id": "a", "text": "good"},
        {"id": "a", "text": "bad"},
        {"text": "good"},
        {"id": null, "text": "bad"},
        {"id": "", "text": "good"},
        {"id": "아이디\u{0}\"", "text": ""},
    ]});
    let found = results(&server, &reviews);
    let ids: Vec<Option<&Value>> = found.iter().map(|result| result.get("id")).collect();
    let [a, empty, odd] = [json!("a"), json!(""), json!("아이디\u{0}\"")];
    assert_eq!(
        ids,
        [Some(&a), Some(&a), None, None, Some(&empty), Some(&odd)]
    );
}

#[test]
fn empty_lists_are_answered_by_empty_lists() {
    let server = Server::start(&[]);
    for body in [json!({"texts": []}), json!({"reviews": []})] {
        assert!(results(&server, &body).is_empty(), "{body}");
    }
}

#[test]
fn a_text_goes_to_the_model_of_its_language() {
    let server = Server::start(&[]);
    // 최 is one letter of five, then one of six.
    let found = results(
        &server,
        &json!({"texts": ["최 the a", "최 great a", "good", "최고"]}),
    );
    assert_eq!(
        fates(&found),
        ["empty_text", "english", "english", "korean"]
    );
    let reviews = json!({"language": "en", "reviews": [
        {"text": "good"},
        {"text": "최고", "language": "ko-KR"},
        {"text": "good", "language": "EN_us"},
        {"text": "хорошо"},
        {"text": "good", "language": "fr"},
        {"text": "good", "language": ""},
    ]});
    let found = results(&server, &reviews);
    assert_eq!(
        fates(&found),
        [
            "english",
            "korean",
            "english",
            "empty_text",
            "unsupported_language",
            "unsupported_language"
        ]
    );
    assert_eq!(found[1]["language"], "ko");
    assert_eq!(found[2]["language"], "en");
}

#[test]
fn a_text_without_letters_goes_to_the_default_model_which_is_the_first_unless_a_flag_names_it() {
    let room = || Room::of(&[ENGLISH, DIGITS]);
    let ask = json!({"texts": ["100", "0 0 :-( 50"]});
    let server = Server::of(room(), &["--default-model", "korean"]);
    let found = results(&server, &ask);
    assert_eq!(fates(&found), ["korean", "korean"]);
    assert_eq!(found[0]["label"], "positive");
    assert_eq!(found[1]["label"], "negative");
    assert_eq!(found[1]["language"], "ko");

    let named = Small {
        name: "a-korean",
        ..DIGITS
    };
    let server = Server::of(Room::of(&[ENGLISH, named]), &[]);
    assert_eq!(fates(&results(&server, &ask)), ["a-korean", "a-korean"]);
    let server = Server::of(room(), &[]);
    // The English model is the first and knows none of the tokens.
    assert_eq!(fates(&results(&server, &ask)), ["empty_text", "empty_text"]);
}

#[test]
fn a_model_can_be_named_with_and_without_its_version() {
    let server = Server::start(&[]);
    for model in ["korean", "korean@1"] {
        let found = server.post(&json!({"text": "최고 good", "model": model}));
        assert_eq!(found.status, 200, "{model}: {}", found.shown());
        let found = found.json();
        assert_eq!(
            (&found["model"], &found["language"]),
            (&json!("korean"), &json!("ko"))
        );
        assert_eq!(found["tokens"]["unknown"], 1);
    }
    for model in [
        "nobody",
        "korean@2",
        "korean@01",
        "korean@",
        "@1",
        "",
        "Korean",
        "../korean",
    ] {
        let answer = server.post(&json!({"text": "최고", "model": model}));
        assert_eq!(answer.refusal(), (404, "unknown_model".into()), "{model}");
        let found = results(&server, &json!({"texts": ["최고", ""], "model": model}));
        assert_eq!(fates(&found), ["unknown_model", "empty_text"], "{model}");
    }
    let body = json!({"text": "최고", "model": "korean", "language": "en"});
    let answer = server.post(&body);
    assert_eq!(answer.refusal(), (422, "unsupported_language".into()));
}

#[test]
fn one_bad_text_never_fails_its_batch_and_alone_is_a_refusal() {
    let server = Server::start(&["--max-characters", "30"]);
    let long = "최".repeat(31);
    let just = format!("good{}", " ".repeat(26));
    let bad = [
        ("", 422, "empty_text"),
        (" \t\n\u{3000}", 422, "empty_text"),
        ("unheard", 422, "empty_text"),
        (&long, 422, "text_too_long"),
        ("хорошо", 422, "unsupported_language"),
    ];
    for (text, status, code) in bad {
        let answer = server.post(&json!({"text": text}));
        assert_eq!(answer.refusal(), (status, code.into()), "{text:?}");
        let reviews = [
            json!({"text": "good"}),
            json!({"text": text, "id": "b"}),
            json!({"text": just}),
        ];
        let found = results(&server, &json!({"reviews": reviews}));
        assert_eq!(fates(&found), ["english", code, "english"], "{text:?}");
        assert_eq!(
            (&found[1]["index"], &found[1]["id"]),
            (&json!(1), &json!("b"))
        );
        let found = results(&server, &json!({"texts": ["good", text]}));
        assert_eq!(found[1]["index"], 1);
        assert_eq!(found[1].get("id"), None);
    }
}

#[test]
fn a_text_longer_than_the_model_reads_is_cut_and_says_so() {
    let server = Server::start(&[]);
    let text = "unheard bad bad good good good good good good good good";
    let found = server.post(&json!({"text": text})).json();
    let tokens = json!({"used": 8, "total": 11, "unknown": 1, "truncated": true});
    assert_eq!(found["tokens"], tokens);
    assert!(near(&found["raw_score"], sigmoid(LOGIT)), "{found}");
}

#[test]
fn answers_of_requests_side_by_side_are_not_mixed_up() {
    let server = Server::start(&["--threads", "2", "--max-batch", "4"]);
    let server = &server;
    std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for round in 0..20 {
                    let (good, rest) = ((client + round) % 4, 3 + client % 3);
                    let text = ["good "].repeat(good).concat() + &["the "].repeat(rest).concat();
                    let expected = sigmoid(LOGIT * good as f64 / (good + rest) as f64);
                    let found = server.post(&json!({"text": text})).json();
                    assert!(near(&found["raw_score"], expected), "{text}: {found}");
                    assert_eq!(found["tokens"]["used"], good + rest);
                }
            });
        }
    });
}
