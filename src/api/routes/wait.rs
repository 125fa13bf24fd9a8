//! Waiting for tasks to end.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::time::Instant;

use crate::api::answer::{Failure, typed};
use crate::api::body;
use crate::api::context::Context;
use crate::api::documents;
use crate::api::hub::Listener;
use crate::api::params::By;
use crate::api::stream::{Gone, Writer, stream};
use crate::engine::{Caller, Command, Filter, Page, Query, Reply};
use crate::task::{State as TaskState, TaskId};
use crate::wire::api::{Problem, WaitLine, WaitMode, WaitRequest};

/// Tasks that one request may wait for.
const MAX_WAITED: usize = 100_000;
/// The least time between two tellings of ends while more are to come: who waits for many is not woken for each.
const PACE: Duration = Duration::from_millis(20);
/// Tasks that one beat of the engine looks up.
const CHUNK: usize = 1_000;

/// Waits for tasks to end: one line for each, and a last one. Ends told before come first.
#[utoipa::path(post, path = "/v1/wait", tag = "tasks", request_body = WaitRequest, responses(
    (status = 200, description = "One line per task that ended, and a last one", body = WaitLine,
        content_type = "application/x-ndjson"),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn wait(
    State(context): State<Context>,
    By(caller): By,
    body: Body,
) -> Result<Response, Failure> {
    let request: WaitRequest = body::document(&context, body).await?;
    let (ids, named) = match (request.ids, request.filter) {
        (Some(ids), None) => (ids, true),
        (None, Some(filter)) => (matching(&context, caller, documents::filter(filter)).await?, false),
        (Some(_), Some(_)) | (None, None) => return Err(Failure::malformed("give ids or a filter, one of them")),
    };
    if ids.len() > MAX_WAITED {
        let detail = format!("there are {} tasks to wait for; at most {MAX_WAITED} fit", ids.len());
        return Err(Failure::malformed(detail));
    }
    let open: HashSet<_> = ids.iter().copied().collect();
    // Listening begins before anything is asked, so that no end falls in between.
    let listener = context.hub.ends(open.iter().copied());
    let states = states(&context, caller, &ids).await?;
    if named && let Some(missing) = missing(&ids, &states) {
        return Err(Failure::from(crate::engine::Refusal::NoTask(missing)));
    }
    let first = WaitLine::Waiting { count: open.len(), ids: if named { Vec::new() } else { ids } };
    let (writer, body) = stream();
    let watch = Watch { open, any: request.mode == WaitMode::Any, listener, writer };
    let limit = request.timeout_ms.map(Duration::from_millis);
    tokio::spawn(async move {
        // Whoever has gone needs no last line.
        let _ = watch.run(&context, first, states, limit).await;
    });
    Ok(typed(StatusCode::OK, "application/x-ndjson", body))
}

type States = Vec<(TaskId, TaskState, Option<i32>)>;

fn missing(ids: &[TaskId], states: &States) -> Option<TaskId> {
    let known: HashSet<_> = states.iter().map(|(id, _, _)| *id).collect();
    ids.iter().copied().find(|id| !known.contains(id))
}

async fn states(context: &Context, caller: Caller, ids: &[TaskId]) -> Result<States, Failure> {
    let mut states = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        match context.ask(caller, Command::Read(Query::States(chunk.to_vec()))).await? {
            Reply::States(some) => states.extend(some),
            other => return Err(Failure::unexpected(&other)),
        }
    }
    Ok(states)
}

/// Those that match and have not ended.
async fn matching(context: &Context, caller: Caller, mut filter: Filter) -> Result<Vec<TaskId>, Failure> {
    if filter.states.is_empty() {
        filter.states = TaskState::ALL.into_iter().filter(|state| !state.is_ended()).collect();
    }
    let mut ids = Vec::new();
    let mut page = Page { after: None, limit: context.settings.max_page, oldest_first: true };
    loop {
        match context.ask(caller, Command::Read(Query::List(filter.clone(), page))).await? {
            Reply::Listing(listing) => {
                ids.extend(listing.lines.into_iter().map(|line| line.task.id));
                match listing.next {
                    Some(next) if ids.len() <= MAX_WAITED => page.after = Some(next),
                    Some(_) | None => return Ok(ids),
                }
            }
            other => return Err(Failure::unexpected(&other)),
        }
    }
}

struct Watch {
    open: HashSet<TaskId>,
    any: bool,
    listener: Listener,
    writer: Writer,
}

impl Watch {
    async fn run(
        mut self,
        context: &Context,
        first: WaitLine,
        states: States,
        limit: Option<Duration>,
    ) -> Result<(), Gone> {
        self.writer.line(&first).await?;
        let ended = states.into_iter().filter(|(_, state, _)| state.is_ended());
        let ended = ended.map(|(id, state, code)| (id, Some((state, code.unwrap_or(1)))));
        let mut over = self.tell(ended.collect()).await?;
        // Those of a filter that were removed while it was read are among the listener's ends.
        let out_of_time = async move {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(out_of_time);
        let mut pace = Instant::now();
        while !over {
            let ends = self.listener.take_ends();
            if !ends.is_empty() {
                pace = Instant::now() + if self.any { Duration::ZERO } else { PACE };
                over = self.tell(ends.into_iter().map(|end| (end.task, end.state)).collect()).await?;
                continue;
            }
            let open = self.open.len();
            tokio::select! {
                () = self.listener.ends(pace) => {}
                () = &mut out_of_time => return self.writer.line(&WaitLine::Timeout { open }).await,
                () = context.stopped() => return self.writer.line(&WaitLine::Stopping { open }).await,
                () = self.writer.gone() => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Tells of ends that were not told yet, and with the last of them that it was; whether it was.
    async fn tell(&mut self, ends: Vec<(TaskId, Option<(TaskState, i32)>)>) -> Result<bool, Gone> {
        let mut lines = Vec::new();
        for (id, end) in ends {
            if self.open.remove(&id) {
                lines.push(match end {
                    Some((state, exit_code)) => WaitLine::Ended { id, state, exit_code },
                    None => WaitLine::Removed { id },
                });
            }
        }
        let over = self.open.is_empty() || (self.any && !lines.is_empty());
        if over {
            lines.push(WaitLine::Done);
        }
        for chunk in lines.chunks(CHUNK) {
            self.writer.lines(chunk).await?;
        }
        Ok(over)
    }
}
