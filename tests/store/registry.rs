//! The registry of versions.

use std::time::Duration;

use sentiment::store::{ActiveVersion, Publication, StoreError, Watch};

use crate::{LONG, claim, job, on_both};

fn version(version: i64, digest: &str) -> ActiveVersion {
    ActiveVersion {
        name: "shop".into(),
        version,
        digest: digest.into(),
        location: None,
    }
}

#[test]
fn two_jobs_never_get_the_same_version() {
    on_both(async |database| {
        let store = database.store();
        let mut numbers = Vec::new();
        for _ in 0..4 {
            store.enqueue(&job("shop")).await.unwrap();
        }
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let store = database.store();
            let lease = claim(&store, LONG).await.unwrap();
            tasks.push(tokio::spawn(async move {
                store.reserve(&lease, 6, None).await.unwrap()
            }));
        }
        for task in tasks {
            numbers.push(task.await.unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, [7, 8, 9, 10]);
    });
}

#[test]
fn a_number_in_use_by_another_bundle_is_given_up_for_the_next() {
    on_both(async |database| {
        let store = database.store();
        store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        assert_eq!(store.reserve(&lease, 0, None).await.unwrap(), 1);
        assert_eq!(store.reserve(&lease, 1, Some(1)).await.unwrap(), 2);
    });
}

#[test]
fn a_version_serves_only_once_it_is_complete_and_an_older_one_can_serve_again() {
    on_both(async |database| {
        let store = database.store();
        store.activate(&version(1, "a")).await.unwrap();
        store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        let number = store.reserve(&lease, 1, None).await.unwrap();
        assert_eq!(store.registered().await.unwrap().len(), 1);
        assert!(store.version("shop", number).await.unwrap().is_none());
        let made = Publication {
            version: number,
            digest: "b".into(),
            location: Some("bundles/shop/2".into()),
            compared: None,
        };
        store.finish(&lease, &made).await.unwrap();
        let active = store.active().await.unwrap();
        let expected = ActiveVersion {
            location: made.location,
            ..version(2, "b")
        };
        assert_eq!(active, [expected]);
        store.activate(&version(1, "a")).await.unwrap();
        assert_eq!(store.active().await.unwrap(), [version(1, "a")]);
        let refused = store.activate(&version(1, "z")).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::UnknownVersion { .. }),
            "{refused}"
        );
        let listed = store.registered().await.unwrap();
        let shown: Vec<(i64, bool)> = listed.iter().map(|v| (v.version, v.active)).collect();
        assert_eq!(shown, [(1, true), (2, false)]);
    });
}

#[test]
fn a_change_is_heard_of() {
    on_both(async |database| {
        let store = database.store();
        store.ready().await.unwrap();
        let mut watch = Watch::default();
        let (soon, never) = (Duration::from_millis(1), Duration::from_secs(86_400));
        // Begins to listen.
        watch.changed(&store, soon).await;
        let look_again = match database.is_postgres() {
            true => never,
            false => soon,
        };
        store.activate(&version(1, "a")).await.unwrap();
        let heard = watch.changed(&store, look_again);
        tokio::time::timeout(PATIENCE, heard).await.unwrap();
    });
}

/// Only so that a test fails that would wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_changes_while_the_connection_is_lost_is_heard_of() {
    on_both(async |database| {
        if !database.is_postgres() {
            return;
        }
        let store = database.store();
        store.ready().await.unwrap();
        let mut watch = Watch::default();
        let never = Duration::from_secs(86_400);
        watch.changed(&store, never).await;
        let changed = watch.changed(&store, never);
        let lost = async {
            database
                .execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity \
                     where datname = current_database() and query like 'LISTEN%'",
                )
                .await;
        };
        let both = async { tokio::join!(changed, lost) };
        tokio::time::timeout(PATIENCE, both).await.unwrap();
    });
}
