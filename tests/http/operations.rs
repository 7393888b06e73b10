//! What every path and every request has: its methods, an id, a line in the log; and the pages for people.

use std::collections::BTreeSet;

use serde_json::json;

use crate::contract::{API, check, paths};
use crate::program::lines;
use crate::server::Server;
use crate::wire::head;

/// A path of the description with a model that is there.
fn filled(template: &str) -> String {
    template
        .replace("{name}", "english")
        .replace("{version}", "1")
        .replace("/similar", "/similar?positive=good")
        .replace("{id}", &"0".repeat(32))
}

#[test]
fn every_path_of_the_description_is_served() {
    let server = Server::start(&[]);
    for (template, methods) in paths() {
        let path = filled(template);
        if path.contains("/feedback") || path.contains("/training/") {
            // They have tests of their own; here there is no database and no administrator.
            let headers = [("content-type", "application/json")];
            for method in &methods {
                let status = server.send(method, &path, &headers, Some(b"{}")).status;
                assert!(
                    [403, 404, 503].contains(&status),
                    "{method} {path}: {status}"
                );
            }
        } else if path.ends_with("/activate") {
            assert_eq!(server.send("POST", &path, &[], Some(b"{}")).status, 403);
        } else if methods == ["POST"] {
            let tensor =
                json!({"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]});
            let body = match path.ends_with("/infer") {
                true => json!({"inputs": [tensor]}),
                false => json!({"text": "good"}),
            };
            let body = body.to_string();
            let headers = [("content-type", "application/json")];
            let answer = server.send("POST", &path, &headers, Some(body.as_bytes()));
            assert_eq!(answer.status, 200, "{path}");
        } else {
            assert_eq!(methods, ["GET"], "{path}");
            let answer = server.get(&path);
            assert_eq!(answer.status, 200, "{path}");
            assert!(!answer.body.is_empty(), "{path}");
        }
    }
    assert_eq!(
        server.get("/healthz?verbose=1").json(),
        json!({"status": "alive"})
    );
    let ready = server.get("/readyz").json();
    let models = json!([
        {"name": "english", "version": "1", "provider": "cpu"},
        {"name": "korean", "version": "1", "provider": "cpu"},
    ]);
    assert_eq!(ready, json!({"status": "ready", "models": models}));
}

#[test]
fn every_path_that_is_served_is_in_the_description() {
    // Every second piece between quotes is a literal.
    let literals = include_str!("../../src/http/mod.rs")
        .split('"')
        .skip(1)
        .step_by(2);
    let served: BTreeSet<&str> = literals.filter(|text| text.starts_with('/')).collect();
    let described: BTreeSet<&str> = paths().map(|(path, _)| path).collect();
    assert!(served.len() > 10, "{served:?}");
    let missing: Vec<_> = served.difference(&described).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn other_methods_are_refused_with_those_that_are_not() {
    let server = Server::start(&[]);
    for (template, methods) in paths() {
        let path = filled(template);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            if methods.iter().any(|taken| taken == method) {
                continue;
            }
            let answer = server.raw(method, &path, &[("content-length", "0")], "");
            assert_eq!(
                answer.refusal(),
                (405, "method_not_allowed".into()),
                "{method} {path}"
            );
        }
    }
    let answer = server.raw("HEAD", "/v1/sentiment", &[], "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start(&[]);
    let asked = [("x-request-id", "a1")];
    let open = |path: &str| !path.contains("/training/");
    let gets = paths().filter(|(path, methods)| methods == &["GET"] && open(path));
    let found = gets.map(|(template, _)| filled(template));
    let lost = ["/nowhere", "/v1/models/nobody"].map(String::from);
    for path in found.chain(lost) {
        if path == "/metrics" {
            // It is longer every time.
            continue;
        }
        let mut wire = server.wire();
        wire.write(head("HEAD", &path, &asked));
        let bare = wire.answer("HEAD");
        check("HEAD", &path, &bare);
        // On the same connection, so that a body after all would be read as this answer.
        wire.write(head("GET", &path, &asked));
        let full = wire.answer("GET");
        check("GET", &path, &full);
        assert_eq!(bare.status, full.status, "{path}");
        for name in ["content-type", "content-length", "x-request-id"] {
            assert_eq!(bare.header(name), full.header(name), "{path}: {name}");
        }
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let server = Server::start(&[]);
    for path in [
        "/nowhere",
        "/v1",
        "/v1/sentiment/",
        "//",
        "/v2/health",
        "/v2/models",
        "/docs/",
        "/%ff",
    ] {
        for method in ["GET", "DELETE"] {
            let answer = server.raw(method, path, &[], "");
            assert_eq!(
                answer.refusal(),
                (404, "not_found".into()),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let server = Server::start(&[]);
    let longest = "x".repeat(128);
    let id_of = |headers: &[(&str, &str)]| {
        let answer = server.raw("GET", "/healthz", headers, "");
        let id = answer.header("x-request-id").unwrap().to_owned();
        let refused = server.raw("GET", "/nowhere", headers, "");
        assert_eq!(
            refused.json()["request_id"],
            refused.header("x-request-id").unwrap()
        );
        id
    };
    for sane in ["a", "5f0c3a9d-1b7e", "a.b:c/d+e=f@g_h", &longest] {
        assert_eq!(id_of(&[("x-request-id", sane)]), sane);
    }
    let too_long = format!("{longest}x");
    let mut seen = BTreeSet::new();
    for wrong in ["", "a b", "a\"b", "a{b", "아이디", &too_long] {
        let id = id_of(&[("x-request-id", wrong)]);
        assert_eq!(id.len(), 32, "{wrong:?}");
        seen.insert(id);
    }
    seen.insert(id_of(&[]));
    seen.insert(id_of(&[("x-request-id", "a"), ("x-request-id", "b")]));
    assert_eq!(seen.len(), 8);
}

#[test]
fn each_request_has_one_line_in_the_log_and_no_text_is_ever_in_it() {
    let secret = "zqxjkv";
    let flags = [
        "--log-format",
        "json",
        "--log-level",
        "debug",
        "--max-characters",
        "40",
    ];
    let server = Server::start(&flags);
    let bodies = [
        json!({"text": format!("good {secret}")}).to_string(),
        json!({"text": secret}).to_string(),
        json!({"texts": ["good", secret, format!("{secret} {}", "x".repeat(40))]}).to_string(),
        json!({"reviews": [{"id": secret, "text": format!("bad {secret}")}]}).to_string(),
        json!({"text": secret, "model": secret}).to_string(),
        json!({"text": [secret]}).to_string(),
        json!({"texts": secret}).to_string(),
        format!("{{\"text\": \"{secret}"),
        format!("{secret}: 1"),
    ];
    for (at, body) in bodies.iter().enumerate() {
        let id = format!("request-{at}");
        let headers = [
            ("content-type", "application/json"),
            ("x-request-id", id.as_str()),
        ];
        server.send("POST", "/v1/sentiment", &headers, Some(body.as_bytes()));
    }
    server.get(&format!("/{secret}?{secret}={secret}"));
    let path = format!("/v1/sentiment?text={secret}");
    let refused = server.send(
        "POST",
        &path,
        &[("content-type", "application/json")],
        Some(b"{}"),
    );
    assert!(refused.detail().starts_with("query \"text\"") && !refused.detail().contains(secret));
    let log = server.stopped();
    assert!(!log.contains(secret), "{log}");
    for at in 0..bodies.len() {
        let id = format!("request-{at}");
        let mut lines = lines(log.as_bytes());
        lines.retain(|line| line["request_id"] == id);
        assert_eq!(lines.len(), 1, "{id}: {log}");
        assert_eq!(lines[0]["target"], "access");
        assert_eq!(
            (&lines[0]["method"], &lines[0]["route"]),
            (&json!("POST"), &json!("/v1/sentiment"))
        );
        let status = lines[0]["status"].as_u64().unwrap();
        assert_eq!(status == 200, lines[0]["code"] == "", "{}", lines[0]);
        assert!(lines[0]["microseconds"].is_u64(), "{}", lines[0]);
    }
}

#[test]
fn the_description_is_the_one_that_was_built_in() {
    let server = Server::start(&[]);
    let served: serde_json::Value =
        serde_norway::from_str(server.get("/openapi.yaml").text()).unwrap();
    assert_eq!(served, *API);
    assert_eq!(API["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_pages_need_nothing_from_elsewhere() {
    let server = Server::start(&[]);
    for path in ["/", "/docs"] {
        let page = server.get(path);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("connect-src 'self'"), "{policy}");
        let html = page.text();
        for elsewhere in [
            "src=",
            "href=\"http",
            "href=\"//",
            "@import",
            "url(",
            "innerHTML",
            "{{",
        ] {
            assert!(!html.contains(elsewhere), "{path} has {elsewhere}");
        }
        for part in [
            "<html lang=\"en\">",
            "name=\"viewport\"",
            "<title>",
            "<main",
            ":focus-visible",
        ] {
            assert!(html.contains(part), "{path} lacks {part}");
        }
    }
}

#[test]
fn the_page_of_the_api_holds_the_description_and_explains_every_code() {
    let server = Server::start(&[]);
    let page = server.get("/docs");
    let start = "<script type=\"application/json\" id=\"api\">";
    let (_, rest) = page.text().split_once(start).unwrap();
    let (api, _) = rest.split_once("</script>").unwrap();
    let api: serde_json::Value = serde_json::from_str(api).unwrap();
    assert_eq!(api, *API);
    let codes: BTreeSet<&str> = api["components"]["schemas"]["Code"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code["const"].as_str().unwrap())
        .collect();
    assert_eq!(codes.len(), 24);
    let refused = server.post(&json!({"text": ""})).json();
    let (_, anchor) = refused["type"].as_str().unwrap().split_once('#').unwrap();
    assert!(codes.contains(anchor), "{anchor}");
}
