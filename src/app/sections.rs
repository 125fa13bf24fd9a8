//! Sections of the configuration, as the organs take them.

use std::time::Duration;

use crate::config::Settings;
use crate::{api, engine, store};

pub(super) fn engine(settings: &Settings) -> engine::Settings {
    engine::Settings {
        slots: settings.host.slots,
        queues: settings.queues.clone(),
        max_tasks: settings.intake.max_tasks,
        min_free_bytes: settings.intake.min_free,
        max_interruptions: settings.tasks.interruptions,
        max_age: settings.retention.max_age.unwrap_or(Duration::MAX),
        max_ended: settings.retention.max_tasks.unwrap_or(u64::MAX),
        max_output_bytes: settings.retention.max_output.unwrap_or(u64::MAX),
        health: engine::Thresholds {
            min_free_bytes: settings.health.min_free,
            min_free_inodes: settings.health.min_free_inodes,
            max_wait: settings.health.max_wait,
            runner_patience: settings.health.runner_away,
        },
    }
}

pub(super) fn store(settings: &Settings) -> store::Settings {
    store::Settings { cache_bytes: settings.store.cache, ..store::Settings::default() }
}

pub(super) fn api(settings: &Settings, group: Option<u32>) -> api::Settings {
    let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let connections = usize::try_from(settings.api.max_connections).unwrap_or(usize::MAX);
    api::Settings {
        header_timeout: settings.api.header_timeout,
        request_timeout: settings.api.request_timeout,
        max_body: bytes(settings.intake.max_body),
        max_connections: connections,
        allowed_gid: group,
        ..api::Settings::default()
    }
}

pub(super) fn task_defaults(settings: &Settings) -> api::TaskDefaults {
    let tasks = &settings.tasks;
    api::TaskDefaults {
        timeout_ms: tasks.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        stop: tasks.stop,
        on_interrupt: tasks.on_interrupt,
        limits: tasks.limits.clone(),
        nice: tasks.nice,
        output_cap_bytes: tasks.output_cap,
        ..api::TaskDefaults::default()
    }
}
