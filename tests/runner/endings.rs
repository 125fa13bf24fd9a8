//! How tasks end, and that nothing of them is left.

use std::time::{Duration, Instant};

use taskdaemon::executor::{Cause, Executor, ExitStatus};
use taskdaemon::sys::procfs;
use taskdaemon::task::{AttemptKey, Signal, Spec, Stop};

use crate::host::{Daemon, Host, alive, assert_ended, eventually, sh};

const BY_TERM: ExitStatus = ExitStatus::Signalled { signal: Signal::TERM, core_dumped: false };
const BY_KILL: ExitStatus = ExitStatus::Signalled { signal: Signal::KILL, core_dumped: false };

/// The number that an attempt's script printed after `word`.
fn printed(daemon: &Daemon, key: AttemptKey, word: &str) -> i32 {
    daemon.await_output(key, &format!("{word} "));
    eventually("whole line", || daemon.text(key).ends_with('\n'));
    let text = daemon.text(key);
    text.lines().find_map(|line| line.strip_prefix(&format!("{word} "))?.trim().parse().ok()).unwrap()
}

#[test]
fn codes_signals_and_costs_are_told() {
    let host = Host::new();
    let mut daemon = host.daemon();
    assert_ended(&daemon.run(1, "exit 7"), ExitStatus::Exited(7), Cause::Itself);
    assert_ended(&daemon.run(2, "kill -TERM $$"), BY_TERM, Cause::Itself);
    let end = daemon.run(3, "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done");
    assert!(end.cost.user_us > 1_000, "{end:?}");
    assert!(end.cost.max_rss_bytes > 100_000, "{end:?}");
    assert!(end.ended_at > end.started_at.unwrap(), "{end:?}");
}

#[test]
fn a_stop_is_asked_for_politely_and_then_not() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let polite = daemon.start(1, sh("trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.01; done"));
    daemon.await_output(polite, "ready");
    daemon.stop(polite, 20_000);
    assert_ended(&daemon.end_of(polite), ExitStatus::Exited(3), Cause::Stopped);
    let stubborn = daemon.start(2, sh("trap '' TERM; echo ready; while :; do sleep 0.01; done"));
    daemon.await_output(stubborn, "ready");
    daemon.stop(stubborn, 50);
    assert_ended(&daemon.end_of(stubborn), BY_KILL, Cause::Stopped);
}

#[test]
fn a_second_stop_with_less_grace_counts() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("trap '' TERM; echo ready; while :; do sleep 0.01; done"));
    daemon.await_output(key, "ready");
    daemon.stop(key, 600_000);
    daemon.stop(key, 20);
    assert_ended(&daemon.end_of(key), BY_KILL, Cause::Stopped);
}

#[test]
fn a_timeout_ends_a_task_by_its_own_stop_signal() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let stop = Stop { signal: Signal::from_number(libc::SIGINT).unwrap(), grace_ms: 10_000 };
    let spec = Spec { timeout_ms: Some(100), stop, ..sh("trap 'exit 9' INT; while :; do sleep 0.01; done") };
    let started = Instant::now();
    let key = daemon.start(1, spec);
    assert_ended(&daemon.end_of(key), ExitStatus::Exited(9), Cause::Timeout);
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_task_that_stopped_itself_can_be_cancelled() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("echo ready; kill -STOP $$"));
    let (pid, _) = daemon.start_of(key);
    eventually("stop", || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T "));
    daemon.stop(key, 20_000);
    assert_ended(&daemon.end_of(key), BY_TERM, Cause::Stopped);
}

#[test]
fn a_task_that_closes_its_descriptors_runs_until_it_exits() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("echo ready; exec <&- >&- 2>&-; sleep 0.2; exit 5"));
    let end = daemon.end_of(key);
    assert_ended(&end, ExitStatus::Exited(5), Cause::Itself);
    assert!(end.ended_at.since(end.started_at.unwrap()) >= Duration::from_millis(200));
}

#[test]
fn a_signal_reaches_the_group() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("trap 'echo got; exit 0' USR1; echo ready; while :; do sleep 0.01; done"));
    daemon.await_output(key, "ready");
    daemon.link.signal(key, Signal::from_number(libc::SIGUSR1).unwrap());
    daemon.end_of(key);
    assert!(daemon.text(key).contains("got"));
}

