//! Training jobs by real workers, which are killed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod crash;
mod disk;
mod download;
#[path = "../postgres/mod.rs"]
mod postgres;
#[expect(dead_code, reason = "other tests predict and send signals")]
#[path = "../program/mod.rs"]
mod program;
#[expect(dead_code, reason = "other tests look at everything published")]
#[path = "../train/shop.rs"]
mod shop;
mod work;

use std::process::Command;
use std::sync::Arc;

use sentiment::recipe::Recipe;
use sentiment::store::{Id, Job, NewJob, Page, Store};
use tokio::runtime::Runtime;

use program::Room;

/// A folder with reviews, and a database of jobs.
struct Shop {
    room: Room,
    url: String,
    threads: Runtime,
    store: Arc<Store>,
}

impl Shop {
    fn new(fit: &str) -> Self {
        Self::on(None, fit)
    }

    fn on(url: Option<String>, fit: &str) -> Self {
        let room = shop::room_with_reviews();
        std::fs::create_dir(room.path("data")).unwrap();
        std::fs::rename(room.path("shop.tsv"), room.path("data/shop.tsv")).unwrap();
        shop::write_recipe(&room, fit);
        let url = url.unwrap_or_else(|| "sqlite://data/jobs.db".into());
        let threads = Runtime::new().unwrap();
        let store = {
            let _within = threads.enter();
            // The program is started in the room and the test is not.
            let absolute = url.replace(
                "sqlite://",
                &format!("sqlite://{}/", room.folder().display()),
            );
            Arc::new(Store::new(&absolute).unwrap())
        };
        Self {
            room,
            url,
            threads,
            store,
        }
    }

    fn ask(&self, change: impl Fn(&mut NewJob)) -> Id {
        let recipe = Recipe::load(&self.room.path("shop.toml")).unwrap();
        let mut job = NewJob {
            idempotency_key: None,
            request_digest: String::new(),
            name: recipe.name.clone(),
            recipe: serde_json::to_value(&recipe).unwrap(),
            data: vec!["shop.tsv".into()],
            force: true,
            activate: true,
            max_attempts: 100,
        };
        change(&mut job);
        self.threads.block_on(self.store.enqueue(&job)).unwrap().0
    }

    fn job(&self, id: &Id) -> Job {
        self.threads.block_on(self.store.job(id)).unwrap().unwrap()
    }

    fn jobs(&self) -> Vec<Job> {
        let page = Page {
            limit: 100,
            after: None,
        };
        self.threads.block_on(self.store.jobs(&page)).unwrap()
    }

    fn worker(&self, flags: &[&str]) -> Command {
        let fixed = ["worker", "--database", &self.url, "--poll", "10ms"];
        let mut command = self.room.command(&[&fixed[..], flags].concat());
        command.env("SENTIMENT_TRAIN_THREADS", "1");
        command
    }

    /// Works off the queue.
    fn work(&self, flags: &[&str]) -> String {
        let output = self
            .worker(&[&["--once"], flags].concat())
            .output()
            .unwrap();
        let said = program::stderr(&output);
        assert!(output.status.success(), "{said}");
        said
    }
}
