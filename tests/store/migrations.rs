//! Migrations: by several processes at once, and under an older program.

use sentiment::store::{JobState, Store, StoreError};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

use crate::{Database, LONG, claim, claim_when_over, job, on_both};

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

/// What a program says that knows the first migration and no other.
const BEFORE: &str = include_str!("../fixtures/store/before_migration_2.sql");

#[test]
fn what_an_older_program_says_finds_the_same_rows_after_later_migrations() {
    on_both(async |database| {
        let new = database.store();
        new.ready().await.unwrap();
        old_program(&database).await;
        let first = format!("{:032}", 1).parse().unwrap();
        let found = new.job(&first).await.unwrap().unwrap();
        assert_eq!(
            (found.state, found.attempts),
            (JobState::Succeeded, 1),
            "{found:?}"
        );
        assert_eq!(new.active().await.unwrap()[0].version, 7);
        // And a new program takes over what the old one has lost.
        let lease = claim_when_over(&new, LONG).await;
        assert_eq!((lease.job.name.as_str(), lease.job.attempts), ("lost", 1));
    });
}

async fn old_program(database: &Database) {
    let mut connection = AnyConnection::connect(&database.url).await.unwrap();
    let (now, skip_locked) = match database.url.starts_with("sqlite") {
        true => ("cast(unixepoch('subsec') * 1000 as integer)", ""),
        false => (
            "(extract(epoch from clock_timestamp()) * 1000)::bigint",
            "for update skip locked",
        ),
    };
    let expired = "(lease_until_ms < {now} or lease_until_ms - {now} > lease_ms)";
    let said = BEFORE
        .replace("{expired}", expired)
        .replace("{now}", now)
        .replace("{skip_locked}", skip_locked);
    let mut lines = said.lines().skip(1).filter(|line| !line.is_empty());
    let mut count = 0;
    while let (Some(remark), Some(statement)) = (lines.next(), lines.next()) {
        let rows: u64 = remark.rsplit(": ").next().unwrap().parse().unwrap();
        let safe = AssertSqlSafe(statement);
        let answers = statement.starts_with("select") || statement.contains(" returning ");
        let found = match answers {
            true => connection.fetch_all(safe).await.map(|f| f.len() as u64),
            false => connection.execute(safe).await.map(|d| d.rows_affected()),
        };
        assert_eq!(found.unwrap(), rows, "{remark}");
        count += 1;
    }
    assert_eq!(count, BEFORE.matches(';').count());
}

#[test]
fn a_program_that_cannot_migrate_keeps_no_other_from_it() {
    on_both(async |database| {
        database.store().ready().await.unwrap();
        let known = "update _sqlx_migrations set checksum = ";
        let other = match database.is_postgres() {
            true => "sha224('other') where version = 1",
            false => "x'00' where version = 1",
        };
        database
            .execute("create table kept as select * from _sqlx_migrations")
            .await;
        database.execute(&format!("{known}{other}")).await;
        // It stays alive, as a server would.
        let failing = database.store();
        let refused = failing.ready().await.unwrap_err();
        assert!(matches!(refused, StoreError::Migration(_)), "{refused}");
        let back = "(select checksum from kept where version = 1) where version = 1";
        database.execute(&format!("{known}{back}")).await;
        database.store().ready().await.unwrap();
        failing.ready().await.unwrap();
    });
}

#[test]
fn a_migration_may_wait_for_longer_than_a_statement() {
    on_both(async |database| {
        if !database.is_postgres() {
            return;
        }
        // What a migration of another program holds, for longer than any statement may take.
        let mut other = AnyConnection::connect(&database.url).await.unwrap();
        other
            .execute("create table public._sqlx_migrations (version bigint primary key, description text not null, \
                 installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null, \
                 execution_time bigint not null)")
            .await
            .unwrap();
        other.execute("begin").await.unwrap();
        other
            .execute("lock table _sqlx_migrations in access exclusive mode")
            .await
            .unwrap();
        let store = database.store();
        let waiting = store.ready().await.unwrap_err();
        assert!(matches!(waiting, StoreError::Database(_)), "{waiting}");
        other.execute("commit").await.unwrap();
        store.ready().await.unwrap();
    });
}

#[tokio::test]
async fn a_store_keeps_its_password_to_itself() {
    let store = Store::new("postgres://team:zqxjkv@db/sentiment").unwrap();
    assert!(!format!("{store:?}").contains("zqxjkv"));
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
