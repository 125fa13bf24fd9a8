//! Promise S2: the watchdog is fed while everything moves, and no longer.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::freeze::Frozen;
use super::{Ear, listened_to, told};
use crate::support::{Daemon, eventually};

/// What the manager allows for.
const ALLOWED: Duration = Duration::from_millis(600);
const PING: &str = "WATCHDOG=1";

/// A daemon that is watched.
fn watched() -> (Daemon, Ear) {
    let (mut daemon, ear) = listened_to("");
    let mut command = told(&daemon);
    command.env("WATCHDOG_USEC", ALLOWED.as_micros().to_string());
    daemon.spawn_by(command);
    ear.wait("READY=1");
    ear.wait(PING);
    (daemon, ear)
}

/// Nothing of the watchdog is heard for a time in which a service manager would have acted, and the log names `organ`.
fn falls_silent(daemon: &Daemon, ear: &Ear, organ: &str) {
    // One turn may have been over already.
    ear.count(PING, ALLOWED);
    assert_eq!(ear.count(PING, ALLOWED * 3), 0);
    let names = |line: &str| line.contains("no sign of life") && line.contains(organ);
    eventually("it is named", || daemon.log().lines().any(names).then_some(()));
}

#[test]
fn s2_it_is_fed_at_half_the_time_while_everything_moves() {
    let (_daemon, ear) = watched();
    let start = Instant::now();
    (0..6).for_each(|_| drop(ear.wait(PING)));
    let least = ALLOWED / 2 * 4;
    assert!(start.elapsed() >= least, "six within {:?}", start.elapsed());
}

#[test]
fn s2_an_engine_that_hangs_ends_the_pings_until_it_moves_again() {
    let (daemon, ear) = watched();
    let frozen = Frozen::thread(daemon.pid(), "engine");
    falls_silent(&daemon, &ear, "engine and store");
    drop(frozen);
    ear.wait(PING);
    eventually("the log says so", || daemon.log().contains("signs of life again").then_some(()));
}

#[test]
fn s2_an_api_that_hangs_ends_the_pings_until_it_moves_again() {
    let (daemon, ear) = watched();
    let frozen = Frozen::thread(daemon.pid(), "api");
    falls_silent(&daemon, &ear, "API");
    drop(frozen);
    ear.wait(PING);
}

#[test]
fn s2_a_main_loop_that_hangs_ends_the_pings() {
    let (daemon, ear) = watched();
    let main = std::fs::read_to_string(format!("/proc/{}/comm", daemon.pid())).unwrap();
    let frozen = Frozen::thread(daemon.pid(), main.trim_end());
    ear.count(PING, ALLOWED);
    assert_eq!(ear.count(PING, ALLOWED * 3), 0);
    drop(frozen);
    ear.wait(PING);
}

#[test]
fn s2_a_store_whose_disk_hangs_ends_the_pings_until_it_writes_again() {
    let (daemon, ear) = watched();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync"]);
    strace.args(["-e", "inject=fdatasync,fsync:delay_enter=60s", "-p", &daemon.pid().to_string()]);
    let mut disk = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace runs");
    let traced = format!("/proc/{}/task/{}/status", daemon.pid(), daemon.pid());
    eventually("strace has attached", || {
        std::fs::read_to_string(&traced).unwrap().contains(&format!("TracerPid:\t{}", disk.id())).then_some(())
    });
    let client = daemon.command(&["submit", "--", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut client = client.expect("the client runs");
    falls_silent(&daemon, &ear, "engine and store");
    assert!(client.try_wait().unwrap().is_none(), "nothing is accepted that is not on the disk");
    crate::support::kill(i32::try_from(disk.id()).unwrap(), 15);
    disk.wait().unwrap();
    ear.wait(PING);
    assert!(client.wait().unwrap().success());
}

#[test]
fn s2_a_watchdog_of_another_process_is_not_fed() {
    let (mut daemon, ear) = listened_to("");
    let mut command = told(&daemon);
    command.env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    daemon.spawn_by(command);
    ear.wait("READY=1");
    assert_eq!(ear.count(PING, Duration::from_secs(1)), 0);
}

#[test]
fn s1_s2_a_daemon_in_the_background_is_told_apart_from_its_starter_and_feeds_the_watchdog() {
    let (daemon, ear) = listened_to("");
    let mut command = Command::new("sh");
    let script = "WATCHDOG_PID=$$ WATCHDOG_USEC=600000 exec \"$0\" start";
    daemon.point(command.args(["-c", script, env!("CARGO_BIN_EXE_taskdaemon")]));
    let output = command.env("NOTIFY_SOCKET", daemon.path("notify")).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let pid = daemon.get("/v1/status")["pid"].as_i64().unwrap();
    assert_eq!(ear.wait("READY=1"), format!("MAINPID={pid}\nREADY=1\n"));
    ear.wait(PING);
    daemon.ok(&["upgrade"]);
    ear.count(PING, ALLOWED);
    ear.wait(PING);
    daemon.ok(&["stop"]);
    ear.wait("STOPPING=1");
}
