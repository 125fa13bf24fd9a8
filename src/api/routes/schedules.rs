//! Recurring tasks.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::api::answer::{Failure, json};
use crate::api::body;
use crate::api::context::{Context, now};
use crate::api::params::{By, Params};
use crate::engine::{Caller, Command, Query, Reply};
use crate::task::Schedule;
use crate::wire::api::{Problem, ScheduleDocument, ScheduleRequest, SchedulesPage, recurring};

async fn schedules(context: &Context, caller: Caller, command: Command) -> Result<Vec<Schedule>, Failure> {
    match context.ask(caller, command).await? {
        Reply::Schedules(schedules) => Ok(schedules),
        other => Err(Failure::unexpected(&other)),
    }
}

fn page(schedules: Vec<Schedule>) -> Response {
    let schedules = schedules.into_iter().map(ScheduleDocument::from).collect();
    json(StatusCode::OK, &SchedulesPage { schedules })
}

fn one(status: StatusCode, schedules: Vec<Schedule>) -> Result<Response, Failure> {
    match schedules.into_iter().next() {
        Some(schedule) => Ok(json(status, &ScheduleDocument::from(schedule))),
        None => Err(Failure::unexpected(&Reply::Schedules(Vec::new()))),
    }
}

/// Lists recurring tasks: the caller's, or everybody's for root and the service's user.
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", responses(
    (status = 200, description = "Recurring tasks", body = SchedulesPage),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn list(State(context): State<Context>, By(caller): By) -> Result<Response, Failure> {
    Ok(page(schedules(&context, caller, Command::Read(Query::Schedules)).await?))
}

/// Adds a recurring task.
#[utoipa::path(post, path = "/v1/schedules", tag = "schedules", request_body = ScheduleRequest, responses(
    (status = 201, description = "Added", body = ScheduleDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn add(
    State(context): State<Context>,
    By(caller): By,
    body: Body,
) -> Result<Response, Failure> {
    let request: ScheduleRequest = body::document(&context, body).await?;
    let rule = request.rule(now()).map_err(|fault| Failure::fault(fault, None))?;
    let (spec, placement) =
        recurring(request.task, &context.terms().defaults).map_err(|fault| Failure::fault(fault, None))?;
    let command = Command::AddSchedule {
        name: request.name,
        rule,
        missed: request.missed,
        overlap: request.overlap,
        spec: Box::new(spec),
        placement: Box::new(placement),
    };
    one(StatusCode::CREATED, schedules(&context, caller, command).await?)
}

/// Whose recurring task.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct OwnerQuery {
    /// The user who owns it, where that is not the caller; for root and the service's user.
    owner: Option<u32>,
}

/// Removes a recurring task; its runs stay.
#[utoipa::path(delete, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "The recurring task"), OwnerQuery), responses(
    (status = 200, description = "Removed", body = SchedulesPage),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn remove(
    State(context): State<Context>,
    By(caller): By,
    Path(name): Path<String>,
    Params(OwnerQuery { owner }): Params<OwnerQuery>,
) -> Result<Response, Failure> {
    Ok(page(schedules(&context, caller, Command::RemoveSchedule { owner, name }).await?))
}

/// Pauses or resumes a recurring task.
#[utoipa::path(post, path = "/v1/schedules/{name}/{change}", tag = "schedules", params(
    ("name" = String, Path, description = "The recurring task"),
    ("change" = String, Path, description = "`pause` or `resume`"),
    OwnerQuery,
), responses(
    (status = 200, description = "As it is now", body = ScheduleDocument),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn change(
    State(context): State<Context>,
    By(caller): By,
    Path((name, change)): Path<(String, String)>,
    Params(OwnerQuery { owner }): Params<OwnerQuery>,
) -> Result<Response, Failure> {
    let paused = match change.as_str() {
        "pause" => true,
        "resume" => false,
        other => {
            let detail = format!("{other:?} cannot be done to a recurring task; pause and resume can");
            return Err(Failure::new(404, "no-route", "Not found", detail));
        }
    };
    one(StatusCode::OK, schedules(&context, caller, Command::PauseSchedule { owner, name, paused }).await?)
}
