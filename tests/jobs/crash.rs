//! Workers killed at random points: nothing is published twice or by halves, and no job is lost.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rand::RngExt as _;
use sentiment::bundle::{Bundle, folder};
use sentiment::store::JobState;

use crate::{Shop, postgres};

const KILLS: usize = 30;
const JOBS: usize = 5;
/// So long that most workers are killed while they train.
const LONG: &str = "epochs = 40";
const FLAGS: [&str; 4] = ["--lease", "300ms", "--checkpoint-every", "20"];

#[test]
fn every_job_succeeds_exactly_once_whenever_its_workers_are_killed() {
    survives(&Shop::new(LONG), KILLS);
}

#[test]
fn the_same_on_postgresql() {
    if let Some(postgres) = postgres::database() {
        let shop = Shop::on(Some(postgres.url.clone()), LONG);
        survives(&shop, KILLS / 3);
        postgres.restart();
        assert_eq!(shop.jobs().len(), JOBS, "after a restart of the database");
        restarts_during_a_job(&shop, &postgres);
    }
}

/// The worker that is training when its database goes away finishes the job when it is back.
fn restarts_during_a_job(shop: &Shop, postgres: &postgres::Postgres) {
    let id = shop.ask(|_| {});
    let (mut worker, lines) = start(shop);
    lines.recv_timeout(Duration::from_secs(60)).unwrap();
    postgres.restart();
    let until = std::time::Instant::now() + Duration::from_secs(120);
    while !shop.job(&id).state.is_final() {
        assert_eq!(worker.try_wait().unwrap(), None, "the worker goes on");
        assert!(std::time::Instant::now() < until, "{:?}", shop.job(&id));
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    let job = shop.job(&id);
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let registered = shop.threads.block_on(shop.store.registered()).unwrap();
    assert_eq!(registered.len(), JOBS + 1, "published once");
}

fn survives(shop: &Shop, kills: usize) {
    for _ in 0..JOBS {
        shop.ask(|_| {});
    }
    let mut random = rand::rng();
    let mut workers = [start(shop), start(shop)];
    for kill in 0..kills {
        let (worker, lines) = &mut workers[kill % 2];
        // A worker that has nothing to do is killed too.
        let most = Duration::from_millis(random.random_range(1..1_000));
        let _ = lines.recv_timeout(Duration::from_secs(5));
        let _ = lines.recv_timeout(most);
        worker.kill().unwrap();
        worker.wait().unwrap();
        workers[kill % 2] = start(shop);
    }
    for (worker, _) in &mut workers {
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    let until = std::time::Instant::now() + Duration::from_secs(120);
    while !shop.jobs().iter().all(|job| job.state.is_final()) {
        assert!(std::time::Instant::now() < until, "{:?}", shop.jobs());
        shop.work(&FLAGS);
    }
    let jobs = shop.jobs();
    let versions: BTreeSet<_> = jobs.iter().filter_map(|job| job.version.clone()).collect();
    for job in &jobs {
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    }
    assert_eq!((jobs.len(), versions.len()), (JOBS, JOBS), "{jobs:?}");
    let models = shop.room.path("models");
    let published = folder::versions(&models, "shop").unwrap();
    assert_eq!(published.len(), JOBS, "{published:?}");
    for version in published {
        assert!(versions.contains(&version.to_string()));
        Bundle::load(&models.join(format!("shop/{version}"))).unwrap();
    }
    let registered = shop.threads.block_on(shop.store.registered()).unwrap();
    assert_eq!(registered.len(), JOBS);
    assert_eq!(registered.iter().filter(|v| v.active).count(), 1);
    let left = std::fs::read_dir(shop.room.path("data/checkpoints")).unwrap();
    assert!(left.count() <= 1, "checkpoints of jobs that ended");
}

fn start(shop: &Shop) -> (Child, Receiver<String>) {
    let mut child = shop.worker(&FLAGS).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let claimed = |line: &String| line.contains("claimed");
        for line in stderr.lines().map_while(Result::ok).filter(claimed) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    (child, lines)
}
