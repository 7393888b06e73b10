//! Who may ask: keys, the administrator's token, pages from elsewhere, and the port for operations.

use serde_json::json;

use crate::program::Room;
use crate::server::Server;
use crate::small::{ENGLISH, KOREAN};
use crate::wire::{Answer, Wire, head};

const KEY: &str = "key-zqxjkv-0123456789";
const OTHER: &str = "key-other-0123456789";
const TOKEN: &str = "token-zqxjkv-0123456789";
const OPEN: [&str; 8] = [
    "/healthz",
    "/readyz",
    "/v2/health/live",
    "/v2/health/ready",
    "/metrics",
    "/docs",
    "/openapi.yaml",
    "/",
];

fn guarded(flags: &[&str]) -> Server {
    let room = Room::of(&[ENGLISH, KOREAN]);
    room.write("keys", format!("# ours\n\n{KEY}\n{OTHER}\n"));
    room.write("token", format!("{TOKEN}\n"));
    let fixed = [
        "--api-key-file",
        "keys",
        "--admin-token-file",
        "token",
        "--log-level",
        "debug",
    ];
    Server::of(room, &[&fixed[..], flags].concat())
}

fn ask(server: &Server, authorization: &[&str]) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.iter().map(|value| ("authorization", *value)));
    let body = json!({"text": "good"}).to_string();
    let length = body.len().to_string();
    headers.push(("content-length", &length));
    server.raw("POST", "/v1/sentiment", &headers, body)
}

