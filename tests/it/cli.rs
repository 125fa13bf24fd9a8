//! Promises T7, T10, T12, T14 at the command line: what is printed where, and with what exit status.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Output, Stdio};

use super::support::{Daemon, eventually};

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn t1_only_the_id_goes_to_standard_output() {
    let daemon = Daemon::new();
    let first = daemon.run(&["submit", "--hold", "--key", "once", "--", "true"]);
    assert_eq!((words(&first.stdout), words(&first.stderr)), ("1\n".to_owned(), String::new()));
    let second = daemon.run(&["submit", "--hold", "--key", "once", "--", "true"]);
    assert_eq!(words(&second.stdout), "1\n");
    assert!(words(&second.stderr).contains("nothing was submitted"), "a duplicate says so");
    assert_eq!(daemon.ok(&["submit", "--json", "--hold", "--", "true"]), r#"{"ids":[2]}"#);
}

#[test]
fn t7_who_prints_for_nobody_ends_by_itself_and_quietly() {
    let daemon = Daemon::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let unread = daemon.command(&["status"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    // As a shell tells the end by SIGPIPE, which would tell no status of its own.
    assert_eq!((code(&unread), words(&unread.stderr)), (Some(141), String::new()));
}

#[test]
fn t1_a_script_runs_in_a_shell_and_follow_prints_what_it_writes() {
    let daemon = Daemon::new();
    let output = daemon.run(&["submit", "--follow", "--shell", "echo out; echo err >&2; exit 5"]);
    assert_eq!((words(&output.stdout), code(&output)), ("out\nerr\n".to_owned(), Some(5)));
}

#[test]
fn t1_follow_goes_on_through_retries_and_ends_as_the_last_attempt_does() {
    let daemon = Daemon::new();
    let flag = daemon.path("flag");
    let script = format!("if test -e {0}; then echo second; else touch {0}; echo first; exit 9; fi", flag.display());
    let output = daemon.run(&["submit", "--follow", "--retries", "1", "--retry-delay", "1ms", "--shell", &script]);
    assert_eq!((words(&output.stdout), code(&output)), ("first\nsecond\n".to_owned(), Some(0)));
}

#[test]
fn t1_a_batch_takes_defaults_from_the_options_and_names_a_faulty_line() {
    let daemon = Daemon::new();
    let ids = daemon.path("lines");
    std::fs::write(&ids, "{\"command\":[\"true\"]}\n\n{\"shell\":\"true\",\"label\":\"own\"}\n").unwrap();
    let ids = daemon.ok(&["submit", "--label", "all", "--batch", ids.to_str().unwrap()]);
    assert_eq!(ids, "1\n2");
    assert_eq!(daemon.task("1")["label"], "all");
    assert_eq!(daemon.task("2")["label"], "own");
    let mut client = daemon.command(&["submit", "--batch"]);
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"command\":[\"true\"]}\n{\"comand\":[\"true\"]}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(65));
    let said = words(&output.stderr);
    assert!(said.contains("line 2") && said.contains("comand"), "{said}");
}

#[test]
fn t1_a_batch_is_waited_for_as_a_whole() {
    let daemon = Daemon::new();
    let path = daemon.path("lines");
    std::fs::write(&path, "{\"command\":[\"true\"]}\n{\"command\":[\"false\"]}\n").unwrap();
    let output = daemon.run(&["submit", "--wait", "--batch", path.to_str().unwrap()]);
    assert_eq!((words(&output.stdout), code(&output)), ("1\n2\n".to_owned(), Some(1)));
    assert!(words(&output.stderr).contains("task 2 failed"), "{}", words(&output.stderr));
}

#[test]
fn t3_a_time_of_the_clock_is_taken() {
    let daemon = Daemon::new();
    let id = daemon.submit(&["--at", "2099-01-31T08:00:00Z", "--", "true"]);
    assert_eq!(daemon.task(&id)["due"], "2099-01-31T08:00:00.000000Z");
    assert_eq!(code(&daemon.run(&["submit", "--at", "soon", "--", "true"])), Some(2));
}

#[test]
fn t7_a_pipe_gets_stable_columns_and_json_an_array() {
    let daemon = Daemon::new();
    daemon.submit(&["--wait", "--label", "my label", "--", "sh", "-c", "exit 0"]);
    daemon.submit(&["--hold", "--priority", "-3", "--", "printf", "a\tb"]);
    let lines = daemon.ok(&["list", "--header"]);
    let rows: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0].join(" "), "ID STATE QUEUE PRIORITY ATTEMPTS EXIT SUBMITTED LABEL COMMAND");
    assert_eq!(rows[1][..6], ["2", "held", "default", "-3", "0", "-"]);
    assert_eq!(rows[1][7..], ["-", "printf $'a\\tb'"]);
    assert_eq!(rows[2][..6], ["1", "succeeded", "default", "0", "1", "0"]);
    assert_eq!(rows[2][7..], ["my label", "sh -c 'exit 0'"]);
    let array: serde_json::Value = serde_json::from_str(&daemon.ok(&["list", "--json"])).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 2);
    assert_eq!(daemon.ok(&["list", "--json", "--state", "failed"]), "[]");
    assert_eq!(daemon.ok(&["ls", "--oldest-first", "--limit", "1"]).split('\t').next(), Some("1"));
}

