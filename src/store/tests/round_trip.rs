use super::*;
use crate::store::{Candidate, EventFilter, OpenAttempt};
use crate::task::{
    Attempt, Bytes, Condition, Cost, Key, Label, Missed, Mode, Outcome, Overlap, Placement, Rule, Schedule, Signal,
};

fn full_submission() -> Submission {
    let mut spec = spec(&["sh", "-c", "x"]);
    spec.argv.push(Bytes::from(vec![0xff, 0xfe, b'a']));
    spec.directory = Bytes::from(b"/tmp/\xf0\x28".to_vec());
    spec.environment = vec![("PATH".into(), "/bin".into()), ("X".into(), Bytes::from(vec![0x80]))];
    spec.timeout_ms = Some(u64::MAX);
    spec.limits.open_files = Some(7);
    let placement = Placement {
        queue: queue("night"),
        priority: -1000,
        slots: 100_000,
        label: Some("a b ä".parse::<Label>().unwrap()),
        key: Some("k".parse::<Key>().unwrap()),
        ..Placement::default()
    };
    Submission { spec, placement, stdin: Some((0..16 << 20).map(|n: u32| n.to_le_bytes()[1]).collect()) }
}

#[test]
fn a_task_reads_back_as_it_was_given_non_utf8_words_and_16_mib_of_input_included() {
    let place = Place::new();
    let submission = full_submission();
    let mut store = place.open();
    let new = NewTask {
        owner: u32::MAX,
        draft: &submission.clone().into(),
        state: State::Scheduled,
        now: NOW,
        due: Some(Timestamp(i64::MAX)),
        open_dependencies: &[],
        schedule: Some("nightly"),
    };
    let id = committed(&mut store, |store| store.insert_task(&new).unwrap());
    drop(store);
    let mut store = place.open();
    let task = store.task(id).unwrap().unwrap();
    let placement = &submission.placement;
    let expected = Task {
        id: TaskId(1),
        owner: u32::MAX,
        queue: placement.queue.clone(),
        priority: -1000,
        slots: 100_000,
        label: placement.label.clone(),
        key: placement.key.clone(),
        schedule: Some("nightly".to_owned()),
        state: State::Scheduled,
        submitted_at: NOW,
        due: Some(Timestamp(i64::MAX)),
        ended_at: None,
        attempts: 0,
        failures: 0,
        interruptions: 0,
        cancelling: false,
        reason: None,
    };
    assert_eq!(task, expected);
    assert_eq!(store.spec(id).unwrap().as_ref(), Some(&submission.spec));
    assert!(store.stdin(id).unwrap() == submission.stdin);
    assert_eq!(store.task(TaskId(2)).unwrap(), None);
    assert_eq!(store.spec(TaskId(2)).unwrap(), None);
    assert_eq!(store.stdin(TaskId(2)).unwrap(), None);
}

#[test]
fn every_column_that_can_change_does() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let id = insert(store, &submission(), State::Queued);
        let after = change(store, id, |task| {
            task.state = State::Failed;
            task.due = Some(NOW);
            task.priority = 5;
            task.queue = queue("other");
            task.ended_at = Some(Timestamp(2));
            task.attempts = 3;
            task.failures = 2;
            task.interruptions = 1;
            task.cancelling = true;
            task.reason = Some("why".to_owned());
        });
        assert_eq!(store.task(id).unwrap(), Some(after));
    });
}

#[test]
fn an_empty_input_is_not_no_input() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let id = insert(store, &Submission { stdin: Some(Vec::new()), ..submission() }, State::Queued);
        assert_eq!(store.stdin(id).unwrap(), Some(Vec::new()));
    });
}

#[test]
fn a_key_finds_its_owners_task_until_that_has_ended() {
    let mut store = SqliteStore::in_memory().unwrap();
    let word: Key = "once".parse().unwrap();
    let placement = Placement { key: Some(word.clone()), ..Placement::default() };
    let submission = Submission { placement, ..submission() };
    committed(&mut store, |store| {
        let id = insert(store, &submission, State::Running);
        assert_eq!(store.task_with_key(1000, &word).unwrap(), Some(id));
        assert_eq!(store.task_with_key(1001, &word).unwrap(), None);
        change(store, id, |task| task.state = State::Cancelled);
        assert_eq!(store.task_with_key(1000, &word).unwrap(), None);
        let second = insert(store, &submission, State::Queued);
        assert_eq!(store.task_with_key(1000, &word).unwrap(), Some(second));
    });
}

