//! Promises S3, T9: sockets that somebody else opened, and what becomes of a connection while nobody is there.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use super::{passing, variables};
use crate::support::{Daemon, eventually};

/// The usual variables.
const OURS: &str = "LISTEN_PID=$$ LISTEN_FDS=1";

/// A daemon that was not started, and a listener where its clients look.
fn listening() -> (Daemon, UnixListener) {
    let daemon = Daemon::unstarted("");
    fs::create_dir(daemon.path("run")).unwrap();
    fs::set_permissions(daemon.path("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let listener = UnixListener::bind(daemon.socket()).unwrap();
    (daemon, listener)
}

/// Starts the daemon with this descriptor; it must refuse to run, in these words.
fn refused(passed: impl Into<OwnedFd>, variables: &str, words: &str) {
    let daemon = Daemon::unstarted("");
    let mut command = passing(&daemon, passed.into(), variables);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(words), "{variables}: {said}");
    assert!(!daemon.socket().exists());
}

#[test]
fn s3_a_connection_made_before_the_daemon_starts_is_answered_and_the_socket_stays() {
    for variables in [OURS, "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=control"] {
        let (mut daemon, listener) = listening();
        let early = daemon.command(&["submit", "--wait", "--", "true"]).stdin(Stdio::null()).spawn().unwrap();
        daemon.spawn_with(passing(&daemon, listener.try_clone().unwrap().into(), variables));
        assert!(early.wait_with_output().unwrap().status.success());
        daemon.wait_ready();
        assert!(daemon.stop().success());
        assert!(daemon.socket().exists(), "it is somebody else's");
        let late = daemon.command(&["submit", "--wait", "--", "true"]).stdin(Stdio::null()).spawn().unwrap();
        daemon.spawn_with(passing(&daemon, listener.into(), variables));
        assert!(late.wait_with_output().unwrap().status.success(), "made while it was down");
        assert!(daemon.stop().success());
    }
}

#[test]
fn s3_clients_of_a_daemon_that_restarts_are_all_answered() {
    let (mut daemon, listener) = listening();
    let start = |daemon: &mut Daemon| {
        let command = passing(daemon, listener.try_clone().unwrap().into(), OURS);
        daemon.spawn_with(command);
    };
    start(&mut daemon);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let mut client = daemon.command(&["submit", "--", "true"]);
                client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        daemon.signal(15);
        daemon.reap();
        start(&mut daemon);
        for client in clients {
            let output = client.wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            // Refused in words while it drains, or accepted; but never without an answer.
            assert!(output.status.success() || words.contains("stopping"), "{words}");
            ids.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
        }
    }
    for id in ids {
        daemon.wait_state(&id, "succeeded");
    }
}

#[test]
fn s3_what_is_meant_for_another_process_is_left_alone() {
    let (mut daemon, listener) = listening();
    fs::remove_file(daemon.socket()).unwrap();
    daemon.spawn_with(passing(&daemon, listener.into(), "LISTEN_PID=1 LISTEN_FDS=1"));
    daemon.wait_ready();
    assert!(daemon.stop().success());
    assert!(!daemon.socket().exists(), "it was the daemon's own");
}

#[test]
fn s3_what_is_no_listening_socket_is_refused_in_words() {
    refused(File::open("/dev/null").unwrap(), OURS, "not a socket that listens");
    refused(UnixStream::pair().unwrap().0, OURS, "not a socket that listens");
    refused(UnixDatagram::unbound().unwrap(), OURS, "not a socket that listens");
    let named = |name| format!("{OURS} LISTEN_FDNAMES={name}");
    refused(TcpListener::bind("127.0.0.1:0").unwrap(), &named("control"), "ListenStream=/PATH");
    let unbound = || File::open("/dev/null").unwrap();
    refused(unbound(), "LISTEN_PID=$$ LISTEN_FDS=2", "look at the unit's");
    refused(unbound(), "LISTEN_PID=$$ LISTEN_FDS=many", "look at the unit's");
    refused(unbound(), "LISTEN_PID=$$ LISTEN_FDS=18446744073709551615", "at most");
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    refused(listener, &named("control:runner"), "LISTEN_FDNAMES names 2");
}

#[test]
fn s3_a_port_for_health_is_taken_over_unless_other_hosts_reach_it() {
    let named = format!("{OURS} LISTEN_FDNAMES=health");
    refused(TcpListener::bind("0.0.0.0:0").unwrap(), &named, "is no loopback address");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let mut daemon = Daemon::unstarted("");
    daemon.spawn_with(passing(&daemon, listener.into(), &named));
    let mut stream = TcpStream::connect(port).unwrap();
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"live\":true}"), "{answer}");
    daemon.wait_ready();
    assert!(daemon.stop().success());
}

#[test]
fn s3_the_descriptor_and_the_variables_go_no_further() {
    let (mut daemon, listener) = listening();
    daemon.spawn_with(passing(&daemon, listener.into(), OURS));
    daemon.wait_ready();
    let names = variables(daemon.runner_pid());
    assert!(!names.iter().any(|name| name.starts_with("LISTEN_")), "{names:?}");
    let socket = |pid: i32| fs::read_link(format!("/proc/{pid}/fd/3")).unwrap_or_default();
    assert_ne!(socket(daemon.runner_pid()), socket(daemon.pid()));
}

#[test]
fn t9_a_submission_while_the_daemon_is_down_starts_it() {
    let mut daemon = Daemon::unstarted("");
    fs::create_dir(daemon.path("run")).unwrap();
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(daemon.socket()).arg("--fdname=control");
    for name in ["CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"] {
        command.arg(format!("--setenv=TASKDAEMON_{name}"));
    }
    daemon.point(command.args([env!("CARGO_BIN_EXE_taskdaemon"), "start", "--foreground"]));
    fs::set_permissions(daemon.path("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    daemon.spawn_by(command);
    eventually("it listens", || daemon.socket().exists().then_some(()));
    assert!(!daemon.path("state").exists(), "nothing has started");
    daemon.ok(&["submit", "--wait", "--", "true"]);
    assert!(daemon.path("state").exists());
    assert!(daemon.stop().success());
}

#[test]
fn s3_the_runner_takes_its_socket_from_a_service_manager_too() {
    let mut daemon = Daemon::unstarted("runner:\n  start: service\n");
    fs::create_dir(daemon.path("run")).unwrap();
    fs::set_permissions(daemon.path("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut runner = Command::new("systemd-socket-activate");
    runner.args(["--seqpacket", "--fdname=runner", "--listen"]).arg(daemon.path("run/runner.sock"));
    daemon.point(runner.args([env!("CARGO_BIN_EXE_taskdaemon"), "runner"]));
    let mut runner = runner.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it listens", || daemon.path("run/runner.sock").exists().then_some(()));
    let command = daemon.command(&["start", "--user", "--foreground"]);
    daemon.spawn_by(command);
    daemon.wait_ready();
    assert_eq!(daemon.runner_pid().unsigned_abs(), runner.id());
    daemon.ok(&["submit", "--wait", "--", "true"]);
    assert!(daemon.stop().success());
    assert!(runner.wait().unwrap().success(), "it leaves with the daemon");
}
