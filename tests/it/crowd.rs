//! Promise C1 under load: a slow or silent client costs nobody else anything.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::support::Daemon;

/// Sends what `next` gives until told to stop or refused; returns what the daemon answered.
fn pest(daemon: &Daemon, stop: &AtomicBool, head: &str, pause: Duration, chunk: &[u8]) -> String {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let (mut answer, mut written) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        // A busy daemon takes a part of it; the rest follows, or what comes next would not be understood.
        let sent = stream.write(&chunk[written..]);
        written = (written + sent.as_ref().map_or(0, |more| *more)) % chunk.len();
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(_) => {}
        }
        if sent.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
            break;
        }
        std::thread::sleep(pause);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn resident_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn c1_two_hundred_clients_are_served_beside_a_slow_and_an_endless_one() {
    let daemon = Daemon::with("host:\n  slots: 4\nintake:\n  max_body: 4M\n");
    let stop = AtomicBool::new(false);
    let post = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| pest(&daemon, &stop, "GET /v1/sta", Duration::from_secs(1), b"t"));
        let endless = format!("{post}transfer-encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        let (daemon_ref, stop_ref) = (&daemon, &stop);
        let endless = scope.spawn(move || pest(daemon_ref, stop_ref, &endless, Duration::ZERO, &chunk));
        let clients: Vec<_> = (0..200)
            .map(|_| {
                scope.spawn(|| {
                    let body = r#"{"tasks":[{"command":["/bin/echo","hi"],"directory":"/"}]}"#;
                    let (code, accepted) = daemon.http("POST", "/v1/tasks", body);
                    assert_eq!(code, 201, "{accepted}");
                    let id = accepted["ids"][0].to_string();
                    assert_eq!(daemon.http("GET", "/v1/tasks?limit=20", "").0, 200);
                    follow(&daemon, &id);
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        let told = endless.join().unwrap();
        assert!(told.starts_with("HTTP/1.1 413"), "the endless body was refused in words: {told:?}");
        stop.store(true, Ordering::Relaxed);
        slow.join().unwrap();
    });
    assert!(resident_kib(daemon.pid()) < 100 * 1024, "no growth without bound");
}

/// Follows a task's output to its end.
fn follow(daemon: &Daemon, id: &str) {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /v1/tasks/{id}/output?follow=true HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("hi\n"), "{answer}");
}

#[test]
fn c1_a_client_that_never_finishes_its_request_loses_its_connection_alone() {
    let daemon = Daemon::with("api:\n  header_timeout: 300ms\n");
    let mut silent = UnixStream::connect(daemon.socket()).unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let start = Instant::now();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(daemon.http("GET", "/v1/status", "").0, 200);
}

#[test]
fn c1_bad_requests_get_a_reason_never_a_dropped_connection() {
    let daemon = Daemon::new();
    for (method, path, body, code) in [
        ("POST", "/v1/tasks", "{", 400),
        ("POST", "/v1/tasks", r#"{"tasks":[{"command":["true"],"directory":"/","colour":"red"}]}"#, 422),
        ("POST", "/v1/tasks", r#"{"tasks":[{"command":[],"directory":"/"}]}"#, 422),
        ("POST", "/v1/tasks", r#"{"tasks":[{"command":["true"],"directory":"relative"}]}"#, 422),
        ("GET", "/v1/tasks/999999", "", 404),
        ("GET", "/v1/tasks/abc", "", 400),
        ("GET", "/v1/tasks?state=nonsense", "", 400),
        ("GET", "/nowhere", "", 404),
        ("PATCH", "/v1/tasks", "", 405),
    ] {
        let (given, problem) = daemon.http(method, path, body);
        assert_eq!(given, code, "{method} {path} {body}: {problem}");
        assert_eq!(problem["status"], code, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    }
}

#[test]
fn c1_the_daemon_serves_its_own_description() {
    let daemon = Daemon::new();
    let document = daemon.get("/v1/openapi.json");
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["paths"]["/v1/tasks"]["post"].is_object());
}
