//! Promises D3, D4, D6, D9, T9, C2: the daemon as a process.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::support::{Daemon, await_watching, eventually, has_ended, kill, parent, within};

#[test]
fn d3_a_second_daemon_is_refused_and_told_who_has_the_lock() {
    let daemon = Daemon::new();
    let second = daemon.run(&["start", "--foreground"]);
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("already running") && words.contains(&daemon.pid().to_string()), "{words}");
    assert_eq!(daemon.http("GET", "/v1/status", "").0, 200, "the first one goes on");
}

#[test]
fn d1_no_other_file_gets_the_number_of_a_standard_descriptor_that_was_closed() {
    let mut daemon = Daemon::unstarted("");
    let mut closed = Command::new("sh");
    closed.args(["-c", "exec \"$0\" start --foreground <&- >&- 2>&-"]).arg(daemon.binary());
    daemon.point(&mut closed);
    daemon.spawn_by(closed);
    daemon.wait_ready();
    for number in 0..=2 {
        let open = fs::read_link(format!("/proc/{}/fd/{number}", daemon.pid())).unwrap();
        assert_eq!(open.to_str(), Some("/dev/null"), "descriptor {number}");
    }
    assert_eq!(daemon.http("GET", "/v1/status", "").0, 200);
}

#[test]
fn d4_status_tells_running_dead_and_stopped_by_lsb_codes() {
    let mut daemon = Daemon::unstarted("");
    assert_eq!(daemon.run(&["status"]).status.code(), Some(3));
    daemon.start();
    assert_eq!(daemon.run(&["status"]).status.code(), Some(0));
    daemon.kill();
    assert_eq!(daemon.run(&["status"]).status.code(), Some(1));
    daemon.start();
    daemon.ok(&["stop"]);
    daemon.reap();
    assert_eq!(daemon.run(&["status"]).status.code(), Some(3));
}

#[test]
fn d5_stop_ends_the_daemon_and_its_runner_and_what_ran_runs_again() {
    let mut daemon = Daemon::new();
    let id = daemon.submit(&["--grace", "1s", "--", "sleep", "1000"]);
    daemon.wait_state(&id, "running");
    let runner = daemon.runner_pid();
    let keeper = parent(runner);
    daemon.ok(&["stop"]);
    assert!(daemon.reap().success());
    assert!(has_ended(runner) && has_ended(keeper), "they are gone by then");
    daemon.start();
    daemon.wait_state(&id, "running");
    let task = daemon.task(&id);
    assert_eq!(task["history"][0]["outcome"]["how"], "interrupted", "{task}");
    daemon.ok(&["cancel", &id]);
}

#[test]
fn d5_stop_tells_of_a_runner_that_does_not_end() {
    let mut daemon = Daemon::with("host:\n  stop_grace: 0s\n  shutdown_timeout: 5s\n");
    let keeper = parent(daemon.runner_pid());
    kill(keeper, 19);
    let stop = daemon.run(&["stop"]);
    assert!(daemon.reap().success());
    let said = String::from_utf8_lossy(&stop.stderr).into_owned();
    assert_eq!(stop.status.code(), Some(1), "{said}");
    assert!(said.contains("terminated: process"), "{said}");
    assert!(said.contains(&format!("process {keeper} (taskdaemon-keep) does not end")), "{said}");
    kill(keeper, 18);
    assert_eq!(daemon.ok(&["stop"]), "not running: there was nothing to stop");
    assert!(has_ended(keeper));
}

#[test]
fn d5_stop_waits_for_a_runner_that_still_ends_whatever_the_configuration_says() {
    let mut daemon = Daemon::new();
    let keeper = parent(daemon.runner_pid());
    kill(keeper, 19);
    daemon.signal(15);
    assert!(daemon.reap().success());
    fs::write(daemon.path("config.yml"), "host:\n  slots: many\n").unwrap();
    let mut stop = daemon.command(&["stop"]).stderr(Stdio::null()).spawn().unwrap();
    await_watching(i32::try_from(stop.id()).unwrap());
    kill(keeper, 18);
    assert_eq!(stop.wait().unwrap().code(), Some(78));
    assert!(has_ended(keeper));
}

#[test]
fn d6_a_runner_of_a_daemon_that_has_ended_does_not_take_the_next_ones_for_its_own() {
    let mut daemon = Daemon::new();
    let runner = daemon.runner_pid();
    let keeper = parent(runner);
    kill(keeper, 19);
    daemon.signal(15);
    assert!(daemon.reap().success());
    daemon.start();
    kill(keeper, 18);
    eventually("both are gone", || (has_ended(keeper) && has_ended(runner)).then_some(()));
    assert_ne!(daemon.runner_pid(), runner);
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
}

