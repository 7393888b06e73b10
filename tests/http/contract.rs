//! openapi.yaml as a judge: an answer that it does not describe fails the test that asked for it.

use std::sync::LazyLock;

use sentiment::recipe::Recipe;
use serde_json::{Value, json};

use crate::wire::Answer;

/// The description, as the repository has it. What is in it twice is refused here, where JSON would take the last.
pub static API: LazyLock<Value> = LazyLock::new(|| {
    let yaml: serde_norway::Value =
        serde_norway::from_str(include_str!("../../openapi.yaml")).unwrap();
    serde_json::to_value(yaml).unwrap()
});

/// What every answer tells a browser.
const GUARDS: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
];

/// Fails unless the answer is one that openapi.yaml has for this method and path.
pub fn check(method: &str, target: &str, answer: &Answer) {
    let path = path_of(target);
    let of = format!("{method} {target} -> {} {}", answer.status, answer.shown());
    let described = described(method, path, answer, &of);
    check_headers(described, answer, &of);
    if answer.status == 204 {
        assert!(answer.body.is_empty(), "{of}: a body");
        return;
    }
    let Some(kind) = answer.header("content-type") else {
        panic!("{of}: no content-type");
    };
    let kind = kind.split(';').next().unwrap();
    let media = &described["content"][kind];
    assert!(media.is_object(), "{of}: {kind} is not described");
    if method == "HEAD" {
        assert!(answer.body.is_empty(), "{of}: a body");
    } else if kind == "application/x-ndjson" {
        let schema = json!({"oneOf": [
            {"$ref": "#/components/schemas/Result"},
            {"$ref": "#/components/schemas/LineError"},
        ]});
        for line in answer.text().lines() {
            let line = serde_json::from_str(line).unwrap();
            assert!(validator(&schema).is_valid(&line), "{of}: {line}");
        }
    } else if kind.ends_with("json") {
        let body = answer.json();
        conforms(&media["schema"], &body, &of);
        if kind == "application/problem+json" {
            let code = body["code"].as_str().unwrap();
            assert_eq!(body["type"], format!("/docs#{code}"), "{of}");
            assert_eq!(body["status"], answer.status, "{of}");
            assert_eq!(
                body["request_id"],
                answer.header("x-request-id").unwrap(),
                "{of}"
            );
        }
    } else {
        conforms(&media["schema"], &json!(answer.text()), &of);
    }
}

/// Fails where a body is taken that its schema forbids.
pub fn check_taken(method: &str, target: &str, body: &Value, answer: &Answer) {
    let Some((template, _)) = paths().find(|(template, _)| matches(template, path_of(target)))
    else {
        return;
    };
    let operation = &API["paths"][template][method.to_lowercase()];
    if operation.is_object() && answer.status < 300 {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        conforms(schema, body, &format!("what {method} {target} took"));
    }
}

/// Fails where a request for sentiments is refused that its schema allows.
pub fn check_refused(body: &Value, answer: &Answer) {
    if answer.status == 422 && answer.json()["code"] == "invalid_request" {
        let schema = json!({"$ref": "#/components/schemas/SentimentRequest"});
        let valid = validator(&schema).is_valid(body);
        assert!(!valid, "refused, and the schema allows it: {body}");
    }
}

/// Every path of the description with the methods that it takes, in capitals.
pub fn paths() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let paths = API["paths"].as_object().unwrap();
    paths.iter().map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        (
            path.as_str(),
            methods.map(|name| name.to_uppercase()).collect(),
        )
    })
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap()
}

fn described(method: &str, path: &str, answer: &Answer, of: &str) -> &'static Value {
    let Some((template, methods)) = paths().find(|(template, _)| matches(template, path)) else {
        if answer.status == 401 {
            return &API["components"]["responses"]["Unauthorized"];
        }
        assert_eq!(answer.status, 404, "{of}: the path is not described");
        return &API["components"]["responses"]["NotFound"];
    };
    let asked = if method == "HEAD" { "GET" } else { method };
    if !methods.iter().any(|known| known == asked) {
        assert_eq!(answer.status, 405, "{of}: the method is not described");
        let mut allowed: Vec<&str> = answer.header("allow").unwrap().split(',').collect();
        allowed.retain(|name| *name != "HEAD" || !methods.contains(&"GET".to_owned()));
        assert_eq!(allowed, methods, "{of}");
        return &API["components"]["responses"]["MethodNotAllowed"];
    }
    // What access alone decides is the same everywhere.
    let anywhere = match answer.status {
        401 => Some("Unauthorized"),
        403 => Some("Forbidden"),
        429 => Some("RateLimited"),
        _ => None,
    };
    if let Some(name) = anywhere {
        return &API["components"]["responses"][name];
    }
    let responses = &API["paths"][template][asked.to_lowercase()]["responses"];
    let response = &responses[answer.status.to_string()];
    assert!(response.is_object(), "{of}: the status is not described");
    resolved(response)
}

