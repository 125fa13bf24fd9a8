//! Promise D9: a configuration that is read anew, or not.

use std::fs;

use serde_json::Value;

use super::support::{Daemon, eventually};

fn count(daemon: &Daemon, query: &str) -> usize {
    daemon.get(&format!("/v1/tasks?{query}"))["tasks"].as_array().unwrap().len()
}

/// Reloads with this configuration, which must succeed; what was said.
fn reload(daemon: &Daemon, configuration: &str) -> String {
    daemon.configure(configuration);
    daemon.ok(&["reload"])
}

#[test]
fn d9_a_reload_takes_new_limits_into_force_without_a_restart() {
    let daemon = Daemon::with("host:\n  slots: 1\n");
    for _ in 0..3 {
        daemon.submit(&["--", "sleep", "1000"]);
    }
    let running = || daemon.get("/v1/tasks?state=running")["tasks"].as_array().unwrap().len();
    eventually("one runs", || (running() == 1).then_some(()));
    daemon.configure("host:\n  slots: 3\n");
    daemon.ok(&["reload"]);
    eventually("three run", || (running() == 3).then_some(()));
    daemon.configure("host:\n  slots: 2\n");
    daemon.signal(1);
    eventually("HUP reloads too", || (daemon.get("/v1/status")["slots"]["all"] == 2).then_some(()));
    daemon.ok(&["cancel", "--all"]);
}

#[test]
fn d9_a_bad_file_leaves_the_old_configuration_in_force_and_is_told_with_its_place() {
    let daemon = Daemon::with("host:\n  slots: 1\n");
    daemon.configure("host:\n  slots: many\n  colour: red\n");
    let output = daemon.run(&["reload"]);
    assert_eq!(output.status.code(), Some(78));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("config.yml:2:") && words.contains("config.yml:3:"), "all faults at once: {words}");
    assert!(words.contains("slots") && words.contains("colour"), "{words}");
    assert_eq!(daemon.get("/v1/status")["slots"]["all"], 1);
    assert_eq!(daemon.run(&["config", "check"]).status.code(), Some(78));
}

