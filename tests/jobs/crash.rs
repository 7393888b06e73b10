//! Workers killed and stopped at random points: nothing is published twice or by halves, and no job is lost or stuck.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use sentiment::bundle::{Bundle, folder};
use sentiment::store::JobState;

use crate::s3::S3;
use crate::{PATIENCE, Shop, postgres};

const KILLS: usize = 30;
/// So long that most workers are killed while they train.
const LONG: &str = "epochs = 80";
const FLAGS: [&str; 4] = ["--lease", "300ms", "--checkpoint-every", "20"];

#[test]
fn every_job_succeeds_exactly_once_whenever_its_workers_are_killed() {
    survives(&Shop::new(LONG), KILLS);
}

#[test]
fn the_same_on_postgresql_which_goes_away_too() {
    if let Some(postgres) = postgres::database() {
        let shop = Shop::on(Some(postgres.url.clone()), LONG);
        survives(&shop, KILLS);
        let jobs = shop.jobs().len();
        postgres.restart();
        assert_eq!(shop.jobs().len(), jobs, "after a restart of the database");
        restarts_during_a_job(&shop, &postgres);
        is_away_for_longer_than_a_lease(&shop, &postgres);
    }
}

#[test]
fn the_same_with_a_model_storage() {
    let mut shop = Shop::new("epochs = 5");
    shop.s3 = Some(S3::start());
    survives(&shop, KILLS / 3);
}

/// The worker that is training when its database goes away finishes the job when it is back.
fn restarts_during_a_job(shop: &Shop, postgres: &postgres::Postgres) {
    let before = shop.jobs().len();
    let id = shop.ask(|_| {});
    let mut worker = shop.start(&FLAGS);
    worker.says("claimed");
    postgres.restart();
    worker.says("training job succeeded");
    worker.kill();
    let job = shop.job(&id);
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let registered = shop.threads.block_on(shop.store.registered()).unwrap();
    assert_eq!(registered.len(), before + 1, "published once");
}

/// What was trained meanwhile is not lost, and the database's absence is no failure of the job.
fn is_away_for_longer_than_a_lease(shop: &Shop, postgres: &postgres::Postgres) {
    let id = shop.ask(|job| {
        job.max_attempts = 1;
        job.recipe["fit"]["epochs"] = 4.into();
    });
    let worker = shop.start(&FLAGS);
    worker.says("claimed");
    postgres.away(|| worker.says("waiting until it passes"));
    worker.says("training job succeeded");
    let job = shop.job(&id);
    assert_eq!(
        (job.state, job.attempts),
        (JobState::Succeeded, 0),
        "{job:?}"
    );
}

fn survives(shop: &Shop, kills: usize) {
    let mut random = rand::rng();
    let mut workers = [shop.start(&FLAGS), shop.start(&FLAGS)];
    let (mut hit, mut kill) = (0, 0);
    // Which moments are drawn is chance: so it goes on until enough of them had a job, but not for ever.
    while kill < kills || hit * 3 < kills * 2 {
        assert!(kill < 5 * kills, "only {hit} of {kill} had a job");
        // There is always work for both, however fast they are.
        let waiting = |shop: &Shop| {
            let jobs = shop.jobs();
            jobs.iter().filter(|job| !job.state.is_final()).count()
        };
        while waiting(shop) < 4 {
            shop.ask(|job| job.force = false);
        }
        let worker = &mut workers[kill % 2];
        // At any moment after it has a job, or without one if it does not get any.
        worker.hears("claimed", Duration::from_secs(5));
        let most = Duration::from_millis(random.random_range(1..1_000));
        worker.hears("training job succeeded", most);
        let name = format!(":{}", worker.child.id());
        let busy = |job: &sentiment::store::Job| {
            job.state == JobState::Running
                && job
                    .worker
                    .as_ref()
                    .is_some_and(|worker| worker.ends_with(&name))
        };
        hit += usize::from(shop.jobs().iter().any(busy));
        worker.kill();
        *worker = shop.start(&FLAGS);
        kill += 1;
    }
    for worker in &mut workers {
        worker.kill();
    }
    shop.work_to_the_end(&FLAGS);
    is_whole(shop);
}

/// Every job has succeeded, with a version of its own that is whole and registered, and nothing else is left.
fn is_whole(shop: &Shop) {
    let jobs = shop.jobs();
    let versions: BTreeSet<_> = jobs.iter().filter_map(|job| job.version.clone()).collect();
    for job in &jobs {
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    }
    assert_eq!(jobs.len(), versions.len(), "{jobs:?}");
    let registered = shop.threads.block_on(shop.store.registered()).unwrap();
    assert_eq!(registered.len(), jobs.len());
    assert_eq!(registered.iter().filter(|v| v.active).count(), 1);
    if let Some(s3) = &shop.s3 {
        for version in &versions {
            let bundles = s3.objects().join("shop").join(version);
            // What a killed worker has only begun to upload has no manifest.
            let bundles = bundles.read_dir().unwrap().map(|entry| entry.unwrap());
            let whole = bundles.filter(|entry| entry.path().join("manifest.json").exists());
            assert_eq!(whole.count(), 1, "{version}");
        }
        assert!(!shop.room.path("models/shop").exists());
    } else {
        let models = shop.room.path("models");
        let published = folder::versions(&models, "shop").unwrap();
        assert_eq!(published.len(), jobs.len(), "{published:?}");
        for version in published {
            assert!(versions.contains(&version.to_string()));
            Bundle::load(&models.join(format!("shop/{version}"))).unwrap();
        }
    }
    assert!(shop.leftovers().is_empty(), "{:?}", shop.leftovers());
}

#[test]
fn a_worker_that_stands_still_keeps_no_job_from_the_others() {
    let shop = Shop::new(LONG);
    let id = shop.ask(|job| job.max_attempts = 2);
    let first = shop.start(&FLAGS);
    first.says("epoch finished");
    first.signal("STOP");
    shop.work_to_the_end(&FLAGS);
    let job = shop.job(&id);
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    first.signal("CONT");
    first.says("the lease is lost");
    is_whole_soon(&shop);
}

/// The folder that it held goes with its next look for leftovers.
fn is_whole_soon(shop: &Shop) {
    let until = Instant::now() + PATIENCE;
    while !shop.leftovers().is_empty() && Instant::now() < until {
        std::thread::yield_now();
    }
    is_whole(shop);
}
