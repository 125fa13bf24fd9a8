//! What stands by, and starts without the daemon.

use std::fs::File;
use std::path::Path;

use nix::sys::signal::{Signal as Known, kill};
use nix::unistd::Pid;
use taskdaemon::executor::{Cause, Executor, ExitStatus, Report, Start};
use taskdaemon::task::{AttemptKey, Spec};

use crate::host::{Daemon, Host, assert_ended, eventually, key, sh, spec};

/// Runs until there is a file `go`, and exits with `code`.
fn waits(host: &Host, go: &str, code: i32) -> Spec {
    sh(&format!("until test -e {}; do sleep 0.01; done; exit {code}", host.path(go).display()))
}

fn let_go(host: &Host, go: &str) {
    File::create(host.path(go)).unwrap();
}

fn stand_by(daemon: &mut Daemon, task: i64, spec: Spec) -> AttemptKey {
    assert!(daemon.link.stand_by(Start { key: key(task), spec, stdin: None }));
    daemon.link.flush();
    key(task)
}

/// Waits until the runner has heard all that it was told: it takes one thing after the other, and answers this one.
fn await_heard(daemon: &mut Daemon) {
    daemon.link.sweep(Vec::new());
    daemon.wait("answer", |report| matches!(report, Report::Swept { .. }).then_some(()));
}

/// The next end, with what starts in its place.
fn end(daemon: &Daemon) -> (AttemptKey, Option<AttemptKey>) {
    daemon.wait("end", |report| match report {
        Report::Ended { key, next, .. } => Some((key, next)),
        _ => None,
    })
}

fn recalled(daemon: &Daemon) -> Vec<AttemptKey> {
    daemon.wait("recall", |report| match report {
        Report::Recalled { keys } => Some(keys),
        Report::Started { key: started, .. } if started != key(1) => panic!("{started} started"),
        _ => None,
    })
}

fn has_output(host: &Host, key: AttemptKey) -> bool {
    let path = format!("output/0/{key}");
    Path::new(&host.path(&path)).exists()
}

#[test]
fn what_stands_by_starts_in_its_turn_in_the_place_of_what_succeeds() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first = daemon.start(1, waits(&host, "go", 0));
    daemon.start_of(first);
    let second = stand_by(&mut daemon, 2, sh("echo second"));
    let third = stand_by(&mut daemon, 3, waits(&host, "never", 0));
    let fourth = stand_by(&mut daemon, 4, sh("echo fourth"));
    assert!(![second, third, fourth].iter().any(|key| daemon.link.may_have_begun(*key)));
    await_heard(&mut daemon);
    let_go(&host, "go");
    assert_eq!(end(&daemon), (first, Some(second)));
    assert_eq!(end(&daemon), (second, Some(third)));
    daemon.start_of(third);
    assert_eq!(daemon.text(second), "second\n");
    assert!(daemon.link.may_have_begun(third) && !daemon.link.may_have_begun(fourth));
    daemon.stop(third, 1_000);
    assert_eq!(end(&daemon), (third, None));
    assert_eq!(recalled(&daemon), [fourth], "a task that was stopped has not succeeded");
}

#[test]
fn orders_that_come_together_have_each_their_own_descriptors() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first = daemon.start(1, waits(&host, "go", 0));
    for (task, stdin) in [(2, Some("second")), (3, None), (4, Some("fourth"))] {
        let start = Start { key: key(task), spec: sh(&format!("cat; echo of {task}")), stdin: stdin.map(Vec::from) };
        assert!(daemon.link.stand_by(start));
    }
    daemon.link.acknowledge(&[key(9)]);
    daemon.link.flush();
    await_heard(&mut daemon);
    let_go(&host, "go");
    let ends = [(first, Some(key(2))), (key(2), Some(key(3))), (key(3), Some(key(4))), (key(4), None)];
    ends.iter().for_each(|expected| assert_eq!(end(&daemon), *expected));
    let texts = [2, 3, 4].map(|task| daemon.text(key(task)));
    assert_eq!(texts, ["secondof 2\n", "of 3\n", "fourthof 4\n"]);
}