#[test]
fn candidates_come_by_priority_then_by_age_and_only_while_queued() {
    let mut store = SqliteStore::in_memory().unwrap();
    let with = |priority, queue_name| {
        let placement = Placement { priority, queue: queue(queue_name), slots: 2, ..Placement::default() };
        Submission { placement, ..submission() }
    };
    committed(&mut store, |store| {
        let low = insert(store, &with(-1, "default"), State::Queued);
        let high = insert(store, &with(9, "default"), State::Queued);
        let second = insert(store, &with(9, "default"), State::Queued);
        insert(store, &with(10, "default"), State::Held);
        insert(store, &with(10, "b"), State::Queued);
        let found = store.candidates(&QueueName::default(), 10).unwrap();
        let expected = [(high, 9), (second, 9), (low, -1)].map(|(id, priority)| Candidate { id, priority, slots: 2 });
        assert_eq!(found, expected);
        assert_eq!(store.candidates(&QueueName::default(), 1).unwrap(), expected[..1]);
        change(store, high, |task| task.state = State::Running);
        assert_eq!(store.candidates(&QueueName::default(), 1).unwrap(), expected[1..2]);
        assert_eq!(store.candidates(&queue("unheard-of"), 1).unwrap(), []);
    });
}

#[test]
fn scheduled_tasks_come_when_due_earliest_first() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        assert_eq!(store.next_due().unwrap(), None);
        let mut at = |state, due| insert_for(store, 1, &submission(), state, Some(Timestamp(due)), &[]);
        let late = at(State::Scheduled, 30);
        let early = at(State::Scheduled, 10);
        at(State::Held, 5);
        assert_eq!(store.next_due().unwrap(), Some(Timestamp(10)));
        assert_eq!(store.due(Timestamp(9), 10).unwrap(), []);
        assert_eq!(store.due(Timestamp(30), 10).unwrap(), [early, late]);
        assert_eq!(store.due(Timestamp(30), 1).unwrap(), [early]);
    });
}

#[test]
fn dependencies_are_found_from_both_ends_until_struck() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let (a, b) = (insert(store, &submission(), State::Queued), insert(store, &submission(), State::Queued));
        let on = |on, condition| Dependency { on, condition };
        let open = [on(a, Condition::Success), on(b, Condition::End)];
        let c = insert_for(store, 1, &submission(), State::Waiting, None, &open);
        let d = insert_for(store, 1, &submission(), State::Waiting, None, &open[..1]);
        assert_eq!(store.open_dependencies(c).unwrap(), open);
        assert_eq!(store.dependents(a, 10).unwrap(), [(c, Condition::Success), (d, Condition::Success)]);
        assert_eq!(store.dependents(a, 1).unwrap(), [(c, Condition::Success)]);
        assert_eq!(store.strike_dependency(c, a).unwrap(), 1);
        assert_eq!(store.strike_dependency(c, b).unwrap(), 0);
        assert_eq!(store.dependents(b, 10).unwrap(), []);
        assert_eq!(store.open_dependencies(c).unwrap(), []);
    });
}

fn ended(number: u32, outcome: Outcome, output_bytes: u64) -> Attempt {
    let cost = Cost { user_us: 1, system_us: 2, max_rss_bytes: 3, output_bytes, dropped_bytes: 5 };
    Attempt {
        number,
        claimed_at: NOW,
        pid: Some(42),
        pid_start: Some(1 << 40),
        started_at: Some(NOW),
        ended_at: Some(Timestamp(NOW.0 + 1)),
        outcome: Some(outcome),
        cost,
    }
}

