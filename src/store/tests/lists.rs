use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::store::list::LOOKED_AT;
use crate::store::{Filter, Page};
use crate::task::{Attempt, Cost, Outcome};

/// Owner, queue, state, label, schedule.
type Row = (u32, &'static str, State, Option<&'static str>, Option<&'static str>);

fn row() -> impl Strategy<Value = Row> {
    let states = prop_oneof![Just(State::Queued), Just(State::Running), Just(State::Failed)];
    let words = || prop_oneof![3 => Just(None), 1 => Just(Some("x")), 1 => Just(Some("y"))];
    (0..3_u32, prop_oneof![Just("default"), Just("a")], states, words(), words())
}

fn filter() -> impl Strategy<Value = Filter> {
    let maybe = || any::<bool>();
    let states = prop_oneof![
        Just(vec![]),
        Just(vec![State::Failed]),
        Just(vec![State::Running, State::Queued]),
        Just(vec![State::Held])
    ];
    (maybe(), maybe(), maybe(), maybe(), states).prop_map(|(owner, lane, label, schedule, states)| Filter {
        owner: owner.then_some(1),
        states,
        queue: lane.then(|| queue("a")),
        label: label.then(|| "x".parse().unwrap()),
        schedule: schedule.then(|| "y".to_owned()),
    })
}

fn fill(store: &mut SqliteStore, rows: &[Row]) {
    for (owner, name, state, label, schedule) in rows.iter().copied() {
        let label = label.map(|word| word.parse().unwrap());
        let placement = Placement { queue: queue(name), label, ..Placement::default() };
        let draft = &Submission { placement, ..submission() }.into();
        let new = NewTask { owner, draft, state, now: NOW, due: None, open_dependencies: &[], schedule };
        store.insert_task(&new).unwrap();
    }
}

fn wanted(filter: &Filter, (owner, name, state, label, schedule): Row) -> bool {
    filter.owner.is_none_or(|wanted| wanted == owner)
        && filter.queue.as_ref().is_none_or(|wanted| wanted.as_str() == name)
        && (filter.states.is_empty() || filter.states.contains(&state))
        && filter.label.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == label)
        && filter.schedule.as_deref().is_none_or(|wanted| Some(wanted) == schedule)
}

/// Turns all pages; fails where a page claims an end too late.
fn walk(store: &mut SqliteStore, filter: &Filter, limit: usize, oldest_first: bool) -> Vec<TaskId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let listing = store.list(filter, Page { after, limit, oldest_first }).unwrap();
        assert!(listing.lines.len() <= limit);
        ids.extend(listing.lines.iter().map(|line| line.task.id));
        let Some(next) = listing.next else { return ids };
        assert_ne!(after, Some(next), "a page must get on");
        after = Some(next);
    }
}

proptest! {
    #[test]
    fn pages_hold_what_the_filter_wants_in_order_once(
        rows in vec(row(), 0..40), filter in filter(), limit in 1..8_usize, oldest_first in any::<bool>(),
    ) {
        let mut store = SqliteStore::in_memory().unwrap();
        committed(&mut store, |store| fill(store, &rows));
        let matching = (1..).map(TaskId).zip(&rows).filter(|(_, row)| wanted(&filter, **row)).map(|(id, _)| id);
        let mut expected: Vec<_> = matching.collect();
        if !oldest_first {
            expected.reverse();
        }
        prop_assert_eq!(walk(&mut store, &filter, limit, oldest_first), expected);
    }
}

#[test]
fn a_line_shows_what_runs_and_how_the_last_attempt_went() {
    let mut store = SqliteStore::in_memory().unwrap();
    committed(&mut store, |store| {
        let id = insert(store, &submission(), State::Running);
        let page = Page { after: None, limit: 1, oldest_first: false };
        let line = |store: &mut SqliteStore| store.list(&Filter::default(), page).unwrap().lines.remove(0);
        let fresh = line(store);
        assert_eq!((fresh.spec, fresh.outcome, fresh.started_at), (submission().spec, None, None));
        for (number, code) in [(1, 9), (2, 3)] {
            change(store, id, |task| task.attempts = number);
            store.insert_attempt(key(id, number), &claim(), NOW).unwrap();
            let attempt = Attempt {
                number,
                claimed_at: NOW,
                pid: None,
                pid_start: None,
                started_at: Some(Timestamp(i64::from(code))),
                ended_at: Some(NOW),
                outcome: Some(Outcome::Exited { code }),
                cost: Cost::default(),
            };
            store.end_attempt(id, &attempt).unwrap();
        }
        let ended = line(store);
        assert_eq!((ended.outcome, ended.started_at), (Some(Outcome::Exited { code: 3 }), Some(Timestamp(3))));
    });
}

#[test]
fn a_rare_match_among_many_costs_short_pages_not_long_ones() {
    let mut store = SqliteStore::in_memory().unwrap();
    let many = 2 * LOOKED_AT + 100;
    committed(&mut store, |store| {
        fill(store, &[(1, "a", State::Failed, Some("x"), None)]);
        fill(store, &vec![(1, "default", State::Failed, Some("x"), None); many]);
        fill(store, &vec![(1, "a", State::Queued, None, None); 1000]);
    });
    let label = "x".parse().ok();
    let filter = Filter { queue: Some(queue("a")), label, ..Filter::default() };
    let listing = store.list(&filter, Page { after: None, limit: 10, oldest_first: false }).unwrap();
    assert!(listing.lines.is_empty() && listing.next.is_some());
    assert_eq!(walk(&mut store, &filter, 10, false), [TaskId(1)]);
}

#[test]
fn more_users_than_can_be_walked_side_by_side_are_still_listed() {
    let mut store = SqliteStore::in_memory().unwrap();
    let rows: Vec<Row> = (0..200).map(|owner| (owner, "a", State::Failed, None, None)).collect();
    committed(&mut store, |store| {
        fill(store, &rows);
        fill(store, &[(1, "a", State::Queued, None, None)]);
    });
    let filter = Filter { states: vec![State::Failed], ..Filter::default() };
    assert_eq!(walk(&mut store, &filter, 50, true), (1..=200).map(TaskId).collect::<Vec<_>>());
}
