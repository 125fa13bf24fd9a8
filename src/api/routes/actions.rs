//! Actions on tasks, one or many.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;

use crate::api::answer::{Failure, json};
use crate::api::body;
use crate::api::context::{Context, now};
use crate::api::documents;
use crate::api::params::{By, task_id};
use crate::engine::{Action, Caller, Command, Filter, Page, Query, Reply, Selection};
use crate::task::{Signal, State as TaskState, TaskId};
use crate::wire::api::{ActRequest, Done, ParametersRequest, Problem, PruneRequest, Verb};

/// Tasks that one beat of the engine handles for a filter.
const PAGE: usize = 500;
/// IDs that an answer names.
const MAX_NAMED: usize = 10_000;

fn action(word: &str, signal: Option<Signal>, priority: Option<i32>) -> Result<Action, Failure> {
    let verb = Verb::deserialize(IntoDeserializer::<WordError>::into_deserializer(word))
        .map_err(|_| Failure::new(404, "no-route", "Not found", format!("there is no action {word:?}")))?;
    let superfluous = match verb {
        Verb::Signal => priority.is_some(),
        Verb::Priority => signal.is_some(),
        Verb::Cancel | Verb::Retry | Verb::Hold | Verb::Release | Verb::Remove => {
            signal.is_some() || priority.is_some()
        }
    };
    if superfluous {
        return Err(Failure::malformed(format!("{word} takes no such parameter")));
    }
    Ok(match verb {
        Verb::Cancel => Action::Cancel,
        Verb::Signal => Action::Signal(signal.ok_or_else(|| Failure::malformed("signal needs a signal"))?),
        Verb::Retry => Action::Retry,
        Verb::Hold => Action::Hold,
        Verb::Release => Action::Release,
        Verb::Remove => Action::Remove,
        Verb::Priority => Action::Prioritise(priority_of(priority)?),
    })
}

fn priority_of(priority: Option<i32>) -> Result<i32, Failure> {
    match priority {
        Some(priority @ -1000..=1000) => Ok(priority),
        Some(priority) => Err(Failure::malformed(format!("the priority is {priority}; it must be from -1000 to 1000"))),
        None => Err(Failure::malformed("priority needs a priority")),
    }
}

