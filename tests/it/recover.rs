//! Promise T6: what was accepted is never lost, and nothing runs twice at once.

use std::fs;
use std::time::Duration;

use super::support::{Daemon, full, lines_by_task, within};

/// A batch of tasks that each append their ID as a line to a file; returns how many.
fn submit_writers(daemon: &Daemon, count: usize) -> Vec<i64> {
    let ledger = daemon.path("ledger");
    let line = serde_json::json!({
        "command": ["/bin/sh", "-c", "echo $TASKDAEMON_TASK_ID >>\"$0\"", ledger.to_str().unwrap()],
    });
    daemon.batch(&format!("{line}\n").repeat(count))
}

fn wait_until_all_ended(daemon: &Daemon, count: usize) {
    within(Duration::from_secs(600), "every task ends", || {
        let counts = daemon.get("/v1/status")["counts"].clone();
        let of = |state: &str| counts[state].as_u64().unwrap_or(0);
        let ended = of("succeeded") + of("failed") + of("timed-out") + of("cancelled") + of("interrupted");
        (ended == count as u64).then_some(())
    });
}

/// Lets about this share of all tasks end.
fn wait_until_written(daemon: &Daemon, least: usize) {
    within(Duration::from_secs(120), "tasks run", || {
        let written = fs::read(daemon.path("ledger")).map_or(0, |bytes| bytes.iter().filter(|b| **b == b'\n').count());
        (written >= least).then_some(())
    });
}

#[test]
fn t6_ten_kills_of_the_daemon_cost_no_task_anything() {
    let count = if full() { 100_000 } else { 3_000 };
    let mut daemon = Daemon::with("host:\n  slots: 4\n");
    let ids = submit_writers(&daemon, count);
    assert_eq!(ids.len(), count);
    for kill in 1..=10 {
        let anywhere = fastrand::usize(0..count / 20);
        wait_until_written(&daemon, count * kill / 12 + anywhere);
        daemon.kill();
        daemon.start();
    }
    wait_until_all_ended(&daemon, count);
    let lines = lines_by_task(&daemon.path("ledger"));
    assert_eq!(lines.len(), count, "each task ran");
    assert!(lines.values().all(|lines| *lines == 1), "none ran twice");
    let counts = daemon.get("/v1/status")["counts"].clone();
    assert_eq!(counts["succeeded"].as_u64(), Some(count as u64), "none misreported: {counts}");
}

#[test]
fn t6_kills_of_daemon_and_runner_interrupt_what_ran_and_it_runs_again() {
    let count = if full() { 100_000 } else { 2_000 };
    let mut daemon = Daemon::with("host:\n  slots: 4\n");
    let ids = submit_writers(&daemon, count);
    for kill in 1..=10 {
        let anywhere = fastrand::usize(0..count / 20);
        wait_until_written(&daemon, count * kill / 12 + anywhere);
        daemon.kill_both();
        daemon.start();
    }
    wait_until_all_ended(&daemon, count);
    let counts = daemon.get("/v1/status")["counts"].clone();
    assert_eq!(counts["succeeded"].as_u64(), Some(count as u64), "all ended unattended: {counts}");
    let lines = lines_by_task(&daemon.path("ledger"));
    assert_eq!(lines.len(), count, "each task ran");
    let mut again = 0;
    for id in ids {
        if lines[&id] == 1 {
            continue;
        }
        again += 1;
        let task = daemon.task(&id.to_string());
        let attempts = task["history"].as_array().unwrap();
        let (last, cut_off) = attempts.split_last().unwrap();
        assert_eq!(last["outcome"]["how"], "exited");
        assert!(cut_off.iter().all(|attempt| attempt["outcome"]["how"] == "interrupted"), "{task}");
        assert!(lines[&id] <= attempts.len(), "a line for each attempt at most: {task}");
    }
    // For each slot what runs, and what was written ahead: it may have ended since the last commit.
    assert!(again <= 10 * 4 * (1 + 12), "only what was under way at a kill ran again: {again}");
}

#[test]
fn t6_a_task_goes_on_while_the_daemon_is_away_and_its_end_is_taken_over() {
    let mut daemon = Daemon::new();
    let go_on = daemon.path("go-on");
    let script = format!("until test -e {}; do sleep 0.01; done; exit 7", go_on.display());
    let long = daemon.submit(&["--", "/bin/sh", "-c", &script]);
    daemon.wait_state(&long, "running");
    let pid = daemon.task(&long)["history"][0]["pid"].clone();
    daemon.kill();
    fs::write(&go_on, "").unwrap();
    daemon.start();
    daemon.wait_state(&long, "failed");
    let task = daemon.task(&long);
    assert_eq!(task["history"].as_array().unwrap().len(), 1, "{task}");
    assert_eq!(task["history"][0]["outcome"]["code"], 7);
    assert!(pid.is_null() || pid == task["history"][0]["pid"]);
}

#[test]
fn t6_what_a_dead_runner_left_behind_is_ended_before_the_task_runs_again() {
    let mut daemon = Daemon::new();
    let pids = daemon.path("pids");
    let script = format!("echo $$ >>{}; exec sleep 1000", pids.display());
    let id = daemon.submit(&["--", "/bin/sh", "-c", &script]);
    let pid_of = |line: usize| {
        within(Duration::from_secs(30), "the task tells its pid", || {
            fs::read_to_string(&pids).ok()?.lines().nth(line)?.parse::<i32>().ok()
        })
    };
    let first = pid_of(0);
    daemon.kill_both();
    assert!(alive(first), "nobody ended the task with its runner");
    daemon.start();
    let second = pid_of(1);
    assert_ne!(first, second);
    assert!(!alive(first), "the first run was ended before the second began");
    let task = daemon.task(&id);
    assert_eq!(task["history"][0]["outcome"]["how"], "interrupted", "{task}");
    assert_eq!(task["state"], "running");
}

#[test]
fn t6_the_runner_alone_may_die_and_another_takes_its_place() {
    let daemon = Daemon::new();
    let id = daemon.submit(&["--on-interrupt", "end", "--", "sleep", "1000"]);
    daemon.wait_state(&id, "running");
    let first = daemon.runner_pid();
    super::support::kill(first, 9);
    daemon.wait_state(&id, "interrupted");
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
    assert_ne!(daemon.runner_pid(), first);
}

fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| state != 'Z')
}