#[test]
fn d5_stop_ends_what_a_daemon_that_died_has_left_running_too() {
    let mut daemon = Daemon::new();
    let id = daemon.submit(&["--grace", "1s", "--", "sleep", "1000"]);
    daemon.wait_state(&id, "running");
    let runner = daemon.runner_pid();
    daemon.kill();
    let said: serde_json::Value = serde_json::from_str(&daemon.ok(&["stop", "--json"])).unwrap();
    assert_eq!((&said["result"], &said["runner"]), (&"stale-cleaned".into(), &"ended".into()));
    assert!(!fs::exists(format!("/proc/{runner}")).unwrap(), "it is gone by then");
    assert_eq!(daemon.run(&["status"]).status.code(), Some(3));
    daemon.start();
    eventually("what ran was interrupted, and runs again", || {
        let task = daemon.task(&id);
        (task["history"][0]["outcome"]["how"] == "interrupted" && task["state"] == "running").then_some(())
    });
    daemon.ok(&["cancel", &id]);
}

#[test]
fn d4_a_fault_in_the_configuration_keeps_nobody_from_telling_how_the_daemon_is() {
    let mut daemon = Daemon::unstarted("host:\n  slots: many\n");
    let mut status = daemon.command(&["status"]);
    // The usual files, which are in the usual place.
    status.env_remove("TASKDAEMON_CONFIG").env("XDG_CONFIG_HOME", daemon.path("etc")).arg("--user");
    fs::create_dir_all(daemon.path("etc/taskdaemon")).unwrap();
    fs::copy(daemon.path("config.yml"), daemon.path("etc/taskdaemon/config.yml")).unwrap();
    assert_eq!(status.output().unwrap().status.code(), Some(3));
    daemon.configure("");
    daemon.start();
    daemon.kill();
    assert_eq!(status.output().unwrap().status.code(), Some(1));
}

