//! Promise D10 under load: upgrade after upgrade while clients submit, wait and follow, and tasks run.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use taskdaemon::client::{Client, Patience};
use taskdaemon::wire::api::SubmitRequest;

use super::support::{Daemon, eventually, full, lines_by_task, within};
use super::upgrade::{replace, with_copy};

/// What every task does: it leaves its number, and ends with a status that tells it.
const SCRIPT: &str = "echo $TASKDAEMON_TASK_ID >>\"$0\"; exit $((TASKDAEMON_TASK_ID % 7))";

fn request(ledger: &Path) -> Value {
    json!({ "tasks": [{ "command": ["/bin/sh", "-c", SCRIPT, ledger], "directory": "/" }] })
}

/// Each submits until told to stop, in its own way; none may ever fail. Returns what was accepted.
struct Clients<'a> {
    daemon: &'a Daemon,
    ledger: &'a Path,
    stop: &'a AtomicBool,
    accepted: &'a AtomicUsize,
}

impl Clients<'_> {
    fn until_stopped(&self, mut submit: impl FnMut() -> i64) -> Vec<i64> {
        let mut ids = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            ids.push(submit());
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
        ids
    }

    /// One connection after the other, without a word of ours: what any program can do.
    fn plain(&self) -> Vec<i64> {
        let body = request(self.ledger).to_string();
        self.until_stopped(|| {
            let (code, accepted) = self.daemon.http("POST", "/v1/tasks", &body);
            assert_eq!(code, 201, "{accepted}");
            accepted["ids"][0].as_i64().unwrap()
        })
    }

    /// One connection that is kept, and sometimes is idle when the daemon becomes another.
    fn keeping(&self) -> Vec<i64> {
        let request: SubmitRequest = serde_json::from_value(request(self.ledger)).unwrap();
        let mut client = Client::connect(&self.daemon.socket()).unwrap();
        self.until_stopped(|| {
            thread::sleep(Duration::from_millis(fastrand::u64(0..5)));
            client.submit(&request).unwrap().ids[0].0
        })
    }

    /// The command line, which waits for the end and exits as the task did.
    fn waiting(&self) -> Vec<i64> {
        let ledger = self.ledger.to_str().unwrap();
        let arguments = ["submit", "--wait", "--json", "--", "/bin/sh", "-c", SCRIPT, ledger];
        self.until_stopped(|| {
            let output = self.daemon.run(&arguments);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let first: Value = serde_json::from_str(said.lines().next().unwrap_or_default())
                .unwrap_or_else(|error| panic!("{error}: {said} {errors}"));
            let id = first["ids"][0].as_i64().unwrap();
            assert_eq!(output.status.code(), i32::try_from(id % 7).ok(), "{id}: {said} {errors}");
            id
        })
    }
}

/// How many descriptors a process has open.
fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The children of a process that have ended and were not collected.
fn zombies(parent: i32) -> Vec<String> {
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let dead = format!("Z {parent} ");
    stats.filter(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(&dead))).collect()
}

fn upgrade(daemon: &Daemon, program: &Path) {
    replace(program, program);
    let said = daemon.ok(&["upgrade"]);
    assert!(said.contains(", and the runner "), "{said}");
}

