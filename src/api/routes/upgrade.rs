//! The daemon's upgrade in place.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::oneshot;

use crate::api::answer::{Failure, json};
use crate::api::body;
use crate::api::context::{Context, UpgradeFailure};
use crate::api::params::By;
use crate::engine::Refusal;
use crate::wire::api::{Problem, UpgradeDocument, UpgradeRequest};

/// Tells how the last upgrade went, or how far it is.
#[utoipa::path(get, path = "/v1/upgrade", tag = "daemon", responses(
    (status = 200, description = "The last upgrade since the daemon started", body = UpgradeDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn look(State(context): State<Context>, By(_caller): By) -> Response {
    json(StatusCode::OK, &(context.upgrade.look)())
}

/// Has the daemon, and then its runner, become another program in place. For root and the service's user.
///
/// The answer comes once the new program has proved itself; what becomes of it is told by a GET, which the new program
/// answers. Where it does not prove itself, nothing has changed.
#[utoipa::path(post, path = "/v1/upgrade", tag = "daemon", request_body = UpgradeRequest, responses(
    (status = 202, description = "The new program has proved itself and takes over", body = UpgradeDocument),
    (status = 409, description = "Another upgrade is under way", body = Problem,
        content_type = "application/problem+json"),
    (status = 422, description = "It did not prove itself: the old one stays in charge", body = Problem,
        content_type = "application/problem+json"),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn begin(
    State(context): State<Context>,
    By(caller): By,
    body: Body,
) -> Result<Response, Failure> {
    if !caller.privileged {
        return Err(Failure::from(Refusal::Forbidden("upgrade the daemon")));
    }
    let request: UpgradeRequest = body::optional(&context, body).await?;
    let binary = request.binary.map(|path| Path::new(OsStr::from_bytes(path.as_bytes())).to_owned());
    if binary.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(Failure::malformed("the path of the new program must be absolute"));
    }
    let (answer, answered) = oneshot::channel();
    // A client that has gone needs no answer.
    (context.upgrade.begin)(binary, Box::new(move |result| drop(answer.send(result))));
    match tokio::time::timeout(context.settings.request_timeout, answered).await {
        Ok(Ok(Ok(document))) => Ok(json(StatusCode::ACCEPTED, &document)),
        Ok(Ok(Err(failure))) => Err(refused(failure)),
        // Whoever becomes another program hears nobody any more.
        Ok(Err(_)) => Err(refused(UpgradeFailure::Busy("another upgrade is under way; wait for its end".into()))),
        Err(_) => Err(Failure::new(503, "upgrade-slow", "Upgrade takes long", "the upgrade was not answered in time")),
    }
}

fn refused(failure: UpgradeFailure) -> Failure {
    let (word, title, reason) = match failure {
        UpgradeFailure::Busy(reason) => return Failure::new(409, "upgrade-under-way", "Upgrade under way", reason),
        UpgradeFailure::Configuration(reason) => ("invalid-configuration", "Invalid configuration", reason),
        UpgradeFailure::Unfit(reason) => ("upgrade-failed", "Upgrade failed", reason),
    };
    Failure::new(422, word, title, format!("not upgraded, and the daemon goes on as it was: {reason}"))
}
