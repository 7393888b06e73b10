//! Jobs in and out of the queue, in pages, once for each key.

use sentiment::store::{JobState, Page, StoreError};

use crate::{LONG, claim, job, on_both};

#[test]
fn the_oldest_job_is_claimed_first_and_by_one_worker_only() {
    on_both(async |database| {
        let store = database.store();
        let (first, _) = store.enqueue(&job("one")).await.unwrap();
        let (second, _) = store.enqueue(&job("two")).await.unwrap();
        let mut claims = Vec::new();
        for _ in 0..8 {
            let store = database.store();
            claims.push(tokio::spawn(async move { claim(&store, LONG).await }));
        }
        let mut claimed = Vec::new();
        for found in claims {
            claimed.extend(found.await.unwrap().map(|lease| lease.job.id));
        }
        claimed.sort();
        let mut both = vec![first, second];
        both.sort();
        assert_eq!(claimed, both);
    });
}

#[test]
fn a_key_that_comes_again_makes_no_second_job() {
    on_both(async |database| {
        let store = database.store();
        let mut new = job("shop");
        new.idempotency_key = Some("k1".into());
        let (id, is_new) = store.enqueue(&new).await.unwrap();
        assert!(is_new);
        assert_eq!(store.enqueue(&new).await.unwrap(), (id.clone(), false));
        new.request_digest = "d2".into();
        let refused = store.enqueue(&new).await.unwrap_err();
        assert!(matches!(refused, StoreError::KeyReused(_)), "{refused}");
        let page = Page {
            limit: 10,
            after: None,
        };
        assert_eq!(store.jobs(&page).await.unwrap().len(), 1);
        assert_eq!(store.job(&id).await.unwrap().unwrap().name, "shop");
    });
}

#[test]
fn pages_hold_every_job_once_and_newest_first() {
    on_both(async |database| {
        let store = database.store();
        let mut made = Vec::new();
        for at in 0..5 {
            made.push(store.enqueue(&job(&format!("m{at}"))).await.unwrap().0);
        }
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = store.jobs(&Page { limit: 2, after }).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            seen.extend(page);
        }
        let times: Vec<i64> = seen.iter().map(|job| job.created_ms).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        let mut ids: Vec<_> = seen.into_iter().map(|job| job.id).collect();
        ids.sort();
        made.sort();
        assert_eq!(ids, made);
    });
}

#[test]
fn a_job_that_waits_is_called_off_at_once_and_one_that_ended_is_not() {
    on_both(async |database| {
        let store = database.store();
        let (id, _) = store.enqueue(&job("shop")).await.unwrap();
        assert!(store.cancel(&id).await.unwrap());
        let found = store.job(&id).await.unwrap().unwrap();
        assert_eq!(found.state, JobState::Cancelled);
        assert!(found.finished_ms.is_some());
        assert!(!store.cancel(&id).await.unwrap());
        assert!(claim(&store, LONG).await.is_none());
        let counts = store.jobs_by_state().await.unwrap();
        assert_eq!(counts.len(), 5);
        assert!(counts.contains(&(JobState::Cancelled, 1)), "{counts:?}");
    });
}
