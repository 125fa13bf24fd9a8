//! Daemons that come and go, and runners that die.

use std::error::Error as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal as Known, kill};
use nix::unistd::Pid;
use taskdaemon::executor::{
    Cause, Connect, Dialer, Executor, ExitStatus, Launcher, Leftover, Report, listen_for_runner,
};
use taskdaemon::sys::procfs;

use crate::host::{Daemon, Host, alive, assert_ended, eventually, key, sh};

fn swept(daemon: &Daemon) -> Vec<taskdaemon::task::AttemptKey> {
    daemon.wait("sweep", |report| match report {
        Report::Swept { keys } => Some(keys),
        _ => None,
    })
}

#[test]
fn the_next_daemon_gets_what_runs_and_what_ended_meanwhile() {
    let host = Host::new();
    let mut first = host.daemon();
    let runs = first.start(1, sh("sleep 1000"));
    let (pid, start) = first.start_of(runs);
    let ends = first.start(2, sh("sleep 0.2; exit 6"));
    let (other, _) = first.start_of(ends);
    drop(first);
    eventually("the end", || !alive(other));
    let mut second = host.unlinked_daemon();
    let mut known = second.link().known;
    known.sort();
    assert_eq!(known, [runs, ends]);
    assert_eq!(second.start_of(runs), (pid, start));
    assert_ended(&second.end_of(ends), ExitStatus::Exited(6), Cause::Itself);
    drop(second);
    // Not acknowledged: told again.
    let mut third = host.unlinked_daemon();
    third.link();
    third.end_of(ends);
    third.link.acknowledge(&[ends]);
    third.link.flush();
    third.stop(runs, 1_000);
    third.end_of(runs);
    third.link.acknowledge(&[runs]);
    third.link.flush();
    drop(third);
    assert_eq!(host.unlinked_daemon().link().known, []);
}

#[test]
fn a_runner_without_a_daemon_and_tasks_waits_for_the_next_daemon() {
    let host = Host::new();
    let mut first = host.unlinked_daemon();
    let runner = first.link().runner;
    drop(first);
    let stat = format!("/proc/{}/stat", host.runner.id());
    eventually("sleep", || std::fs::read_to_string(&stat).unwrap().contains(") S "));
    let second = host.unlinked_daemon().link();
    assert_eq!((second.runner, second.known), (runner, Vec::new()));
}

#[test]
fn what_a_dead_daemon_had_sent_is_done_before_the_next_one_is_welcomed() {
    for round in 0..20 {
        let host = Host::new();
        let mut first = host.daemon();
        for task in 0..50 {
            first.start(task, sh("sleep 1000"));
        }
        drop(first);
        let mut second = host.unlinked_daemon();
        assert_eq!(second.link().known.len(), 50, "round {round}");
        second.link.drain(Duration::ZERO);
        for _ in 0..50 {
            second.wait("end", |report| matches!(report, Report::Ended { .. }).then_some(()));
        }
        if round == 3 {
            break;
        }
    }
}

#[test]
fn a_start_that_is_repeated_runs_once() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let script = format!("echo x >> {}; sleep 0.1", host.path("ran").display());
    let key = daemon.start(1, sh(&script));
    daemon.start(1, sh(&script));
    daemon.end_of(key);
    daemon.start(1, sh(&script));
    daemon.run(2, "exit 0");
    assert_eq!(std::fs::read_to_string(host.path("ran")).unwrap(), "x\n");
}

#[test]
fn orders_before_a_link_is_adopted_are_dropped() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let mut hasty = host.unlinked_daemon();
    hasty.start(5, sh("exit 0"));
    daemon.run(1, "exit 0");
    drop(daemon);
    hasty.wait("a runner", |report| matches!(report, Report::Linked { .. }).then_some(()));
    hasty.start(6, sh("exit 0"));
    hasty.link.adopt();
    hasty.run(7, "exit 0");
    drop(hasty);
    assert_eq!(host.unlinked_daemon().link().known, []);
}

#[test]
fn what_a_dead_runner_left_is_swept_and_strangers_are_not() {
    let mut host = Host::new();
    let mut daemon = host.daemon();
    let before = daemon.start(1, sh("trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 0.05; done"));
    let (pid, start) = daemon.start_of(before);
    daemon.await_output(before, "ready");
    let below = procfs::descendants(pid);
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let strange = i32::try_from(stranger.id()).unwrap();
    let strange_start = procfs::process(strange).unwrap().start_ticks;
    host.replace_runner();
    assert!(alive(pid));
    let greeting = daemon.link();
    assert_eq!(greeting.known, []);
    daemon.link.sweep(vec![
        Leftover { key: before, process: Some((pid, start)) },
        Leftover { key: key(9), process: Some((strange, strange_start + 1)) },
        Leftover { key: key(10), process: None },
    ]);
    // What the new runner starts meanwhile is not a leftover.
    let own = daemon.start(2, sh("sleep 1000"));
    let (own_pid, _) = daemon.start_of(own);
    assert_eq!(swept(&daemon), [before, key(9), key(10)]);
    assert!(!alive(pid));
    assert!(below.iter().all(|process| !alive(process.pid)), "{below:?}");
    assert!(alive(strange));
    assert!(alive(own_pid));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_task_whose_process_was_never_noted_is_swept_by_its_environment() {
    let mut host = Host::new();
    let mut daemon = host.daemon();
    let before = daemon.start(1, sh("sleep 1000"));
    let (pid, _) = daemon.start_of(before);
    host.replace_runner();
    daemon.link();
    daemon.link.sweep(vec![Leftover { key: before, process: None }]);
    assert_eq!(swept(&daemon), [before]);
    assert!(!alive(pid));
}

#[test]
fn a_new_runner_is_another_on_the_same_boot() {
    let mut host = Host::new();
    let mut daemon = host.unlinked_daemon();
    let first = daemon.link();
    host.replace_runner();
    let second = daemon.link();
    assert_ne!(first.runner, second.runner);
    assert_eq!(first.boot, second.boot);
    assert_eq!(first.boot, procfs::boot_id().unwrap());
}

#[test]
fn a_runner_that_is_told_to_leave_does_so_once_nothing_is_left_to_tell() {
    let mut host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("sleep 0.1"));
    daemon.link.leave();
    daemon.end_of(key);
    assert_eq!(host.runner.try_wait().unwrap(), None);
    daemon.link.acknowledge(&[key]);
    daemon.link.flush();
    eventually("the runner's end", || host.runner.try_wait().unwrap().is_some());
}

