//! Whatever is wrong with a request, its client is told so in a problem document, and nobody else notices.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use taskdaemon::api::Settings;
use taskdaemon::client::ClientError;
use taskdaemon::engine::{Command, Refusal};
use taskdaemon::task::{QueueName, TaskId};
use taskdaemon::wire::api::{ActRequest, Verb};

use super::fake::{Api, counting, read_until_cut_off};

/// The status and the problem of an answer.
fn problem(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {answer:?}"));
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!(body["status"], status, "{answer}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(' ')), "{answer}");
    (status, body)
}

#[test]
fn each_fault_has_a_status_and_a_sentence() {
    let api = Api::start(counting());
    let table = [
        ("GET", "/v1/nothing", "", 404, "there is nothing at /v1/nothing"),
        ("PATCH", "/v1/tasks", "", 405, "does not take this method"),
        ("POST", "/v1/tasks", "", 400, "EOF while parsing"),
        ("POST", "/v1/tasks", "{", 400, "EOF while parsing"),
        ("POST", "/v1/tasks", "{\"tasks\":[]}", 400, "there are no tasks"),
        ("POST", "/v1/tasks", "{\"tasks\":[{}],\"x\":1}", 400, "unknown field `x`"),
        ("POST", "/v1/tasks", "{\"tasks\":[{\"command\":[\"a\"]},{\"comand\":1}]}", 422, "did you mean \"command\"?"),
        ("POST", "/v1/tasks", "{\"tasks\":[{\"command\":[\"a\"],\"nice\":99}]}", 422, "nice is 99"),
        ("POST", "/v1/tasks", "{\"tasks\":[{\"command\":[\"a\"],\"queue\":\"A B\"}]}", 422, "queue name \"A B\""),
        ("GET", "/v1/tasks?limit=many", "", 400, "invalid digit"),
        ("GET", "/v1/tasks?colour=red", "", 400, "unknown field `colour`"),
        ("GET", "/v1/tasks?state=happy", "", 400, "\"happy\" is not a state"),
        ("GET", "/v1/tasks/none", "", 400, "not a task's ID"),
        ("GET", "/v1/tasks/-1", "", 400, "not a task's ID"),
        ("GET", "/v1/tasks/7", "", 404, "there is no task 7"),
        ("POST", "/v1/tasks/7/dance", "", 404, "there is no action \"dance\""),
        ("POST", "/v1/tasks/7/signal", "", 400, "signal needs a signal"),
        ("POST", "/v1/tasks/7/signal", "{\"signal\":\"LOUD\"}", 400, "\"LOUD\" is not a signal"),
        ("POST", "/v1/actions/cancel", "{}", 400, "give ids or a filter"),
        ("POST", "/v1/actions/cancel", "{\"filter\":{\"state\":1}}", 400, "unknown field `state`"),
        ("POST", "/v1/wait", "{\"ids\":[1],\"filter\":{}}", 400, "give ids or a filter"),
        ("PUT", "/v1/queues/A", "{}", 400, "queue name \"A\""),
        ("PUT", "/v1/queues/a", "{\"slots\":0}", 400, "at least one slot"),
        ("POST", "/v1/queues/a/dance", "", 404, "cannot be done to a queue"),
        ("POST", "/v1/schedules", "{\"name\":\"a\",\"task\":{\"command\":[\"a\"]}}", 422, "give an interval"),
        ("POST", "/v1/prune", "{\"filter\":{\"states\":[\"queued\"]}}", 400, "have not ended"),
        ("POST", "/v1/reload", "", 422, "the old one stays in force"),
    ];
    for (method, target, body, status, words) in table {
        let (got, problem) = problem(&api.ask(method, target, body));
        assert_eq!(got, status, "{method} {target} {body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{method} {target} {body}: {problem}");
        assert_eq!(problem["instance"], target.split('?').next().unwrap());
    }
}

#[test]
fn a_fault_in_a_batch_names_its_task_and_field() {
    let api = Api::start(counting());
    let body = "{\"tasks\":[{\"command\":[\"a\"]},{\"command\":[\"a\"],\"directory\":\"tmp\"}]}";
    let (_, problem) = problem(&api.ask("POST", "/v1/tasks", body));
    assert_eq!((&problem["task"], &problem["field"]), (&1.into(), &"directory".into()));
}

#[test]
fn refusals_of_the_engine_keep_their_words_and_get_a_status() {
    let api = Api::start(|_, command| {
        Err(match command {
            Command::Submit(_) => Refusal::DiskFull { free: 1, least: 2 },
            Command::Act(..) => Refusal::NoTask(TaskId(9)),
            _ => Refusal::QueueDraining(QueueName::default()),
        })
    });
    let (status, body) = problem(&api.ask("POST", "/v1/tasks", "{\"tasks\":[{\"command\":[\"a\"]}]}"));
    assert_eq!((status, &body["type"]), (507, &"urn:taskdaemon:problem:disk-full".into()));
    let request = ActRequest { ids: Some(vec![TaskId(9)]), ..ActRequest::default() };
    match api.client().act(Verb::Cancel, &request) {
        Err(ClientError::Problem(problem)) => {
            assert_eq!((problem.status, problem.kind(), problem.id), (404, "no-task", Some(TaskId(9))));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_http_is_told_so() {
    let api = Api::start(counting());
    assert_eq!(problem(&api.say(b"hello there\r\n\r\n")).0, 400);
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(200_000));
    assert_eq!(problem(&api.say(long.as_bytes())).0, 431);
}

#[test]
fn a_head_or_body_that_takes_too_long_is_told_so() {
    let settings = Settings {
        header_timeout: Duration::from_millis(100),
        request_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let api = Api::with(settings, counting());
    assert_eq!(problem(&api.say(b"GET /v1/status HT")).0, 408);
    assert_eq!(problem(&api.say(b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")).0, 408);
    // One that is idle has asked nothing, and is told nothing.
    assert_eq!(api.say(b""), "");
}

#[test]
fn an_endless_body_is_refused_as_soon_as_it_is_too_long() {
    let api = Api::start(counting());
    api.take_less();
    let mut stream = api.connect();
    stream.write_all(b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody stopped it");
        if let Err(error) = stream.write_all(&chunk) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert_eq!(problem(&read_until_cut_off(stream)).0, 413);
    let announced = "POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n";
    assert_eq!(problem(&api.say(announced.as_bytes())).0, 413);
}

#[test]
fn more_tasks_than_a_request_may_hold_are_refused() {
    let api = Api::with(Settings { max_batch: 2, ..Settings::default() }, counting());
    let body = "{\"tasks\":[{},{},{}]}";
    let (status, problem) = problem(&api.ask("POST", "/v1/tasks", body));
    assert_eq!(status, 413, "{problem}");
}

#[test]
fn defaults_cannot_be_multiplied_without_bound() {
    let api = Api::start(counting());
    let (value, tasks) = ("x".repeat(100_000), vec!["{}"; 1_000].join(","));
    let body =
        format!("{{\"defaults\":{{\"command\":[\"a\"],\"environment\":{{\"A\":\"{value}\"}}}},\"tasks\":[{tasks}]}}");
    let (status, problem) = problem(&api.ask("POST", "/v1/tasks", &body));
    assert_eq!(status, 413, "{problem}");
}