#[test]
fn an_attempt_is_open_from_its_claim_to_its_end() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let id = insert(store, &submission(), State::Running);
        let claim = Claim { lease_until: Some(Timestamp(9)), ..claim() };
        store.insert_attempt(key(id, 1), &claim, NOW).unwrap();
        let mut open = OpenAttempt { key: key(id, 1), claim, pid: None, pid_start: None };
        assert_eq!(store.open_attempts().unwrap(), std::slice::from_ref(&open));
        store.note_started(key(id, 1), 42, 1 << 40, NOW).unwrap();
        (open.pid, open.pid_start) = (Some(42), Some(1 << 40));
        assert_eq!(store.open_attempts().unwrap(), [open]);
        let first = ended(1, Outcome::Signalled { signal: Signal::KILL, core_dumped: true }, 7);
        store.end_attempt(id, &first).unwrap();
        assert_eq!(store.open_attempts().unwrap(), []);
        assert_eq!(store.output_bytes().unwrap(), 7);
        store.insert_attempt(key(id, 2), &super::claim(), NOW).unwrap();
        store.remove_attempt(key(id, 2)).unwrap();
        store.insert_attempt(key(id, 2), &super::claim(), NOW).unwrap();
        let second = ended(2, Outcome::NotStarted { reason: "no".to_owned(), code: 127 }, 4);
        store.end_attempt(id, &second).unwrap();
        store.end_attempt(id, &second).unwrap();
        assert_eq!(store.output_bytes().unwrap(), 11);
        assert_eq!(store.attempt(key(id, 1)).unwrap().as_ref(), Some(&first));
        assert_eq!(store.attempts(id).unwrap(), [first, second]);
        assert_eq!(store.attempt(key(id, 3)).unwrap(), None);
    });
}

#[test]
fn a_removed_task_leaves_nothing_but_its_events() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let id = insert(store, &Submission { stdin: Some(vec![1]), ..submission() }, State::Running);
        let event = submitted(store, id);
        store.insert_attempt(key(id, 1), &claim(), NOW).unwrap();
        store.end_attempt(id, &ended(1, Outcome::TimedOut, 7)).unwrap();
        let task = change(store, id, |task| task.state = State::TimedOut);
        store.remove_task(&task).unwrap();
        assert_eq!(store.task(id).unwrap(), None);
        assert_eq!(store.spec(id).unwrap(), None);
        assert_eq!(store.stdin(id).unwrap(), None);
        assert_eq!(store.attempts(id).unwrap(), []);
        assert_eq!(store.output_bytes().unwrap(), 0);
        assert!(store.counts().unwrap().is_empty());
        assert_eq!(store.events(&EventFilter::default(), 10).unwrap().events, [event]);
    });
}

#[test]
fn what_ended_is_found_by_when_it_ended() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let ids: Vec<_> = (0..3).map(|_| insert(store, &submission(), State::Running)).collect();
        for (id, at) in ids.iter().zip([30, 10, 20]) {
            change(store, *id, |task| (task.state, task.ended_at) = (State::Succeeded, Some(Timestamp(at))));
        }
        let found = |store: &mut SqliteStore, before, limit| {
            store.ended_before(Timestamp(before), limit).unwrap().iter().map(|task| task.id).collect::<Vec<_>>()
        };
        assert_eq!(found(store, 30, 10), [ids[1], ids[2]]);
        assert_eq!(found(store, 99, 1), [ids[1]]);
        change(store, ids[1], |task| (task.state, task.ended_at) = (State::Queued, None));
        assert_eq!(found(store, 99, 10), [ids[2], ids[0]]);
    });
}

#[test]
fn the_history_reads_in_pages_by_task_and_by_owner() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let name = QueueName::default();
        let mut append = |about, kind| store.append_event(NOW, about, &name, kind).unwrap();
        let a = append(Some((TaskId(1), 7)), EventKind::Held);
        let b = append(Some((TaskId(2), 8)), EventKind::Cancelling);
        let c = append(None, EventKind::QueuePaused);
        let outcome = Some(Outcome::Exited { code: 3 });
        let kind = EventKind::Ended { attempt: 1, outcome, state: State::Failed, due: None, reason: None };
        let d = append(Some((TaskId(1), 7)), kind);
        assert_eq!([a.seq, b.seq, c.seq, d.seq], [1, 2, 3, 4]);
        assert_eq!(store.last_event().unwrap(), 4);
        let page = |filter, limit| {
            let page = store.events(&filter, limit).unwrap();
            (page.events, page.next)
        };
        let mut page = page;
        let all = EventFilter::default();
        assert_eq!(page(all, 3), (vec![a.clone(), b, c.clone()], 3));
        assert_eq!(page(EventFilter { after: 3, ..all }, 3), (vec![d.clone()], 4));
        assert_eq!(page(EventFilter { after: 4, ..all }, 3), (vec![], 4));
        assert_eq!(page(EventFilter { task: Some(TaskId(1)), ..all }, 3), (vec![a.clone(), d.clone()], 4));
        assert_eq!(page(EventFilter { owner: Some(7), ..all }, 9), (vec![a, c, d], 4));
    });
}