#[test]
fn t7_a_list_goes_through_all_pages() {
    let daemon = Daemon::new();
    let lines: String = (0..2500).map(|_| "{\"command\":[\"true\"],\"hold\":true}\n").collect();
    assert_eq!(daemon.batch(&lines).len(), 2500);
    let ids: Vec<i64> =
        daemon.ok(&["list"]).lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    assert_eq!(ids, (1..=2500).rev().collect::<Vec<_>>());
    assert_eq!(daemon.ok(&["list", "--limit", "1200"]).lines().count(), 1200);
    assert_eq!(daemon.ok(&["cancel", "--all"]), "2500 tasks cancelled");
}

#[test]
fn t7_a_reader_that_goes_away_ends_a_list_quietly() {
    let daemon = Daemon::new();
    daemon.batch(&"{\"command\":[\"true\"],\"hold\":true}\n".repeat(2000));
    let mut client = daemon.command(&["list"]);
    let mut child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(1, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(first.starts_with("2000\t"), "{first}");
    assert_eq!(said, "");
}

#[test]
fn t7_logs_print_bytes_attempts_and_tails() {
    let daemon = Daemon::new();
    let id = daemon.submit(&["--", "sh", "-c", "printf 'one\\ntwo\\n\\377'"]);
    daemon.ok(&["wait", &id]);
    assert_eq!(daemon.run(&["logs", &id]).stdout, b"one\ntwo\n\xff");
    assert_eq!(daemon.run(&["logs", "--tail", "2", &id]).stdout, b"two\n\xff");
    assert_eq!(daemon.run(&["logs", "-f", "--tail", "1", &id]).stdout, b"\xff");
    assert_eq!(code(&daemon.run(&["logs", "--attempt", "2", &id])), Some(66));
}

#[test]
fn t7_what_does_not_exist_has_an_exit_status_of_its_own() {
    let daemon = Daemon::new();
    for verb in
        [&["show", "99"][..], &["logs", "99"], &["wait", "99"], &["cancel", "99"], &["queue", "show", "nowhere"]]
    {
        let output = daemon.run(verb);
        assert_eq!(code(&output), Some(66), "{verb:?}: {}", words(&output.stderr));
        assert!(words(&output.stderr).starts_with("taskdaemon: "));
    }
    assert_eq!(code(&daemon.run(&["cancel"])), Some(2));
}

#[test]
fn t7_events_are_lines_that_can_be_followed() {
    let daemon = Daemon::new();
    let mut client = daemon.command(&["events", "-f", "--json", "--after", "0"]);
    let mut child = client.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let id = daemon.submit(&["--", "true"]);
    let ended = lines.find_map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        (event["event"] == "ended").then_some(event)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ended.unwrap()["task"].to_string(), id);
    let kept = daemon.ok(&["events", "--task", &id]);
    let kinds: Vec<&str> = kept.lines().map(|line| line.split('\t').nth(4).unwrap()).collect();
    assert_eq!(kinds, ["submitted", "started", "ended"]);
}

#[test]
fn t4_queues_are_set_shown_and_removed() {
    let daemon = Daemon::new();
    daemon.ok(&["queue", "set", "mail", "--slots", "2", "--breaker-failures", "3"]);
    daemon.ok(&["queue", "set", "mail", "--max-length", "9"]);
    let queue: serde_json::Value = serde_json::from_str(&daemon.ok(&["queue", "show", "mail", "--json"])).unwrap();
    let expected = serde_json::json!({
        "slots": 2, "max_length": 9, "breaker": { "failures": 3, "cooldown_ms": 60_000 }
    });
    assert_eq!(queue["limits"], expected);
    assert!(daemon.ok(&["queue", "list"]).contains("mail\topen\tclosed\t0\t0\t0\t2\t9"));
    daemon.ok(&["queue", "pause", "mail"]);
    assert!(daemon.ok(&["queue", "list"]).contains("mail\tpaused\t"));
    daemon.ok(&["queue", "rm", "mail"]);
    assert!(!daemon.ok(&["queue", "list"]).contains("mail"));
}

#[test]
fn t10_recurring_tasks_are_added_paused_and_listed() {
    let daemon = Daemon::new();
    daemon.ok(&["schedule", "add", "night", "--cron", "30 2 * * *", "--zone", "UTC", "--", "true"]);
    let list = daemon.ok(&["schedule", "list"]);
    assert!(list.starts_with("night\tactive\t30 2 * * * UTC\t"), "{list}");
    daemon.ok(&["schedule", "pause", "night"]);
    assert!(daemon.ok(&["schedule", "list"]).starts_with("night\tpaused\t"));
    assert_eq!(code(&daemon.run(&["schedule", "add", "bad", "--cron", "every day", "--", "true"])), Some(65));
    assert_eq!(code(&daemon.run(&["schedule", "rm", "other"])), Some(66));
}

