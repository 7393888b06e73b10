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
        compared: None,
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
        lost(store.started(&old, 0, 0).await);
        lost(store.put_back(&old, OVER).await.map(drop));
        let failure = Failure {
            error: "no".into(),
            again: false,
        };
        lost(store.fail(&old, &failure, OVER).await.map(drop));
        lost(store.record_epoch(&old, 1, &json!({"epoch": 1})).await);
        assert!(store.epochs(&id, 0).await.unwrap().is_empty());
        lost(store.reserve(&old, 0, None).await.map(drop));
        let version = store.reserve(&new, 0, None).await.unwrap();
        assert_eq!(version, 1, "the other has reserved nothing");
        // Nor does it take away what the new one has reserved.
        lost(store.reserve(&old, 0, Some(version)).await.map(drop));
        lost(store.finish(&old, &made(version)).await);
        assert!(store.active().await.unwrap().is_empty());
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
fn a_job_ends_only_with_the_version_that_is_reserved_for_it() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        store.reserve(&lease, 0, None).await.unwrap();
        let refused = store.finish(&lease, &made(2)).await.unwrap_err();
        assert!(matches!(refused, StoreError::LeaseLost(_)), "{refused}");
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!((found.state, found.version), (JobState::Running, None));
        assert!(store.registered().await.unwrap().is_empty());
    });
}

#[test]
fn a_version_takes_the_place_of_no_other_than_it_was_compared_with() {
    on_both(async |database| {
        let store = database.store();
        let mut leases = Vec::new();
        for _ in 0..3 {
            store.enqueue(&job("shop")).await.unwrap();
            let lease = claim(&store, LONG).await.unwrap();
            let version = store.reserve(&lease, 0, None).await.unwrap();
            leases.push((lease, version));
        }
        // All three found none that serves, and one is first.
        let finish = async |at: usize, compared: i64| {
            let (lease, version) = &leases[at];
            let made = Publication {
                compared: Some(compared),
                ..made(*version)
            };
            store.finish(lease, &made).await
        };
        let outdated = |done: Result<(), StoreError>| {
            assert!(matches!(done, Err(StoreError::Outdated { .. })), "{done:?}");
        };
        finish(0, 0).await.unwrap();
        outdated(finish(1, 0).await);
        finish(1, 1).await.unwrap();
        outdated(finish(2, 1).await);
        let found = store.job(&leases[2].0.job.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.version), (JobState::Running, None));
        let registered = store.registered().await.unwrap();
        let shown: Vec<_> = registered.iter().map(|v| (v.version, v.active)).collect();
        assert_eq!(shown, [(1, false), (2, true)]);
        finish(2, 2).await.unwrap();
        assert_eq!(store.active().await.unwrap()[0].version, 3);
    });
}

#[test]
fn a_start_over_forgets_the_epochs_of_the_attempt_before_it() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        for epoch in 1..4 {
            let figures = json!({"epoch": epoch});
            store.record_epoch(&lease, epoch, &figures).await.unwrap();
        }
        store.started(&lease, 20, 1).await.unwrap();
        assert_eq!(store.epochs(&id, 0).await.unwrap(), [json!({"epoch": 1})]);
    });
}

#[test]
fn a_job_that_was_called_off_is_not_tried_again() {
    on_both(async |database| {
        let store = database.store();
        let (failing, _) = store.enqueue(&job("one")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        let (lost, _) = store.enqueue(&job("two")).await.unwrap();
        claim(&store, OVER).await.unwrap();
        assert!(store.cancel(&failing).await.unwrap());
        let failure = Failure {
            error: "the disk is full".into(),
            again: true,
        };
        store.fail(&lease, &failure, OVER).await.unwrap();
        // Nobody works on the other and nobody has to come for it.
        let state = async |id| store.job(id).await.unwrap().unwrap().state;
        while state(&lost).await == JobState::Running {
            store.cancel(&lost).await.unwrap();
        }
        for id in [&failing, &lost] {
            let found = store.job(id).await.unwrap().unwrap();
            assert_eq!(found.state, JobState::Cancelled);
            assert!(found.finished_ms.is_some());
        }
        assert!(claim(&store, LONG).await.is_none());
    });
}

#[test]
fn an_error_is_kept_whatever_is_in_it() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        let failure = Failure {
            error: "data a\0.tsv".into(),
            again: false,
        };
        store.fail(&lease, &failure, OVER).await.unwrap();
        let error = store.job(&id).await.unwrap().unwrap().error;
        assert_eq!(error.as_deref(), Some("data a\u{fffd}.tsv"));
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
            store.started(&lease, 0, 0).await.unwrap();
            store.beat(&lease, &beat).await.unwrap();
        }
        let lease = claim_when_over(&store, LONG).await;
        claimed.push(lease.job.attempts);
        assert_eq!(claimed, [0, 0, 1], "only the first has got further");
        store.put_back(&lease, OVER).await.unwrap();
        let lease = claim_when_over(&store, OVER).await;
        store.started(&lease, 0, 0).await.unwrap();
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
        };
        let lease = claim(&store, LONG).await.unwrap();
        store.fail(&lease, &failure, OVER).await.unwrap();
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!((found.state, found.attempts), (JobState::Queued, 1));
        let lease = claim_when_over(&store, LONG).await;
        store.fail(&lease, &failure, OVER).await.unwrap();
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!(found.state, JobState::Failed);
        assert_eq!(found.error.as_deref(), Some("the disk is full"));

        let (id, _) = store.enqueue(&job("other")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        failure.again = false;
        store.fail(&lease, &failure, OVER).await.unwrap();
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
