//! Promises T3, T4, T10, T11, T14: queues, order, retries, dependencies, recurring tasks.

use std::fs;

use super::support::{Daemon, eventually};

/// What the tasks wrote to the ledger, in order.
fn ledger(daemon: &Daemon) -> Vec<String> {
    let text = fs::read_to_string(daemon.path("ledger")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn note(daemon: &Daemon, word: &str) -> Vec<String> {
    let script = format!("echo {word} >>{}", daemon.path("ledger").display());
    ["--", "sh", "-c", &script].map(str::to_owned).to_vec()
}

fn submit_note(daemon: &Daemon, options: &[&str], word: &str) -> String {
    let note = note(daemon, word);
    let arguments: Vec<&str> = options.iter().copied().chain(note.iter().map(String::as_str)).collect();
    daemon.submit(&arguments)
}

#[test]
fn t3_higher_priority_runs_first_and_equals_in_order() {
    let daemon = Daemon::with("host:\n  slots: 1\n");
    daemon.ok(&["queue", "pause", "default"]);
    for (priority, word) in [("0", "a"), ("5", "b"), ("-5", "c"), ("0", "d")] {
        submit_note(&daemon, &["--priority", priority], word);
    }
    daemon.ok(&["queue", "resume", "default"]);
    daemon.ok(&["wait", "--all"]);
    assert_eq!(ledger(&daemon), ["b", "a", "d", "c"]);
}

#[test]
fn t3_a_dependent_task_waits_for_success_and_is_cancelled_by_failure() {
    let daemon = Daemon::new();
    daemon.ok(&["queue", "pause", "default"]);
    let good = submit_note(&daemon, &[], "good");
    let bad = daemon.submit(&["--", "false"]);
    let after_good = submit_note(&daemon, &["--after", &good, "--priority", "100"], "after-good");
    let after_bad = submit_note(&daemon, &["--after", &bad], "never");
    let after_both = submit_note(&daemon, &["--after-any", &format!("{good},{bad}")], "after-any");
    let after_cancelled = submit_note(&daemon, &["--after", &after_bad], "never either");
    assert_eq!(daemon.task_state(&after_good), "waiting");
    daemon.ok(&["queue", "resume", "default"]);
    daemon.run(&["wait", "--all"]);
    for (id, state) in [
        (&after_good, "succeeded"),
        (&after_both, "succeeded"),
        (&after_bad, "cancelled"),
        (&after_cancelled, "cancelled"),
    ] {
        assert_eq!(daemon.task_state(id), state);
    }
    assert!(daemon.ok(&["show", &after_bad]).contains(&format!("task {bad}")), "the reason names the task");
    assert_eq!(ledger(&daemon)[0], "good");
    assert_eq!(ledger(&daemon).len(), 3);
}

#[test]
fn t3_a_failed_task_is_retried_with_growing_delays_until_it_succeeds() {
    let daemon = Daemon::new();
    let script = format!("echo x >>{0}; test $(wc -l <{0}) -ge 3", daemon.path("ledger").display());
    let id = daemon.submit(&["--retries", "5", "--retry-delay", "50ms", "--", "sh", "-c", &script]);
    assert_eq!(daemon.run(&["wait", &id]).status.code(), Some(0));
    assert_eq!(daemon.task(&id)["history"].as_array().unwrap().len(), 3);
}

#[test]
fn t3_retries_end_at_their_limit() {
    let daemon = Daemon::new();
    let output =
        daemon.run(&["submit", "--wait", "--retries", "2", "--retry-delay", "1ms", "--", "sh", "-c", "exit 42"]);
    assert_eq!(output.status.code(), Some(42));
    let tasks = daemon.get("/v1/tasks");
    let id = tasks["tasks"][0]["id"].to_string();
    assert_eq!(daemon.task(&id)["history"].as_array().unwrap().len(), 3);
}

#[test]
fn t3_one_live_task_at_most_has_a_key() {
    let daemon = Daemon::new();
    let first = daemon.submit(&["--hold", "--key", "nightly", "--", "true"]);
    let second = daemon.submit(&["--hold", "--key", "nightly", "--", "true"]);
    assert_eq!(first, second);
    daemon.ok(&["cancel", &first]);
    assert_ne!(daemon.submit(&["--key", "nightly", "--", "true"]), first);
}

#[test]
fn t3_a_delayed_task_waits_for_its_time_across_a_restart() {
    let mut daemon = Daemon::new();
    let id = daemon.submit(&["--delay", "1s", "--", "true"]);
    assert_eq!(daemon.task_state(&id), "scheduled");
    daemon.kill();
    daemon.start();
    daemon.wait_state(&id, "succeeded");
    let task = daemon.task(&id);
    assert!(task["history"][0]["claimed_at"].as_str() >= task["due"].as_str(), "{task}");
}

#[test]
fn t4_queues_have_parallelism_of_their_own() {
    let daemon = Daemon::with("host:\n  slots: 8\nqueues:\n  narrow:\n    slots: 1\n  wide:\n    slots: 3\n");
    for queue in ["narrow", "wide"] {
        for _ in 0..5 {
            daemon.submit(&["--queue", queue, "--", "sleep", "1000"]);
        }
    }
    eventually("both queues are full", || {
        let running = daemon.get("/v1/tasks?state=running");
        (running["tasks"].as_array()?.len() == 4).then_some(())
    });
    daemon.ok(&["cancel", "--all"]);
    daemon.run(&["wait", "--all"]);
}

#[test]
fn t4_a_full_queue_refuses_with_its_limit() {
    let daemon = Daemon::with("queues:\n  short:\n    max_length: 2\n");
    daemon.ok(&["queue", "pause", "short"]);
    daemon.submit(&["--queue", "short", "--", "true"]);
    daemon.submit(&["--queue", "short", "--", "true"]);
    let refused = daemon.run(&["submit", "--queue", "short", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75));
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("short") && words.contains('2'), "{words}");
}

#[test]
fn t4_an_unknown_queue_is_refused_and_the_known_ones_are_named() {
    let daemon = Daemon::new();
    let refused = daemon.run(&["submit", "--queue", "nowhere", "--", "true"]);
    assert!(!refused.status.success());
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("nowhere") && words.contains("default"), "{words}");
}

