//! The history, as a page or as it goes on.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use crate::api::answer::{Failure, json, typed};
use crate::api::context::Context;
use crate::api::documents;
use crate::api::hub::Recent;
use crate::api::params::{By, Params};
use crate::api::stream::{Gone, Writer, stream};
use crate::engine::{Caller, Command, EventFilter, EventPage, Query, Reply};
use crate::task::{Event, TaskId};
use crate::wire::api::{EventDocument, EventsPage, Problem};

const PAGE: usize = 500;

/// Which events.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct EventsQuery {
    /// Only those after this one. If not given: from the beginning, or from now on where they are followed.
    after: Option<i64>,
    /// Only about this task.
    #[param(value_type = Option<i64>)]
    task: Option<TaskId>,
    /// Goes on with what happens: one JSON object per line, until the client leaves or the daemon stops.
    follow: bool,
}

/// Shows what happened, and what happens. A follower that comes back with `after` misses nothing;
/// the header `taskdaemon-after` tells from where on it is told.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsQuery), responses(
    (status = 200, description = "One page, or with `follow` one event per line", content(
        (EventsPage = "application/json"), (EventDocument = "application/x-ndjson"))),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn events(
    State(context): State<Context>,
    By(caller): By,
    Params(query): Params<EventsQuery>,
) -> Result<Response, Failure> {
    let owner = (!caller.privileged).then_some(caller.uid);
    let filter = EventFilter { after: query.after.unwrap_or(0), task: query.task, owner };
    if !query.follow {
        let page = page(&context, caller, filter).await?;
        return Ok(json(StatusCode::OK, &documents::events(page)));
    }
    if let Some(task) = query.task {
        // A task that does not exist would be followed for ever.
        context.ask(caller, Command::Read(Query::Show(task))).await?;
    }
    let after = match query.after {
        Some(after) => after,
        None => newest(&context, caller).await?,
    };
    let (writer, body) = stream();
    let filter = EventFilter { after, ..filter };
    tokio::spawn(async move {
        tokio::select! {
            done = follow(&context, caller, filter, &writer) => if let Err(Stop::Failed) = done { writer.cut().await },
            () = context.stopped() => {}
            () = writer.gone() => {}
        }
    });
    let mut response = typed(StatusCode::OK, "application/x-ndjson", body);
    response.headers_mut().insert("taskdaemon-after", HeaderValue::from(after));
    Ok(response)
}

enum Stop {
    Gone,
    Failed,
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

async fn newest(context: &Context, caller: Caller) -> Result<i64, Failure> {
    match context.ask(caller, Command::Read(Query::Status)).await? {
        Reply::Status(status) => Ok(status.last_event),
        other => Err(Failure::unexpected(&other)),
    }
}

async fn page(context: &Context, caller: Caller, filter: EventFilter) -> Result<EventPage, Failure> {
    match context.ask(caller, Command::Read(Query::Events(filter, PAGE))).await? {
        Reply::Events(page) => Ok(page),
        other => Err(Failure::unexpected(&other)),
    }
}

async fn follow(context: &Context, caller: Caller, mut filter: EventFilter, writer: &Writer) -> Result<(), Stop> {
    let mut newest = context.hub.newest();
    loop {
        // Seen first, read then: what is published in between is read in the next round.
        newest.borrow_and_update();
        let (events, next) = match context.hub.after(filter.after, PAGE) {
            Recent::Events(events) => {
                let next = events.last().map_or(filter.after, |event| event.seq);
                (events, next)
            }
            Recent::Behind => {
                let page = page(context, caller, filter).await.map_err(|_| Stop::Failed)?;
                (page.events, page.next)
            }
        };
        let lines: Vec<_> =
            events.into_iter().filter(|event| concerns(event, &filter)).map(EventDocument::from).collect();
        writer.lines(&lines).await?;
        if next == filter.after {
            newest.changed().await.map_err(|_| Stop::Failed)?;
        }
        filter.after = next;
    }
}

fn concerns(event: &Event, filter: &EventFilter) -> bool {
    filter.task.is_none_or(|task| event.task == Some(task))
        && (filter.owner.is_none() || event.owner.is_none() || event.owner == filter.owner)
}
