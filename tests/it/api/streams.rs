//! Waiting and following: nothing is missed, and a restart of the daemon is not noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskdaemon::api::{Hub, Settings};
use taskdaemon::client::{ClientError, Patience};
use taskdaemon::engine::{Command, EventPage, Query, Refusal, Reply};
use taskdaemon::task::{Event, EventKind, State, TaskId};
use taskdaemon::wire::api::{WaitLine, WaitMode, WaitRequest};

use super::fake::{Api, counting, ended, event, status};

const PATIENCE: Patience = Patience::For(Duration::from_secs(20));

fn wait_for(ids: impl IntoIterator<Item = i64>) -> WaitRequest {
    WaitRequest { ids: Some(ids.into_iter().map(TaskId).collect()), ..WaitRequest::default() }
}

fn told(id: i64, state: State, exit_code: i32) -> WaitLine {
    WaitLine::Ended { id: TaskId(id), state, exit_code }
}

/// A history that followers can read.
fn history(
    events: &Arc<Mutex<Vec<Event>>>,
) -> impl FnMut(taskdaemon::engine::Caller, Command) -> Result<Reply, Refusal> + Send + 'static {
    let events = Arc::clone(events);
    move |_, command| {
        let events = events.lock().unwrap();
        match command {
            Command::Read(Query::Status) => Ok(Reply::Status(Box::new(status(events.last().map_or(0, |it| it.seq))))),
            Command::Read(Query::Events(filter, limit)) => {
                let after = events.iter().filter(|event| event.seq > filter.after);
                let events: Vec<_> = after.take(limit).cloned().collect();
                let next = events.last().map_or(filter.after, |event| event.seq);
                Ok(Reply::Events(EventPage { events, next }))
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn happen(hub: &Hub, events: &Arc<Mutex<Vec<Event>>>, new: Vec<Event>) {
    events.lock().unwrap().extend(new.clone());
    hub.publish(&new);
}

#[test]
fn a_wait_tells_each_end_and_then_that_it_is_over() {
    let api = Api::start(counting());
    let mut waiting = api.client().wait(wait_for([1, 2]), PATIENCE).unwrap();
    api.hub.publish(&[ended(1, 2, State::Failed), ended(2, 1, State::Queued), ended(3, 1, State::Succeeded)]);
    let lines: Vec<_> = waiting.by_ref().map(Result::unwrap).collect();
    assert_eq!(lines, [told(2, State::Failed, 1), told(1, State::Succeeded, 0), WaitLine::Done]);
}

#[test]
fn what_has_ended_already_is_told_at_once() {
    let api = Api::start(|_, command| match command {
        Command::Read(Query::States(ids)) => {
            Ok(Reply::States(ids.into_iter().map(|id| (id, State::TimedOut, Some(124))).collect()))
        }
        other => panic!("unexpected {other:?}"),
    });
    let lines: Vec<_> = api.client().wait(wait_for([5]), PATIENCE).unwrap().map(Result::unwrap).collect();
    assert_eq!(lines, [told(5, State::TimedOut, 124), WaitLine::Done]);
}

#[test]
fn a_wait_for_any_is_over_with_the_first_end() {
    let api = Api::start(counting());
    let request = WaitRequest { mode: WaitMode::Any, ..wait_for([1, 2]) };
    let waiting = api.client().wait(request, PATIENCE).unwrap();
    api.hub.publish(&[ended(1, 2, State::Cancelled)]);
    let lines: Vec<_> = waiting.map(Result::unwrap).collect();
    assert_eq!(lines, [told(2, State::Cancelled, 143), WaitLine::Done]);
}

#[test]
fn a_wait_ends_with_its_deadline() {
    let api = Api::start(counting());
    let request = WaitRequest { timeout_ms: Some(50), ..wait_for([1, 2]) };
    let lines: Vec<_> = api.client().wait(request, PATIENCE).unwrap().map(Result::unwrap).collect();
    assert_eq!(lines, [WaitLine::Timeout { open: 2 }]);
}

#[test]
fn a_wait_for_what_does_not_exist_is_refused() {
    let api = Api::start(|_, _| Ok(Reply::States(Vec::new())));
    match api.client().wait(wait_for([7]), PATIENCE) {
        Err(ClientError::Problem(problem)) => assert_eq!(problem.kind(), "no-task"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ten_thousand_tasks_can_be_waited_for_across_a_restart() {
    let mut api = Api::start(counting());
    let mut waiting = api.client().wait(wait_for(1..=10_000), PATIENCE).unwrap();
    let half: Vec<_> = (1..=5_000).map(|id| ended(id, id, State::Succeeded)).collect();
    api.hub.publish(&half);
    let first: Vec<_> = waiting.by_ref().take(5_000).map(Result::unwrap).collect();
    api.stop();
    api.serve(Settings::default());
    // The listener is there once the client has come back: what ends before is told by its state.
    let hub = api.hub.clone();
    let ends = std::thread::spawn(move || {
        for id in 5_001..=10_000 {
            std::thread::sleep(Duration::from_micros(200));
            hub.publish(&[ended(id, id, State::Succeeded)]);
            hub.publish(&[ended(id, 15_001 - id, State::Succeeded)]);
        }
    });
    let rest: Vec<_> = waiting.map(Result::unwrap).collect();
    ends.join().unwrap();
    assert_eq!(first.len() + rest.len(), 10_001);
    assert_eq!(rest.last(), Some(&WaitLine::Done));
}

#[test]
fn a_follower_gets_every_event_once_across_a_restart() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let mut api = Api::start(history(&events));
    happen(&api.hub, &events, vec![event(1, 1, EventKind::Held)]);
    let mut following = api.client().events(None, None, PATIENCE).unwrap();
    happen(&api.hub, &events, (2..=3_000).map(|seq| event(seq, seq, EventKind::Held)).collect());
    let mut seen: Vec<_> = following.by_ref().take(1_000).map(|event| event.unwrap().seq).collect();
    api.stop();
    happen(&api.hub, &events, (3_001..=9_000).map(|seq| event(seq, seq, EventKind::Held)).collect());
    api.serve(Settings::default());
    seen.extend(following.by_ref().take(7_999).map(|event| event.unwrap().seq));
    assert!(seen.into_iter().eq(2..=9_000));
}

#[test]
fn a_follower_that_does_not_read_keeps_nobody_from_anything() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let api = Api::start(history(&events));
    let mut lazy = api.client().events(Some(0), None, PATIENCE).unwrap();
    let mut quick = api.client().events(Some(0), None, PATIENCE).unwrap();
    for start in (0..50_000).step_by(1_000) {
        happen(&api.hub, &events, (start + 1..=start + 1_000).map(|seq| event(seq, seq, EventKind::Held)).collect());
    }
    let last = quick.by_ref().take(50_000).last().unwrap().unwrap();
    assert_eq!(last.seq, 50_000);
    let last = lazy.by_ref().take(50_000).last().unwrap().unwrap();
    assert_eq!(last.seq, 50_000);
}

#[test]
fn streams_end_in_good_order_when_the_daemon_stops() {
    let mut api = Api::start(counting());
    let body = "{\"ids\":[1]}";
    let request = format!("POST /v1/wait HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut stream = api.connect();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut first = [0; 1];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    api.stop();
    let text = super::fake::read_all(stream);
    let (stream, rest) = text.split_once("\r\n0\r\n\r\n").unwrap_or_else(|| panic!("it has no end: {text}"));
    assert!(stream.ends_with("{\"event\":\"stopping\",\"open\":1}\n"), "{text}");
    // To whoever might just be sending the next request on the same connection.
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408 Request not taken\r\n"), "{text}");
}

#[test]
fn what_was_removed_while_the_daemon_was_away_is_told_as_removed() {
    let gone = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&gone);
    let mut api = Api::start(move |_, command| match command {
        Command::Read(Query::States(_)) if answers.load(Ordering::SeqCst) => Ok(Reply::States(Vec::new())),
        Command::Read(Query::States(ids)) => {
            Ok(Reply::States(ids.into_iter().map(|id| (id, State::Running, None)).collect()))
        }
        other => panic!("unexpected {other:?}"),
    });
    let waiting = api.client().wait(wait_for([4]), PATIENCE).unwrap();
    api.stop();
    gone.store(true, Ordering::SeqCst);
    api.serve(Settings::default());
    let lines: Vec<_> = waiting.map(Result::unwrap).collect();
    assert_eq!(lines, [WaitLine::Removed { id: TaskId(4) }, WaitLine::Done]);
}

#[test]
fn a_wait_keeps_its_deadline_while_the_daemon_is_away() {
    let mut api = Api::start(counting());
    let request = WaitRequest { timeout_ms: Some(200), ..wait_for([1]) };
    let waiting = api.client().wait(request, Patience::Endless).unwrap();
    api.stop();
    let lines: Vec<_> = waiting.map(Result::unwrap).collect();
    assert_eq!(lines, [WaitLine::Timeout { open: 1 }]);
}
