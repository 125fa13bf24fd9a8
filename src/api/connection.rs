//! One connection from its first byte to its last.
//!
//! hyper ends a conversation that is not HTTP with a bare status, and one that is too slow without a word.
//! Here both get a problem document, and a moment in which the client can read it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
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
    let socket = Socket { stream, refusal: None, unanswered: false };
    let service = service_fn(move |request: Request<Incoming>| Box::pin(answer(router.clone(), admission, request)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.settings.header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service);
    let mut asked_to_end = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
            () = context.stopped(), if !asked_to_end => {
                asked_to_end = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let mut socket = connection.into_parts().io.into_inner();
    let too_slow = ended.is_err_and(|error| error.is_timeout()) && socket.unanswered;
    if let Some(status) = socket.refusal.or(too_slow.then_some(408)) {
        // Whoever does not read the last word loses it.
        let _ = tokio::time::timeout(LINGER, socket.stream.write_all(&last_word(status))).await;
    }
    // A daemon that stops does not wait: on a Unix socket what was sent can still be read after the close.
    if !asked_to_end {
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

fn last_word(status: u16) -> Vec<u8> {
    let problem = plain(status, "");
    let body = bytes(&problem);
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
