//! A database that is slow, locked or late keeps no text from its answer.

use std::net::TcpListener;

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::jobs::{admin, recipe, wait_for, with_store};
use crate::program::Room;
use crate::server::Server;
use crate::small::ENGLISH;
use crate::wire::Answer;

fn feed_back(server: &Server) -> Answer {
    let body = json!({"text": "good", "label": "positive"}).to_string();
    let headers = [("content-type", "application/json")];
    server.send("POST", "/v1/feedback", &headers, Some(body.as_bytes()))
}

fn answers(server: &Server) {
    assert_eq!(server.post(&json!({"text": "good"})).status, 200);
    assert_eq!(server.get("/readyz").status, 200);
}

fn details(server: &Server) -> Value {
    server.get("/readyz").json()["details"].clone()
}

#[test]
fn a_database_that_takes_connections_and_says_nothing_is_told_of() {
    // The system takes connections, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/none", silent.local_addr().unwrap());
    let server = Server::of(Room::of(&[ENGLISH]), &["--database", &url]);
    answers(&server);
    wait_for(|| details(&server)[0].is_string());
    assert_eq!(
        feed_back(&server).refusal(),
        (503, "store_unavailable".into())
    );
    answers(&server);
}

#[test]
fn a_locked_database_refuses_what_it_would_keep_until_it_is_free() {
    let server = with_store(&[]);
    assert_eq!(feed_back(&server).status, 201);
    let path = server.room().path("data/sentiment.db");
    let url = format!("sqlite://{}", path.display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    sqlx::any::install_default_drivers();
    let mut other = runtime
        .block_on(sqlx::AnyConnection::connect(&url))
        .unwrap();
    runtime.block_on(other.execute("begin exclusive")).unwrap();
    answers(&server);
    assert_eq!(
        feed_back(&server).refusal(),
        (503, "store_unavailable".into())
    );
    answers(&server);
    runtime.block_on(other.execute("rollback")).unwrap();
    assert_eq!(feed_back(&server).status, 201);
}

#[test]
fn a_database_that_comes_later_is_migrated_then() {
    let room = Room::of(&[ENGLISH]);
    // A file where its folder should be.
    room.write("later", "");
    room.write("token", crate::jobs::TOKEN);
    let flags = [
        "--database",
        "sqlite://later/jobs.db",
        "--admin-token-file",
        "token",
    ];
    let server = Server::of(room, &flags);
    answers(&server);
    wait_for(|| details(&server)[0].is_string());
    assert_eq!(
        feed_back(&server).refusal(),
        (503, "store_unavailable".into())
    );
    std::fs::remove_file(server.room().path("later")).unwrap();
    wait_for(|| details(&server).is_null());
    let body = json!({"recipe": recipe(1), "data": ["shop.tsv"]});
    let answer = admin(&server, "POST", "/v1/training/jobs", Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.shown());
}