/// Does something to one task.
#[utoipa::path(post, path = "/v1/tasks/{id}/{verb}", tag = "tasks", request_body = Option<ParametersRequest>,
    params(("id" = i64, Path, description = "The task"), ("verb" = inline(Verb), Path, description = "What")),
    responses(
    (status = 200, description = "Done", body = Done),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn act_on_one(
    State(context): State<Context>,
    By(caller): By,
    Path((id, verb)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Failure> {
    let id = task_id(&id)?;
    let parameters: ParametersRequest = body::optional(&context, body).await?;
    let action = action(&verb, parameters.signal, parameters.priority)?;
    let done = on_ids(&context, caller, action, vec![id]).await?;
    Ok(json(StatusCode::OK, &done))
}

/// Removes an ended task with its output.
#[utoipa::path(delete, path = "/v1/tasks/{id}", tag = "tasks", params(("id" = i64, Path, description = "The task")),
    responses(
    (status = 200, description = "Removed", body = Done),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn remove(
    State(context): State<Context>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let done = on_ids(&context, caller, Action::Remove, vec![task_id(&id)?]).await?;
    Ok(json(StatusCode::OK, &done))
}

/// Does something to many tasks.
#[utoipa::path(post, path = "/v1/actions/{verb}", tag = "tasks", request_body = ActRequest,
    params(("verb" = inline(Verb), Path, description = "What")), responses(
    (status = 200, description = "Done", body = Done),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn act(
    State(context): State<Context>,
    By(caller): By,
    Path(verb): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    let request: ActRequest = body::document(&context, body).await?;
    let action = action(&verb, request.signal, request.priority)?;
    let done = match (request.ids, request.filter) {
        (Some(ids), None) => on_ids(&context, caller, action, ids).await?,
        (None, Some(filter)) => on_matching(&context, caller, action, documents::filter(filter)).await?,
        (Some(_), Some(_)) | (None, None) => return Err(Failure::malformed("give ids or a filter, one of them")),
    };
    Ok(json(StatusCode::OK, &done))
}

async fn on_ids(context: &Context, caller: Caller, action: Action, ids: Vec<TaskId>) -> Result<Done, Failure> {
    let most = context.settings.max_batch;
    if ids.len() > most {
        return Err(Failure::malformed(format!("there are {} IDs; at most {most} fit", ids.len())));
    }
    let mut done = Done::default();
    let command = Command::Act(action, Selection::Ids(ids));
    note(&mut done, context.ask(caller, command).await?)?;
    Ok(done)
}

/// Adds what the engine did; where it goes on from.
fn note(done: &mut Done, reply: Reply) -> Result<Option<TaskId>, Failure> {
    match reply {
        Reply::Done { ids, next } => {
            done.count += ids.len() as u64;
            let room = MAX_NAMED.saturating_sub(done.ids.len());
            done.ids.extend(ids.into_iter().take(room));
            Ok(next)
        }
        other => Err(Failure::unexpected(&other)),
    }
}

async fn on_matching(context: &Context, caller: Caller, action: Action, filter: Filter) -> Result<Done, Failure> {
    let mut done = Done::default();
    let mut page = Page { after: None, limit: PAGE, oldest_first: true };
    loop {
        let command = Command::Act(action, Selection::Matching(filter.clone(), page));
        match note(&mut done, context.ask(caller, command).await?)? {
            Some(next) => page.after = Some(next),
            None => return Ok(done),
        }
    }
}

/// Removes ended tasks with their output.
#[utoipa::path(post, path = "/v1/prune", tag = "tasks", request_body = PruneRequest, responses(
    (status = 200, description = "Done", body = Done),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn prune(
    State(context): State<Context>,
    By(caller): By,
    body: Body,
) -> Result<Response, Failure> {
    let request: PruneRequest = body::document(&context, body).await?;
    if let Some(state) = request.filter.states.iter().find(|state| !state.is_ended()) {
        return Err(Failure::malformed(format!("tasks that are {state} have not ended; cancel them first")));
    }
    let mut filter = documents::filter(request.filter);
    if filter.states.is_empty() {
        filter.states = TaskState::ALL.into_iter().filter(|state| state.is_ended()).collect();
    }
    let before = request.older_than_ms.map(|age| now().before(Duration::from_millis(age)));
    let mut keep = request.keep_last.unwrap_or(0);
    let mut done = Done::default();
    let mut page = Page { after: None, limit: PAGE, oldest_first: false };
    loop {
        let query = Query::List(filter.clone(), page);
        let listing = match context.ask(caller, Command::Read(query)).await? {
            Reply::Listing(listing) => listing,
            other => return Err(Failure::unexpected(&other)),
        };
        let old = |ended_at| before.is_none_or(|before| ended_at < Some(before));
        let mut doomed = Vec::new();
        for line in listing.lines {
            if keep > 0 {
                keep -= 1;
            } else if old(line.task.ended_at) {
                doomed.push(line.task.id);
            }
        }
        remove_all(&context, caller, doomed, &mut done).await?;
        match listing.next {
            Some(next) => page.after = Some(next),
            None => return Ok(json(StatusCode::OK, &done)),
        }
    }
}

/// Removes these tasks, except those that somebody else removed or put back meanwhile.
async fn remove_all(context: &Context, caller: Caller, ids: Vec<TaskId>, done: &mut Done) -> Result<(), Failure> {
    if ids.is_empty() {
        return Ok(());
    }
    let remove = |ids| Command::Act(Action::Remove, Selection::Ids(ids));
    match context.ask(caller, remove(ids.clone())).await {
        Ok(reply) => note(done, reply).map(drop),
        Err(failure) if overtaken(&failure) => {
            for id in ids {
                match context.ask(caller, remove(vec![id])).await {
                    Ok(reply) => drop(note(done, reply)?),
                    Err(failure) if overtaken(&failure) => {}
                    Err(failure) => return Err(failure),
                }
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

fn overtaken(failure: &Failure) -> bool {
    matches!(failure.0.kind(), "no-task" | "not-now")
}
