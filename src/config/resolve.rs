//! Fragment to settings: every default stands here, and only here.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Fault, Reason};
use super::file::{
    ApiFragment, Fragment, HealthFragment, HooksFragment, HostFragment, IntakeFragment, LimitsFragment, LogFragment,
    PathsFragment, QueueFragment, QueuesFragment, RetentionFragment, RunnerFragment, SecurityFragment, StoreFragment,
    TasksFragment,
};
use super::leaf::{Count, Limit, Nice, Size, Span};
use super::ledger::Ledger;
use super::lists::{Command, Queues};
use super::names::{AbsolutePath, AccountName};
use super::settings::{
    Api, Health, Hooks, Host, Intake, Log, Paths, Retention, Runner, Security, Settings, Store, Tasks,
};
use super::source::{Source, Sourced};
use super::words::{Format, Gains, Interrupted, Level, LogTarget, RootTasks, RunnerStart, Sandbox, Slots};
use crate::task::{BreakerLimits, Limits, OnInterrupt, QueueLimits, QueueName, Signal, Stop};

/// The longest path that fits `sun_path` with its final zero byte, unix(7).
const SOCKET_PATH_MAX: usize = 107;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What the host decides where the configuration is silent.
#[derive(Debug)]
pub(super) struct HostDefaults {
    pub(super) state_directory: Sourced<AbsolutePath>,
    pub(super) runtime_directory: Sourced<AbsolutePath>,
    pub(super) log_file: Sourced<AbsolutePath>,
    pub(super) cores: NonZeroU32,
}

/// Completes a merged fragment with the defaults and checks what one value demands of another.
pub(super) fn resolve(
    fragment: Fragment,
    host: HostDefaults,
    files: Vec<PathBuf>,
    faults: &mut Vec<Fault>,
) -> Settings {
    let (cores, log_file) = (host.cores, host.log_file.clone());
    let mut ledger = Ledger::new(faults);
    let mut min_free = 0;
    Settings {
        paths: ledger.section("paths", |l| paths(l, fragment.paths, host)),
        log: ledger.section("log", |l| log(l, fragment.log, log_file)),
        host: ledger.section("host", |l| self::host(l, fragment.host, cores)),
        tasks: ledger.section("tasks", |l| tasks(l, fragment.tasks)),
        queues: ledger.section("queues", |l| queues(l, fragment.queues)),
        intake: ledger.section("intake", |l| {
            let intake = intake(l, fragment.intake);
            min_free = intake.min_free;
            intake
        }),
        retention: ledger.section("retention", |l| retention(l, fragment.retention)),
        api: ledger.section("api", |l| api(l, fragment.api)),
        health: ledger.section("health", |l| health(l, fragment.health, min_free)),
        hooks: ledger.section("hooks", |l| hooks(l, fragment.hooks)),
        store: ledger.section("store", |l| store(l, fragment.store)),
        runner: ledger.section("runner", |l| runner(l, fragment.runner)),
        security: ledger.section("security", |l| security(l, fragment.security)),
        values: ledger.into_values(),
        files,
    }
}

fn paths(ledger: &mut Ledger<'_>, said: PathsFragment, host: HostDefaults) -> Paths {
    let state = ledger.restart_or("state_directory", said.state_directory, host.state_directory);
    let runtime = ledger.restart_or("runtime_directory", said.runtime_directory, host.runtime_directory);
    let socket_source = said.socket.as_ref().map_or(Source::Default, |socket| socket.source.clone());
    let socket = ledger.restart("socket", said.socket, AbsolutePath(runtime.0.join("control.sock")));
    let found = socket.0.as_os_str().len();
    if found > SOCKET_PATH_MAX {
        ledger.fault("socket", socket_source, Reason::SocketPath { most: SOCKET_PATH_MAX, found });
    }
    Paths { state_directory: state.0, runtime_directory: runtime.0, socket: socket.0 }
}

fn log(ledger: &mut Ledger<'_>, said: LogFragment, file: Sourced<AbsolutePath>) -> Log {
    Log {
        level: ledger.reload("level", said.level, Level::Info),
        format: ledger.restart("format", said.format, Format::Text),
        target: ledger.restart("target", said.target, LogTarget::Auto),
        file: ledger.restart_or("file", said.file, file).0,
    }
}

