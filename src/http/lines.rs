//! A body as lines, read while it arrives and in bounded memory.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use tokio::sync::watch;

use super::error::{Code, Problem};

/// Compressed bytes that are decompressed at a time: at most half a megabyte comes of them.
const BITE: usize = 512;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLimits {
    /// Most bytes of a line.
    pub line: usize,
    /// Time in which something must arrive.
    pub idle: Duration,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Line {
    /// A line with something in it, without its end.
    Whole(Bytes),
    /// One with more bytes than the limit; the next line follows.
    TooLong,
    /// Nothing follows, for this reason.
    Broken(Problem),
}

/// The lines of a body.
pub(super) struct Lines {
    body: Body,
    /// Compressed bytes that wait, where the body is compressed.
    packed: Option<(MultiGzDecoder<Vec<u8>>, Bytes)>,
    kept: BytesMut,
    /// Bytes of `kept` that hold no line's end.
    seen: usize,
    /// Inside of a line that was too long.
    skipping: bool,
    ended: bool,
    limits: LineLimits,
    stopping: watch::Receiver<bool>,
}

impl Lines {
    /// Of a body; `stopping` turns true when no more may be read.
    pub fn new(
        body: Body,
        gzip: bool,
        limits: LineLimits,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            body,
            packed: gzip.then(|| (MultiGzDecoder::new(Vec::new()), Bytes::new())),
            kept: BytesMut::new(),
            seen: 0,
            skipping: false,
            ended: false,
            limits,
            stopping,
        }
    }

    /// The next line that is not blank.
    pub async fn next(&mut self) -> Option<Line> {
        loop {
            let end = self.kept[self.seen..].iter().position(|&b| b == b'\n');
            if let Some(end) = end {
                let mut line = self.kept.split_to(self.seen + end + 1);
                line.truncate(line.len() - 1);
                self.seen = 0;
                if let Some(line) = self.whole(line) {
                    return Some(line);
                }
                continue;
            }
            self.seen = self.kept.len();
            if self.seen > self.limits.line {
                self.kept.clear();
                self.seen = 0;
                if !std::mem::replace(&mut self.skipping, true) {
                    return Some(Line::TooLong);
                }
                continue;
            }
            if self.ended {
                let rest = self.kept.split();
                self.seen = 0;
                return self.whole(rest);
            }
            if let Err(problem) = self.more().await {
                self.ended = true;
                self.kept.clear();
                self.seen = 0;
                return Some(Line::Broken(problem));
            }
        }
    }

    /// Nothing where the line is blank or the rest of one that was too long.
    fn whole(&mut self, line: BytesMut) -> Option<Line> {
        if std::mem::take(&mut self.skipping) || line.trim_ascii().is_empty() {
            return None;
        }
        if line.len() > self.limits.line {
            return Some(Line::TooLong);
        }
        Some(Line::Whole(line.freeze()))
    }

    /// Reads or decompresses a little more.
    async fn more(&mut self) -> Result<(), Problem> {
        if let Some((decoder, waiting)) = &mut self.packed
            && !waiting.is_empty()
        {
            let bite = waiting.split_to(BITE.min(waiting.len()));
            decoder.write_all(&bite).map_err(|_| not_gzip())?;
            self.kept.extend_from_slice(decoder.get_ref());
            decoder.get_mut().clear();
            return Ok(());
        }
        let frame = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => {
                return Err(Problem::new(Code::Draining, "the server is shutting down"));
            }
            frame = tokio::time::timeout(self.limits.idle, self.body.frame()) => frame,
        };
        let frame = frame.map_err(|_| {
            let idle = self.limits.idle;
            Problem::new(Code::RequestTimeout, format!("nothing came for {idle:?}"))
        })?;
        match frame {
            None => {
                self.ended = true;
                if let Some((decoder, _)) = &mut self.packed {
                    decoder.try_finish().map_err(|_| not_gzip())?;
                    self.kept.extend_from_slice(decoder.get_ref());
                    decoder.get_mut().clear();
                }
            }
            Some(Err(_)) => {
                return Err(Problem::new(
                    Code::MalformedJson,
                    "the body broke off before its end",
                ));
            }
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                match &mut self.packed {
                    Some((_, waiting)) => *waiting = data,
                    None => self.kept.extend_from_slice(&data),
                }
            }
        }
        Ok(())
    }
}

fn not_gzip() -> Problem {
    Problem::new(Code::MalformedJson, "the body is not gzip")
}
