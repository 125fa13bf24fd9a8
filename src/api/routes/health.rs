//! How well the daemon is, and what it has done: also for those who may nothing else.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use crate::api::answer::{Failure, typed, whole};
use crate::api::context::Context;
use crate::api::documents;
use crate::api::metrics::{self, Form};
use crate::daemon::health::Level;
use crate::engine::{Command, Query, Refusal, Reply};
use crate::wire::api::{HealthDocument, LiveDocument, Problem, ReadyDocument};

/// How long the engine may take to show that it is alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// Runs every check, and tells what each found.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "Healthy, or degraded", body = HealthDocument),
    (status = 503, description = "Unhealthy", body = HealthDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn health(State(context): State<Context>) -> Result<Response, Failure> {
    let report = context.examiner.examine().await?;
    let status = match report.level() {
        Level::Healthy | Level::Degraded => StatusCode::OK,
        Level::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok(whole(status, &documents::health(&report)))
}

/// Tells whether tasks are taken in.
#[utoipa::path(get, path = "/ready", tag = "health", responses(
    (status = 200, description = "They are", body = ReadyDocument),
    (status = 503, description = "They are not", body = ReadyDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn ready(State(context): State<Context>) -> Response {
    let reason = match context.ask(context.itself(), Command::Read(Query::Status)).await {
        Ok(Reply::Status(status)) if status.intake => None,
        Ok(Reply::Status(status)) if status.stopping => Some(Refusal::Stopping.to_string()),
        Ok(Reply::Status(status)) => Some(status.problems().collect::<Vec<_>>().join("; ")),
        Ok(other) => Some(Failure::unexpected(&other).0.detail),
        Err(failure) => Some(failure.0.detail),
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    whole(status, &ReadyDocument { ready: reason.is_none(), reason })
}

/// Tells whether the daemon makes progress: a daemon that does not is best restarted.
#[utoipa::path(get, path = "/live", tag = "health", responses(
    (status = 200, description = "It does", body = LiveDocument),
    (status = 503, description = "It does not", body = LiveDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn live(State(context): State<Context>) -> Response {
    let asked = context.ask(context.itself(), Command::Read(Query::Status));
    // Any answer is a sign of life, and a queue that cannot be read is none the better for a restart.
    let live = tokio::time::timeout(ALIVE_WITHIN, asked).await.is_ok();
    let status = if live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    whole(status, &LiveDocument { live })
}

/// The daemon in numbers, as OpenMetrics text, or as the older Prometheus text where `Accept` asks for that alone.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "Every figure", content_type = "application/openmetrics-text", body = String),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn metrics(State(context): State<Context>, headers: HeaderMap) -> Result<Response, Failure> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = Form::accepted(&accepted.collect::<Vec<_>>().join(","));
    match context.ask(context.itself(), Command::Read(Query::Metrics)).await? {
        Reply::Metrics(figures) => {
            let text = metrics::text(*figures, &context.about, form);
            Ok(typed(StatusCode::OK, form.media_type(), Body::from(text)))
        }
        other => Err(Failure::unexpected(&other)),
    }
}