#[test]
fn sigterm_ends_the_tasks_and_then_the_runner() {
    let mut host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("trap 'exit 8' TERM; echo ready; while :; do sleep 0.01; done"));
    daemon.await_output(key, "ready");
    kill(Pid::from_raw(i32::try_from(host.runner.id()).unwrap()), Known::SIGTERM).unwrap();
    assert_ended(&daemon.end_of(key), ExitStatus::Exited(8), Cause::Drained);
    daemon.link.acknowledge(&[key]);
    daemon.link.flush();
    eventually("the runner's end", || host.runner.try_wait().unwrap().is_some());
}

#[test]
fn a_launched_runner_outlives_its_daemon_and_a_dead_one_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("runner.sock");
    // Stale: its listener is gone.
    drop(taskdaemon::sys::socket::listen(&socket).unwrap());
    let launcher = Launcher {
        program: env!("CARGO_BIN_EXE_taskdaemon").into(),
        arguments: vec!["runner".into(), "--keep".into()],
        open_files: None,
    };
    launcher.launch(&listen_for_runner(&socket).unwrap().unwrap()).unwrap().settle().unwrap();
    let dialer = || Dialer { socket: socket.clone(), users: vec![nix::unistd::geteuid().as_raw()] };
    let mut first = Daemon::new(directory.path(), "launched", Box::new(dialer()));
    let runner = first.link().runner;
    let key = first.start(1, sh("echo $PPID; sleep 1000"));
    first.await_output(key, "\n");
    let pid: i32 = first.text(key).trim().parse().unwrap();
    let process = procfs::process(pid).unwrap();
    let keeper = procfs::process(process.parent).unwrap();
    assert_ne!(keeper.parent, i32::try_from(std::process::id()).unwrap());
    assert_eq!(nix::unistd::getsid(Some(Pid::from_raw(pid))).unwrap(), Pid::from_raw(keeper.group));
    drop(first);
    assert!(listen_for_runner(&socket).unwrap().is_none(), "the next daemon starts no second one");
    let mut second = Daemon::new(directory.path(), "launched", Box::new(dialer()));
    assert_eq!(second.link().runner, runner);
    kill(Pid::from_raw(pid), Known::SIGKILL).unwrap();
    second.wait("loss", |report| matches!(report, Report::Lost { .. }).then_some(()));
    assert_ne!(second.link().runner, runner);
    second.link.sweep(vec![Leftover { key, process: None }]);
    assert_eq!(swept(&second), [key]);
    // As the daemon does it when it ends in good order.
    std::fs::remove_file(&socket).unwrap();
    second.link.leave();
    second.wait("loss", |report| matches!(report, Report::Lost { .. }).then_some(()));
    eventually("the keeper's end", || procfs::process(keeper.pid).map_or(true, |process| process.zombie));
}

#[test]
fn a_runner_that_cannot_be_launched_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let listener = listen_for_runner(&directory.path().join("runner.sock")).unwrap().unwrap();
    let told = |program: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(Into::into).collect();
        let launcher = Launcher { program: program.into(), arguments, open_files: None };
        let error = launcher.launch(&listener).unwrap().settle().unwrap_err();
        format!("{error}: {}", error.source().unwrap())
    };
    assert!(told("/no/such/program", &[]).starts_with("start the runner /no/such/program: No such file"));
    assert_eq!(told("/bin/sh", &["-c", "exit 3"]), "start the runner /bin/sh: it ended with status 3");
    assert_eq!(told("/bin/sh", &["-c", "kill $$"]), "start the runner /bin/sh: it was ended by signal 15");
}

#[test]
fn a_runner_of_another_user_is_refused() {
    let host = Host::new();
    let mut dialer = Dialer { socket: host.socket(), users: vec![64_001] };
    let told = Connect::connect(&mut dialer).unwrap_err().to_string();
    assert!(told.contains("it is a process of user"), "{told}");
}

#[test]
fn strangers_bytes_end_their_link_and_nothing_else() {
    let host = Host::new();
    let stranger = taskdaemon::sys::socket::connect(&host.socket()).unwrap();
    taskdaemon::sys::socket::send(&stranger, b"\x07nonsense", &[]).unwrap();
    let mut daemon = host.daemon();
    assert_ended(&daemon.run(1, "exit 0"), ExitStatus::Exited(0), Cause::Itself);
}

#[test]
fn a_daemon_of_another_state_directory_is_refused_while_tasks_run() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("sleep 1000"));
    daemon.start_of(key);
    drop(daemon);
    let other = host.foreign_daemon();
    let reason = other.wait("refusal", |report| match report {
        Report::Lost { reason } => Some(reason),
        _ => None,
    });
    assert!(reason.contains(&host.instance()), "{reason}");
}