#[test]
fn t14_a_deadline_ends_the_wait_and_not_the_task() {
    let daemon = Daemon::new();
    for line in [&["submit", "--wait"][..], &["submit", "--follow"]] {
        let output = daemon.run(&[line, &["--deadline", "50ms", "--", "sleep", "1000"]].concat());
        assert_eq!(code(&output), Some(79));
        assert!(words(&output.stderr).contains("50ms"), "{}", words(&output.stderr));
    }
    eventually("both go on", || (daemon.ok(&["list", "--state", "running"]).lines().count() == 2).then_some(()));
    daemon.ok(&["cancel", "--all"]);
}

#[test]
fn t14_any_prints_the_first_that_ended() {
    let daemon = Daemon::new();
    let slow = daemon.submit(&["--", "sleep", "1000"]);
    let quick = daemon.submit(&["--", "sh", "-c", "exit 4"]);
    let output = daemon.run(&["wait", "--any", &slow, &quick]);
    assert_eq!((words(&output.stdout).trim_end(), code(&output)), (quick.as_str(), Some(4)));
    daemon.ok(&["cancel", &slow]);
}

#[test]
fn t7_prune_keeps_the_newest() {
    let daemon = Daemon::new();
    for _ in 0..3 {
        daemon.submit(&["--wait", "--", "true"]);
    }
    assert_eq!(daemon.ok(&["prune", "--keep", "1"]), "2 tasks removed");
    assert_eq!(daemon.ok(&["list"]).split('\t').next(), Some("3"));
}

#[test]
fn d4_status_is_a_document_too() {
    let mut daemon = Daemon::unstarted("");
    let stopped: serde_json::Value = serde_json::from_slice(&daemon.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!((stopped["state"].as_str(), stopped["exit_code"].as_i64()), (Some("stopped"), Some(3)));
    assert_eq!(code(&daemon.run(&["status", "--wait", "0"])), Some(3));
    daemon.start();
    let running: serde_json::Value = serde_json::from_str(&daemon.ok(&["status", "--json", "--wait", "5"])).unwrap();
    assert_eq!((running["state"].as_str(), running["pid"].as_i64()), (Some("running"), Some(daemon.pid().into())));
    assert!(daemon.ok(&["stop"]).starts_with("terminated"));
    daemon.reap();
    assert!(daemon.ok(&["stop"]).starts_with("not running"));
}

#[test]
fn d9_the_configuration_is_shown_with_its_sources() {
    let daemon = Daemon::unstarted("host:\n  slots: 3\n");
    let shown = daemon.ok(&["config", "show"]);
    assert!(shown.lines().any(|line| line.contains("slots: 3") && line.contains("config.yml:2")), "{shown}");
    let document: serde_json::Value = serde_json::from_str(&daemon.ok(&["config", "show", "--json"])).unwrap();
    assert_eq!(document["host"]["slots"]["value"], 3);
    assert!(daemon.ok(&["config", "check"]).contains("config.yml"));
}

#[test]
fn t10_whoever_waits_for_one_task_hears_why_its_status_is_not_its_own() {
    let daemon = Daemon::new();
    let said = |arguments: &[&str]| {
        let output = daemon.run(&[&["submit", "--wait"], arguments].concat());
        (code(&output), words(&output.stderr).trim_end().to_owned())
    };
    let (status, missing) = said(&["--", "./nosuch"]);
    assert!(status == Some(127) && missing.starts_with("taskdaemon: task 1 could not be started: "), "{missing}");
    let late = "taskdaemon: task 2 took longer than its timeout".to_owned();
    assert_eq!(said(&["--timeout", "50ms", "--", "sleep", "1000"]), (Some(124), late));
    let killed = "taskdaemon: task 3 was ended by SIGKILL".to_owned();
    assert_eq!(said(&["--shell", "kill -9 $$"]), (Some(137), killed));
    let own = "taskdaemon: task 4 itself returned exit status 127".to_owned();
    assert_eq!(said(&["--shell", "exit 127"]), (Some(127), own));
    assert_eq!(said(&["--shell", "exit 5"]), (Some(5), String::new()), "a plain status needs no words");
    let tried = "taskdaemon: task 6 itself returned exit status 5, the last of 2 failures".to_owned();
    assert_eq!(said(&["--retries", "1", "--retry-delay", "1ms", "--shell", "exit 5"]), (Some(5), tried));
    let again = daemon.run(&["wait", "3"]);
    assert_eq!((code(&again), words(&again.stdout).as_str()), (Some(137), ""));
    assert!(words(&again.stderr).contains("SIGKILL"), "{}", words(&again.stderr));
}

#[test]
fn t2_a_variable_that_is_not_set_is_told_when_it_is_to_be_passed_on() {
    let daemon = Daemon::new();
    let output = daemon.run(&["submit", "--hold", "--env", "NOBODY_SET_THIS", "--", "true"]);
    assert_eq!((code(&output), words(&output.stdout).as_str()), (Some(0), "1\n"));
    assert!(words(&output.stderr).contains("NOBODY_SET_THIS is not set"), "{}", words(&output.stderr));
}
