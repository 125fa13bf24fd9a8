//! Promise T6 under load: kill -9 after kill -9 of the daemon while clients submit and tasks run.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use taskdaemon::client::Client;
use taskdaemon::wire::api::SubmitRequest;

use super::support::{Daemon, full, within};

/// Submits until told to stop, and again where the daemon is away. Returns what was accepted; what broke off may have
/// been taken in as well, or not.
fn submit(socket: &std::path::Path, request: &SubmitRequest, stop: &AtomicBool, accepted: &AtomicUsize) -> Vec<i64> {
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match Client::connect(socket).and_then(|mut client| client.submit(request)) {
            Ok(done) => {
                ids.push(done.ids[0].0);
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.is_absence() => thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
    ids
}

#[test]
fn t6_kills_of_the_daemon_under_load_lose_nothing_and_double_nothing() {
    let kills = if full() { 1_000 } else { 15 };
    let mut daemon = Daemon::with("host:\n  slots: 4\n");
    let (ledger, socket) = (daemon.path("ledger"), daemon.socket());
    let script = "echo $TASKDAEMON_TASK_ID >>\"$0\"; exit $((TASKDAEMON_TASK_ID % 7))";
    let request = json!({ "tasks": [{ "command": ["/bin/sh", "-c", script, ledger], "directory": "/" }] });
    let request: SubmitRequest = serde_json::from_value(request).unwrap();
    let (stop, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ids: Vec<i64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(|| submit(&socket, &request, &stop, &accepted))).collect();
        for _ in 0..kills {
            let so_far = accepted.load(Ordering::Relaxed) + fastrand::usize(1..20);
            within(Duration::from_secs(60), "more is accepted", || {
                (accepted.load(Ordering::Relaxed) >= so_far).then_some(())
            });
            daemon.kill();
            daemon.start();
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    within(Duration::from_secs(300), "every task ends", || {
        let counts = daemon.get("/v1/status")["counts"].clone();
        let open = ["queued", "running", "scheduled", "waiting"].map(|state| counts[state].as_u64().unwrap_or(0));
        (open.iter().sum::<u64>() == 0).then_some(())
    });
    let mut lines = BTreeMap::new();
    for line in fs::read_to_string(&ledger).unwrap().lines() {
        *lines.entry(line.parse::<i64>().unwrap()).or_insert(0) += 1;
    }
    assert!(lines.values().all(|count| *count == 1), "none ran twice");
    for id in &ids {
        assert!(lines.contains_key(id), "task {id} was accepted, and ran");
    }
    for id in lines.keys() {
        let task = daemon.task(&id.to_string());
        let history = task["history"].as_array().unwrap();
        assert_eq!((history.len(), &history[0]["outcome"]["code"]), (1, &json!(id % 7)), "{task}");
    }
}
