//! The Open Inference Protocol: what its clients ask first, tensors of texts in, tensors of labels and scores out.

use serde_json::{Value, json};

use crate::program::Room;
use crate::server::Server;
use crate::small::{ENGLISH, KOREAN};
use crate::wire::{Answer, head};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn tensor(texts: &[&str]) -> Value {
    json!({"name": "text", "datatype": "BYTES", "shape": [texts.len()], "data": texts})
}

fn infer(server: &Server, path: &str, body: &Value) -> Answer {
    let path = format!("/v2/models/{path}/infer");
    server.send("POST", &path, &JSON, Some(body.to_string().as_bytes()))
}

/// The code of a refusal, which has its words in the protocol's member too.
fn refused(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.json()["error"], answer.json()["detail"]);
    answer.refusal()
}

#[test]
fn texts_become_tensors_of_what_the_other_door_says_of_them() {
    let server = Server::start(&[]);
    let texts = ["good", "bad the", "great hate love"];
    let body = json!({"id": "a1", "inputs": [tensor(&texts)], "parameters": {"language": "en"}});
    for path in ["english", "english/versions/1"] {
        let answer = infer(&server, path, &body);
        assert_eq!(answer.status, 200, "{}", answer.shown());
        assert!(answer.header("server-timing").is_some());
        let found = answer.json();
        assert_eq!(found["model_name"], "english");
        assert_eq!(found["model_version"], "1");
        assert_eq!(found["id"], "a1");
        let outputs = found["outputs"].as_array().unwrap();
        let names: Vec<&Value> = outputs.iter().map(|output| &output["name"]).collect();
        assert_eq!(names, ["label", "score", "raw_score"]);
        let results = server.post(&json!({"texts": texts})).json();
        for (at, result) in results["results"].as_array().unwrap().iter().enumerate() {
            for output in outputs {
                assert_eq!(output["shape"], json!([3]));
                let (name, value) = (output["name"].as_str().unwrap(), &output["data"][at]);
                match value.as_f64() {
                    Some(value) => {
                        assert!(
                            (value - result[name].as_f64().unwrap()).abs() < 1e-5,
                            "{name}"
                        );
                    }
                    None => assert_eq!(*value, result[name]),
                }
            }
        }
    }
}