fn host(ledger: &mut Ledger<'_>, said: HostFragment, cores: NonZeroU32) -> Host {
    let slots = match ledger.reload("slots", said.slots, Slots::Auto) {
        Slots::Auto => cores.get(),
        Slots::Count(count) => count,
    };
    let source_of_grace = said.stop_grace.as_ref().map(|grace| grace.source.clone());
    let source_of_timeout = said.shutdown_timeout.as_ref().map(|timeout| timeout.source.clone());
    let stop_grace = ledger.reload("stop_grace", said.stop_grace, seconds(10));
    let timeout = ledger.reload("shutdown_timeout", said.shutdown_timeout, seconds(60));
    if timeout.0 <= stop_grace.0 {
        let reason = Reason::NotLonger { other: "host.stop_grace", value: stop_grace.to_string() };
        let source = source_of_timeout.or(source_of_grace).unwrap_or(Source::Default);
        ledger.fault("shutdown_timeout", source, reason);
    }
    let idle_exit = ledger.reload("idle_exit", said.idle_exit, Limit(None)).0.map(|span| span.0);
    Host { slots, stop_grace: stop_grace.0, shutdown_timeout: timeout.0, idle_exit }
}

fn tasks(ledger: &mut Ledger<'_>, said: TasksFragment) -> Tasks {
    let timeout = ledger.reload("timeout", said.timeout, Limit(None)).0;
    let signal = ledger.reload("stop_signal", said.stop_signal, Signal::TERM);
    let grace = ledger.reload("stop_grace", said.stop_grace, seconds(10));
    Tasks {
        timeout: timeout.map(|span| span.0),
        stop: Stop { signal, grace_ms: grace.milliseconds() },
        output_cap: ledger.reload("output_cap", said.output_cap, Size(64 * MIB)).0,
        nice: ledger.reload("nice", said.nice, Nice(0)).0,
        on_interrupt: match ledger.reload("on_interrupt", said.on_interrupt, Interrupted::Retry) {
            Interrupted::Retry => OnInterrupt::Retry,
            Interrupted::End => OnInterrupt::End,
        },
        interruptions: ledger.reload("interruptions", said.interruptions, Count(10)).0,
        limits: ledger.section("limits", |ledger| limits(ledger, said.limits)),
    }
}

fn limits(ledger: &mut Ledger<'_>, said: LimitsFragment) -> Limits {
    let cpu_time = ledger.reload("cpu_time", said.cpu_time, Limit(None)).0;
    Limits {
        cpu_seconds: cpu_time.map(|span| span.0.as_secs()),
        memory_bytes: ledger.reload("memory", said.memory, Limit(None)).0.map(|size| size.0),
        open_files: ledger.reload("open_files", said.open_files, Limit(None)).wide(),
        processes: ledger.reload("processes", said.processes, Limit(None)).wide(),
        file_bytes: ledger.reload("file_size", said.file_size, Limit(None)).0.map(|size| size.0),
    }
}

fn queues(ledger: &mut Ledger<'_>, said: QueuesFragment) -> BTreeMap<QueueName, QueueLimits> {
    let mut said = said.0;
    said.entry(QueueName::default()).or_default();
    said.into_iter()
        .map(|(name, said)| {
            let limits = ledger.section(name.as_str(), |ledger| queue(ledger, said));
            (name, limits)
        })
        .collect()
}

fn queue(ledger: &mut Ledger<'_>, said: QueueFragment) -> QueueLimits {
    QueueLimits {
        slots: ledger.reload("slots", said.slots, Limit(None)).0.map(|count| count.0),
        max_length: ledger.reload("max_length", said.max_length, Limit(None)).wide(),
        breaker: ledger.section("breaker", |ledger| {
            let failures = ledger.reload("failures", said.breaker.failures, Limit(None)).0;
            let cooldown = ledger.reload("cooldown", said.breaker.cooldown, seconds(60));
            failures.map(|failures| BreakerLimits { failures: failures.0, cooldown_ms: cooldown.milliseconds() })
        }),
    }
}

fn intake(ledger: &mut Ledger<'_>, said: IntakeFragment) -> Intake {
    Intake {
        min_free: ledger.reload("min_free", said.min_free, Size(64 * MIB)).0,
        max_body: ledger.reload("max_body", said.max_body, Size(32 * MIB)).0,
        max_stdin: ledger.reload("max_stdin", said.max_stdin, Size(16 * MIB)).0,
        max_tasks: ledger.reload("max_tasks", said.max_tasks, Limit(None)).wide(),
    }
}