#[test]
fn after_a_failure_all_is_given_back() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first = daemon.start(1, waits(&host, "go", 1));
    let keys = [2, 3].map(|task| stand_by(&mut daemon, task, sh("exit 0")));
    assert!(keys.iter().all(|key| has_output(&host, *key)));
    await_heard(&mut daemon);
    let_go(&host, "go");
    assert_eq!(end(&daemon), (first, None));
    assert_eq!(recalled(&daemon), keys);
    assert!(!keys.iter().any(|key| daemon.link.may_have_begun(*key)));
}

#[test]
fn one_that_cannot_start_is_a_failure_too() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first = daemon.start(1, waits(&host, "go", 0));
    let second = stand_by(&mut daemon, 2, spec(&["/no/such/command"]));
    let third = stand_by(&mut daemon, 3, sh("exit 0"));
    await_heard(&mut daemon);
    let_go(&host, "go");
    assert_eq!(end(&daemon), (first, Some(second)));
    assert!(matches!(daemon.end_of(second).status, ExitStatus::NotStarted { code: 127, .. }));
    assert_eq!(recalled(&daemon), [third]);
}

#[test]
fn what_was_recalled_does_not_start() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first = daemon.start(1, waits(&host, "go", 0));
    let keys = [2, 3].map(|task| stand_by(&mut daemon, task, sh("exit 0")));
    daemon.link.recall();
    assert_eq!(recalled(&daemon), keys);
    assert!(keys.iter().all(|key| !daemon.link.may_have_begun(*key)));
    daemon.link.recall();
    let_go(&host, "go");
    assert_eq!(end(&daemon), (first, None));
    assert_ended(&daemon.run(2, "exit 4"), ExitStatus::Exited(4), Cause::Itself);
    assert!(daemon.link.may_have_begun(keys[0]));
    // The file of one that never gets its turn goes with its task.
    assert!(has_output(&host, keys[1]));
    daemon.link.remove_output(&[(keys[1].task, 0)]);
    eventually("it is gone", || !has_output(&host, keys[1]));
}

#[test]
fn a_runner_on_its_way_out_starts_nothing() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first =
        daemon.start(1, sh(&format!("trap 'exit 0' TERM; touch {}; sleep 1000 & wait", host.path("ready").display())));
    let second = stand_by(&mut daemon, 2, sh("exit 0"));
    eventually("the trap", || host.path("ready").exists());
    let runner = Pid::from_raw(i32::try_from(host.runner.id()).unwrap());
    kill(runner, Known::SIGTERM).unwrap();
    assert_eq!(end(&daemon), (first, None));
    daemon.link.acknowledge(&[first]);
    daemon.link.flush();
    daemon.wait("loss", |report| matches!(report, Report::Lost { .. }).then_some(()));
    assert!(!daemon.link.may_have_begun(second));
}

#[test]
fn the_next_program_finds_nothing_standing_by() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first = daemon.start(1, waits(&host, "go", 0));
    let second = stand_by(&mut daemon, 2, sh("exit 0"));
    let program = File::open(env!("CARGO_BIN_EXE_taskdaemon")).unwrap();
    daemon.link.replacer().replace(program.into(), Box::new(drop));
    assert_eq!(recalled(&daemon), [second]);
    let_go(&host, "go");
    assert_eq!(end(&daemon), (first, None));
}

#[test]
fn with_the_daemon_goes_what_stands_by() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let first = daemon.start(1, waits(&host, "go", 0));
    daemon.start_of(first);
    let second = stand_by(&mut daemon, 2, sh("exit 0"));
    drop(daemon);
    let mut next = host.unlinked_daemon();
    assert_eq!(next.link().known, [first]);
    let_go(&host, "go");
    assert_eq!(end(&next), (first, None));
    assert!(!next.link.may_have_begun(second));
}
