//! The loopback port: health and metrics for whoever is on this host, and nothing else.
//!
//! Who asks there is not known, so nothing there changes anything. Each connection is good for one answer, has a small
//! head and little time; those at the control socket share no limit with them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower_service::Service;

use super::answer::finish;
use super::context::Context;
use super::routes;

/// Connections at once; further ones wait in the kernel's queue.
const SEATS: usize = 64;
/// How long a client may take for the head of its request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may take in all; longer than the checks may.
const ALL_WITHIN: Duration = Duration::from_secs(90);
/// How long those that are being answered may take once the API is to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// The longest head; the least that the server can be told.
const MAX_HEAD: usize = 8 << 10;

/// Answers until the API is to stop.
pub(super) async fn serve(listener: TcpListener, context: Context) {
    let router = routes::loopback(context.clone());
    let seats = Arc::new(Semaphore::new(SEATS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = context.stopped() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    converse(stream, router).await;
                    drop(seat);
                });
            }
            Err(error) => pause(&error).await,
        }
    }
    // Whoever comes now waits in the kernel's queue for the next daemon, if it inherits the port.
    drop(listener);
    let all = u32::try_from(SEATS).unwrap_or(u32::MAX);
    // Whoever has not been answered by then is no loss.
    let _ = tokio::time::timeout(LAST_ANSWERS, seats.acquire_many(all)).await;
}

/// Descriptors may have run out; somebody has to close one first.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "accept a connection on the loopback port");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn converse(stream: TcpStream, router: axum::Router) {
    let service = service_fn(move |request: Request<Incoming>| answer(router.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever is too slow, or speaks no HTTP, is no loss.
    let _ = tokio::time::timeout(ALL_WITHIN, connection).await;
}

fn answer(
    mut router: axum::Router,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> + Send {
    let path = request.uri().path().to_owned();
    let answered = router.call(request.map(Body::new));
    async move {
        match answered.await {
            Ok(response) => Ok(finish(response, &path)),
            Err(never) => match never {},
        }
    }
}
