//! Promises D6, D8, D13: signals at every moment of a life, and an end that comes in time.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::freeze::Frozen;
use super::{listened_to, told};
use crate::support::{Daemon, eventually, kill};

const TERM: i32 = 15;
const HUP: i32 = 1;

/// The command that starts the daemon, with every flush of the disk delayed by as much.
fn on_a_slow_disk(daemon: &Daemon, delay: &str) -> Command {
    let mut command = Command::new("strace");
    // -D: the daemon is the test's child, and strace its shadow.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e"]);
    command.arg(format!("inject=fdatasync,fsync:delay_enter={delay}"));
    daemon.point(command.args([env!("CARGO_BIN_EXE_taskdaemon"), "start", "--foreground"]));
    command.env("NOTIFY_SOCKET", daemon.path("notify"));
    command
}

/// What `status` finds in the files.
fn phase(daemon: &Daemon) -> String {
    let record = fs::read_to_string(daemon.path("run/daemon.lock")).unwrap_or_default();
    let word = record.split(' ').find_map(|word| word.strip_prefix("phase="));
    word.unwrap_or_default().to_owned()
}

#[test]
fn d6_term_during_the_start_ends_it_in_good_order_and_it_was_never_ready() {
    let (mut daemon, ear) = listened_to("");
    daemon.spawn_by(on_a_slow_disk(&daemon, "1s"));
    eventually("it is starting", || (phase(&daemon) == "starting").then_some(()));
    daemon.signal(TERM);
    assert_eq!(daemon.reap().code(), Some(0));
    assert_eq!(ear.count("READY=1", Duration::from_millis(100)), 0);
    assert_eq!(daemon.run(&["status"]).status.code(), Some(3), "nothing is left behind");
    assert!(daemon.log().contains("before it was ready"), "{}", daemon.log());
    daemon.start();
    daemon.ok(&["submit", "--wait", "--", "true"]);
}

#[test]
fn d6_d8_term_during_a_reload_drains_and_every_state_is_told() {
    let (mut daemon, ear) = listened_to("");
    daemon.spawn_by(told(&daemon));
    ear.wait("READY=1");
    eventually("the lock says so", || (phase(&daemon) == "running").then_some(()));
    let engine = Frozen::thread(daemon.pid(), "engine");
    daemon.signal(HUP);
    ear.wait("RELOADING=1");
    eventually("the lock says so", || (phase(&daemon) == "reloading").then_some(()));
    daemon.signal(TERM);
    ear.wait("STOPPING=1");
    eventually("the lock says so", || (phase(&daemon) == "draining").then_some(()));
    drop(engine);
    assert_eq!(daemon.reap().code(), Some(0));
    assert_eq!(phase(&daemon), "");
}

#[test]
fn d6_of_a_storm_of_hups_the_last_is_honoured_and_not_each_costs_a_reload() {
    let daemon = Daemon::with("host:\n  slots: 1\n");
    let engine = Frozen::thread(daemon.pid(), "engine");
    daemon.signal(HUP);
    eventually("a reload is under way", || (phase(&daemon) == "reloading").then_some(()));
    for slots in 2..=500 {
        daemon.configure(&format!("host:\n  slots: {slots}\n"));
        daemon.signal(HUP);
    }
    drop(engine);
    eventually("the last is in force", || (daemon.get("/v1/status")["slots"]["all"] == 500).then_some(()));
    eventually("it is over", || (phase(&daemon) == "running").then_some(()));
    let reloads = daemon.log().matches("reloaded").count();
    assert!((2..=3).contains(&reloads), "{reloads} for 500 signals");
}

#[test]
fn d6_a_client_that_reloads_during_a_reload_gets_what_the_file_says_then() {
    let daemon = Daemon::with("host:\n  slots: 1\n");
    let engine = Frozen::thread(daemon.pid(), "engine");
    daemon.signal(HUP);
    eventually("a reload is under way", || (phase(&daemon) == "reloading").then_some(()));
    daemon.configure("host:\n  slots: 7\n");
    let client = daemon.command(&["reload"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    // Not answered before the engine moves, whenever the request arrives.
    drop(engine);
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(daemon.get("/v1/status")["slots"]["all"], 7);
}

#[test]
fn d6_a_commit_is_not_cut_off_by_two_terms_and_what_was_accepted_is_there() {
    let (mut daemon, ear) = listened_to("");
    daemon.spawn_by(on_a_slow_disk(&daemon, "700ms"));
    ear.wait("READY=1");
    let before = fs::metadata(daemon.path("state/queue.db-wal")).unwrap().len();
    let mut client = daemon.command(&["submit", "--hold", "--", "true"]);
    let client = client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the commit is under way", || {
        (fs::metadata(daemon.path("state/queue.db-wal")).unwrap().len() > before).then_some(())
    });
    daemon.signal(TERM);
    daemon.signal(TERM);
    let output = client.wait_with_output().unwrap();
    daemon.reap();
    assert!(output.status.success(), "it was under way: {output:?}");
    let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    daemon.start();
    daemon.wait_state(&id, "held");
    assert!(!daemon.log().contains("damaged"), "{}", daemon.log());
}