fn retention(ledger: &mut Ledger<'_>, said: RetentionFragment) -> Retention {
    let month = Span(Duration::from_secs(30 * 24 * 3600));
    Retention {
        max_age: ledger.reload("max_age", said.max_age, Limit(Some(month))).0.map(|span| span.0),
        max_tasks: ledger.reload("max_tasks", said.max_tasks, Limit(Some(Count(1_000_000)))).wide(),
        max_output: ledger.reload("max_output", said.max_output, Limit(Some(Size(10 * GIB)))).0.map(|size| size.0),
    }
}

fn api(ledger: &mut Ledger<'_>, said: ApiFragment) -> Api {
    Api {
        header_timeout: ledger.restart("header_timeout", said.header_timeout, seconds(10)).0,
        request_timeout: ledger.restart("request_timeout", said.request_timeout, seconds(60)).0,
        max_connections: ledger.restart("max_connections", said.max_connections, Count(1024)).0,
        group: ledger.restart("group", said.group, name("taskdaemon")).0,
    }
}

fn health(ledger: &mut Ledger<'_>, said: HealthFragment, closes_at: u64) -> Health {
    let day = Span(Duration::from_secs(24 * 3600));
    Health {
        listen: ledger.restart("listen", said.listen, Limit(None)).0.map(|at| at.0),
        timeout: ledger.reload("timeout", said.timeout, seconds(5)).0,
        // Told before intake closes, not when it does.
        min_free: ledger.reload("min_free", said.min_free, Size(closes_at.saturating_mul(2))).0,
        min_free_inodes: ledger.reload("min_free_inodes", said.min_free_inodes, Count(1000)).0.into(),
        max_wait: ledger.reload("max_wait", said.max_wait, Limit(Some(day))).0.map(|span| span.0),
        runner_away: ledger.reload("runner_away", said.runner_away, seconds(30)).0,
        watch_every: ledger.reload("watch_every", said.watch_every, seconds(30)).0,
    }
}

fn hooks(ledger: &mut Ledger<'_>, said: HooksFragment) -> Hooks {
    let command = |ledger: &mut Ledger<'_>, said| {
        ledger.reload("command", said, Limit::<Command>(None)).0.map(Command::into_argv)
    };
    let (failed, failed_queues) = ledger.section("failed", |ledger| {
        (command(ledger, said.failed.command), ledger.reload("queues", said.failed.queues, Queues(None)).0)
    });
    Hooks {
        failed,
        failed_queues,
        degraded: ledger.section("degraded", |ledger| command(ledger, said.degraded.command)),
        started: ledger.section("started", |ledger| command(ledger, said.started.command)),
        stopped: ledger.section("stopped", |ledger| command(ledger, said.stopped.command)),
        slots: ledger.reload("slots", said.slots, Count(2)).0,
        max_waiting: ledger.reload("max_waiting", said.max_waiting, Count(100)).0,
        timeout: ledger.reload("timeout", said.timeout, seconds(60)).0,
    }
}

fn store(ledger: &mut Ledger<'_>, said: StoreFragment) -> Store {
    Store { cache: ledger.restart("cache", said.cache, Size(2 * MIB)).0 }
}

fn runner(ledger: &mut Ledger<'_>, said: RunnerFragment) -> Runner {
    Runner { start: ledger.restart("start", said.start, RunnerStart::Daemon) }
}

fn security(ledger: &mut Ledger<'_>, said: SecurityFragment) -> Security {
    Security {
        user: ledger.restart("user", said.user, name("taskdaemon")).0,
        group: ledger.restart("group", said.group, name("taskdaemon")).0,
        runner_user: ledger.restart("runner_user", said.runner_user, name("taskdaemon-runner")).0,
        runner_group: ledger.restart("runner_group", said.runner_group, name("taskdaemon-runner")).0,
        sandbox: ledger.restart("sandbox", said.sandbox, Sandbox::Auto),
        task_privileges: ledger.restart("task_privileges", said.task_privileges, Gains::Auto),
        allow_root_tasks: ledger.restart("allow_root_tasks", said.allow_root_tasks, RootTasks::Refused),
    }
}

fn name(name: &str) -> AccountName {
    AccountName(name.to_owned())
}

fn seconds<const LEAST: u64, const MOST: u64>(seconds: u64) -> Span<LEAST, MOST> {
    Span(Duration::from_secs(seconds))
}
