//! What is left of a body when its request is answered without it.
//!
//! A client that is still writing sees its connection reset, and not the answer, where the rest of its body is not read. So it is
//! read to its end and thrown away: no more than a few times what a body may have, no longer than one may take, and only for as long
//! as it keeps coming, for others write no more before they have their answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::body::BodyLimits;

/// What a client has sent, or its system holds for it, before it reads: of a body of so many bytes nothing need be read.
const SMALL: u64 = 16 << 10;

/// Who sends nothing for so long waits.
const QUIET: Duration = Duration::from_millis(250);

/// Where the rest of a body comes to.
#[derive(Debug)]
pub(super) struct Leftover(oneshot::Receiver<Body>);

/// The request with a body whose rest is not lost; none where it is small, or comes only when it is read.
pub(super) fn watch(request: Request) -> (Request, Option<Leftover>) {
    let small = request
        .body()
        .size_hint()
        .upper()
        .is_some_and(|most| most <= SMALL);
    if small || request.headers().contains_key(header::EXPECT) {
        return (request, None);
    }
    let (back, rest) = oneshot::channel();
    let watched = |body| {
        Body::new(Watched {
            body,
            back: Some(back),
        })
    };
    (request.map(watched), Some(Leftover(rest)))
}

impl Leftover {
    /// Reads what nobody reads any more.
    pub async fn drain(mut self, limits: BodyLimits) {
        let Ok(mut body) = self.0.try_recv() else {
            return;
        };
        let most = limits.bytes.saturating_mul(4);
        let reading = async {
            let mut seen = 0;
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(QUIET, body.frame()).await {
                seen += frame.data_ref().map_or(0, Bytes::len);
                if seen > most {
                    return;
                }
            }
        };
        // Who takes longer may lose its answer.
        let _ = tokio::time::timeout(limits.time, reading).await;
    }
}

/// A body that is sent back when it is dropped before its end.
struct Watched {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(back) = self.back.take()
            && !self.body.is_end_stream()
        {
            // Nobody waits for the rest of a body that was read after its answer had begun.
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}