#[test]
fn d9_the_fault_is_told_with_file_line_column_and_reason() {
    let daemon = Daemon::new();
    daemon.configure("host:\n  slots: 2\nlog:\n  level: loud\n");
    // The client that has to look for the socket in the same file would find the fault by itself.
    let output = daemon.command(&["reload"]).env("TASKDAEMON_SOCKET", daemon.socket()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    let place = format!("{}:4:10: log.level: needs one of error", daemon.path("config.yml").display());
    assert!(said.contains(&place) && said.contains("the old one stays in force"), "{said}");
    let (code, problem) = daemon.http("POST", "/v1/reload", "");
    assert_eq!((code, problem["type"].as_str()), (422, Some("urn:taskdaemon:problem:invalid-configuration")));
}

#[test]
fn d9_hup_with_a_bad_file_is_logged_and_changes_nothing() {
    let daemon = Daemon::with("host:\n  slots: 1\n");
    daemon.configure("host:\n  slots: none\n");
    daemon.signal(1);
    let log = eventually("it is logged", || Some(daemon.log()).filter(|log| log.contains("not reloaded")));
    assert!(log.contains("config.yml:2:10: host.slots: needs auto"), "{log}");
    assert_eq!(daemon.get("/v1/status")["slots"]["all"], 1);
    daemon.configure("host:\n  slots: 3\n");
    daemon.signal(1);
    eventually("the next one is taken", || (daemon.get("/v1/status")["slots"]["all"] == 3).then_some(()));
    assert!(daemon.log().contains("reloaded changed="), "{}", daemon.log());
}

#[test]
fn d9_the_level_of_the_log_changes() {
    let daemon = Daemon::with("log:\n  level: error\n");
    assert_eq!(daemon.log(), "");
    let said = reload(&daemon, "log:\n  level: info\n");
    assert_eq!(said, "read again; changed: log.level");
    daemon.signal(10);
    eventually("it is told how it stands", || daemon.log().contains("as it stands").then_some(()));
}

#[test]
fn d9_queues_come_change_and_go() {
    let daemon = Daemon::new();
    assert_eq!(daemon.run(&["submit", "--queue", "mail", "--", "true"]).status.code(), Some(66));
    reload(&daemon, "queues:\n  mail:\n    max_length: 1\n");
    let held = daemon.submit(&["--hold", "--queue", "mail", "--", "true"]);
    assert_eq!(daemon.run(&["submit", "--queue", "mail", "--", "true"]).status.code(), Some(75));
    reload(&daemon, "queues:\n  mail:\n    max_length: 2\n");
    daemon.submit(&["--queue", "mail", "--wait", "--", "true"]);
    let said = reload(&daemon, "");
    assert!(said.contains("queue mail is kept, because tasks need it"), "{said}");
    daemon.ok(&["cancel", &held]);
    daemon.ok(&["reload"]);
    assert!(!daemon.ok(&["queue", "list"]).contains("mail"));
}

#[test]
fn d9_what_tasks_are_held_to_changes() {
    let daemon = Daemon::new();
    let output = |id: &str| daemon.ok(&["logs", id]);
    reload(&daemon, "tasks:\n  output_cap: 4\n");
    let capped = daemon.submit(&["--wait", "--", "printf", "123456789"]);
    assert_eq!(output(&capped), "1234");
    reload(&daemon, "intake:\n  max_tasks: 1\n  max_stdin: 10\n  max_body: 8K\n");
    let stdin = |length: usize| {
        let task = serde_json::json!({ "command": ["cat"], "directory": "/", "stdin": "x".repeat(length) });
        daemon.http("POST", "/v1/tasks", &serde_json::json!({ "tasks": [task] }).to_string())
    };
    assert_eq!(stdin(10).0, 201);
    eventually("it has ended", || (count(&daemon, "state=succeeded") == 2).then_some(()));
    let (code, problem) = stdin(11);
    assert_eq!((code, problem["field"].as_str()), (422, Some("stdin")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("11 bytes, and 10 is the limit"), "{problem}");
    assert_eq!(stdin(9000).0, 413);
    daemon.submit(&["--hold", "--", "true"]);
    assert_eq!(daemon.run(&["submit", "--", "true"]).status.code(), Some(75), "one at most has not ended");
}

#[test]
fn d9_what_is_kept_changes() {
    let daemon = Daemon::new();
    for _ in 0..5 {
        daemon.submit(&["--wait", "--", "true"]);
    }
    reload(&daemon, "retention:\n  max_tasks: 2\n");
    eventually("all but two are removed", || (count(&daemon, "state=succeeded") == 2).then_some(()));
    reload(&daemon, "retention:\n  max_age: 0s\n");
    eventually("all are removed", || (count(&daemon, "state=succeeded") == 0).then_some(()));
}

#[test]
fn d9_a_hook_that_is_added_runs() {
    let daemon = Daemon::new();
    let file = daemon.path("told");
    reload(&daemon, &format!("hooks:\n  failed:\n    command: [touch, {}]\n", file.display()));
    daemon.run(&["submit", "--wait", "--", "false"]);
    eventually("the hook has run", || file.exists().then_some(()));
}

#[test]
fn d9_what_needs_a_restart_is_said_until_it_is_done() {
    let mut daemon = Daemon::new();
    let changed = "api:\n  max_connections: 7\nhost:\n  slots: 2\n";
    let said = reload(&daemon, changed);
    assert!(said.contains("with the next restart: api.max_connections"), "{said}");
    let said = daemon.ok(&["reload"]);
    assert!(said.starts_with("read again; nothing changed"), "{said}");
    assert!(said.contains("with the next restart: api.max_connections"), "it is still to be done: {said}");
    daemon.stop();
    daemon.start();
    assert_eq!(daemon.ok(&["reload"]), "read again; nothing changed");
    let document: Value = serde_json::from_str(&daemon.ok(&["reload", "--json"])).unwrap();
    assert_eq!(document["needs_restart"], serde_json::json!([]));
}

#[test]
fn d9_many_who_ask_at_once_are_all_answered_by_what_the_file_says() {
    let daemon = Daemon::new();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| daemon.ok(&["reload"]));
        }
        for _ in 0..100 {
            daemon.signal(1);
        }
    });
    fs::write(daemon.path("config.yml"), "host: [").unwrap();
    assert_eq!(daemon.run(&["reload"]).status.code(), Some(78));
    reload(&daemon, "host:\n  slots: 5\n");
    assert_eq!(daemon.get("/v1/status")["slots"]["all"], 5);
}
