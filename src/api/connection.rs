//! One connection from its first byte to its last.
//!
//! hyper ends a conversation that is not HTTP with a bare status, and one that is too slow without a word.
//! Here both get a problem document, and a moment in which the client can read it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tower_service::Service;

use super::answer::{Failure, bytes, finish, plain};
use super::context::Context;
use super::peer::Stranger;
use crate::engine::Caller;
use crate::wire::api::Problem;

/// How long a client may read its last answer before the socket closes.
const LINGER: Duration = Duration::from_secs(1);
/// How much it may send meanwhile.
const LINGER_BYTES: usize = 64 << 20;
const MAX_HEAD: usize = 64 << 10;

/// How long a client that has just connected may take for its first request when the daemon stops: it comes at once,
/// or the client has something else to do.
const LAST_CALL: Duration = Duration::from_millis(100);

/// What a connection is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// To ask.
    Caller(Caller),
    /// To be told that it has no business here.
    Stranger(Stranger),
    /// To be told that its user has too many connections.
    Crowd,
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: UnixStream, admission: Admission, router: Router, context: Context) {
    let progress = Arc::new(Progress::default());
    let socket = Socket { stream, refusal: None, unanswered: false, progress: Arc::clone(&progress) };
    let taken = Arc::clone(&progress);
    let service = service_fn(move |request: Request<Incoming>| {
        taken.take(&request);
        Box::pin(answer(router.clone(), admission, request))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.settings.header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service);
    let mut idle_at = None;
    let ended = loop {
        tokio::select! {
            biased;
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
            () = last_call(&context, &progress), if idle_at.is_none() => {
                idle_at = Some(progress.written.load(Ordering::Relaxed));
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let whole = ended.is_ok();
    let mut socket = connection.into_parts().io.into_inner();
    let too_slow = ended.is_err_and(|error| error.is_timeout()) && socket.unanswered;
    if let Some(status) = socket.refusal.or(too_slow.then_some(408)) {
        // Whoever does not read the last word loses it.
        let _ = tokio::time::timeout(LINGER, socket.stream.write_all(&last_word(status))).await;
    }
    // Nothing was under way: whoever is just sending a request hears that it was not taken.
    if whole && idle_at == Some(progress.written.load(Ordering::Relaxed)) && !progress.is_last.load(Ordering::Relaxed) {
        let detail = "the daemon took no more requests on this connection; send it again on another";
        let problem = Problem::new(408, Problem::NOT_TAKEN, "Request not taken", detail);
        // Whoever does not read it has nothing to send.
        let _ = socket.stream.try_write(&words(&problem));
    }
    // A daemon that stops does not wait: on a Unix socket what was sent can still be read after the close.
    if idle_at.is_none() {
        let _ = tokio::time::timeout(LINGER, linger(&mut socket.stream)).await;
    }
}

async fn answer(mut router: Router, admission: Admission, request: Request<Incoming>) -> Result<Response, Infallible> {
    let path = request.uri().path().to_owned();
    let caller = match admission {
        Admission::Caller(caller) => caller,
        Admission::Stranger(stranger) => return Ok(finish(Failure::from(stranger).into_response(), &path)),
        Admission::Crowd => {
            let detail = "this user has too many connections; close some and try again";
            return Ok(finish(Failure::new(503, "crowd", "Too many connections", detail).into_response(), &path));
        }
    };
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(caller);
    let response = match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    Ok(finish(response, &path))
}

/// Waits until the daemon stops, and whoever has just connected has had the time to ask.
async fn last_call(context: &Context, progress: &Progress) {
    context.stopped().await;
    if progress.taken.load(Ordering::Relaxed) == 0 {
        let _ = tokio::time::timeout(LAST_CALL, progress.first.notified()).await;
    }
}

/// How far a conversation is.
#[derive(Debug, Default)]
struct Progress {
    /// Requests that were taken.
    taken: AtomicU64,
    /// Tells of the first one.
    first: Notify,
    /// Whether the client said that it would ask no more.
    is_last: AtomicBool,
    /// Bytes that were sent.
    written: AtomicU64,
}

impl Progress {
    fn take(&self, request: &Request<Incoming>) {
        let closes = request.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        self.is_last.store(closes || request.version() < Version::HTTP_11, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.first.notify_one();
    }
}

fn last_word(status: u16) -> Vec<u8> {
    words(&plain(status, ""))
}

fn words(problem: &Problem) -> Vec<u8> {
    let body = bytes(problem);
    let status = problem.status;
    let (title, length, media_type) = (&problem.title, body.len(), Problem::MEDIA_TYPE);
    let head = format!(
        "HTTP/1.1 {status} {title}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}

/// Closes our side, and reads what still comes, so that the client is not cut off in its sentence and reads ours.
async fn linger(stream: &mut UnixStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scrap = vec![0; 64 << 10];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match stream.read(&mut scrap).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// A socket that keeps hyper's bare refusals back.
#[derive(Debug)]
struct Socket {
    stream: UnixStream,
    /// The status of a refusal that was kept back.
    refusal: Option<u16>,
    /// Whether something came after the last answer.
    unanswered: bool,
    progress: Arc<Progress>,
}

/// The status of a refusal that hyper makes by itself: our own always carry a body.
fn bare_refusal(answer: &[u8]) -> Option<u16> {
    let digits = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let head = &answer[..answer.len().min(256)];
    let empty = head.windows(19).any(|part| part == b"content-length: 0\r\n");
    (digits[0] == b'4' && empty).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        self.unanswered |= into.filled().len() > before;
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(status) = bare_refusal(bytes) {
            self.refusal = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.unanswered = false;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.progress.written.fetch_add(*count as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_without_a_body_are_kept_back() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(bare_refusal(bare), Some(431));
        assert_eq!(bare_refusal(b"HTTP/1.1 404 Not Found\r\ncontent-length: 90\r\n\r\n"), None);
        assert_eq!(bare_refusal(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(bare_refusal(b"{}"), None);
    }
}
