use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::fake::FakeRunner;
use super::*;
use crate::sys::socket;
use crate::task::{Bytes, Limits, OnInterrupt, Retry, Spec};
use crate::wire::runner::packet::{self, MAX_PACKET_BYTES, Packet, Received};
use crate::wire::runner::{FromRunner, ToRunner, VERSION, Welcome};

fn start(task: i64) -> Start {
    let spec = Spec {
        argv: vec![Bytes::from("true")],
        directory: Bytes::from("/"),
        environment: Vec::new(),
        umask: 0,
        timeout_ms: None,
        stop: crate::task::Stop::default(),
        retry: Retry::default(),
        on_interrupt: OnInterrupt::default(),
        limits: Limits::default(),
        nice: 0,
        output_cap_bytes: 1,
    };
    Start { key: key(task), spec, stdin: None }
}

fn key(task: i64) -> AttemptKey {
    AttemptKey { task: TaskId(task), attempt: 1 }
}

fn sink() -> (Sink, Receiver<Report>) {
    let (sender, reports) = mpsc::channel();
    (Box::new(move |report| drop(sender.send(report))), reports)
}

/// Connects to sockets that the test holds the other ends of.
struct Given(VecDeque<OwnedFd>);

impl Connect for Given {
    fn connect(&mut self) -> Result<OwnedFd, ConnectError> {
        let missing = || ConnectError::Connect { path: "test".into(), source: io::ErrorKind::NotFound.into() };
        self.0.pop_front().ok_or_else(missing)
    }
}

fn hear(end: &OwnedFd) -> Vec<ToRunner> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut buffer = vec![0; MAX_PACKET_BYTES];
    loop {
        assert!(Instant::now() < deadline);
        poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], PollTimeout::from(100u8)).unwrap();
        match packet::receive(end, &mut buffer).unwrap() {
            Received::Messages(messages, _) => return messages,
            Received::Nothing => {}
            Received::End => return Vec::new(),
        }
    }
}

fn say(end: &OwnedFd, message: FromRunner) {
    Packet::new(&[message], Vec::new()).unwrap().send(end).unwrap();
}

fn welcome() -> FromRunner {
    FromRunner::Welcome(Welcome {
        version: 1,
        runner: "r".into(),
        pid: 1,
        boot: "b".into(),
        running: Vec::new(),
        ended: Vec::new(),
    })
}

#[test]
fn thousands_of_orders_wait_for_a_runner_that_does_not_read() {
    let state = tempfile::tempdir().unwrap();
    let (here, there) = socket::pair().unwrap();
    let (sink, reports) = sink();
    let connect = Box::new(Given([here].into()));
    let mut link = RunnerLink::new("i", Outputs::new(state.path()), connect, sink).unwrap();
    assert!(matches!(hear(&there).as_slice(), [ToRunner::Hello { version: VERSION, .. }]));
    say(&there, welcome());
    assert!(matches!(reports.recv().unwrap(), Report::Linked { .. }));
    link.adopt();
    for task in 0..3_000 {
        link.signal(key(task), Signal::TERM);
    }
    for task in 0..3_000 {
        let [ToRunner::Signal { key, .. }] = hear(&there)[..] else { panic!("task {task}") };
        assert_eq!(key.task, task);
    }
}

#[test]
fn orders_to_a_link_that_was_not_adopted_go_nowhere() {
    let state = tempfile::tempdir().unwrap();
    let (first, first_end) = socket::pair().unwrap();
    let (second, second_end) = socket::pair().unwrap();
    let (sink, reports) = sink();
    let connect = Box::new(Given([first, second].into()));
    let mut link = RunnerLink::new("i", Outputs::new(state.path()), connect, sink).unwrap();
    hear(&first_end);
    say(&first_end, welcome());
    assert!(matches!(reports.recv().unwrap(), Report::Linked { .. }));
    link.adopt();
    drop(first_end);
    hear(&second_end);
    say(&second_end, welcome());
    assert!(matches!(reports.recv().unwrap(), Report::Lost { .. }));
    assert!(matches!(reports.recv().unwrap(), Report::Linked { .. }));
    // Given in the belief that the first link stands.
    link.start(start(1));
    link.adopt();
    link.start(start(2));
    assert!(matches!(&hear(&second_end)[..], [ToRunner::Spawn(spawn)] if spawn.key.task == 2));
}