#[test]
fn t4_the_breaker_opens_after_failures_in_a_row_probes_and_closes_by_itself() {
    let daemon =
        Daemon::with("host:\n  slots: 1\nqueues:\n  fragile:\n    breaker:\n      failures: 3\n      cooldown: 1s\n");
    let healed = daemon.path("healed");
    let script = format!("test -e {}", healed.display());
    for _ in 0..6 {
        daemon.submit(&["--queue", "fragile", "--", "sh", "-c", &script]);
    }
    let state = || {
        daemon.get("/v1/queues")["queues"].as_array().unwrap().iter().find(|q| q["name"] == "fragile").unwrap()["breaker"]["state"].clone()
    };
    eventually("the breaker opens", || (state() == "open").then_some(()));
    fs::write(healed, "").unwrap();
    eventually("the breaker closes", || (state() == "closed").then_some(()));
    daemon.run(&["wait", "--queue", "fragile"]);
    let events = daemon.ok(&["events", "--json"]);
    for word in ["breaker-opened", "breaker-probing", "breaker-closed"] {
        assert!(events.contains(word), "{word}: {events}");
    }
}

#[test]
fn t4_a_paused_queue_stays_paused_across_a_crash_and_says_so() {
    let mut daemon = Daemon::new();
    daemon.ok(&["queue", "pause", "default"]);
    let id = daemon.submit(&["--", "true"]);
    daemon.kill();
    daemon.start();
    assert_eq!(daemon.task_state(&id), "queued");
    assert!(daemon.ok(&["show", &id]).contains("paused"), "why it waits is told");
    daemon.ok(&["queue", "resume", "default"]);
    daemon.wait_state(&id, "succeeded");
}

#[test]
fn t11_drain_lets_what_runs_end_and_takes_nothing_new() {
    let daemon = Daemon::new();
    let flag = daemon.path("flag");
    let script = format!("until test -e {}; do sleep 0.01; done", flag.display());
    let running = daemon.submit(&["--", "sh", "-c", &script]);
    daemon.wait_state(&running, "running");
    daemon.ok(&["queue", "drain", "default"]);
    assert_eq!(daemon.run(&["submit", "--", "true"]).status.code(), Some(75));
    fs::write(flag, "").unwrap();
    daemon.wait_state(&running, "succeeded");
}

