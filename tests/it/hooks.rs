//! Promise C4: what the configuration has the daemon run when something happens.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::support::{Daemon, eventually};

/// A hook that writes what it is told into a file of the test, by the event and the task.
const TELLS: &str = "sh -c 'env | grep ^TASKDAEMON_EVENT > ../$0.$$ && mv ../$0.$$ ../told-$0$TASKDAEMON_EVENT_TASK'";

/// What the hook of that name was told.
fn told(daemon: &Daemon, name: &str) -> BTreeMap<String, String> {
    let path = daemon.path(&format!("told-{name}"));
    let text = eventually(&format!("the hook {name} has run"), || fs::read_to_string(&path).ok());
    text.lines().map(|line| line.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// A daemon whose hooks on these events tell, with more configuration.
fn telling(events: &[&str], more: &str) -> Daemon {
    let mut daemon = Daemon::unstarted("");
    daemon.configure(&configuration(&daemon, events, more));
    daemon.start();
    daemon
}

fn configuration(daemon: &Daemon, events: &[&str], more: &str) -> String {
    let directory = daemon.path("hooks");
    fs::create_dir_all(&directory).unwrap();
    let hook = |event: &&str| {
        let script = format!("cd {} && {}", directory.display(), TELLS.replace("$0", event));
        format!("  {event}:\n    command: {}\n", serde_json::json!(script))
    };
    let hooks: String = events.iter().map(hook).collect();
    format!("host:\n  slots: 1\n{more}hooks:\n{hooks}")
}

#[test]
fn c4_a_task_that_fails_has_the_hook_run_with_the_facts_and_the_hook_none() {
    let daemon = telling(&["failed"], "queues:\n  mail: {}\n");
    daemon.submit(&["--wait", "--", "true"]);
    daemon.run(&[
        "submit",
        "--wait",
        "--queue",
        "mail",
        "--label",
        "my label",
        "--retries",
        "1",
        "--retry-delay",
        "1ms",
        "--",
        "sh",
        "-c",
        "exit 7",
    ]);
    let facts = told(&daemon, "failed2");
    for (name, value) in [
        ("", "failed"),
        ("_TASK", "2"),
        ("_QUEUE", "mail"),
        ("_LABEL", "my label"),
        ("_STATE", "failed"),
        ("_EXIT_CODE", "7"),
        ("_ATTEMPTS", "2"),
        ("_MISSED", "0"),
    ] {
        assert_eq!(facts[&format!("TASKDAEMON_EVENT{name}")], value, "{facts:?}");
    }
    assert!(facts["TASKDAEMON_EVENT_AT"].ends_with('Z'), "{facts:?}");
    let hooks = daemon.get("/v1/tasks?queue=hooks");
    assert_eq!(hooks["tasks"].as_array().unwrap().len(), 1, "once for the task, not for each attempt: {hooks}");
    assert_eq!(hooks["tasks"][0]["label"], "failed");

    daemon.configure("hooks:\n  failed:\n    command: [\"false\"]\n");
    daemon.ok(&["reload"]);
    daemon.run(&["submit", "--wait", "--", "false"]);
    let failed = || daemon.get("/v1/tasks?queue=hooks&state=failed")["tasks"].as_array().unwrap().len();
    eventually("the hook fails", || (failed() == 1).then_some(()));
    assert_eq!(daemon.get("/v1/tasks?queue=hooks")["tasks"].as_array().unwrap().len(), 2, "and sets off no other");
}

#[test]
fn c4_a_hook_can_be_for_some_queues_and_takes_its_arguments_as_they_are() {
    let mut daemon = Daemon::unstarted("");
    let file = daemon.path("arguments");
    let command =
        serde_json::json!(["sh", "-c", format!("printf '%s|' \"$@\" > {}", file.display()), "-", "a  b", "*", 7]);
    daemon
        .configure(&format!("queues:\n  mail: {{}}\nhooks:\n  failed:\n    command: {command}\n    queues: [mail]\n"));
    daemon.start();
    daemon.run(&["submit", "--wait", "--", "false"]);
    daemon.run(&["submit", "--wait", "--queue", "mail", "--", "false"]);
    eventually("the hook has run", || (fs::read_to_string(&file).ok()? == "a  b|*|7|").then_some(()));
    assert_eq!(daemon.get("/v1/tasks?queue=hooks")["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn c4_hooks_and_tasks_take_no_slot_from_each_other() {
    let daemon = Daemon::with("host:\n  slots: 1\nhooks:\n  failed:\n    command: sleep 1000\n  slots: 1\n");
    daemon.run(&["submit", "--wait", "--", "false"]);
    let hook = eventually("the hook runs", || {
        let running = daemon.get("/v1/tasks?queue=hooks&state=running");
        Some(running["tasks"].as_array()?.first()?["id"].to_string())
    });
    daemon.submit(&["--wait", "--", "true"]);
    assert_eq!(daemon.get("/v1/status")["slots"]["taken"], 0, "while the hook runs");
    daemon.submit(&["--", "sleep", "1000"]);
    daemon.ok(&["cancel", &hook]);
    daemon.wait_state(&hook, "cancelled");
    eventually("the host is full", || (daemon.get("/v1/status")["slots"]["taken"] == 1).then_some(()));
    daemon.ok(&["retry", &hook]);
    daemon.wait_state(&hook, "running");
}

#[test]
fn c4_a_flood_of_failures_makes_a_few_hooks_and_tells_how_many_it_left_out() {
    let daemon = telling(&["failed"], "");
    daemon.ok(&["queue", "pause", "hooks"]);
    daemon.configure(&configuration(&daemon, &["failed"], "").replace("hooks:\n", "hooks:\n  max_waiting: 3\n"));
    daemon.ok(&["reload"]);
    let ids = daemon.batch(&"{\"command\":[\"false\"]}\n".repeat(50));
    daemon.run(&["wait", "--queue", "default"]);
    assert_eq!(daemon.get("/v1/tasks?queue=hooks")["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(daemon.log().matches("no room for a hook").count(), 1, "{}", daemon.log());
    daemon.ok(&["queue", "resume", "hooks"]);
    told(&daemon, &format!("failed{}", ids[2]));
    eventually("the hooks have ended", || {
        (daemon.get("/v1/tasks?queue=hooks&state=succeeded")["tasks"].as_array()?.len() == 3).then_some(())
    });
    let output = daemon.run(&["submit", "--wait", "--", "false"]);
    let next = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told(&daemon, &format!("failed{}", next.trim()))["TASKDAEMON_EVENT_MISSED"], "47");
}

#[test]
fn c4_the_start_and_the_stop_have_their_hooks_and_the_stop_waits_for_its_own() {
    let mut daemon = telling(&["started", "stopped"], "");
    assert_eq!(told(&daemon, "started")["TASKDAEMON_EVENT"], "started");
    daemon.submit(&["--", "sleep", "1000"]);
    daemon.configure(
        &configuration(&daemon, &["started", "stopped"], "").replace("slots: 1\n", "slots: 1\n  stop_grace: 2s\n"),
    );
    daemon.ok(&["reload"]);
    assert!(daemon.stop().success(), "{}", daemon.log());
    let stopped = fs::read_to_string(daemon.path("told-stopped")).expect("it ran before the daemon was gone");
    assert!(stopped.contains("TASKDAEMON_EVENT=stopped"), "{stopped}");
}

#[test]
fn c4_a_daemon_that_becomes_another_program_has_not_started() {
    let daemon = telling(&["started", "stopped"], "");
    told(&daemon, "started");
    daemon.ok(&["upgrade"]);
    daemon.submit(&["--wait", "--", "true"]);
    assert_eq!(daemon.get("/v1/tasks?queue=hooks")["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn c4_a_hook_that_hangs_does_not_hold_up_the_stop() {
    let mut daemon = Daemon::with(
        "host:\n  stop_grace: 0s\n  shutdown_timeout: 30s\nhooks:\n  stopped:\n    command: trap '' TERM; sleep 1000\n",
    );
    daemon.runner_pid();
    let since = Instant::now();
    assert!(daemon.stop().success(), "{}", daemon.log());
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

#[test]
fn c4_health_that_gets_worse_is_told_once() {
    let worse = "health:\n  watch_every: 1s\n  min_free: 8000000T\n";
    let daemon = telling(&["degraded"], worse);
    let facts = told(&daemon, "degraded");
    assert_eq!(facts["TASKDAEMON_EVENT_HEALTH"], "degraded");
    assert!(facts["TASKDAEMON_EVENT_REASON"].contains("is free where the queue is kept"), "{facts:?}");
    // The daemon looks again and again; it is told what it knows already.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(daemon.get("/v1/tasks?queue=hooks")["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn c4_the_queue_of_the_hooks_is_the_daemons_own() {
    let daemon = telling(&["failed"], "");
    let refused = daemon.run(&["submit", "--queue", "hooks", "--", "true"]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("queue hooks is the daemon's own"));
    let every = ["schedule", "add", "x", "--every", "1h", "--queue", "hooks", "--", "true"];
    assert_eq!(daemon.run(&every).status.code(), Some(65));
    daemon.configure("queues:\n  hooks: {slots: 9}\n");
    let refused = daemon.run(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("config.yml:2:3: queues.hooks: is the daemon's own queue"), "{said}");
    daemon.configure("");
    daemon.ok(&["reload"]);
    assert!(!daemon.ok(&["queue", "list"]).contains("hooks"), "without a hook there is no queue for it");
}