#[test]
fn d4_a_daemon_that_takes_nobody_in_any_more_is_told_too() {
    let daemon = Daemon::new();
    daemon.signal(19);
    // Until nobody else fits into the queue of its socket.
    let waiting = std::iter::repeat_with(|| {
        let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        connect(client.as_raw_fd(), &UnixAddr::new(&daemon.socket()).unwrap()).map(|()| client)
    });
    let waiting: Vec<_> = waiting.map_while(Result::ok).collect();
    assert!(!waiting.is_empty());
    let output = daemon.run(&["status"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("does not answer"), "{output:?}");
    daemon.signal(18);
}

#[test]
fn d6_int_and_term_end_the_daemon_with_success() {
    for signal in [2, 15] {
        let mut daemon = Daemon::new();
        daemon.signal(signal);
        assert_eq!(daemon.reap().code(), Some(0));
    }
}

#[test]
fn d6_a_second_term_stops_now() {
    let mut daemon = Daemon::with("host:\n  shutdown_timeout: 300s\n  slots: 2\n");
    let script = "trap '' TERM; while :; do sleep 0.1; done";
    let id = daemon.submit(&["--grace", "250s", "--", "sh", "-c", script]);
    daemon.wait_state(&id, "running");
    daemon.signal(15);
    eventually("it drains", || daemon.log().contains("draining").then_some(()));
    daemon.signal(15);
    within(Duration::from_secs(20), "it leaves", || daemon.log().contains("now").then_some(()));
    daemon.reap();
}

#[test]
fn a_task_has_the_limit_on_open_files_that_the_daemon_was_started_with() {
    let mut daemon = Daemon::unstarted("");
    let mut command = Command::new("sh");
    let script = "ulimit -Sn 345 && exec \"$0\" start --foreground";
    daemon.point(command.args(["-c", script, env!("CARGO_BIN_EXE_taskdaemon")]));
    daemon.spawn_by(command);
    daemon.wait_ready();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split("  ").collect();
    let files: Vec<&str> = files.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
    assert_eq!(files[1], files[2], "the daemon raised its own: {limits}");
    let words = daemon.ok(&["submit", "--follow", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    assert_eq!(words.lines().rev().take(2).collect::<Vec<_>>(), [files[2], "345"]);
}

#[test]
fn d9_a_daemon_does_not_start_on_a_bad_configuration() {
    let daemon = Daemon::unstarted("hosts:\n  slots: 1\n");
    let output = daemon.run(&["start", "--foreground"]);
    assert_eq!(output.status.code(), Some(78));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("did you mean host?"), "the nearest key is named: {words}");
}

#[test]
fn t9_a_submission_while_the_daemon_is_down_fails_and_says_what_to_do() {
    let mut daemon = Daemon::unstarted("");
    for _ in 0..2 {
        let output = daemon.run(&["submit", "--", "true"]);
        assert_eq!(output.status.code(), Some(69));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains("control.sock") && words.contains("taskdaemon start"), "{words}");
        daemon.start();
        daemon.kill();
    }
}

#[test]
fn t6_clients_that_wait_and_follow_outlive_a_restart_of_the_daemon() {
    let mut daemon = Daemon::new();
    let flag = daemon.path("flag");
    let script = format!("echo one; until test -e {}; do sleep 0.01; done; echo two; exit 3", flag.display());
    let id = daemon.submit(&["--", "sh", "-c", &script]);
    daemon.wait_state(&id, "running");
    let alone = daemon.open_sockets();
    let mut waiting = daemon.command(&["wait", &id]).stdout(Stdio::null()).spawn().unwrap();
    let following = daemon.command(&["logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    eventually("both are connected", || (daemon.open_sockets() >= alone + 2).then_some(()));
    daemon.kill();
    daemon.start();
    fs::write(flag, "").unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(3));
    assert_eq!(following.wait_with_output().unwrap().stdout, b"one\ntwo\n");
}

/// As another user: the client with these arguments.
fn as_user(daemon: &Daemon, uid: u32, gid: u32, arguments: &[&str]) -> Output {
    let mut client = daemon.command(arguments);
    client.env("TASKDAEMON_SOCKET", daemon.socket()).current_dir("/").uid(uid).gid(gid);
    client.stdin(Stdio::null()).output().expect("the client runs as another user")
}

#[test]
fn c2_members_of_the_group_handle_their_own_tasks_strangers_nothing_and_the_service_all() {
    const SERVICE: u32 = 64_001;
    const USERS: u32 = 100;
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("left out: only root can be several users");
        return;
    }
    let mut daemon = Daemon::unstarted("api:\n  group: users\n");
    daemon.hand_over(SERVICE, USERS);
    daemon.spawn_as(SERVICE, USERS);
    daemon.wait_ready();
    let of_alice = as_user(&daemon, 64_002, USERS, &["submit", "--hold", "--", "true"]);
    assert!(of_alice.status.success(), "{of_alice:?}");
    let id = String::from_utf8(of_alice.stdout).unwrap().trim().to_owned();
    assert!(!as_user(&daemon, 64_002, USERS, &["list"]).stdout.is_empty(), "alice sees her task");
    assert!(as_user(&daemon, 64_003, USERS, &["list"]).stdout.is_empty(), "bob does not");
    for arguments in [&["show", &id][..], &["cancel", &id], &["logs", &id], &["release", &id], &["rm", &id]] {
        assert_eq!(as_user(&daemon, 64_003, USERS, arguments).status.code(), Some(66), "{arguments:?}");
    }
    assert_eq!(as_user(&daemon, 64_003, USERS, &["queue", "pause", "default"]).status.code(), Some(77));
    assert_eq!(as_user(&daemon, 64_003, USERS, &["reload"]).status.code(), Some(77));
    for arguments in [&["list"][..], &["submit", "--", "true"]] {
        assert_eq!(as_user(&daemon, 64_004, 64_004, arguments).status.code(), Some(77), "a stranger: {arguments:?}");
    }
    assert!(!as_user(&daemon, SERVICE, USERS, &["list"]).stdout.is_empty(), "the service's user sees all");
    assert_eq!(daemon.ok(&["list", "--json"]).matches("\"owner\"").count(), 1, "and so does root");
    daemon.ok(&["cancel", &id]);
}

#[test]
fn usr1_tells_how_everything_stands_and_an_orderly_stop_warns_of_nothing() {
    let mut daemon = Daemon::new();
    daemon.submit(&["--hold", "--", "true"]);
    daemon.runner_pid();
    daemon.signal(10);
    let log = eventually("it is logged", || Some(daemon.log()).filter(|log| log.contains("as it stands")));
    let line = log.lines().find(|line| line.contains("as it stands")).unwrap();
    assert!(line.contains("held 1") && line.contains("0/2") && line.contains("health=healthy"), "{line}");
    assert!(daemon.stop().success());
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}
