//! HTTP/1.1 by hand, for what a well-behaved client cannot say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;

/// Only so that a server that says nothing fails the test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server answered; decompressed.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub gzip: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status and the code of a problem.
    pub fn refusal(&self) -> (u16, String) {
        let code = self.json()["code"].as_str().unwrap().to_owned();
        (self.status, code)
    }

    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap().to_owned()
    }

    /// The beginning of the body.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .chars()
            .take(300)
            .collect()
    }

    pub fn decompress(&mut self) {
        if self.header("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(&*self.body).read_to_end(&mut plain).unwrap();
            self.body = plain;
            self.gzip = true;
        }
    }
}

/// One connection.
pub struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Reads one answer to a request with this method.
    pub fn answer(&mut self, method: &str) -> Answer {
        let mut answer = self.answer_head();
        let bodiless = method == "HEAD" || answer.status < 200 || answer.status == 204;
        if bodiless {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend_from_slice(&chunk);
            }
        } else {
            let length = answer.header("content-length").unwrap().parse().unwrap();
            answer.body = self.bytes(length);
        }
        answer.decompress();
        answer
    }

    /// Sends a part of a chunked body; an empty one is its end.
    pub fn write_chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.write(format!("{:x}\r\n", bytes.len()));
        self.write(bytes);
        self.write("\r\n");
    }

    /// A part of a chunked body, or its end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut chunk = self.bytes(size + 2);
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// Reads an answer up to its body.
    pub fn answer_head(&mut self) -> Answer {
        let first = self.line();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            gzip: false,
        };
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            answer
                .headers
                .push((name.to_lowercase(), value.trim().to_owned()));
        }
        answer
    }

    /// Whether the server closes the connection without another word.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.reader.read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the answer broke off at {line:?}");
        line.truncate(line.len() - 2);
        line
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// A request's head with these header lines.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n")
}
