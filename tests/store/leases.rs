//! Leases: kept, lost, fenced, and attempts counted.

use std::time::Duration;

use sentiment::store::{Beat, Failure, JobState, Order, Publication, StoreError};
use serde_json::json;

use crate::{LONG, OVER, claim, claim_when_over, job, on_both};

fn made(version: i64) -> Publication {
    Publication {
        version,
        digest: "d".into(),
        location: None,
    }
}

#[test]
fn a_heartbeat_keeps_a_job_and_hears_that_it_was_called_off() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        let beat = Beat {
            checkpoint: 5,
            progress: Some(json!({"epoch": 2})),
        };
        assert_eq!(store.beat(&lease, &beat).await.unwrap(), Order::Continue);
        let figures = json!({"epoch": 1, "loss": 0.5});
        store.record_epoch(&lease, 1, &figures).await.unwrap();
        store.record_epoch(&lease, 1, &figures).await.unwrap();
        assert!(store.cancel(&id).await.unwrap());
        let beat = Beat::default();
        assert_eq!(store.beat(&lease, &beat).await.unwrap(), Order::Cancel);
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!(found.progress, Some(json!({"epoch": 2})));
        assert_eq!(found.checkpoint, 5);
        assert_eq!(store.epochs(&id, 0).await.unwrap(), [figures]);
        assert!(store.epochs(&id, 1).await.unwrap().is_empty());
        store.put_back(&lease, Duration::ZERO).await.unwrap();
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!((found.state, found.attempts), (JobState::Cancelled, 0));
    });
}

#[test]
fn a_lost_lease_changes_nothing_any_more() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let old = claim(&store, OVER).await.unwrap();
        let new = claim_when_over(&store, LONG).await;
        let lost = |result: Result<(), StoreError>| {
            assert!(
                matches!(result, Err(StoreError::LeaseLost(_))),
                "{result:?}"
            );
        };
        lost(store.beat(&old, &Beat::default()).await.map(drop));
        lost(store.started(&old, 0).await);
        lost(store.put_back(&old, OVER).await);
        let failure = Failure {
            error: "no".into(),
            again: false,
            wait: OVER,
        };
        lost(store.fail(&old, &failure).await);
        let version = store.reserve(&old, 0, None).await.unwrap();
        lost(store.finish(&old, &made(version)).await);
        assert!(store.active().await.unwrap().is_empty());
        // The same version: the job publishes once whoever does it.
        assert_eq!(store.reserve(&new, 0, None).await.unwrap(), version);
        store.finish(&new, &made(version)).await.unwrap();
        lost(store.finish(&new, &made(version)).await);
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!(found.state, JobState::Succeeded);
        assert_eq!(found.version, Some("1".into()));
        assert_eq!(store.active().await.unwrap()[0].version, 1);
    });
}

#[test]
fn a_worker_lost_without_a_new_checkpoint_has_used_up_an_attempt() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let first = claim(&store, OVER).await.unwrap();
        let beat = Beat {
            checkpoint: 10,
            progress: None,
        };
        store.beat(&first, &beat).await.unwrap();
        let second = claim_when_over(&store, OVER).await;
        assert_eq!(second.job.attempts, 0, "it had written a checkpoint");
        let third = claim_when_over(&store, OVER).await;
        assert_eq!(third.job.attempts, 1, "it had not");
        let state = async || {
            // Nobody gets it, and looking for work is what ends it.
            while store.job(&id).await.unwrap().unwrap().state == JobState::Running {
                assert!(claim(&store, LONG).await.is_none());
            }
            store.job(&id).await.unwrap().unwrap()
        };
        let found = state().await;
        assert_eq!((found.state, found.attempts), (JobState::Failed, 2));
        assert!(found.error.unwrap().contains("without a new checkpoint"));
    });
}

#[test]
fn a_worker_lost_where_others_were_before_has_used_up_an_attempt() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let beat = Beat {
            checkpoint: 500,
            progress: None,
        };
        // No checkpoint is found by whoever comes next, and each gets as far as the first and is lost there.
        let mut claimed = Vec::new();
        for _ in 0..2 {
            let lease = claim_when_over(&store, OVER).await;
            claimed.push(lease.job.attempts);
            store.started(&lease, 0).await.unwrap();
            store.beat(&lease, &beat).await.unwrap();
        }
        let lease = claim_when_over(&store, LONG).await;
        claimed.push(lease.job.attempts);
        assert_eq!(claimed, [0, 0, 1], "only the first has got further");
        store.put_back(&lease, OVER).await.unwrap();
        let lease = claim_when_over(&store, OVER).await;
        store.started(&lease, 0).await.unwrap();
        store.beat(&lease, &beat).await.unwrap();
        while store.job(&id).await.unwrap().unwrap().state == JobState::Running {
            assert!(claim(&store, LONG).await.is_none());
        }
        assert_eq!(
            store.job(&id).await.unwrap().unwrap().state,
            JobState::Failed
        );
    });
}

#[test]
fn a_failure_is_tried_again_as_often_as_the_job_allows() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let mut failure = Failure {
            error: "the disk is full".into(),
            again: true,
            wait: OVER,
        };
        let lease = claim(&store, LONG).await.unwrap();
        store.fail(&lease, &failure).await.unwrap();
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!((found.state, found.attempts), (JobState::Queued, 1));
        let lease = claim_when_over(&store, LONG).await;
        store.fail(&lease, &failure).await.unwrap();
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!(found.state, JobState::Failed);
        assert_eq!(found.error.as_deref(), Some("the disk is full"));

        let (id, _) = store.enqueue(&job("other")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        failure.again = false;
        store.fail(&lease, &failure).await.unwrap();
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!((found.state, found.attempts), (JobState::Failed, 1));
    });
}

#[test]
fn a_failed_job_waits_before_it_is_tried_again() {
    on_both(async |database| {
        let store = database.store();
        store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        store
            .put_back(&lease, Duration::from_secs(600))
            .await
            .unwrap();
        assert!(claim(&store, LONG).await.is_none());
    });
}

#[test]
fn a_lease_that_a_jump_of_the_clock_has_put_far_ahead_is_over() {
    on_both(async |database| {
        let store = database.store();
        store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, Duration::from_secs(60)).await.unwrap();
        assert!(claim(&store, LONG).await.is_none());
        database
            .execute("update training_jobs set lease_until_ms = lease_until_ms + 3600000")
            .await;
        let other = claim(&store, LONG).await.unwrap();
        assert_eq!(other.job.id, lease.job.id);
    });
}