#[test]
fn nothing_stands_by_in_a_runner_that_does_not_know_how() {
    let state = tempfile::tempdir().unwrap();
    let (here, there) = socket::pair().unwrap();
    let (sink, reports) = sink();
    let mut link = RunnerLink::new("i", Outputs::new(state.path()), Box::new(Given([here].into())), sink).unwrap();
    assert!(!link.stand_by(start(1)), "there is none yet");
    hear(&there);
    say(&there, welcome());
    assert!(matches!(reports.recv().unwrap(), Report::Linked { .. }));
    link.adopt();
    assert!(!link.stand_by(start(1)), "it speaks version 1");
    assert!(!state.path().join("output").exists());
    link.start(start(2));
    assert!(matches!(&hear(&there)[..], [ToRunner::Spawn(spawn)] if spawn.key.task == 2));
}

#[test]
fn a_start_without_an_output_file_is_an_end_with_its_reason() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("output"), "in the way").unwrap();
    let (here, there) = socket::pair().unwrap();
    let (sink, reports) = sink();
    let connect = Box::new(Given([here].into()));
    let mut link = RunnerLink::new("i", Outputs::new(state.path()), connect, sink).unwrap();
    hear(&there);
    say(&there, welcome());
    assert!(matches!(reports.recv().unwrap(), Report::Linked { .. }));
    link.adopt();
    link.start(start(1));
    let Report::Ended { end: End { status: ExitStatus::NotStarted { reason, .. }, .. }, .. } = reports.recv().unwrap()
    else {
        panic!("started")
    };
    assert!(reason.starts_with("create "), "{reason}");
}

#[test]
fn a_killed_fake_runner_leaves_its_attempts_behind_until_they_are_swept() {
    let runner = FakeRunner::default();
    let (sink, reports) = sink();
    let mut executor = runner.executor(sink);
    executor.start(start(1));
    assert_eq!(runner.starts(), []);
    runner.link();
    executor.adopt();
    executor.start(start(1));
    assert!(matches!(reports.recv().unwrap(), Report::Linked { known, .. } if known.is_empty()));
    assert!(matches!(reports.recv().unwrap(), Report::Started { pid: 1, .. }));
    runner.kill();
    assert_eq!((runner.running(), runner.left_behind()), (vec![], vec![key(1)]));
    assert!(matches!(reports.recv().unwrap(), Report::Lost { .. }));
    runner.link();
    executor.adopt();
    executor.sweep(vec![Leftover { key: key(1), process: None }]);
    runner.finish_sweep();
    assert!(matches!(reports.recv().unwrap(), Report::Linked { runner, .. } if runner == "runner-1"));
    assert_eq!(reports.recv().unwrap(), Report::Swept { keys: vec![key(1)] });
    assert_eq!(runner.left_behind(), []);
}

#[test]
fn a_fake_runner_keeps_ends_until_they_are_acknowledged() {
    let runner = FakeRunner::default();
    let (sink_of_first, _) = sink();
    let mut first = runner.executor(sink_of_first);
    runner.link();
    first.adopt();
    first.start(start(1));
    let (sink, reports) = sink();
    let mut second = runner.executor(sink);
    assert!(runner.end(key(1), ExitStatus::Exited(0), Cause::Itself));
    first.start(start(2));
    runner.link();
    second.adopt();
    assert!(matches!(reports.recv().unwrap(), Report::Linked { known, .. } if known == [key(1)]));
    assert!(matches!(reports.recv().unwrap(), Report::Ended { .. }));
    second.acknowledge(&[key(1)]);
    second.flush();
    runner.unlink();
    runner.link();
    second.adopt();
    assert!(matches!(reports.recv().unwrap(), Report::Lost { .. }));
    assert!(matches!(reports.recv().unwrap(), Report::Linked { known, .. } if known.is_empty()));
    assert_eq!(runner.starts(), [key(1)]);
}
