//! The program under test: started on models of its own, asked, told to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::contract;
use crate::program::{Room, signal};
use crate::small::{ENGLISH, KOREAN, Small};
use crate::stderr;
use crate::wire::{Answer, Wire, head};

/// Only so that a server that hangs fails its test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(60);

impl Room {
    pub fn of(models: &[Small]) -> Self {
        let room = Self::new();
        std::fs::create_dir(room.path("models")).unwrap();
        for model in models {
            model.publish(&room.path("models"));
        }
        room
    }

    pub fn serve(&self, flags: &[&str]) -> Command {
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--device", "cpu"];
        let mut command = self.command(&[&fixed[..], flags].concat());
        // As variables, which flags may override. How busy the machine is should decide nothing.
        command.env("SENTIMENT_THREADS", "1");
        command.env("SENTIMENT_DEADLINE", "1m");
        command.env("SENTIMENT_READ_TIMEOUT", "1m");
        command
    }
}

/// A server that has said where it listens.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
    /// In a mutex only so that several threads can ask.
    lines: Mutex<Receiver<String>>,
    log: String,
    agent: ureq::Agent,
    room: Room,
}

impl Server {
    /// With an English and a Korean model.
    pub fn start(flags: &[&str]) -> Self {
        Self::of(Room::of(&[ENGLISH, KOREAN]), flags)
    }

    pub fn of(room: Room, flags: &[&str]) -> Self {
        let command = room.serve(flags);
        Self::started(room, command)
    }

    pub fn started(room: Room, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = stderr::lines(&mut child);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .proxy(None);
        let mut server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            child,
            lines: Mutex::new(lines),
            log: String::new(),
            agent: config.build().into(),
            room,
        };
        let line = server.logged("listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        // In a JSON line more follows.
        let address = address.split('"').next().unwrap();
        server.address = address.parse().unwrap();
        server
    }

    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The line of the log that has this in it.
    pub fn logged(&mut self, part: &str) -> String {
        loop {
            match self.lines.get_mut().unwrap().recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log += &line;
                    self.log.push('\n');
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => panic!("{error}: no {part:?} in\n{}", self.log),
            }
        }
    }

    /// What it has logged so far, as far as it has been read.
    pub fn log(&self) -> &str {
        &self.log
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path)
    }

    pub fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(method, path, &[], None)
    }

    /// The answer to a request for sentiments.
    pub fn post(&self, body: &Value) -> Answer {
        let answer = self.post_text(body.to_string());
        contract::check_refused(body, &answer);
        answer
    }

    pub fn post_text(&self, body: impl AsRef<[u8]>) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send("POST", "/v1/sentiment", &headers, Some(body.as_ref()))
    }

    /// What a usual client sends.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap();
        let named = response.headers().iter().map(|(name, value)| {
            let value = value.to_str().unwrap().to_owned();
            (name.as_str().to_owned(), value)
        });
        let mut answer = Answer {
            status: response.status().as_u16(),
            headers: named.collect(),
            body: Vec::new(),
            gzip: false,
        };
        answer.body = response.body_mut().read_to_vec().unwrap();
        answer.decompress();
        contract::check(method, path, &answer);
        let json = headers.contains(&("content-type", "application/json"));
        if json && let Some(Ok(body)) = body.map(serde_json::from_slice) {
            contract::check_taken(method, path, &body, &answer);
        }
        answer
    }

    /// What only a client of our own can send; the connection is closed after it.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let mut wire = self.wire();
        wire.write(head(method, path, headers));
        wire.write(body);
        let answer = wire.answer(method);
        contract::check(method, path, &answer);
        answer
    }

    pub fn wire(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// The most memory that it ever held, in bytes.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap() << 10
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end: its exit status and everything it has logged.
    pub fn ended(mut self) -> (ExitStatus, String) {
        loop {
            match self.lines.get_mut().unwrap().recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log += &line;
                    self.log.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on:\n{}", self.log),
            }
        }
        let status = self.child.wait().unwrap();
        (status, std::mem::take(&mut self.log))
    }

    /// Stops it and answers with everything that it has logged.
    pub fn stopped(self) -> String {
        self.signal("TERM");
        let (status, log) = self.ended();
        assert!(status.success(), "{status}\n{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended needs neither.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