#[test]
fn old_events_go_and_their_numbers_stay_taken() {
    let place = Place::new();
    let mut store = place.open();
    committed(&mut store, |store| {
        for at in [1, 2, 3] {
            store.append_event(Timestamp(at), None, &QueueName::default(), EventKind::QueueChanged).unwrap();
        }
        assert_eq!(store.remove_events(Timestamp(3), 1).unwrap(), 1);
        assert_eq!(store.remove_events(Timestamp(9), 10).unwrap(), 2);
        assert_eq!(store.remove_events(Timestamp(9), 10).unwrap(), 0);
    });
    drop(store);
    let mut store = place.open();
    assert_eq!(store.last_event().unwrap(), 3);
    let event =
        committed(&mut store, |store| store.append_event(NOW, None, &queue("x"), EventKind::QueueRemoved).unwrap());
    assert_eq!(event.seq, 4);
}

#[test]
fn the_numbers_of_removed_tasks_are_never_given_again() {
    let place = Place::new();
    let mut store = place.open();
    committed(&mut store, |store| {
        let ids: Vec<_> = (0..3).map(|_| insert(store, &submission(), State::Cancelled)).collect();
        let task = store.task(ids[2]).unwrap().unwrap();
        store.remove_task(&task).unwrap();
    });
    drop(store);
    let mut store = place.open();
    assert_eq!(committed(&mut store, |store| insert(store, &submission(), State::Queued)), TaskId(4));
}

#[test]
fn queues_and_schedules_read_back_are_replaced_and_removed() {
    let mut store = SqliteStore::in_memory().unwrap();
    let mut night = plain_queue("night");
    let mut nightly = Schedule {
        name: "nightly".to_owned(),
        owner: 7,
        rule: Rule::Calendar { expression: "@daily".to_owned(), zone: None },
        missed: Missed::All,
        overlap: Overlap::Queue,
        spec: spec(&["true"]),
        placement: Placement::default(),
        paused: false,
        next: Some(NOW),
        last_run: None,
    };
    committed(&mut store, |store| {
        store.put_queue(&night).unwrap();
        store.put_queue(&plain_queue("day")).unwrap();
        night.mode = Mode::Draining;
        store.put_queue(&night).unwrap();
        assert_eq!(store.queues().unwrap(), [plain_queue("day"), night]);
        store.remove_queue(&queue("night")).unwrap();
        assert_eq!(store.queues().unwrap(), [plain_queue("day")]);
        store.put_schedule(&nightly).unwrap();
        nightly.last_run = Some(TaskId(5));
        store.put_schedule(&nightly).unwrap();
        assert_eq!(store.schedules().unwrap(), [nightly]);
        store.remove_schedule(8, "nightly").unwrap();
        assert_eq!(store.schedules().unwrap().len(), 1);
        store.remove_schedule(7, "nightly").unwrap();
        assert_eq!(store.schedules().unwrap(), []);
    });
}

#[test]
fn the_identity_lasts() {
    let place = Place::new();
    let identity = place.open().identity().to_owned();
    assert_eq!(identity.len(), 32);
    assert!(identity.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(place.open().identity(), identity);
    assert_ne!(Place::new().open().identity(), identity);
    assert!(place.open().free_bytes().unwrap() > 0);
}

#[test]
fn the_first_queued_task_is_told_with_when_it_became_so() {
    let mut store = SqliteStore::in_memory().unwrap();
    store.begin().unwrap();
    assert_eq!(store.first_queued(&queue("default")).unwrap(), None);
    let draft = submission().into();
    let new = |owner, state| NewTask {
        owner,
        draft: &draft,
        state,
        now: NOW,
        due: None,
        open_dependencies: &[],
        schedule: None,
    };
    store.insert_task(&new(1, State::Held)).unwrap();
    let first = store.insert_task(&new(2, State::Queued)).unwrap();
    store.insert_task(&new(1, State::Queued)).unwrap();
    assert_eq!(store.first_queued(&queue("default")).unwrap(), Some((first, NOW)), "its events are gone");
    let later = NOW + std::time::Duration::from_secs(5);
    let kind = EventKind::Retried { state: State::Queued };
    store.append_event(later, Some((first, 2)), &queue("default"), kind).unwrap();
    assert_eq!(store.first_queued(&queue("default")).unwrap(), Some((first, later)));
}
