use serde_json::value::RawValue;

use super::{Batch, Fault, TaskDefaults, TaskRequest, submission};
use crate::task::{Condition, Dependency, Start, Submission, TaskId, Timestamp};

fn one(defaults: &str, task: &str) -> Result<Submission, Fault> {
    let defaults: TaskRequest = serde_json::from_str(defaults).unwrap();
    let task = TaskRequest::parse(&RawValue::from_string(task.to_owned()).unwrap())?;
    submission(task, &defaults, &TaskDefaults::default())
}

#[test]
fn a_task_takes_what_it_leaves_out_from_the_request_then_from_the_daemon() {
    let defaults = r#"{"directory":"/srv","umask":"077","retries":3,"priority":7,"limits":{"open_files":9}}"#;
    let got = one(defaults, r#"{"command":["true"],"priority":1,"limits":{"cpu_seconds":5}}"#).unwrap();
    assert_eq!(got.spec.directory, "/srv".into());
    assert_eq!((got.spec.umask, got.spec.retry.limit, got.placement.priority), (0o077, 3, 1));
    assert_eq!((got.spec.limits.cpu_seconds, got.spec.limits.open_files), (Some(5), Some(9)));
    assert_eq!(got.spec.output_cap_bytes, TaskDefaults::default().output_cap_bytes);
    assert_eq!(got.placement.queue.as_str(), "default");
}

#[test]
fn variables_are_added_to_those_of_the_request() {
    let got = one(r#"{"environment":{"A":"1","B":"1"}}"#, r#"{"shell":"env","environment":{"B":"2"}}"#).unwrap();
    assert_eq!(got.spec.argv, ["/bin/sh".into(), "-c".into(), "env".into()]);
    assert_eq!(got.spec.environment, [("B".into(), "2".into()), ("A".into(), "1".into())]);
}

#[test]
fn a_task_with_its_own_command_ignores_the_default_one() {
    let got = one(r#"{"shell":"sleep 1"}"#, r#"{"command":["true"]}"#).unwrap();
    assert_eq!(got.spec.argv, ["true".into()]);
}

#[test]
fn dependencies_and_start_times_are_taken_over() {
    let got = one("{}", r#"{"command":["x"],"after":[1],"after_any":[2],"at":"1970-01-01T00:00:01Z"}"#).unwrap();
    let on = |on, condition| Dependency { on: TaskId(on), condition };
    assert_eq!(got.placement.after, [on(1, Condition::Success), on(2, Condition::End)]);
    assert_eq!(got.placement.start, Start::At(Timestamp(1_000_000)));
}

#[test]
fn a_timeout_of_zero_is_no_timeout() {
    assert_eq!(one(r#"{"timeout_ms":5}"#, r#"{"command":["x"],"timeout_ms":0}"#).unwrap().spec.timeout_ms, None);
}

#[test]
fn faults_are_told_in_words() {
    let what = |task| one("{}", task).unwrap_err().what;
    assert!(what(r#"{"command":["x"],"prio":1}"#).starts_with(r#"there is no field "prio""#));
    assert!(what(r#"{"command":"x"}"#).starts_with("invalid type: string \"x\", expected a sequence"));
    assert_eq!(what("{}"), "the command is empty");
    assert_eq!(what(r#"{"command":["x"],"shell":"x"}"#), "give a command or a line for the shell, not both");
    assert_eq!(
        what(r#"{"command":["x"],"delay_ms":1,"at":"1970-01-01T00:00:01Z"}"#),
        "give a delay or a start time, not both"
    );
    assert!(what(r#"{"command":["x"],"umask":"9"}"#).starts_with("\"9\" is not a umask"));
    assert_eq!(one("{}", r#"{"command":["x"],"directory":"tmp"}"#).unwrap_err().field, Some("directory"));
    assert_eq!(one(r#"{"stdin":"x"}"#, r#"{"command":["x"]}"#).unwrap_err().field, Some("stdin"));
}

#[test]
fn a_batch_keeps_its_tasks_as_text() {
    let batch: Batch<'_> = serde_json::from_str(r#"{"tasks":[{"command":["a"]},{"nonsense":1}]}"#).unwrap();
    assert!(TaskRequest::parse(batch.tasks[0]).is_ok());
    assert!(TaskRequest::parse(batch.tasks[1]).is_err());
    assert!(serde_json::from_str::<Batch<'_>>(r#"{"task":[]}"#).is_err());
}
