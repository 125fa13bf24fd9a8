//! Promise C3: how the daemon is, for people, for monitoring, and for whoever is on the host.
#![allow(clippy::print_stderr, reason = "it tells what was left out")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::openmetrics::Figures;
use super::support::{DEADLINE, Daemon, eventually};

/// A port that nobody listens on just now.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A daemon with a loopback port.
fn on_a_port(configuration: &str) -> (Daemon, SocketAddr) {
    let port = free_port();
    (Daemon::with(&format!("host:\n  slots: 2\nhealth:\n  listen: {port}\n{configuration}")), port)
}

/// What is answered to these bytes, to the end.
fn say(port: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    // One that is cut off has said what it had to say.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Status, head and body of a request to the port.
fn ask(port: SocketAddr, method: &str, path: &str, header: &str) -> (u16, String, String) {
    let answer = say(port, &format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

fn check<'a>(health: &'a Value, name: &str) -> &'a Value {
    let found = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name}: {health}"))
}

fn healthy(daemon: &Daemon) {
    eventually("it is healthy", || (daemon.get("/health")["health"] == "healthy").then_some(()));
}

#[test]
fn c3_every_check_is_told_with_its_sentence_and_the_client_exits_by_it() {
    let daemon = Daemon::new();
    healthy(&daemon);
    let health = daemon.get("/health");
    for name in ["engine", "store", "disk", "runner", "queues", "breakers"] {
        let check = check(&health, name);
        assert!(check["health"] == "healthy" && check["says"].as_str().unwrap().len() > 5, "{check}");
    }
    let said = daemon.ok(&["health"]);
    assert!(said.starts_with("Health:         healthy\nengine:         healthy: it answered"), "{said}");

    daemon.ok(&["queue", "set", "fragile", "--breaker-failures", "1"]);
    daemon.run(&["submit", "--wait", "--queue", "fragile", "--", "false"]);
    let output = daemon.run(&["health"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("breakers:       degraded: queue fragile paused itself"), "{said}");
    assert!(said.contains("to do:        see why with 'taskdaemon list"), "{said}");
    let (code, health) = daemon.http("GET", "/health", "");
    assert_eq!((code, health["health"].as_str()), (200, Some("degraded")));
    assert_eq!(daemon.get("/v1/status")["health"], "degraded", "the status says the same");
    daemon.ok(&["queue", "resume", "fragile"]);
    assert_eq!(daemon.run(&["health", "--json"]).status.code(), Some(0));
}

#[test]
fn c3_a_daemon_that_accepts_nothing_is_unhealthy_and_not_ready_but_alive() {
    let (daemon, port) = on_a_port("");
    healthy(&daemon);
    assert_eq!(daemon.http("GET", "/ready", ""), (200, serde_json::json!({ "ready": true })));
    daemon.configure(&format!("health:\n  listen: {port}\nintake:\n  min_free: 8000000T\n"));
    daemon.ok(&["reload"]);
    let (code, health) = daemon.http("GET", "/health", "");
    assert_eq!((code, health["health"].as_str()), (503, Some("unhealthy")));
    assert_eq!(check(&health, "disk")["health"], "unhealthy");
    assert_eq!(ask(port, "GET", "/health", "").0, 503);
    let (code, ready) = daemon.http("GET", "/ready", "");
    assert_eq!((code, ready["ready"].as_bool()), (503, Some(false)));
    assert!(ready["reason"].as_str().unwrap().contains("is free where the queue is kept"), "{ready}");
    assert_eq!(daemon.http("GET", "/live", ""), (200, serde_json::json!({ "live": true })));
    let output = daemon.run(&["health"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stdout).contains("free some where the queue is kept"));
}

#[test]
fn c3_thresholds_change_with_a_reload() {
    let daemon = Daemon::new();
    healthy(&daemon);
    for (threshold, name, words) in
        [("min_free: 8000000T", "disk", "should be"), ("min_free_inodes: 4294967295", "disk", "more files can be made")]
    {
        daemon.configure(&format!("health:\n  {threshold}\n"));
        daemon.ok(&["reload"]);
        let health = daemon.get("/health");
        let check = check(&health, name);
        assert!(
            check["health"] == "degraded" && check["says"].as_str().unwrap().contains(words),
            "{threshold}: {check}"
        );
    }
    daemon.configure("host:\n  slots: 1\nhealth:\n  max_wait: 1s\n");
    daemon.ok(&["reload"]);
    daemon.submit(&["--", "sleep", "1000"]);
    let waits = daemon.submit(&["--", "true"]);
    let says = eventually("a task waits for too long", || {
        let health = daemon.get("/health");
        let check = check(&health, "queues");
        (check["health"] == "degraded").then(|| check["says"].as_str().unwrap().to_owned())
    });
    assert!(says.starts_with(&format!("task {waits} has waited in queue default")), "{says}");
}

#[test]
fn c3_a_runner_that_stays_away_is_degraded_and_then_unhealthy() {
    // In user mode, where it need not be another user's.
    let mut daemon = Daemon::unstarted("health:\n  runner_away: 1s\nrunner:\n  start: service\n");
    let command = daemon.command(&["start", "--user", "--foreground"]);
    daemon.spawn_by(command);
    daemon.wait_ready();
    let (_, health) = daemon.http("GET", "/health", "");
    assert_ne!(check(&health, "runner")["health"], "healthy", "{health}");
    eventually("it is unhealthy", || {
        let (code, health) = daemon.http("GET", "/health", "");
        (code == 503 && check(&health, "runner")["health"] == "unhealthy").then_some(())
    });
    assert_eq!(daemon.http("GET", "/ready", "").0, 200, "tasks are accepted all the same");
}

#[test]
fn c3_the_loopback_port_answers_four_paths_and_nothing_else() {
    let (daemon, port) = on_a_port("");
    healthy(&daemon);
    for path in ["/health", "/ready", "/live", "/metrics"] {
        assert_eq!(ask(port, "GET", path, "").0, 200, "{path}");
        assert_eq!(ask(port, "POST", path, "content-length: 0\r\n").0, 405, "{path}");
    }
    let index = daemon.get("/");
    for path in index["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/v1") || *path == "/") {
        let path = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let (code, _, body) = ask(port, method, &path, "content-length: 0\r\n");
            assert_eq!(code, 404, "{method} {path}: {body}");
        }
    }
    assert_eq!(daemon.get("/v1/tasks")["tasks"].as_array().unwrap().len(), 0);
}

