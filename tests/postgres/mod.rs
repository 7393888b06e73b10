//! A PostgreSQL cluster of the test's own, from the machine's packages; it ends with the last test that uses it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

static RUNNING: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// Only so that a server that never starts fails its test.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    server: Mutex<Child>,
}

/// An empty database.
pub struct Postgres {
    pub url: String,
    cluster: Arc<Cluster>,
}

/// A database in the cluster; none, and said, where PostgreSQL is not installed.
pub fn database() -> Option<Postgres> {
    let cluster = {
        let mut running = RUNNING.lock().unwrap();
        match running.upgrade() {
            Some(cluster) => cluster,
            None => {
                let cluster = Arc::new(Cluster::start(programs()?));
                *running = Arc::downgrade(&cluster);
                cluster
            }
        }
    };
    let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let port = cluster.port.to_string();
    let made = Command::new(cluster.programs.join("createdb"))
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "sentiment", &name])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    Some(Postgres {
        url: format!("postgres://sentiment@127.0.0.1:{port}/{name}"),
        cluster,
    })
}

impl Postgres {
    /// Ends the server as a crash would and starts it again.
    pub fn restart(&self) {
        self.away(|| {});
    }

    /// Ends the server as a crash would and starts it again after that.
    pub fn away<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let mut server = self.cluster.server.lock().unwrap();
        stop(&mut server);
        let done = meanwhile();
        *server = serve(
            &self.cluster.programs,
            self.cluster.folder.path(),
            self.cluster.port,
        );
        done
    }
}

/// Debian does not put them on the path.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    let programs = found.pop();
    if programs.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "PostgreSQL is not installed"
        );
        eprintln!("SKIPPED: PostgreSQL is not installed (apt-get install postgresql)");
    }
    programs
}

/// PostgreSQL refuses to run as root.
fn as_its_user(program: &Path) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.arg(program);
    command
}

impl Cluster {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status();
            assert!(owned.unwrap().success());
        }
        let made = as_its_user(&programs.join("initdb"))
            .args([
                "--no-sync",
                "-A",
                "trust",
                "-U",
                "sentiment",
                "-E",
                "UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(folder.path().join("data"))
            .current_dir("/")
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = serve(&programs, folder.path(), port);
        Self {
            programs,
            port,
            server: Mutex::new(server),
            folder,
        }
    }
}

fn serve(programs: &Path, folder: &Path, port: u16) -> Child {
    let mut server = as_its_user(&programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args([
            "-h",
            "127.0.0.1",
            "-c",
            "fsync=off",
            "-p",
            &port.to_string(),
        ])
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        let ready = Command::new(programs.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
            .status()
            .unwrap();
        if ready.success() {
            return server;
        }
        let ended = server.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < until,
            "it does not start: {ended:?}"
        );
        std::thread::yield_now();
    }
}

fn stop(server: &mut Child) {
    let pid = server.id().to_string();
    let _ = Command::new("kill").args(["-INT", &pid]).status();
    let _ = server.wait();
}

impl Drop for Cluster {
    fn drop(&mut self) {
        stop(self.server.get_mut().unwrap());
    }
}
