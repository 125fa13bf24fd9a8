//! Batches: lines become tasks in their order, and a fault names its line.

use taskdaemon::client::{BatchDone, ClientError};
use taskdaemon::engine::{Command, Refusal, Reply};
use taskdaemon::task::{QueueName, TaskId};
use taskdaemon::wire::api::TaskRequest;

use super::fake::{Api, counting};

fn defaults() -> TaskRequest {
    TaskRequest { directory: Some("/tmp".into()), ..TaskRequest::default() }
}

fn submit(api: &Api, lines: &str) -> (Result<BatchDone, ClientError>, Vec<TaskId>) {
    let mut ids = Vec::new();
    let done = api.client().submit_batch(lines.as_bytes(), &defaults(), |accepted| ids.extend(&accepted.ids));
    (done, ids)
}

#[test]
fn ids_follow_the_lines_whatever_their_number() {
    let api = Api::start(counting());
    let lines = "{\"command\":[\"true\"]}\n\n".repeat(5_001);
    let (done, ids) = submit(&api, &lines);
    assert_eq!(done.unwrap(), BatchDone { accepted: 5_001, existing: 0, lines: 10_002 });
    assert!(ids.into_iter().eq((1..=5_001).map(TaskId)));
}

#[test]
fn a_fault_names_its_line_and_what_stands_before_it_is_accepted() {
    let api = Api::start(counting());
    let good = "{\"command\":[\"true\"]}\n".repeat(16);
    let faulty = [
        ("{\"command\":[\"true\"],\"prio\":1}\n", "there is no field \"prio\""),
        ("{\"command\":[\"true\"]\n", "EOF while parsing"),
        ("{\"command\":[\"a\"]},{\"command\":[\"b\"]}\n", "trailing characters"),
        ("]}\n", "expected value"),
        ("17\n", "invalid type"),
    ];
    for (line, words) in faulty {
        let (done, ids) = submit(&api, &format!("{good}{line}{good}"));
        match done {
            Err(ClientError::Line { line, detail, accepted, .. }) => {
                assert_eq!((line, accepted, ids.len()), (17, 16, 16));
                assert!(detail.contains(words), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_refusal_in_the_middle_says_how_far_it_came() {
    let mut left = 2;
    let mut count = counting();
    let api = Api::start(move |caller, command| match command {
        Command::Submit(_) if left == 0 => {
            Err(Refusal::QueueFull { queue: QueueName::default(), length: 4_000, max: 4_000 })
        }
        command => {
            left -= 1;
            count(caller, command)
        }
    });
    let (done, ids) = submit(&api, &"{\"command\":[\"true\"]}\n".repeat(5_000));
    match done {
        Err(ClientError::Stopped { line: 4_001, accepted: 4_000, source }) => {
            assert!(matches!(*source, ClientError::Problem(problem) if problem.kind() == "queue-full"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ids.len(), 4_000);
}

#[test]
fn tasks_that_were_there_already_are_counted() {
    let api = Api::start(|_, command| match command {
        Command::Submit(tasks) => Ok(Reply::Accepted(tasks.iter().map(|_| (TaskId(3), true)).collect())),
        other => panic!("unexpected {other:?}"),
    });
    let (done, _) = submit(&api, "{\"command\":[\"true\"],\"key\":\"k\"}\n");
    assert_eq!(done.unwrap(), BatchDone { accepted: 1, existing: 1, lines: 1 });
}