#[test]
fn t11_a_heavy_task_takes_its_slots() {
    let daemon = Daemon::with("host:\n  slots: 4\n");
    let heavy = daemon.submit(&["--slots", "3", "--", "sleep", "1000"]);
    let light = daemon.submit(&["--", "sleep", "1000"]);
    let waiting = daemon.submit(&["--", "true"]);
    daemon.wait_state(&heavy, "running");
    daemon.wait_state(&light, "running");
    assert_eq!(daemon.task_state(&waiting), "queued");
    daemon.ok(&["cancel", &heavy]);
    daemon.wait_state(&waiting, "succeeded");
    daemon.ok(&["cancel", &light]);
}

#[test]
fn t10_a_recurring_task_runs_again_and_survives_a_restart() {
    let mut daemon = Daemon::new();
    let note = note(&daemon, "tick");
    let arguments: Vec<&str> =
        ["schedule", "add", "tick", "--every", "1s"].into_iter().chain(note.iter().map(String::as_str)).collect();
    daemon.ok(&arguments);
    eventually("two runs", || (ledger(&daemon).len() >= 2).then_some(()));
    daemon.kill_both();
    daemon.start();
    let before = ledger(&daemon).len();
    eventually("it goes on", || (ledger(&daemon).len() > before + 1).then_some(()));
    daemon.ok(&["schedule", "rm", "tick"]);
    assert!(!daemon.ok(&["schedule", "list"]).contains("tick"));
}

#[test]
fn t7_hold_release_retry_rm_and_prune_do_what_they_say() {
    let daemon = Daemon::new();
    let id = daemon.submit(&["--hold", "--", "sh", "-c", "echo out"]);
    assert_eq!(daemon.task_state(&id), "held");
    assert!(!daemon.run(&["rm", &id]).status.success(), "what has not ended is not removed");
    daemon.ok(&["release", &id]);
    daemon.wait_state(&id, "succeeded");
    assert!(!daemon.run(&["hold", &id]).status.success());
    daemon.ok(&["retry", &id]);
    daemon.ok(&["wait", &id]);
    assert_eq!(daemon.task(&id)["history"].as_array().unwrap().len(), 2);
    assert_eq!(daemon.ok(&["logs", &id]), "out");
    daemon.ok(&["rm", &id]);
    assert_eq!(daemon.http("GET", &format!("/v1/tasks/{id}"), "").0, 404);
    let other = daemon.submit(&["--", "true"]);
    daemon.ok(&["wait", &other]);
    daemon.ok(&["prune", "--older-than", "0s"]);
    assert_eq!(daemon.get("/v1/tasks")["tasks"].as_array().unwrap().len(), 0);
}

#[test]
fn t14_wait_takes_a_deadline_many_ids_labels_and_queues() {
    let daemon = Daemon::new();
    let slow = daemon.submit(&["--label", "group", "--", "sleep", "1000"]);
    let quick = daemon.submit(&["--label", "group", "--", "true"]);
    assert_eq!(daemon.run(&["wait", &quick]).status.code(), Some(0));
    let timed_out = daemon.run(&["wait", "--label", "group", "--deadline", "100ms"]);
    assert!(!timed_out.status.success());
    assert!(String::from_utf8_lossy(&timed_out.stderr).contains("100ms"), "{timed_out:?}");
    daemon.ok(&["wait", "--any", &slow, &quick]);
    daemon.ok(&["cancel", &slow]);
    assert_eq!(daemon.run(&["wait", "--label", "group"]).status.code(), Some(1));
    assert_eq!(daemon.run(&["wait", &slow]).status.code(), Some(143));
}

#[test]
fn t2_slots_that_no_task_could_ever_have_are_refused() {
    let daemon = Daemon::with("host:\n  slots: 4\nqueues:\n  narrow:\n    slots: 1\n");
    let refused = |arguments: &[&str]| {
        let output = daemon.run(&[arguments, &["--", "true"]].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, words) = refused(&["submit", "--slots", "99"]);
    assert!(status == Some(65) && words.contains("asks for 99 slots, and the host has 4"), "{words}");
    let (status, words) = refused(&["submit", "--queue", "narrow", "--slots", "2"]);
    assert!(status == Some(65) && words.contains("asks for 2 slots, and queue narrow has 1"), "{words}");
    let (status, words) = refused(&["schedule", "add", "wide", "--every", "1h", "--slots", "5"]);
    assert!(status == Some(65) && words.contains("the host has 4"), "{words}");
    assert_eq!(daemon.get("/v1/tasks")["tasks"], serde_json::json!([]));
}
