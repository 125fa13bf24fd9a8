//! Queues.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::api::answer::{Failure, json};
use crate::api::body;
use crate::api::context::Context;
use crate::api::documents;
use crate::api::params::{By, queue_name};
use crate::engine::{Caller, Command, Counts, Query, QueueChange, Reply};
use crate::task::{Mode, Queue, QueueName};
use crate::wire::api::{Problem, QueueDocument, QueueRequest, QueuesPage};

/// Lists every queue with its tasks by state.
#[utoipa::path(get, path = "/v1/queues", tag = "queues", responses(
    (status = 200, description = "Every queue", body = QueuesPage),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn list(State(context): State<Context>, By(caller): By) -> Result<Response, Failure> {
    match context.ask(caller, Command::Read(Query::Queues)).await? {
        Reply::Queues(queues) => Ok(json(StatusCode::OK, &documents::queues(queues))),
        other => Err(Failure::unexpected(&other)),
    }
}

async fn changed(
    context: &Context,
    caller: Caller,
    name: QueueName,
    change: QueueChange,
) -> Result<Vec<(Queue, Counts)>, Failure> {
    match context.ask(caller, Command::Queue(name, change)).await? {
        Reply::Queues(queues) => Ok(queues),
        other => Err(Failure::unexpected(&other)),
    }
}

fn one(queues: Vec<(Queue, Counts)>) -> Result<Response, Failure> {
    match queues.into_iter().next() {
        Some(queue) => Ok(json(StatusCode::OK, &QueueDocument::from(queue))),
        None => Err(Failure::unexpected(&Reply::Queues(Vec::new()))),
    }
}

/// Adds a queue, or sets its limits. For root and the service's user.
#[utoipa::path(put, path = "/v1/queues/{name}", tag = "queues", request_body = QueueRequest,
    params(("name" = String, Path, description = "The queue")), responses(
    (status = 200, description = "As it is now", body = QueueDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn set(
    State(context): State<Context>,
    By(caller): By,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    let request: QueueRequest = body::document(&context, body).await?;
    if request.slots == Some(0) {
        return Err(Failure::malformed("a queue has at least one slot; pause it to start nothing"));
    }
    if request.breaker.is_some_and(|breaker| breaker.failures == 0) {
        return Err(Failure::malformed("a breaker opens after at least one failure"));
    }
    one(changed(&context, caller, queue_name(&name)?, QueueChange::Set(request.into())).await?)
}

/// Removes a queue, or takes a configured one back to its configuration. For root and the service's user.
#[utoipa::path(delete, path = "/v1/queues/{name}", tag = "queues",
    params(("name" = String, Path, description = "The queue")), responses(
    (status = 200, description = "The queue as it is now, where it stays", body = QueuesPage),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn remove(
    State(context): State<Context>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let left = changed(&context, caller, queue_name(&name)?, QueueChange::Remove).await?;
    Ok(json(StatusCode::OK, &documents::queues(left)))
}

/// Pauses, resumes or drains a queue. For root and the service's user.
#[utoipa::path(post, path = "/v1/queues/{name}/{change}", tag = "queues", params(
    ("name" = String, Path, description = "The queue"),
    ("change" = String, Path, description = "`pause`, `resume` or `drain`"),
), responses(
    (status = 200, description = "As it is now", body = QueueDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn change(
    State(context): State<Context>,
    By(caller): By,
    Path((name, change)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let mode = match change.as_str() {
        "pause" => Mode::Paused,
        "resume" => Mode::Open,
        "drain" => Mode::Draining,
        other => {
            let detail = format!("{other:?} cannot be done to a queue; pause, resume and drain can");
            return Err(Failure::new(404, "no-route", "Not found", detail));
        }
    };
    one(changed(&context, caller, queue_name(&name)?, QueueChange::Mode(mode)).await?)
}
