//! Training jobs by real workers, which are killed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod crash;
mod disk;
mod download;
#[path = "../postgres/mod.rs"]
mod postgres;
#[path = "../program/mod.rs"]
mod program;
#[expect(dead_code, reason = "other tests take the storage away")]
#[path = "../s3/mod.rs"]
mod s3;
#[expect(dead_code, reason = "other tests look at everything published")]
#[path = "../train/shop.rs"]
mod shop;
#[path = "../stderr/mod.rs"]
mod stderr;
mod work;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use sentiment::recipe::Recipe;
use sentiment::store::{Id, Job, NewJob, Page, Store};
use tokio::runtime::Runtime;

use program::Room;
use s3::S3;

/// Only so that a test fails that would wait for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with reviews, and a database of jobs.
struct Shop {
    room: Room,
    url: String,
    threads: Runtime,
    store: Arc<Store>,
    /// Where bundles go, if not into a folder.
    s3: Option<S3>,
}

/// A worker that runs beside the test, and what it says.
struct Working {
    child: Child,
    lines: Receiver<String>,
}

impl Working {
    /// Waits until it says this.
    fn says(&self, part: &str) {
        assert!(self.hears(part, PATIENCE), "it never said {part:?}");
    }

    /// Whether it says this soon enough.
    fn hears(&self, part: &str, most: Duration) -> bool {
        let until = Instant::now() + most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(part) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    fn signal(&self, name: &str) {
        program::signal(self.child.id(), name);
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
            s3: None,
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
        let scraps = self.room.path("tmp");
        std::fs::create_dir_all(&scraps).unwrap();
        command.env("TMPDIR", scraps);
        if let Some(s3) = &self.s3 {
            command.args(["--model-store", &s3.url()]);
            s3.tell(&mut command);
        }
        command
    }

    /// Starts a worker that stays.
    fn start(&self, flags: &[&str]) -> Working {
        let mut child = self.worker(flags).stderr(Stdio::piped()).spawn().unwrap();
        let lines = stderr::lines(&mut child);
        Working { child, lines }
    }

    /// Works until every job is at its end.
    fn work_to_the_end(&self, flags: &[&str]) {
        let until = Instant::now() + PATIENCE;
        while !self.jobs().iter().all(|job| job.state.is_final()) {
            assert!(Instant::now() < until, "{:?}", self.jobs());
            self.work(flags);
        }
    }

    /// What killed and other workers have left.
    fn leftovers(&self) -> Vec<std::path::PathBuf> {
        let folders = ["tmp", "data/checkpoints"].map(|folder| self.room.path(folder));
        let entries = folders
            .iter()
            .flat_map(|f| f.read_dir().into_iter().flatten());
        let paths = entries.map(|entry| entry.unwrap().path());
        // ONNX Runtime's own, one for all.
        paths.filter(|path| !path.ends_with(".ses")).collect()
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
