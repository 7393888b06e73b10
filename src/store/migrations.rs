//! The tables, brought up to date: the same numbers on both databases, each run once by whoever comes first.

use std::borrow::Cow;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Executor as _, SqlSafeStr as _, SqlStr};

use super::{Dialect, PATIENCE, StoreError};

/// How often it is tried.
const TURNS: usize = 5;

/// Number, what it does, and how each database says it.
const MIGRATIONS: [(i64, &str, &str, &str); 2] = [
    (
        1,
        "registry, jobs, feedback",
        include_str!("../../migrations/sqlite/0001_registry_jobs_feedback.sql"),
        include_str!("../../migrations/postgres/0001_registry_jobs_feedback.sql"),
    ),
    (
        2,
        "furthest",
        include_str!("../../migrations/sqlite/0002_furthest.sql"),
        include_str!("../../migrations/postgres/0002_furthest.sql"),
    ),
];

/// Runs those that the database has not seen, on a connection that ends with it: what a migration has locked is let go of
/// even if it fails, and it may take as long as large tables take.
///
/// # Errors
/// The database fails, or it was migrated by a program in which one of them reads otherwise.
pub(super) async fn run(options: AnyConnectOptions, dialect: Dialect) -> Result<(), StoreError> {
    let migration =
        |(number, what, sqlite, postgres): (i64, &'static str, &'static str, &'static str)| {
            let sql: SqlStr = match dialect {
                Dialect::Sqlite => sqlite.into_sql_str(),
                Dialect::Postgres => postgres.into_sql_str(),
            };
            Migration::new(
                number,
                Cow::Borrowed(what),
                MigrationType::Simple,
                sql,
                false,
            )
        };
    let mut migrator = Migrator::with_migrations(MIGRATIONS.map(migration).to_vec());
    // What a newer program has added is no reason to stop.
    migrator.set_ignore_missing(true);
    // SQLite knows no lock for this: of two processes one fails, and finds it done when it looks again.
    let turns = match dialect {
        Dialect::Sqlite => TURNS,
        Dialect::Postgres => 1,
    };
    let mut turn = 1;
    loop {
        match run_once(&migrator, &options, dialect).await {
            Err(_) if turn < turns => turn += 1,
            done => return done,
        }
    }
}

async fn run_once(
    migrator: &Migrator,
    options: &AnyConnectOptions,
    dialect: Dialect,
) -> Result<(), StoreError> {
    let only = AnyPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(dialect.set_up()).await?;
                connection.execute(dialect.without_limit()).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options.clone());
    let done = migrator.run(&only).await;
    only.close().await;
    Ok(done?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The statements of a migration, on a line each and without remarks.
    fn statements(sql: &str) -> Vec<String> {
        let lines = sql.lines().filter(|line| !line.starts_with("--"));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        let all = words.join(" ");
        let each = all.split(';').map(str::trim);
        each.filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// An older program inserts rows without the new column and reads rows that have it.
    fn only_adds(statement: &str) -> bool {
        let words: Vec<&str> = statement.split(' ').collect();
        let column = words.starts_with(&["alter", "table"])
            && words.get(3..5) == Some(&["add", "column"])
            && (statement.contains(" default ") || !statement.contains(" not null"));
        column || words.starts_with(&["create", "table"]) || words.starts_with(&["create", "index"])
    }

    #[test]
    fn both_databases_have_every_migration_under_the_same_number() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        for (database, mut known) in [
            (
                "sqlite",
                MIGRATIONS.map(|(number, _, sql, _)| (number, sql)),
            ),
            (
                "postgres",
                MIGRATIONS.map(|(number, _, _, sql)| (number, sql)),
            ),
        ] {
            known.sort_unstable();
            let mut files: Vec<_> = std::fs::read_dir(root.join(database))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            let read = files.iter().map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                let number: i64 = name.split('_').next().unwrap().parse().unwrap();
                (number, std::fs::read_to_string(path).unwrap())
            });
            let read: Vec<(i64, String)> = read.collect();
            let known: Vec<_> = known.map(|(n, sql)| (n, sql.to_owned())).to_vec();
            assert_eq!(read, known, "{database}");
            let numbers: Vec<i64> = read.into_iter().map(|(number, _)| number).collect();
            assert_eq!(numbers, (1..=MIGRATIONS.len() as i64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_came_after_the_first_only_adds() {
        for (number, _, sqlite, postgres) in &MIGRATIONS[1..] {
            for sql in [sqlite, postgres] {
                for statement in statements(sql) {
                    assert!(only_adds(&statement), "{number}: {statement}");
                }
            }
        }
        for statement in [
            "alter table training_jobs drop column error",
            "alter table training_jobs add column rank bigint not null",
            "update training_jobs set attempts = 0",
        ] {
            assert!(!only_adds(statement), "{statement}");
        }
    }
}
