//! Request bodies: bounded in size, in time, and in memory over all connections.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::answer::Failure;
use super::context::Context;

/// Bodies up to this size need no room of their own.
const SMALL: usize = 64 << 10;

/// A whole body, with the room that it takes.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads a body to its end.
///
/// # Errors
/// 413 past the cap, 408 past the time, 503 where large bodies of others take all the room for too long.
pub(super) async fn read(context: &Context, mut body: Body) -> Result<Received, Failure> {
    let (settings, max_body) = (&context.settings, context.terms().max_body);
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let most = announced.unwrap_or(max_body);
    if most > max_body {
        return Err(too_large(max_body));
    }
    let allowance = settings.request_timeout + Duration::from_secs((most >> 20) as u64);
    let deadline = Instant::now() + allowance;
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(SMALL));
    let mut room = None;
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(Failure::malformed(format!("the body broke off: {error}"))),
            Ok(None) => return Ok(Received { bytes: bytes.into(), _room: room }),
            Err(_) => return Err(too_slow(allowance)),
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max_body {
            return Err(too_large(max_body));
        }
        if bytes.len() + data.len() > SMALL && room.is_none() {
            room = Some(reserve(context, most, deadline).await?);
            bytes.reserve_exact(announced.unwrap_or(0).saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(&data);
    }
}

async fn reserve(context: &Context, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, Failure> {
    let room = std::sync::Arc::clone(&context.bodies);
    // One that is larger than all the room takes all of it.
    let kibibytes = bytes.min(context.settings.max_bodies).div_ceil(1024);
    let kibibytes = u32::try_from(kibibytes).unwrap_or(u32::MAX);
    match timeout_at(deadline, room.acquire_many_owned(kibibytes)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => {
            let detail = "large requests of others take all the room; try again, or send less at once";
            Err(Failure::new(503, "busy", "Busy", detail))
        }
    }
}

fn too_large(most: usize) -> Failure {
    Failure::new(
        413,
        "too-large",
        "Content too large",
        format!("the body is larger than {most} bytes; send less at once"),
    )
}

fn too_slow(allowance: Duration) -> Failure {
    let detail = format!("the body did not arrive within {} seconds", allowance.as_secs());
    Failure::new(408, "too-slow", "Request timeout", detail)
}

/// Reads a JSON document.
///
/// # Errors
/// As [`read`]; 400 for what is not JSON or not this document.
pub(super) async fn document<D: DeserializeOwned>(context: &Context, body: Body) -> Result<D, Failure> {
    let received = read(context, body).await?;
    if received.bytes.is_empty() {
        return Err(Failure::malformed("the body is empty; a JSON document is expected"));
    }
    parse(&received.bytes)
}

/// Reads a JSON document where there is one.
///
/// # Errors
/// As [`document`].
pub(super) async fn optional<D: DeserializeOwned + Default>(context: &Context, body: Body) -> Result<D, Failure> {
    let received = read(context, body).await?;
    if received.bytes.is_empty() { Ok(D::default()) } else { parse(&received.bytes) }
}

fn parse<D: DeserializeOwned>(bytes: &[u8]) -> Result<D, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::malformed(format!("the body is not as expected: {error}")))
}
