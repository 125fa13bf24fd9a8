//! The daemon itself.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::api::answer::{Failure, json, typed};
use crate::api::context::Context;
use crate::api::params::By;
use crate::api::{documents, openapi};
use crate::engine::{Command, Query, Refusal, Reply};
use crate::wire::api::{Problem, ReloadDocument, StatusDocument};

/// What there is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::api) struct Index {
    /// The program.
    name: &'static str,
    /// Its version.
    version: String,
    /// Where the description of everything else is.
    openapi: &'static str,
    /// Every path with its methods.
    paths: BTreeMap<String, Vec<&'static str>>,
}

/// Says what there is.
#[utoipa::path(get, path = "/", tag = "daemon", responses((status = 200, description = "What there is", body = Index)))]
pub(in crate::api) async fn index(State(context): State<Context>) -> Response {
    let version = context.about.version.clone();
    let paths = openapi::operations();
    json(StatusCode::OK, &Index { name: "taskdaemon", version, openapi: "/v1/openapi.json", paths })
}

/// Describes this interface.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "daemon",
    responses((status = 200, description = "This document", content_type = "application/json")))]
pub(in crate::api) async fn openapi() -> Response {
    typed(StatusCode::OK, "application/json", Body::from(openapi::text()))
}

/// The daemon at a glance.
#[utoipa::path(get, path = "/v1/status", tag = "daemon", responses(
    (status = 200, description = "The daemon at a glance", body = StatusDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn status(State(context): State<Context>, By(caller): By) -> Result<Response, Failure> {
    match context.ask(caller, Command::Read(Query::Status)).await? {
        Reply::Status(status) => {
            Ok(json(StatusCode::OK, &documents::status(*status, &context.about, context.state.state())))
        }
        other => Err(Failure::unexpected(&other)),
    }
}

/// Has the daemon read its configuration anew. For root and the service's user.
#[utoipa::path(post, path = "/v1/reload", tag = "daemon", responses(
    (status = 200, description = "The new configuration is in force", body = ReloadDocument),
    (status = 422, description = "It is faulty, and the old one stays in force; each fault is in `causes`",
        body = Problem, content_type = "application/problem+json"),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn reload(State(context): State<Context>, By(caller): By) -> Result<Response, Failure> {
    if !caller.privileged {
        return Err(Failure::from(Refusal::Forbidden("reload the configuration")));
    }
    let (answer, answered) = oneshot::channel();
    // A client that has gone needs no answer.
    (context.reload)(Box::new(move |result| drop(answer.send(result))));
    match tokio::time::timeout(context.settings.request_timeout, answered).await {
        Ok(Ok(Ok(report))) => Ok(json(StatusCode::OK, &report)),
        Ok(Ok(Err(refused))) => {
            let detail = "the configuration is faulty; the old one stays in force";
            let mut failure = Failure::new(422, "invalid-configuration", "Invalid configuration", detail);
            failure.0.causes = refused.faults;
            Err(failure)
        }
        // Whoever becomes another program hears nobody any more.
        Ok(Err(_)) => {
            let detail = "the daemon is becoming another program, which reads the configuration anew by itself";
            Err(Failure::new(503, "upgrading", "Upgrading", detail))
        }
        Err(_) => Err(Failure::new(503, "reload-slow", "Reload takes long", "the reload was not answered in time")),
    }
}
