//! Many clients at once, good and bad, and what a client is told when there is no daemon.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use taskdaemon::api::Settings;
use taskdaemon::client::{Client, ClientError, ListRequest};
use taskdaemon::engine::{Command, Listing, Query, Reply};
use taskdaemon::task::{State, TaskId};
use taskdaemon::wire::api::{Order, RunnerDocument, SubmitRequest, TaskFilter, TaskRequest};

use super::fake::{Api, counting, read_all};

fn one_task() -> SubmitRequest {
    let task = TaskRequest { command: Some(vec!["true".into()]), ..TaskRequest::default() };
    SubmitRequest { defaults: TaskRequest::default(), tasks: vec![task] }
}

#[test]
fn two_hundred_clients_are_served_while_others_crawl() {
    let api = Api::start(counting());
    api.take_less();
    let mut crawling: Vec<_> = (0..50).map(|_| api.connect()).collect();
    for (number, stream) in crawling.iter_mut().enumerate() {
        let start = if number % 2 == 0 {
            "POST /v1/tasks HTTP/1.1\r\nho"
        } else {
            "POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{"
        };
        stream.write_all(start.as_bytes()).unwrap();
    }
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let socket = api.socket();
            std::thread::spawn(move || {
                let mut client = Client::connect(&socket).unwrap();
                (0..5).map(|_| client.submit(&one_task()).unwrap().ids[0]).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut ids: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq((1..=1_000).map(TaskId)));
}

#[test]
fn a_client_whose_connection_ends_before_its_request_is_taken_asks_again() {
    let mut api = Api::with(Settings::default(), counting());
    let mut client = api.client();
    assert_eq!(client.submit(&one_task()).unwrap().ids, [TaskId(1)]);
    api.stop();
    api.serve(Settings::default());
    assert_eq!(client.submit(&one_task()).unwrap().ids, [TaskId(2)], "on another connection, and once");
}

#[test]
fn whoever_has_just_connected_when_the_daemon_stops_is_still_answered() {
    let mut api = Api::with(Settings::default(), counting());
    let mut streams: Vec<_> = (0..20).map(|_| api.connect()).collect();
    // Who came later has been answered, so that these have been let in.
    assert_eq!(api.client().submit(&one_task()).unwrap().ids, [TaskId(1)]);
    let serving = api.serving.take().unwrap();
    let stopping = std::thread::spawn(move || serving.stop());
    for stream in &mut streams {
        let body = r#"{"tasks":[{"command":["true"],"directory":"/"}]}"#;
        write!(stream, "POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    }
    stopping.join().unwrap();
    for stream in streams {
        let answer = read_all(stream);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

#[test]
fn what_the_engine_was_asked_before_the_daemon_stops_is_answered_however_slow_the_disk_is() {
    let (asked, hears) = std::sync::mpsc::channel();
    let (go_on, waits) = std::sync::mpsc::channel();
    let mut answers = counting();
    let slow = move |caller, command| {
        asked.send(()).unwrap();
        waits.recv().unwrap();
        answers(caller, command)
    };
    let mut api = Api::with(Settings { stop_patience: Duration::ZERO, ..Settings::default() }, slow);
    let mut crawling = api.connect();
    crawling.write_all(b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").unwrap();
    let mut client = api.client();
    let submits = std::thread::spawn(move || client.submit(&one_task()).unwrap().ids);
    hears.recv().unwrap();
    let serving = api.serving.take().unwrap();
    let stopping = std::thread::spawn(move || serving.stop());
    // The patience with those who are slow themselves is over by now.
    std::thread::sleep(Duration::from_millis(200));
    assert!(!stopping.is_finished());
    go_on.send(()).unwrap();
    assert_eq!(submits.join().unwrap(), [TaskId(1)]);
    stopping.join().unwrap();
    assert_eq!(read_all(crawling), "");
}

#[test]
fn a_request_on_an_idle_connection_of_a_daemon_that_stopped_is_told_that_it_was_not_taken() {
    let mut api = Api::with(Settings::default(), counting());
    let mut stream = api.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    api.stop();
    let rest = read_all(stream);
    assert!(rest.contains("HTTP/1.1 408 ") && rest.contains("problem:not-taken"), "{rest}");
}

#[test]
fn a_client_without_a_daemon_is_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    assert!(matches!(Client::connect(&path), Err(ClientError::NotListening { .. })));
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(Client::connect(&path), Err(ClientError::StaleSocket { .. })));
    if !nix::unistd::geteuid().is_root() {
        let _listener = UnixListener::bind(directory.path().join("closed")).unwrap();
        std::fs::set_permissions(directory.path().join("closed"), PermissionsExt::from_mode(0o0)).unwrap();
        let refused = Client::connect(&directory.path().join("closed"));
        assert!(matches!(refused, Err(ClientError::PermissionDenied { .. })));
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_a_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::connect(&path).unwrap();
    client.set_timeout(Some(Duration::from_millis(50)));
    assert!(matches!(client.status(), Err(ClientError::Timeout { .. })));
}

#[test]
fn an_answer_that_is_not_http_is_a_protocol_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"SSH-2.0-x\r\n\r\n").unwrap());
    assert!(matches!(Client::connect(&path).unwrap().status(), Err(ClientError::Protocol(_))));
}

#[test]
fn a_stranger_is_told_that_it_is_one() {
    if nix::unistd::geteuid().is_root() {
        return; // Root is nobody's stranger.
    }
    let api = Api::with(Settings { allowed_gid: Some(u32::MAX - 7), ..Settings::default() }, counting());
    // The service's own user is let in whatever its groups.
    assert!(api.client().status().is_ok());
}

#[test]
fn status_tells_what_the_engine_knows_and_what_the_daemon_is() {
    let api = Api::start(counting());
    let status = api.client().status().unwrap();
    assert_eq!((status.version.as_str(), status.pid), ("1.2.3", std::process::id()));
    assert_eq!(status.counts[&State::Queued], 3);
    assert_eq!((status.slots.taken, status.slots.all, status.health.as_str()), (1, 4, "degraded"));
    assert_eq!(status.runner, RunnerDocument::Lost { reason: "it left".to_owned() });
}

#[test]
fn a_list_is_asked_for_as_the_client_words_it() {
    let api = Api::start(|_, command| match command {
        Command::Read(Query::List(filter, page)) => {
            assert_eq!((filter.states, filter.label.unwrap().as_str()), (vec![State::Held], "a b&c"));
            assert_eq!((page.after, page.limit, page.oldest_first), (Some(TaskId(4)), 1_000, true));
            Ok(Reply::Listing(Listing { lines: Vec::new(), next: Some(TaskId(9)) }))
        }
        other => panic!("unexpected {other:?}"),
    });
    let filter =
        TaskFilter { states: vec![State::Held], label: Some("a b&c".parse().unwrap()), ..TaskFilter::default() };
    let request = ListRequest { filter, after: Some(TaskId(4)), limit: Some(99_999), order: Order::OldestFirst };
    let page = api.client().list(&request).unwrap();
    assert_eq!((page.tasks.len(), page.next), (0, Some(TaskId(9))));
}
