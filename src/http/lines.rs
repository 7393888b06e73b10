//! A body as lines, read while it arrives and in bounded memory.

use std::convert::Infallible;
use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use tokio::sync::watch;

use super::budget::{Budget, Held};
use super::error::{Code, Problem};

/// Compressed bytes that are decompressed at a time: at most 128 KiB come of them.
const BITE: usize = 128;

/// Decompressed bytes after which others have their turn on the thread.
const YIELD: usize = 64 << 10;

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
    /// As many bytes are held for `kept`.
    held: Held,
    /// Bytes decompressed since others had their turn.
    unpacked: usize,
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
        held: Held,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            body,
            packed: gzip.then(|| (MultiGzDecoder::new(Vec::new()), Bytes::new())),
            kept: BytesMut::new(),
            held,
            unpacked: 0,
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
            if self.seen == 0 && !self.skipping {
                // Any number of blank lines at once: a small body can unpack to millions of them.
                let blank = self.kept.len() - self.kept.trim_ascii_start().len();
                self.kept.advance(blank);
            }
            if let Some(end) = memchr::memchr(b'\n', &self.kept[self.seen..]) {
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
            // Else the decoder keeps back what came of it until more is written, for which a client may wait.
            decoder
                .write_all(&bite)
                .and_then(|()| decoder.flush())
                .map_err(|_| not_gzip())?;
            self.kept.extend_from_slice(decoder.get_ref());
            self.unpacked += decoder.get_ref().len();
            decoder.get_mut().clear();
            if self.unpacked >= YIELD {
                self.unpacked = 0;
                tokio::task::yield_now().await;
            }
            return self.held.set(self.kept.len());
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
        self.held.set(self.kept.len())
    }
}

/// How a body comes, for whoever wants to try what might come.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    /// Bytes of each piece.
    pub size: usize,
    /// Whether it is compressed.
    pub gzip: bool,
    /// Most bytes of a line.
    pub longest: usize,
}

impl Pieces {
    /// The lines of a body, none for one that is too long.
    ///
    /// # Errors
    /// It is not gzip.
    pub fn lines(self, body: &[u8]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let pieces: Vec<_> = body
            .chunks(self.size)
            .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
            .collect();
        let limits = LineLimits {
            line: self.longest,
            idle: Duration::MAX,
        };
        let (_stop, stopping) = watch::channel(false);
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let held = Budget::of(usize::MAX).hold();
        let mut lines = Lines::new(body, self.gzip, limits, held, stopping);
        let mut found = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            while let Some(line) = lines.next().await {
                match line {
                    Line::Whole(line) => found.push(Some(line.to_vec())),
                    Line::TooLong => found.push(None),
                    Line::Broken(problem) => return Err(problem.detail),
                }
            }
            Ok(found)
        })
    }
}

fn not_gzip() -> Problem {
    Problem::new(Code::MalformedJson, "the body is not gzip")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// The lines of a compressed body, and how often others had their turn meanwhile.
    fn read(text: &[u8], line: usize) -> (Vec<String>, usize) {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text).unwrap();
        let body = Body::from(packed.finish().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _within = runtime.enter();
        let limits = LineLimits {
            line,
            idle: Duration::from_secs(3600),
        };
        let (_stop, stopping) = watch::channel(false);
        let held = Budget::of(1 << 20).hold();
        let mut lines = Lines::new(body, true, limits, held, stopping);
        let mut context = Context::from_waker(Waker::noop());
        let (mut found, mut turns) = (Vec::new(), 0);
        loop {
            let mut next = pin!(lines.next());
            let line = loop {
                match next.as_mut().poll(&mut context) {
                    Poll::Ready(line) => break line,
                    Poll::Pending => turns += 1,
                }
            };
            match line {
                None => return (found, turns),
                Some(Line::Whole(line)) => found.push(String::from_utf8(line.to_vec()).unwrap()),
                Some(Line::TooLong) => found.push("too long".to_owned()),
                Some(Line::Broken(problem)) => panic!("{problem:?}"),
            }
        }
    }

    #[test]
    fn a_small_body_that_unpacks_to_blank_lines_or_to_one_without_end_lets_others_have_their_turn()
    {
        let mut blank = vec![b'\n'; 16 << 20];
        blank.extend(b" \r\n \"a\" \n\t\n\"b\"\n \x0c\n\"c\"");
        let (found, turns) = read(&blank, 100);
        assert_eq!(found, ["\"a\" ", "\"b\"", "\"c\""]);
        assert!(turns > 80, "{turns}");
        let endless = [vec![b'x'; 16 << 20], b" \n\"a\"\n".to_vec()].concat();
        let (found, turns) = read(&endless, 100);
        assert_eq!(found, ["too long", "\"a\""]);
        assert!(turns > 80, "{turns}");
    }
}