#[test]
fn d10_upgrades_under_load_cost_nobody_anything() {
    let upgrades = if full() { 200 } else { 5 };
    let (daemon, program) = with_copy("host:\n  slots: 4\n");
    let (ledger, go_on) = (daemon.path("ledger"), daemon.path("go-on"));
    let script = format!("until test -e {}; do sleep 0.05; done; exit 9", go_on.display());
    let long: Vec<String> = (0..2).map(|_| daemon.submit(&["--", "/bin/sh", "-c", &script])).collect();
    long.iter().for_each(|id| daemon.wait_state(id, "running"));
    let (pid, runner) = (daemon.pid(), daemon.runner_pid());
    upgrade(&daemon, &program);
    let before = [descriptors(pid), descriptors(runner)];
    let mut events = Client::connect(&daemon.socket()).unwrap().events(Some(0), None, Patience::Endless).unwrap();
    let newest = daemon.get("/v1/status")["last_event"].as_i64().unwrap();
    let (stop, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clients = Clients { daemon: &daemon, ledger: &ledger, stop: &stop, accepted: &accepted };
    let (ids, seen) = thread::scope(|scope| {
        let submitting = [
            scope.spawn(|| clients.plain()),
            scope.spawn(|| clients.plain()),
            scope.spawn(|| clients.keeping()),
            scope.spawn(|| clients.waiting()),
        ];
        let following = scope.spawn(|| {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) || *seen.last().unwrap_or(&0) < newest {
                seen.push(events.next().unwrap().unwrap().seq);
            }
            seen
        });
        for _ in 0..upgrades {
            let so_far = accepted.load(Ordering::Relaxed);
            upgrade(&daemon, &program);
            eventually("more is accepted", || (accepted.load(Ordering::Relaxed) > so_far + 4).then_some(()));
        }
        stop.store(true, Ordering::Relaxed);
        let ids: Vec<i64> = submitting.into_iter().flat_map(|client| client.join().unwrap()).collect();
        // One more event, for the follower to see that it is to stop.
        daemon.submit(&["--hold", "--", "true"]);
        (ids, following.join().unwrap())
    });
    assert_eq!((daemon.pid(), daemon.runner_pid()), (pid, runner), "the same processes");
    fs::write(&go_on, "").unwrap();
    long.iter().for_each(|id| daemon.wait_state(id, "failed"));
    within(Duration::from_secs(300), "every task ends", || {
        let counts = daemon.get("/v1/status")["counts"].clone();
        let of = |state: &str| counts[state].as_u64().unwrap_or(0);
        (of("succeeded") + of("failed") == (ids.len() + long.len()) as u64).then_some(())
    });
    check_tasks(&daemon, &ids, &ledger);
    for id in &long {
        let task = daemon.task(id);
        let (last, earlier) = task["history"].as_array().unwrap().split_last().unwrap();
        assert_eq!((earlier.len(), &last["outcome"]["code"]), (0, &json!(9)), "{task}");
    }
    assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no event was missed, none told twice");
    drop(events);
    eventually("no descriptor is left", || ([descriptors(pid), descriptors(runner)] <= before).then_some(()));
    eventually("no zombie is left", || (zombies(pid).is_empty() && zombies(runner).is_empty()).then_some(()));
}

/// Each was accepted once, ran once, and its exit status is known.
fn check_tasks(daemon: &Daemon, ids: &[i64], ledger: &Path) {
    let lines = lines_by_task(ledger);
    assert_eq!(lines.len(), ids.len(), "what was accepted ran, and nothing else");
    for id in ids {
        assert_eq!(lines.get(id), Some(&1), "task {id} ran once");
        let task = daemon.task(&id.to_string());
        let history = task["history"].as_array().unwrap();
        assert_eq!((history.len(), &history[0]["outcome"]["code"]), (1, &json!(id % 7)), "{task}");
    }
}

#[test]
fn d10_output_that_is_written_during_upgrades_is_whole() {
    let (daemon, program) = with_copy("");
    let (stop, count) = (daemon.path("stop"), if full() { 20 } else { 3 });
    let script = format!("i=0; until test -e {}; do i=$((i+1)); echo line $i; done; echo end $i", stop.display());
    let id = daemon.submit(&["--output-cap", "1G", "--", "/bin/sh", "-c", &script]);
    daemon.wait_state(&id, "running");
    let follower = daemon.command(&["logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let followed = thread::spawn(move || follower.wait_with_output().unwrap());
    for _ in 0..count {
        upgrade(&daemon, &program);
    }
    fs::write(&stop, "").unwrap();
    daemon.wait_state(&id, "succeeded");
    let followed = followed.join().unwrap();
    assert!(followed.status.success());
    let text = String::from_utf8(followed.stdout).unwrap();
    let last = text.lines().last().unwrap().strip_prefix("end ").unwrap().parse::<usize>().unwrap();
    let expected = (1..=last).map(|line| format!("line {line}")).chain([format!("end {last}")]);
    assert!(text.lines().eq(expected), "each line once and in order, of {last}");
    assert_eq!(daemon.ok(&["logs", &id]), text.trim_end_matches('\n'), "and so it is kept");
}