#[test]
fn d8_what_hangs_at_the_end_is_named_and_passed_over() {
    let mut daemon = Daemon::with("host:\n  stop_grace: 0s\n  shutdown_timeout: 8s\n");
    let start = Instant::now();
    let api = Frozen::thread(daemon.pid(), "api");
    daemon.signal(TERM);
    eventually("it is named", || daemon.log().contains("hangs at the end; it is passed over hook=API").then_some(()));
    eventually("the store is closed all the same", || {
        (!daemon.path("state/queue.db-wal").exists() || daemon.log().contains("passed over at the end")).then_some(())
    });
    drop(api);
    assert_ne!(daemon.reap().code(), Some(0), "it says that not all ended well");
    assert!(start.elapsed() < Duration::from_secs(30));
    daemon.start();
    daemon.ok(&["submit", "--wait", "--", "true"]);
}

#[test]
fn d13_a_drain_that_does_not_end_is_given_up_at_the_deadline() {
    let mut daemon = Daemon::with("host:\n  stop_grace: 100ms\n  shutdown_timeout: 1s\n  slots: 2\n");
    let id = daemon.submit(&["--grace", "1h", "--", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]);
    daemon.wait_state(&id, "running");
    let runner = daemon.runner_pid();
    daemon.signal(TERM);
    assert_ne!(daemon.reap().code(), Some(0));
    assert!(daemon.log().contains("not everything ended in time"), "{}", daemon.log());
    kill(runner, 9);
}

#[test]
fn d6_signals_without_a_meaning_change_nothing() {
    let daemon = Daemon::new();
    let runner = daemon.runner_pid();
    // PIPE, ALRM, CHLD, TSTP, TTIN, TTOU, URG, WINCH, IO.
    for signal in [13, 14, 17, 20, 21, 22, 23, 28, 29] {
        daemon.signal(signal);
        kill(runner, signal);
    }
    daemon.ok(&["submit", "--wait", "--", "true"]);
    assert_eq!(daemon.runner_pid(), runner);
}

#[test]
fn d6_of_a_crowd_of_children_no_end_is_lost() {
    let daemon = Daemon::with("host:\n  slots: 64\n");
    let ids = daemon.batch(&"{\"command\": [\"true\"]}\n".repeat(500));
    let runner = daemon.runner_pid();
    for _ in 0..100 {
        kill(runner, 17);
    }
    for id in [ids.first(), ids.last()].into_iter().flatten() {
        daemon.ok(&["wait", &id.to_string()]);
    }
    eventually("all have ended", || (daemon.get("/v1/status")["counts"]["succeeded"] == 500).then_some(()));
}

#[test]
fn d6_term_during_the_trial_of_a_new_program_ends_the_daemon_and_refuses_the_upgrade() {
    let mut daemon = Daemon::unstarted("");
    // From inside it no script can stand in for a program.
    daemon.configure_security("  sandbox: off\n");
    daemon.start();
    let program = daemon.path("slow");
    fs::write(&program, "#!/bin/sh\ntouch \"$0.tried\"\nexec sleep 60\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut client = daemon.command(&["upgrade", "--binary", program.to_str().unwrap()]);
    let client = client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the trial runs", || daemon.path("slow.tried").exists().then_some(()));
    daemon.signal(TERM);
    assert_eq!(daemon.reap().code(), Some(0));
    let output = client.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("stopping"), "{words}");
}

#[test]
fn d6_term_and_upgrade_in_the_same_instant_end_in_a_stop() {
    for _ in 0..5 {
        let mut daemon = Daemon::new();
        daemon.runner_pid();
        let upgrade = daemon.command(&["upgrade"]).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut upgrade = upgrade.unwrap();
        eventually("it begins", || daemon.log().contains("an upgrade begins").then_some(()));
        daemon.signal(TERM);
        assert_eq!(daemon.reap().code(), Some(0), "{}", daemon.log());
        upgrade.wait().unwrap();
        assert_eq!(daemon.run(&["status"]).status.code(), Some(3));
    }
}