#[test]
fn outputs_rows_of_one_and_no_texts_are_answered_as_asked() {
    let server = Server::start(&[]);
    let mut column = tensor(&[]);
    column["shape"] = json!([2, 1]);
    column["data"] = json!([["최고"], ["최악"]]);
    let outputs = json!([{"name": "raw_score"}, {"name": "label", "parameters": {}}]);
    let answer = infer(
        &server,
        "korean",
        &json!({"inputs": [column], "outputs": outputs}),
    )
    .json();
    assert_eq!(answer.get("id"), None);
    let outputs = answer["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2);
    assert_eq!(
        (&outputs[0]["name"], &outputs[0]["shape"]),
        (&json!("raw_score"), &json!([2, 1]))
    );
    assert_eq!(outputs[1]["data"], json!(["positive", "negative"]));
    let none = infer(&server, "korean", &json!({"inputs": [tensor(&[])]})).json();
    assert_eq!(none["outputs"][1]["data"], json!([]));
}

#[test]
fn a_client_learns_what_is_there() {
    let server = Server::start(&[]);
    let about = server.get("/v2").json();
    assert_eq!(about["name"], "sentiment");
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(server.get("/v2/health/live").json(), json!({"live": true}));
    assert_eq!(
        server.get("/v2/health/ready").json(),
        json!({"ready": true})
    );
    for path in ["/v2/models/korean", "/v2/models/korean/versions/1"] {
        let model = server.get(path).json();
        assert_eq!(
            (&model["name"], &model["versions"]),
            (&json!("korean"), &json!(["1"]))
        );
        let signature = |name, datatype| json!({"name": name, "datatype": datatype, "shape": [-1]});
        assert_eq!(model["inputs"], json!([signature("text", "BYTES")]));
        let outputs = ["label", "score", "raw_score"]
            .iter()
            .zip(["BYTES", "FP64", "FP64"]);
        let outputs: Vec<Value> = outputs.map(|(name, kind)| signature(name, kind)).collect();
        assert_eq!(model["outputs"], json!(outputs));
        let ready = server.get(&format!("{path}/ready")).json();
        assert_eq!(
            ready,
            json!({"name": "korean", "version": "1", "ready": true})
        );
    }
    let text = server.get("/metrics").text().to_owned();
    assert!(
        text.contains(r#"route="/v2/models/{name}/versions/{version}/ready""#),
        "{text}"
    );
}

#[test]
fn a_model_or_version_that_does_not_serve_is_unknown_to_every_path() {
    let server = Server::start(&[]);
    let body = json!({"inputs": [tensor(&["good"])]});
    for model in [
        "nobody",
        "english@1",
        "English",
        "english/versions/2",
        "english/versions/x",
    ] {
        for path in ["", "/ready"] {
            let answer = server.get(&format!("/v2/models/{model}{path}"));
            assert_eq!(
                refused(&answer),
                (404, "unknown_model".into()),
                "{model}{path}"
            );
        }
        let answer = infer(&server, model, &body);
        assert_eq!(refused(&answer), (404, "unknown_model".into()), "{model}");
    }
    let answer = server.get("/v2/models/%ff");
    assert_eq!(refused(&answer), (404, "not_found".into()));
}

#[test]
fn a_model_that_cannot_be_loaded_is_not_ready() {
    let room = Room::of(&[ENGLISH, KOREAN]);
    room.write("models/korean/1/model.onnx", "broken");
    let server = Server::of(room, &[]);
    for path in [
        "/v2/health/ready",
        "/v2/models/korean",
        "/v2/models/korean/versions/1/ready",
    ] {
        assert_eq!(
            refused(&server.get(path)),
            (503, "not_ready".into()),
            "{path}"
        );
    }
    assert!(server.get("/v2/health/ready").json()["reasons"].is_array());
    assert_eq!(server.get("/v2/models/english/ready").status, 200);
    let body = json!({"inputs": [tensor(&["최고"])]});
    assert_eq!(
        refused(&infer(&server, "korean", &body)),
        (503, "not_ready".into())
    );
}

#[test]
fn a_request_that_is_none_is_refused_in_both_shapes_of_error() {
    let server = Server::start(&["--max-items", "3", "--max-characters", "10"]);
    let with = |name: &str, value: Value| {
        let mut input = tensor(&["good", "bad"]);
        input[name] = value;
        json!({"inputs": [input]})
    };
    let invalid = [
        with("shape", json!([3])),
        with("shape", json!([1])),
        with("shape", json!([2, 2])),
        with("shape", json!([1, 2])),
        with("shape", json!([])),
        with("shape", json!([-1])),
        with("shape", json!(2)),
        with("datatype", json!("FP32")),
        with("name", json!("texts")),
        with("data", json!(["good", 1])),
        with("data", json!(["good", null])),
        with("data", json!(["good", ["bad", "bad"]])),
        with("data", json!("good")),
        with("extra", json!(1)),
        with("parameters", json!([])),
        json!({"inputs": []}),
        json!({"inputs": [tensor(&["good"]), tensor(&["good"])]}),
        json!({"inputs": [tensor(&["good"])], "outputs": [{"name": "logit"}]}),
        json!({"inputs": [tensor(&["good"])], "outputs": [{"name": "label"}, {"name": "label"}]}),
        json!({"text": "good"}),
        json!([]),
    ];
    for body in invalid {
        let answer = infer(&server, "english", &body);
        assert_eq!(refused(&answer), (422, "invalid_request".into()), "{body}");
    }
    for (body, place) in [
        (with("shape", json!([-1])), "inputs[0].shape[0]: "),
        (with("datatype", json!(1)), "inputs[0].datatype: "),
        (json!({"id": 1, "inputs": []}), "id: "),
    ] {
        let detail = infer(&server, "english", &body).detail();
        assert!(detail.starts_with(place), "{detail}");
    }
    let nowhere = server.get("/v2/repository/index");
    assert_eq!(refused(&nowhere), (404, "not_found".into()));
    let of = |texts: &[&str]| infer(&server, "english", &json!({"inputs": [tensor(texts)]}));
    assert_eq!(of(&["good", "bad", "the"]).status, 200);
    let many = of(&["good", "bad", "the", "it"]);
    assert_eq!(refused(&many), (422, "too_many_items".into()));
    for (text, code) in [
        ("", "empty_text"),
        ("unheard", "empty_text"),
        ("good good good", "text_too_long"),
    ] {
        let answer = of(&["good", text]);
        assert_eq!(refused(&answer), (422, code.into()), "{text}");
        assert!(
            answer.detail().starts_with("text 1: "),
            "{}",
            answer.detail()
        );
    }
    let path = "/v2/models/english/infer";
    let answer = server.send("POST", path, &JSON, Some(b"{"));
    assert_eq!(refused(&answer), (400, "malformed_json".into()));
    let binary = [JSON[0], ("inference-header-content-length", "2")];
    for headers in [&[("content-type", "text/plain")][..], &binary] {
        let answer = server.send("POST", path, headers, Some(b"{}"));
        assert_eq!(refused(&answer), (415, "unsupported_media_type".into()));
    }
    // Triton's client sends no content-type with its JSON.
    let body = json!({"inputs": [tensor(&["good"])]}).to_string();
    let answer = server.send("POST", path, &[], Some(body.as_bytes()));
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let answer = server.raw("DELETE", path, &[], "");
    assert_eq!(refused(&answer), (405, "method_not_allowed".into()));
}

#[test]
fn an_id_comes_back_and_is_no_longer_than_it_may_be() {
    let server = Server::start(&[]);
    let with = |length: usize| {
        let body = json!({"id": "x".repeat(length), "inputs": [tensor(&["good"])]});
        infer(&server, "english", &body)
    };
    assert_eq!(with(1024).json()["id"], "x".repeat(1024));
    let (status, code) = refused(&with(1025));
    assert_eq!((status, &*code), (422, "invalid_request"));
}

#[test]
fn limits_and_keys_are_those_of_the_other_paths() {
    let server = Server::start(&["--queue", "2", "--max-body", "400"]);
    let of = |texts: &[&str]| infer(&server, "english", &json!({"inputs": [tensor(texts)]}));
    assert_eq!(refused(&of(&["good"; 3])), (503, "overloaded".into()));
    assert_eq!(of(&["good"; 2]).status, 200);
    assert_eq!(refused(&of(&["good"; 60])), (413, "body_too_large".into()));

    let room = Room::of(&[ENGLISH]);
    room.write("keys", "key-0123456789abcdef\n");
    let server = Server::of(room, &["--api-key-file", "keys"]);
    let answer = server.raw("POST", "/v2/models/english/infer", &[], "");
    assert_eq!(refused(&answer), (401, "unauthorized".into()));
    assert_eq!(server.get("/v2/health/live").status, 200);

    let server = Server::start(&["--deadline", "1ms", "--max-characters", "100000000"]);
    let answer = infer(
        &server,
        "english",
        &json!({"inputs": [tensor(&[&"good ".repeat(1 << 20)])]}),
    );
    assert_eq!(refused(&answer), (504, "deadline_exceeded".into()));
}

#[test]
fn a_server_that_stops_is_alive_and_not_ready() {
    let server = Server::start(&["--lame-duck", "1m"]);
    let mut wire = server.wire();
    server.signal("TERM");
    let mut ask = |path: &str| {
        wire.write(head("GET", path, &[]));
        wire.answer("GET")
    };
    // The signal takes a moment to arrive.
    while ask("/v2/health/ready").status == 200 {}
    let _ = ask;
    let answer = server.get("/v2/health/ready");
    assert_eq!(refused(&answer), (503, "draining".into()));
    assert_eq!(server.get("/v2/health/live").status, 200);
}
