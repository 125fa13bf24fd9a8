//! Sections of the configuration, as the organs take them.

use std::time::Duration;

use crate::config::Settings;
use crate::daemon::sandbox::Report;
use crate::engine::Occasion;
use crate::task::{Bytes, Limits, OnInterrupt, QueueLimits, QueueName, Retry, Spec, Stop};
use crate::wire::api::SandboxDocument;
use crate::{api, engine, store};

/// Where a hook finds programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The slots of a hook's queue are its own limit; whoever runs the daemon owns its hooks.
pub(super) fn engine(settings: &Settings, uid: u32) -> engine::Settings {
    let hooks = hooks(settings, uid);
    let mut queues = settings.queues.clone();
    if !hooks.on.is_empty() {
        queues
            .insert(QueueName::of_hooks(), QueueLimits { slots: Some(settings.hooks.slots), ..QueueLimits::default() });
    }
    engine::Settings {
        hooks,
        slots: settings.host.slots,
        queues,
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

fn hooks(settings: &Settings, uid: u32) -> engine::Hooks {
    let said = &settings.hooks;
    let commands = [
        (Occasion::Failed, &said.failed, said.failed_queues.clone()),
        (Occasion::Degraded, &said.degraded, None),
        (Occasion::Started, &said.started, None),
        (Occasion::Stopped, &said.stopped, None),
    ];
    let on = commands.into_iter().filter_map(|(occasion, argv, queues)| {
        let spec = hook(settings, argv.as_ref()?);
        Some((occasion, engine::Hook { spec, queues }))
    });
    engine::Hooks {
        owner: uid,
        max_waiting: said.max_waiting.into(),
        watch_every: settings.health.watch_every,
        on: on.collect(),
    }
}

/// What a hook runs: in the root directory, with what a program needs to find its way and the daemon.
fn hook(settings: &Settings, argv: &[String]) -> Spec {
    let socket = Bytes::from(settings.paths.socket.clone().into_os_string());
    Spec {
        argv: argv.iter().map(|word| word.as_str().into()).collect(),
        directory: "/".into(),
        environment: vec![("PATH".into(), PATH.into()), ("TASKDAEMON_SOCKET".into(), socket)],
        umask: 0o077,
        timeout_ms: Some(u64::try_from(settings.hooks.timeout.as_millis()).unwrap_or(u64::MAX)),
        stop: Stop { grace_ms: 1000, ..Stop::default() },
        retry: Retry::default(),
        on_interrupt: OnInterrupt::default(),
        limits: Limits::default(),
        nice: 0,
        output_cap_bytes: 1 << 20,
    }
}

pub(super) fn sandbox(report: Report) -> SandboxDocument {
    SandboxDocument { in_force: report.in_force, missing: report.missing }
}

pub(super) fn store(settings: &Settings) -> store::Settings {
    store::Settings { cache_bytes: settings.store.cache, ..store::Settings::default() }
}

pub(super) fn api(settings: &Settings, group: Option<u32>) -> api::Settings {
    let connections = usize::try_from(settings.api.max_connections).unwrap_or(usize::MAX);
    api::Settings {
        header_timeout: settings.api.header_timeout,
        request_timeout: settings.api.request_timeout,
        max_connections: connections,
        allowed_gid: group,
        ..api::Settings::default()
    }
}

pub(super) fn terms(settings: &Settings) -> api::Terms {
    let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    api::Terms {
        defaults: task_defaults(settings),
        max_body: bytes(settings.intake.max_body),
        max_stdin: bytes(settings.intake.max_stdin),
    }
}

fn task_defaults(settings: &Settings) -> api::TaskDefaults {
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