#[test]
fn what_a_task_leaves_in_its_group_is_ended_with_it() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("sleep 1000 & echo left $!; exit 4"));
    assert_ended(&daemon.end_of(key), ExitStatus::Exited(4), Cause::Itself);
    assert!(!alive(printed(&daemon, key, "left")));
}

#[test]
fn what_detaches_is_ended_after_the_main_process_even_if_it_ignores_being_asked() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let script = "setsid sh -c 'trap \"\" TERM; echo detached $$; while :; do sleep 0.05; done' & sleep 0.3; exit 4";
    let spec = Spec { stop: Stop { signal: Signal::TERM, grace_ms: 200 }, ..sh(script) };
    let key = daemon.start(1, spec);
    assert_ended(&daemon.end_of(key), ExitStatus::Exited(4), Cause::Itself);
    assert!(!alive(printed(&daemon, key, "detached")));
}

#[test]
fn what_detaches_twice_and_at_once_is_ended() {
    let host = Host::new();
    let mut daemon = host.daemon();
    for task in 1..=20 {
        // The main process is gone before the last one has executed its program.
        let key = daemon.start(task, sh("(setsid sleep 1000 & echo detached $!) & wait; exit 0"));
        assert_ended(&daemon.end_of(key), ExitStatus::Exited(0), Cause::Itself);
        let pid = printed(&daemon, key, "detached");
        assert!(!alive(pid), "task {task}");
    }
}

#[test]
fn a_cancel_ends_what_detached_and_cleared_its_environment() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let script = "setsid env -i /bin/sh -c 'echo detached $$; trap \"\" TERM; while :; do sleep 0.05; done' & wait";
    let key = daemon.start(1, sh(script));
    let detached = printed(&daemon, key, "detached");
    daemon.stop(key, 100);
    assert_ended(&daemon.end_of(key), BY_TERM, Cause::Stopped);
    assert!(!alive(detached));
}

#[test]
fn a_daemon_that_a_running_task_detached_lives_as_long_as_the_task() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key =
        daemon.start(1, sh("sh -c 'setsid sleep 1000 & echo detached $!'; echo ready; while :; do sleep 0.01; done"));
    daemon.await_output(key, "ready");
    let detached = printed(&daemon, key, "detached");
    assert_ended(&daemon.run(2, "exit 0"), ExitStatus::Exited(0), Cause::Itself);
    assert!(alive(detached));
    daemon.stop(key, 5_000);
    daemon.end_of(key);
    assert!(!alive(detached));
}

#[test]
fn an_orphan_that_nobody_can_tell_apart_holds_nobody_up() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("(setsid env -i sleep 1000 & echo detached $!) ; exit 0"));
    let detached = printed(&daemon, key, "detached");
    for task in 2..30 {
        assert_ended(&daemon.run(task, "exit 0"), ExitStatus::Exited(0), Cause::Itself);
    }
    if alive(detached) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(detached), nix::sys::signal::SIGKILL).unwrap();
    }
}

#[test]
fn a_drain_waits_for_what_ends_by_itself_and_ends_the_rest() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let short = daemon.start(1, sh("sleep 0.1"));
    let long = daemon.start(2, sh("sleep 1000"));
    daemon.start_of(long);
    daemon.link.drain(Duration::from_millis(600));
    assert_ended(&daemon.end_of(short), ExitStatus::Exited(0), Cause::Itself);
    assert_ended(&daemon.end_of(long), BY_TERM, Cause::Drained);
}

#[test]
fn a_fork_storm_is_ended() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let script = "echo ready; while :; do setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 0.005; done";
    let key = daemon.start(1, sh(script));
    let (pid, _) = daemon.start_of(key);
    eventually("storm", || procfs::descendants(pid).len() > 30);
    daemon.stop(key, 100);
    daemon.end_of(key);
    let instance = host.instance();
    let left = procfs::all().unwrap().into_iter().filter(|process| {
        let environment = procfs::environment(process.pid).unwrap_or_default();
        procfs::variable(&environment, "TASKDAEMON_INSTANCE") == Some(instance.as_str())
    });
    assert_eq!(left.count(), 0);
}