fn check_headers(described: &'static Value, answer: &Answer, of: &str) {
    let headers = described["headers"].as_object().unwrap();
    for (name, header) in headers {
        let header = resolved(header);
        match answer.header(name) {
            Some(value) => conforms(&header["schema"], &json!(value), of),
            None => assert_ne!(header["required"], true, "{of}: no {name}"),
        }
    }
    for name in ["retry-after", "allow", "www-authenticate"] {
        let there = answer.header(name).is_some();
        assert!(
            !there || headers.contains_key(name),
            "{of}: {name} is not described"
        );
    }
    for (name, value) in GUARDS {
        assert_eq!(answer.header(name), Some(value), "{of}");
    }
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'"), "{of}: {policy}");
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(part, found)| {
            *part == found || (part.starts_with('{') && part.ends_with('}') && !found.is_empty())
        })
}

fn resolved(thing: &'static Value) -> &'static Value {
    match thing["$ref"].as_str() {
        Some(pointer) => API.pointer(pointer.trim_start_matches('#')).unwrap(),
        None => thing,
    }
}

fn conforms(schema: &Value, instance: &Value, of: &str) {
    let validator = validator(schema);
    let errors: Vec<String> = validator
        .iter_errors(instance)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{of}\n{}", errors.join("\n"));
}

fn validator(schema: &Value) -> jsonschema::Validator {
    let root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": API["components"],
        "allOf": [schema],
    });
    jsonschema::validator_for(&root).unwrap()
}

#[test]
fn an_answer_that_is_not_described_is_noticed() {
    let answer = |status: u16, body: &Value| Answer {
        status,
        headers: [
            ("content-type", "application/json"),
            ("x-request-id", "a1"),
            ("content-security-policy", "default-src 'none'"),
        ]
        .into_iter()
        .chain(GUARDS)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect(),
        body: body.to_string().into_bytes(),
        gzip: false,
    };
    let alive = json!({"status": "alive"});
    let fails = |path: &'static str, answer: Answer| {
        std::panic::catch_unwind(|| check("GET", path, &answer)).is_err()
    };
    assert!(!fails("/healthz", answer(200, &alive)));
    assert!(fails("/healthz", answer(201, &alive)));
    assert!(fails("/healthy", answer(200, &alive)));
    assert!(fails("/v1/sentiment", answer(200, &alive)));
    assert!(fails("/healthz", answer(200, &json!({"status": "dead"}))));
    assert!(fails(
        "/healthz",
        answer(200, &json!({"status": "alive", "x": 1}))
    ));
    for without in 1..answer(200, &alive).headers.len() {
        let mut other = answer(200, &alive);
        other.headers.remove(without);
        assert!(fails("/healthz", other), "{without}");
    }
}

#[test]
fn the_examples_are_what_their_schemas_say() {
    let mut seen = 0;
    for (path, item) in API["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let responses = operation["responses"].as_object().unwrap().values();
            let bodies = responses.map(resolved).chain([&operation["requestBody"]]);
            let contents = bodies.filter_map(|body| body["content"].as_object());
            for media in contents.flat_map(|content| content.values()) {
                let several = media["examples"].as_object().into_iter().flatten();
                let examples = several.map(|(_, example)| &example["value"]);
                for example in examples.chain(media.get("example")) {
                    conforms(&media["schema"], example, path);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn every_recipe_is_as_the_manifests_schema_has_it() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recipes");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Beside templates, and word vectors and sentences that a user may have made there.
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let recipe = Recipe::load(&path).unwrap();
        let recipe = serde_json::to_value(recipe).unwrap();
        let schema = json!({"$ref": "#/components/schemas/Recipe"});
        conforms(&schema, &recipe, &path.display().to_string());
        seen += 1;
    }
    assert!(seen > 0);
}
