//! Promise S1: what the service manager hears.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Ear, listened_to, told, variables};
use crate::support::{Daemon, eventually};

#[test]
fn s1_it_hears_of_the_start_the_counts_a_reload_and_the_end() {
    let (mut daemon, ear) = listened_to("");
    daemon.spawn_by(told(&daemon));
    ear.wait("EXTEND_TIMEOUT_USEC=");
    assert_eq!(ear.wait("READY=1"), "READY=1\n", "it did not fork, and is the process that was started");
    assert_eq!(daemon.http("GET", "/v1/status", "").0, 200, "ready is ready");
    ear.wait("STATUS=0 running, 0 queued, 0 failed");
    let id = daemon.submit(&["--", "sleep", "1000"]);
    ear.wait("STATUS=1 running, 0 queued, 0 failed");
    daemon.ok(&["reload"]);
    let words = ear.wait("RELOADING=1");
    let moment: u64 = words.trim_end().rsplit_once("MONOTONIC_USEC=").unwrap().1.parse().unwrap();
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    let age = Duration::from(now).checked_sub(Duration::from_micros(moment)).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    ear.wait("READY=1");
    daemon.ok(&["cancel", &id]);
    assert!(daemon.stop().success());
    assert_eq!(ear.wait("STOPPING=1"), "STOPPING=1\nSTATUS=draining\n");
    ear.wait("EXTEND_TIMEOUT_USEC=");
}

#[test]
fn s1_the_counts_are_told_when_they_change_and_not_at_every_change() {
    let (mut daemon, ear) = listened_to("host:\n  slots: 2\n");
    daemon.spawn_by(told(&daemon));
    ear.wait("STATUS=0 running");
    for _ in 0..3 {
        let ids = daemon.batch(&"{\"command\": [\"false\"]}\n".repeat(50));
        daemon.run(&["wait", &ids[49].to_string()]);
    }
    let mut told = 0;
    while !ear.wait("STATUS=").contains("0 running, 0 queued, 150 failed") {
        told += 1;
    }
    assert!(told < 50, "{told} times for 150 tasks");
    assert_eq!(ear.within(Duration::from_secs(3)), None, "nothing changes, nothing is told");
}

#[test]
fn s1_an_abstract_socket_is_told_too() {
    let mut daemon = Daemon::unstarted("");
    let name = format!("taskdaemon-it-{}", daemon.path("").display());
    let ear = Ear(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap());
    let mut command = daemon.command(&["start", "--foreground"]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    daemon.spawn_by(command);
    ear.wait("READY=1");
}

#[test]
fn s1_a_failure_is_told_with_its_reason_and_its_number() {
    let (daemon, ear) = listened_to("");
    fs::create_dir(daemon.state()).unwrap();
    fs::create_dir(daemon.path("state/queue.db")).unwrap();
    let status = told(&daemon).stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(!status.success());
    let words = ear.wait("STATUS=");
    let words = if words.contains("starting") { ear.wait("STATUS=") } else { words };
    // Without a number start-stop-daemon would wait on.
    assert!(words.contains("queue.db") && words.contains("ERRNO="), "{words}");
    let mut command = told(&daemon);
    command.env("TASKDAEMON_STATE_DIRECTORY", "/dev/null/state");
    command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let words = ear.wait("ERRNO=17");
    assert!(words.contains("STATUS=") && words.contains("/dev/null"), "{words}");
}

#[test]
fn s1_neither_the_runner_nor_a_task_can_speak_for_the_daemon() {
    let (mut daemon, ear) = listened_to("");
    let mut command = told(&daemon);
    command.env("WATCHDOG_USEC", "60000000");
    daemon.spawn_by(command);
    ear.wait("READY=1");
    let of_service = |names: Vec<String>| {
        let own = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
        names.into_iter().filter(|name| own.contains(&name.as_str())).collect::<Vec<_>>()
    };
    assert!(!of_service(variables(daemon.pid())).is_empty(), "the daemon keeps its own");
    assert_eq!(of_service(variables(daemon.runner_pid())), [""; 0]);
    let names = daemon.ok(&["submit", "--follow", "--", "env"]);
    assert!(!names.contains("NOTIFY_SOCKET") && !names.contains("WATCHDOG"), "{names}");
}

#[test]
fn s1_start_stop_daemon_waits_for_the_word() {
    let daemon = Daemon::unstarted("");
    let mut command = Command::new("start-stop-daemon");
    command.args(["--start", "--background", "--notify-await", "--notify-timeout", "60", "--pidfile"]);
    command.arg(daemon.path("run/daemon.pid")).arg("--exec");
    command.args([env!("CARGO_BIN_EXE_taskdaemon"), "--", "start", "--foreground"]);
    daemon.point(&mut command);
    let output = command.stdin(Stdio::null()).output().expect("start-stop-daemon runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(daemon.http("GET", "/v1/status", "").0, 200, "it returned once the daemon was ready");
    daemon.ok(&["submit", "--wait", "--", "true"]);
    daemon.ok(&["stop"]);
    eventually("it has ended", || (daemon.run(&["status"]).status.code() == Some(3)).then_some(()));
}

#[test]
fn s1_start_stop_daemon_is_told_of_a_failure_at_once() {
    let daemon = Daemon::unstarted("host:\n  slotz: 1\n");
    let mut command = Command::new("start-stop-daemon");
    command.args(["--start", "--background", "--no-close", "--notify-await", "--notify-timeout", "3600", "--pidfile"]);
    command.arg(daemon.path("run/daemon.pid")).arg("--exec");
    command.args([env!("CARGO_BIN_EXE_taskdaemon"), "--", "start"]);
    daemon.point(&mut command);
    let output = command.stdin(Stdio::null()).output().expect("start-stop-daemon runs");
    assert!(!output.status.success(), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("slotz") && words.contains("failed to initialize"), "{words}");
}
