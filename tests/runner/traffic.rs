//! Output, and what the runner keeps open.

use std::fs;

use taskdaemon::executor::{Cause, Executor, ExitStatus};
use taskdaemon::task::Spec;

use crate::host::{Host, assert_ended, eventually, key, sh, spec};

#[test]
fn output_past_the_cap_is_dropped_and_counted_and_the_task_goes_on() {
    let host = Host::new();
    let mut daemon = host.daemon();
    // The whole gigabyte where asked for.
    let megabytes: u64 = if std::env::var_os("TASKDAEMON_FULL_TESTS").is_some() { 1024 } else { 64 };
    let spec = Spec { output_cap_bytes: 1_000_000, ..sh(&format!("head -c {megabytes}M /dev/zero; exit 3")) };
    let key = daemon.start(1, spec);
    let end = daemon.end_of(key);
    assert_ended(&end, ExitStatus::Exited(3), Cause::Itself);
    assert_eq!((end.cost.output_bytes, end.cost.dropped_bytes), (1_000_000, (megabytes << 20) - 1_000_000));
    assert_eq!(daemon.output(key).len(), 1_000_000);
}

#[test]
fn output_and_error_output_arrive_in_order_and_can_be_opened_again() {
    let host = Host::new();
    let mut daemon = host.daemon();
    daemon.run(1, "echo one; echo two >&2; echo three > /dev/stdout; echo four > /dev/stderr");
    assert_eq!(daemon.text(key(1)), "one\ntwo\nthree\nfour\n");
}

#[test]
fn output_is_there_while_the_task_runs() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = daemon.start(1, sh("echo early; sleep 1000"));
    daemon.await_output(key, "early");
    daemon.stop(key, 1_000);
    daemon.end_of(key);
}

#[test]
fn nothing_stays_open_after_a_thousand_tasks() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let open = || fs::read_dir(format!("/proc/{}/fd", host.runner.id())).unwrap().count();
    daemon.run(1, "exit 0");
    let before = open();
    for task in 2..1002 {
        daemon.start(task, spec(&["true"]));
    }
    for _ in 2..1002 {
        let key = daemon.wait("end", |report| match report {
            taskdaemon::executor::Report::Ended { key, .. } => Some(key),
            _ => None,
        });
        daemon.link.acknowledge(&[key]);
        daemon.link.flush();
    }
    eventually("the same descriptors", || open() == before);
}

#[test]
fn thousands_of_starts_at_once_are_all_taken() {
    let host = Host::new();
    let mut daemon = host.daemon();
    // Nobody reads the reports meanwhile, and the runner's own socket fills up.
    for task in 0..3_000 {
        daemon.start(task, spec(&["/no/such/command"]));
    }
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < 3_000 {
        ended.insert(daemon.wait("end", |report| match report {
            taskdaemon::executor::Report::Ended { key, .. } => Some(key),
            _ => None,
        }));
    }
}