#[test]
fn only_a_known_key_opens_the_api_and_nothing_shows_it() {
    let server = guarded(&[]);
    for key in [KEY, OTHER, TOKEN] {
        for scheme in ["Bearer", "bearer"] {
            let answer = ask(&server, &[&format!("{scheme} {key}")]);
            assert_eq!(answer.status, 200, "{key}");
        }
    }
    let wrong = format!("Bearer {KEY}x");
    let [known, basic] = [format!("Bearer {KEY}"), format!("Basic {KEY}")];
    for given in [
        &[][..],
        &[wrong.as_str()],
        &[&basic],
        &[KEY],
        &["Bearer"],
        &["Bearer "],
        &["Bearer # ours"],
        &[&known, &known],
    ] {
        let answer = ask(&server, given);
        assert_eq!(answer.refusal(), (401, "unauthorized".into()), "{given:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(!answer.text().contains("zqxjkv"));
    }
    for path in OPEN {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    // The pages then have a field for a key.
    for path in ["/", "/docs"] {
        let page = server.get(path);
        assert!(page.text().contains("data-server=\"keyed\""), "{path}");
    }
    for path in [
        "/v1/models",
        "/v1/models/english",
        "/v2",
        "/v2/models/english",
        "/nowhere",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.refusal(), (401, "unauthorized".into()), "{path}");
    }
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains(r#"reason="unauthorized""#));
    assert!(!metrics.text().contains("zqxjkv"));
    let log = server.stopped();
    assert!(!log.contains("zqxjkv"), "{log}");
}

#[test]
fn a_key_that_comes_too_often_is_told_when_to_come_again_and_others_are_not() {
    let server = guarded(&["--rate-limit", "1"]);
    let [key, other] = [KEY, OTHER].map(|key| format!("Bearer {key}"));
    let first = ask(&server, &[&key]);
    assert_eq!(first.status, 200);
    // The second of the two comes within a second, unless the machine sleeps; then another does.
    let refused = (0..100)
        .map(|_| ask(&server, &[&key]))
        .find(|answer| answer.status != 200)
        .unwrap();
    assert_eq!(refused.refusal(), (429, "rate_limited".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(ask(&server, &[&other]).status, 200);
    assert_eq!(ask(&server, &[&format!("Bearer {TOKEN}")]).status, 200);
}

#[test]
fn what_load_balancers_and_scrapers_ask_can_have_a_port_of_its_own() {
    let room = Room::of(&[ENGLISH]);
    let mut server = Server::of(room, &["--ops-listen", "127.0.0.1:0"]);
    let said = server.log().lines().find_map(|line| {
        let (_, address) = line.split_once("operations on http://")?;
        address.parse().ok()
    });
    let operations = said.unwrap();
    let status = |address, path| {
        let mut wire = Wire::connect(address);
        wire.write(head("GET", path, &[]));
        wire.answer("GET").status
    };
    for path in OPEN {
        assert_eq!(status(server.address, path), 404, "{path}");
        assert_eq!(status(operations, path), 200, "{path}");
    }
    assert_eq!(status(operations, "/v1/models"), 404);
    for path in ["/", "/docs"] {
        let mut wire = Wire::connect(operations);
        wire.write(head("GET", path, &[]));
        let page = wire.answer("GET");
        assert!(page.text().contains("data-server=\"apart\""), "{path}");
    }
    assert_eq!(server.post(&json!({"text": "good"})).status, 200);

    // While the API finishes, the other port still answers.
    let mut slow = server.wire();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", "16"),
        ("expect", "100-continue"),
    ];
    slow.write(head("POST", "/v1/sentiment", &headers));
    assert_eq!(slow.answer("POST").status, 100);
    server.signal("TERM");
    server.logged("shutting down");
    let mut wire = Wire::connect(operations);
    wire.write(head("GET", "/readyz", &[]));
    assert_eq!(wire.answer("GET").refusal(), (503, "draining".into()));
    slow.write(r#"{"text": "good"}"#);
    assert_eq!(slow.answer("POST").status, 200);
    let (status, log) = server.ended();
    assert!(status.success(), "{status}\n{log}");
}

#[test]
fn pages_from_elsewhere_may_ask_only_where_a_flag_lists_them() {
    let allowed = |flags: &[&str], origin: &str| {
        let server = Server::start(flags);
        let headers = [("origin", origin)];
        let answer = server.raw("GET", "/healthz", &headers, "");
        let name = "access-control-allow-origin";
        answer.header(name).map(str::to_owned)
    };
    let shop = "https://shop.example";
    let listed = ["--cors-origin", "https://a.example,https://shop.example"];
    assert_eq!(allowed(&[], shop), None);
    assert_eq!(allowed(&listed, shop).as_deref(), Some(shop));
    assert_eq!(allowed(&listed, "https://evil.example"), None);
    assert_eq!(allowed(&["--cors-origin", "*"], shop).as_deref(), Some("*"));

    // A browser asks before it sends a key, and without one.
    let server = guarded(&listed);
    let mut wire = server.wire();
    let asks = [
        ("origin", shop),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,idempotency-key",
        ),
    ];
    wire.write(head("OPTIONS", "/v1/sentiment", &asks));
    let answer = wire.answer("OPTIONS");
    assert_eq!(answer.status, 200);
    let headers = answer.header("access-control-allow-headers").unwrap();
    for name in ["authorization", "content-encoding", "idempotency-key"] {
        assert!(headers.contains(name), "{headers}");
    }
}

#[test]
fn secrets_that_cannot_be_used_stop_the_start_without_being_shown() {
    let room = Room::of(&[ENGLISH]);
    for (flag, text, words) in [
        ("--api-key-file", "", "no key"),
        ("--api-key-file", "# zqxjkv\n", "no key"),
        ("--api-key-file", "zqxjkv\n", "line 1"),
        ("--api-key-file", "\nkey with a space zqxjkv\n", "line 2"),
        (
            "--admin-token-file",
            "token-zqxjkv-0123456789\nother-zqxjkv-0123456789\n",
            "one token",
        ),
    ] {
        room.write("secrets", text);
        let output = room.serve(&[flag, "secrets"]).output().unwrap();
        let said = crate::program::stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("secrets") && said.contains(words), "{said}");
        assert!(!said.contains("zqxjkv"), "{said}");
    }
    let output = room.serve(&["--api-key-file", "gone"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_key_is_known_and_still_not_an_administrators_token() {
    let server = guarded(&[]);
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    let answer = server.raw("GET", "/v1/training/jobs", &headers, "");
    assert_eq!(answer.refusal(), (403, "forbidden".into()));
}
