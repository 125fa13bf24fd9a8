//! Tasks: submitted, listed, shown.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::api::answer::{Failure, json};
use crate::api::body::{self, Received};
use crate::api::context::Context;
use crate::api::params::{By, Params, task_id};
use crate::api::{Settings, Terms, documents};
use crate::engine::{Command, Draft, Filter, Page, Query, Reply};
use crate::task::{Label, QueueName, Submission, TaskId};
use crate::wire::api::{
    Accepted, Batch, Fault, Order, Problem, SubmitRequest, TaskDetail, TaskRequest, TasksPage, submission,
};

/// Bodies up to this size are parsed at once; larger ones must not keep the reactor.
const AT_ONCE: usize = 64 << 10;
/// Bytes that the tasks of one request may come to once defaults are copied into each.
const MAX_EXPANDED: usize = 64 << 20;

/// Submits tasks: all are accepted, or none.
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks", request_body = SubmitRequest, responses(
    (status = 201, description = "Accepted and durable", body = Accepted),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn submit(
    State(context): State<Context>,
    By(caller): By,
    body: Body,
) -> Result<Response, Failure> {
    let received = body::read(&context, body).await?;
    let (terms, most) = (context.terms(), context.settings.max_batch);
    let drafts = if received.bytes.len() <= AT_ONCE {
        parse(&received, &terms, most)?
    } else {
        let parsed = tokio::task::spawn_blocking(move || parse(&received, &terms, most)).await;
        parsed.map_err(|_| Failure::new(500, "internal", "Internal error", "the request could not be parsed"))??
    };
    match context.ask(caller, Command::Submit(drafts)).await? {
        Reply::Accepted(tasks) => {
            let existing = tasks.iter().filter(|(_, existed)| *existed).map(|(id, _)| *id).collect();
            let accepted = Accepted { ids: tasks.into_iter().map(|(id, _)| id).collect(), existing };
            Ok(json(StatusCode::CREATED, &accepted))
        }
        other => Err(Failure::unexpected(&other)),
    }
}

fn parse(received: &Received, terms: &Terms, most: usize) -> Result<Vec<Draft>, Failure> {
    let batch: Batch<'_> = serde_json::from_slice(&received.bytes)
        .map_err(|error| Failure::malformed(format!("the body is not as expected: {error}")))?;
    if batch.tasks.is_empty() {
        return Err(Failure::malformed("there are no tasks in the request"));
    }
    if batch.tasks.len() > most {
        let detail = format!("there are {} tasks in the request; at most {most} fit", batch.tasks.len());
        return Err(Failure::new(413, "too-large", "Content too large", detail));
    }
    let mut drafts = Vec::with_capacity(batch.tasks.len());
    let mut expanded = 0;
    for (index, text) in batch.tasks.iter().enumerate() {
        let task = TaskRequest::parse(text)
            .and_then(|task| submission(task, &batch.defaults, &terms.defaults))
            .and_then(|task| short_enough(task, terms.max_stdin))
            .map_err(|fault| Failure::fault(fault, Some(index)))?;
        expanded += weight(&task);
        if expanded > MAX_EXPANDED {
            let detail = "with the defaults in each, the tasks come to more than 64 MiB; send fewer at once";
            return Err(Failure::new(413, "too-large", "Content too large", detail));
        }
        drafts.push(task.into());
    }
    Ok(drafts)
}

fn short_enough(task: Submission, most: usize) -> Result<Submission, Fault> {
    match task.stdin.as_ref().map_or(0, Vec::len) {
        length if length > most => {
            let what = format!("standard input has {length} bytes, and {most} is the limit; let the task read a file");
            Err(Fault { field: Some("stdin"), what })
        }
        _ => Ok(task),
    }
}

fn weight(task: &Submission) -> usize {
    let arguments: usize = task.spec.argv.iter().map(|argument| argument.as_bytes().len()).sum();
    let variables = task.spec.environment.iter().map(|(name, value)| name.as_bytes().len() + value.as_bytes().len());
    arguments + variables.sum::<usize>() + task.stdin.as_ref().map_or(0, Vec::len)
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ListQuery {
    /// Only in one of these states, separated by commas.
    state: Option<String>,
    /// Only of this queue.
    #[param(value_type = Option<String>)]
    queue: Option<QueueName>,
    /// Only with this label.
    #[param(value_type = Option<String>)]
    label: Option<Label>,
    /// Only runs of this recurring task.
    schedule: Option<String>,
    /// Only this user's.
    owner: Option<u32>,
    /// At most this many; 100 if not given, 1000 at most.
    limit: Option<usize>,
    /// Only what comes after this task in the list's order: `next` of the page before.
    #[param(value_type = Option<i64>)]
    after: Option<TaskId>,
    /// The order.
    #[param(inline)]
    order: Option<Order>,
}

impl ListQuery {
    fn parts(self, settings: &Settings) -> Result<(Filter, Page), Failure> {
        let states = self.state.as_deref().unwrap_or_default().split(',').filter(|word| !word.is_empty());
        let states = states.map(str::parse).collect::<Result<_, String>>().map_err(Failure::malformed)?;
        let filter =
            Filter { owner: self.owner, states, queue: self.queue, label: self.label, schedule: self.schedule };
        let page = Page {
            after: self.after,
            limit: self.limit.unwrap_or(100).clamp(1, settings.max_page),
            oldest_first: self.order.unwrap_or_default() == Order::OldestFirst,
        };
        Ok((filter, page))
    }
}

/// Lists tasks: the caller's, or everybody's for root and the service's user.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", params(ListQuery), responses(
    (status = 200, description = "One page", body = TasksPage),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn list(
    State(context): State<Context>,
    By(caller): By,
    Params(query): Params<ListQuery>,
) -> Result<Response, Failure> {
    let (filter, page) = query.parts(&context.settings)?;
    match context.ask(caller, Command::Read(Query::List(filter, page))).await? {
        Reply::Listing(listing) => Ok(json(StatusCode::OK, &documents::tasks(listing))),
        other => Err(Failure::unexpected(&other)),
    }
}

/// How much of a task is shown.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ShowQuery {
    /// `values` shows the values of the environment too, except those whose names look like secrets.
    #[param(inline)]
    environment: Option<EnvironmentShown>,
}

/// How much of an environment is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::api) enum EnvironmentShown {
    /// The names.
    Names,
    /// Names and values.
    Values,
}

/// Shows one task with its attempts.
#[utoipa::path(get, path = "/v1/tasks/{id}", tag = "tasks",
    params(("id" = i64, Path, description = "The task"), ShowQuery), responses(
    (status = 200, description = "The task", body = TaskDetail),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn show(
    State(context): State<Context>,
    By(caller): By,
    Path(id): Path<String>,
    Params(query): Params<ShowQuery>,
) -> Result<Response, Failure> {
    let values = query.environment == Some(EnvironmentShown::Values);
    match context.ask(caller, Command::Read(Query::Show(task_id(&id)?))).await? {
        Reply::Detail(detail) => Ok(json(StatusCode::OK, &documents::detail(*detail, values))),
        other => Err(Failure::unexpected(&other)),
    }
}
