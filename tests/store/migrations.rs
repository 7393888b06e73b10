//! Migrations: by several processes at once, and under an older program.

use sentiment::store::Store;

use crate::{LONG, claim, job, on_both};

#[test]
fn several_processes_migrate_one_database_at_once() {
    on_both(async |database| {
        let mut starts = Vec::new();
        for _ in 0..4 {
            let store = database.store();
            starts.push(tokio::spawn(async move { store.ready().await }));
        }
        for start in starts {
            start.await.unwrap().unwrap();
        }
    });
}

#[test]
fn an_older_program_works_on_with_what_a_newer_one_has_added() {
    on_both(async |database| {
        let old = database.store();
        old.ready().await.unwrap();
        old.enqueue(&job("shop")).await.unwrap();
        // What the next migration of a newer program may do.
        for statement in [
            "alter table training_jobs add column priority bigint not null default 0",
            "create table reviews (id text primary key)",
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
             values (9999, 'newer', true, 'x', 0)",
        ] {
            database.execute(statement).await;
        }
        assert!(claim(&old, LONG).await.is_some(), "it runs on");
        let restarted = database.store();
        restarted.enqueue(&job("shop")).await.unwrap();
        assert!(claim(&restarted, LONG).await.is_some(), "and starts again");
    });
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_and_no_reason_not_to_start() {
    let store = Store::new("postgres://nobody@127.0.0.1:1/none").unwrap();
    assert!(store.ready().await.is_err());
    assert!(store.ping().await.is_err());
    for url in ["mysql://db", "sqlite::memory:", "sqlite://", "db"] {
        assert!(Store::new(url).is_err(), "{url}");
    }
}
