//! Output is given byte for byte, as far as it is there or as it comes.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskdaemon::api::Settings;
use taskdaemon::client::{ClientError, OutputRequest, Patience};
use taskdaemon::engine::{Command, Query, Refusal, Reply};
use taskdaemon::task::{EventKind, State, TaskId};
use tempfile::NamedTempFile;

use super::fake::{Api, ended, event};

const PATIENCE: Patience = Patience::For(Duration::from_secs(20));
const REQUEST: OutputRequest =
    OutputRequest { task: TaskId(1), attempt: None, follow: false, offset: 0, tail_bytes: None };

/// A task whose attempt writes to `file`, has started and has ended when these say so.
struct Writing {
    file: NamedTempFile,
    started: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Writing {
    fn new(started: bool) -> Self {
        let file = NamedTempFile::new().unwrap();
        Self { file, started: Arc::new(AtomicBool::new(started)), ended: Arc::default() }
    }

    fn api(&self) -> Api {
        let (path, started, ended) = (self.file.path().to_owned(), Arc::clone(&self.started), Arc::clone(&self.ended));
        Api::start(move |_, command| match command {
            Command::Read(Query::Output(key)) if started.load(Ordering::SeqCst) && key.attempt <= 1 => {
                let (file, ended) = (File::open(&path).unwrap(), ended.load(Ordering::SeqCst));
                Ok(Reply::Output { file, attempt: 1, ended, dropped: if ended { 7 } else { 0 } })
            }
            Command::Read(Query::Output(key)) => Err(Refusal::NoAttempt { task: key.task, attempt: key.attempt }),
            Command::Read(Query::States(ids)) => {
                Ok(Reply::States(ids.into_iter().map(|id| (id, State::Queued, None)).collect()))
            }
            other => panic!("unexpected {other:?}"),
        })
    }
}

#[test]
fn what_is_there_is_given_with_what_is_known_of_it() {
    let mut writing = Writing::new(true);
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    writing.file.write_all(&bytes).unwrap();
    writing.ended.store(true, Ordering::SeqCst);
    let api = writing.api();
    let mut output = api.client().output(REQUEST, Patience::None).unwrap();
    assert_eq!((output.attempt, output.ended, output.dropped_bytes), (1, true, 7));
    let mut got = Vec::new();
    output.read_to_end(&mut got).unwrap();
    assert!(got == bytes);
    for (offset, tail_bytes, expected) in [(3_999_990, None, 10), (0, Some(5), 5), (9_999_999, None, 0)] {
        let request = OutputRequest { offset, tail_bytes, ..REQUEST };
        let mut got = Vec::new();
        api.client().output(request, Patience::None).unwrap().read_to_end(&mut got).unwrap();
        assert_eq!(got, bytes[bytes.len() - expected..]);
    }
}

#[test]
fn a_follower_sees_all_from_before_the_first_byte_to_the_end() {
    let mut writing = Writing::new(false);
    let api = writing.api();
    let client = api.client();
    let reader = std::thread::spawn(move || {
        let mut output = client.output(OutputRequest { follow: true, ..REQUEST }, PATIENCE).unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    });
    writing.started.store(true, Ordering::SeqCst);
    api.hub.publish(&[event(1, 1, EventKind::Started { attempt: 1 })]);
    let mut expected = String::new();
    for number in 0..200 {
        let line = format!("line {number}\n");
        writing.file.write_all(line.as_bytes()).unwrap();
        expected.push_str(&line);
    }
    writing.ended.store(true, Ordering::SeqCst);
    // Told until it is heard: the follower may not have been there yet.
    while !reader.is_finished() {
        api.hub.publish(&[ended(2, 1, State::Succeeded)]);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(reader.join().unwrap(), expected);
}

#[test]
fn growth_reaches_a_follower_without_any_event() {
    let mut writing = Writing::new(true);
    let api = writing.api();
    let mut output = api.client().output(OutputRequest { follow: true, ..REQUEST }, PATIENCE).unwrap();
    for _ in 0..3 {
        writing.file.write_all(b"more\n").unwrap();
        let mut line = [0; 5];
        output.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"more\n");
    }
}

#[test]
fn a_follower_goes_on_after_a_restart_where_it_was() {
    let mut writing = Writing::new(true);
    let mut api = writing.api();
    let mut output = api.client().output(OutputRequest { follow: true, ..REQUEST }, PATIENCE).unwrap();
    writing.file.write_all(b"before").unwrap();
    let mut text = [0; 6];
    output.read_exact(&mut text).unwrap();
    api.stop();
    writing.file.write_all(b" after").unwrap();
    writing.ended.store(true, Ordering::SeqCst);
    api.serve(Settings::default());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, " after");
}

#[test]
fn no_attempt_is_told_where_nobody_follows() {
    let writing = Writing::new(false);
    match writing.api().client().output(REQUEST, Patience::None) {
        Err(ClientError::Problem(problem)) => assert_eq!(problem.kind(), "no-attempt"),
        other => panic!("{other:?}"),
    }
}