#[test]
fn c3_slow_and_odd_clients_of_the_port_harm_nobody() {
    let (daemon, port) = on_a_port("");
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(port).unwrap()).collect();
    assert_eq!(daemon.submit(&["--wait", "--", "true"]), "1", "the control socket serves meanwhile");
    assert_eq!(ask(port, "GET", "/live", "").0, 200, "and so does the port, once the idle ones have had their time");
    drop(idle);
    let endless = format!("GET /live HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    assert!(!say(port, &endless).starts_with("HTTP/1.1 200"));
    assert!(!say(port, "\0\0\0\0\r\n\r\n").starts_with("HTTP/1.1 200"));
    assert_eq!(ask(port, "GET", "/live", "").0, 200);
}

#[test]
fn c3_only_a_loopback_address_is_taken() {
    for bad in ["0.0.0.0:9779", "192.168.1.1:9779", "\"[::]:9779\"", "127.0.0.1", "127.0.0.1:0", "9779", "localhost:1"]
    {
        let daemon = Daemon::unstarted(&format!("health:\n  listen: {bad}\n"));
        let output = daemon.run(&["config", "check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{bad}: {said}");
        assert!(said.contains("config.yml:2:11: health.listen: needs a loopback address"), "{bad}: {said}");
    }
    let daemon = Daemon::unstarted("health:\n  listen: \"[::1]:9779\"\n");
    assert!(daemon.ok(&["config", "show"]).contains("[::1]:9779"));
}

#[test]
fn d12_a_port_that_is_taken_is_told_with_whoever_has_it_and_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let daemon = Daemon::unstarted(&format!("health:\n  listen: {port}\n"));
    let output = daemon.run(&["start", "--foreground"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let holder = format!("listen on {port}: process {} (", std::process::id());
    assert!(said.contains(&holder) && said.contains("choose another port"), "{said}");
    assert!(!daemon.socket().exists(), "no client was let in");
}

#[test]
fn c3_the_figures_are_open_metrics_to_the_letter_and_count_what_happened() {
    let (daemon, port) = on_a_port("queues:\n  mail:\n    slots: 1\n");
    daemon.submit(&["--wait", "--", "sh", "-c", "printf 12345"]);
    daemon.run(&["submit", "--wait", "--queue", "mail", "--", "false"]);
    daemon.submit(&["--hold", "--queue", "mail", "--", "true"]);
    let (code, head, text) = ask(port, "GET", "/metrics", "");
    assert_eq!(code, 200);
    assert!(head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    let figures = Figures::read(&text);
    let value = |sample: &str, labels: &[(&str, &str)]| figures.value(sample, labels);
    for (sample, labels, wanted) in [
        ("taskdaemon_tasks", &[("state", "succeeded")][..], 1.0),
        ("taskdaemon_tasks", &[("state", "held")], 1.0),
        ("taskdaemon_queue_depth", &[("queue", "mail")], 1.0),
        ("taskdaemon_queue_depth", &[("queue", "default")], 0.0),
        ("taskdaemon_tasks_submitted_total", &[("queue", "mail")], 2.0),
        ("taskdaemon_tasks_started_total", &[("queue", "mail")], 1.0),
        ("taskdaemon_tasks_ended_total", &[("queue", "mail"), ("state", "failed")], 1.0),
        ("taskdaemon_task_duration_seconds_count", &[("queue", "default")], 1.0),
        ("taskdaemon_output_bytes_total", &[("queue", "default")], 5.0),
        ("taskdaemon_queue_breaker", &[("queue", "mail"), ("state", "closed")], 1.0),
        ("taskdaemon_health_level", &[("part", "store")], 0.0),
        ("taskdaemon_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        ("taskdaemon_runner_up", &[], 1.0),
        ("taskdaemon_slots", &[], 2.0),
    ] {
        assert!((value(sample, labels) - wanted).abs() < f64::EPSILON, "{sample} {labels:?}\n{text}");
    }
    assert!(value("taskdaemon_commits_total", &[]) >= 3.0);
    let resident = value("process_resident_memory_bytes", &[]);
    assert!(resident > 1e6 && resident < value("process_virtual_memory_bytes", &[]));
    assert!(value("process_start_time_seconds", &[]) > 1.6e9 && value("process_open_fds", &[]) > 5.0);

    let (_, head, plain) = ask(port, "GET", "/metrics", "accept: text/plain;version=0.0.4\r\n");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(plain.contains("\n# TYPE taskdaemon_commits_total counter\n") && !plain.contains("# EOF"), "{plain}");
    promtool(&plain);
}

/// Has Prometheus' own tool look at it, where that is there: it is too large to be installed for this alone.
fn promtool(text: &str) {
    let mut command = Command::new("promtool");
    let piped = command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = piped.spawn() else {
        eprintln!("left out: promtool is not there; the rules that it holds to are in openmetrics.rs");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn c3_many_who_ask_at_once_cost_no_threads() {
    let (daemon, port) = on_a_port("");
    let threads = || std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count();
    let before = threads();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert!([200, 503].contains(&ask(port, "GET", "/health", "").0)));
        }
    });
    eventually("the threads of the checks are gone", || {
        std::thread::sleep(Duration::from_millis(50));
        // A helper of the API stays for a few seconds.
        (threads() <= before + 1).then_some(())
    });
}
