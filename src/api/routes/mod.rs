//! What is where. One file per noun; each handler is a command to the engine and a document back.

pub(super) mod actions;
pub(super) mod daemon;
pub(super) mod events;
pub(super) mod health;
pub(super) mod output;
pub(super) mod queues;
pub(super) mod schedules;
pub(super) mod tasks;
pub(super) mod upgrade;
pub(super) mod wait;

use axum::Router;
use axum::routing::{MethodRouter, get, post, put};

use super::context::Context;

/// Every path with what answers there.
pub(super) fn table() -> Vec<(&'static str, MethodRouter<Context>)> {
    vec![
        ("/", get(daemon::index)),
        ("/v1/tasks", get(tasks::list).post(tasks::submit)),
        ("/v1/tasks/{id}", get(tasks::show).delete(actions::remove)),
        ("/v1/tasks/{id}/output", get(output::output)),
        ("/v1/tasks/{id}/{verb}", post(actions::act_on_one)),
        ("/v1/actions/{verb}", post(actions::act)),
        ("/v1/prune", post(actions::prune)),
        ("/v1/wait", post(wait::wait)),
        ("/v1/events", get(events::events)),
        ("/v1/queues", get(queues::list)),
        ("/v1/queues/{name}", put(queues::set).delete(queues::remove)),
        ("/v1/queues/{name}/{change}", post(queues::change)),
        ("/v1/schedules", get(schedules::list).post(schedules::add)),
        ("/v1/schedules/{name}", axum::routing::delete(schedules::remove)),
        ("/v1/schedules/{name}/{change}", post(schedules::change)),
        ("/v1/status", get(daemon::status)),
        ("/v1/reload", post(daemon::reload)),
        ("/v1/upgrade", get(upgrade::look).post(upgrade::begin)),
        ("/v1/openapi.json", get(daemon::openapi)),
    ]
    .into_iter()
    .chain(watched())
    .collect()
}

/// What those may ask who may nothing else.
fn watched() -> [(&'static str, MethodRouter<Context>); 4] {
    [
        ("/health", get(health::health)),
        ("/ready", get(health::ready)),
        ("/live", get(health::live)),
        ("/metrics", get(health::metrics)),
    ]
}

/// The routes, ready to serve.
pub(super) fn router(context: Context) -> Router {
    put_up(table(), context)
}

/// The routes of the loopback port.
pub(super) fn loopback(context: Context) -> Router {
    put_up(watched(), context)
}

fn put_up(table: impl IntoIterator<Item = (&'static str, MethodRouter<Context>)>, context: Context) -> Router {
    let routes = table.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routes.with_state(context)
}
