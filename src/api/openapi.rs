//! The description of the interface, made from the code.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::body::Bytes;
use utoipa::OpenApi;
use utoipa::openapi::path::PathItem;

use super::routes::{actions, daemon, events, health, output, queues, schedules, tasks, upgrade, wait};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "taskdaemon",
        description = "Durable background tasks. Times are RFC 3339 in UTC, durations in milliseconds (`*_ms`), sizes \
            in bytes (`*_bytes`). Unknown fields are refused; every refusal is a problem document (RFC 9457)."
    ),
    paths(
        daemon::index,
        daemon::openapi,
        daemon::status,
        daemon::reload,
        health::health,
        health::ready,
        health::live,
        health::metrics,
        upgrade::look,
        upgrade::begin,
        tasks::submit,
        tasks::list,
        tasks::show,
        actions::act_on_one,
        actions::remove,
        actions::act,
        actions::prune,
        output::output,
        wait::wait,
        events::events,
        queues::list,
        queues::set,
        queues::remove,
        queues::change,
        schedules::list,
        schedules::add,
        schedules::remove,
        schedules::change,
    )
)]
struct Description;

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The OpenAPI document as it is served; made once.
pub(super) fn text() -> Bytes {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    TEXT.get_or_init(|| Bytes::from(super::answer::bytes(&document()))).clone()
}

/// Every path with its methods.
pub(super) fn operations() -> BTreeMap<String, Vec<&'static str>> {
    document().paths.paths.into_iter().map(|(path, item)| (path, methods(&item))).collect()
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let all = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
    all.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method).collect()
}
