//! A server that speaks S3 and keeps objects as files, in this process: it checks signatures, and can be away for a while.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const BUCKET: &str = "models";
const KEY: &str = "team";
const SECRET: &str = "zqxjkv";

pub struct S3 {
    folder: tempfile::TempDir,
    address: SocketAddr,
    running: Option<Runtime>,
}

impl S3 {
    /// With one empty bucket.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut s3 = Self {
            folder,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            running: None,
        };
        s3.go_on();
        s3
    }

    /// A place in the bucket.
    pub fn url(&self) -> String {
        format!("s3://{BUCKET}/some/prefix")
    }

    /// The folder of that place.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join(BUCKET).join("some/prefix")
    }

    /// Tells a program where it is and who asks.
    pub fn tell(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("NO_PROXY", "127.0.0.1");
    }

    /// Nobody answers any more.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown_background();
        }
        while std::net::TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Answers on the same address as before.
    pub fn go_on(&mut self) {
        let running = Runtime::new().unwrap();
        let listener = running.block_on(listen(self.address));
        self.address = listener.local_addr().unwrap();
        running.spawn(serve(listener, self.folder.path().to_owned()));
        self.running = Some(running);
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown_background();
        }
    }
}

/// The port may still be going away.
async fn listen(address: SocketAddr) -> TcpListener {
    for _ in 0..10_000 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::task::yield_now().await;
    }
    panic!("{address} stays taken");
}

async fn serve(listener: TcpListener, folder: PathBuf) {
    let files = s3s_fs::FileSystem::new(folder).unwrap();
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service.clone();
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            // A client may go away at any time.
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
