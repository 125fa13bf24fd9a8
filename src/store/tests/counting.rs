use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;

use super::*;
use crate::store::{Counts, codes};
use crate::task::{Attempt, Cost, Outcome};

#[derive(Debug, Clone)]
enum Step {
    Insert { owner: u32, queue: &'static str, state: State },
    Move { task: Index, queue: &'static str, state: State },
    Output { task: Index, bytes: u64 },
    Remove { task: Index },
    Commit,
    Rollback,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let queues = || prop_oneof![Just("default"), Just("a"), Just("b")];
    let states = || (0..State::ALL.len()).prop_map(|index| State::ALL[index]);
    prop_oneof![
        4 => (0..3_u32, queues(), states()).prop_map(|(owner, queue, state)| Step::Insert { owner, queue, state }),
        6 => (any::<Index>(), queues(), states()).prop_map(|(task, queue, state)| Step::Move { task, queue, state }),
        2 => (any::<Index>(), 0..1000_u64).prop_map(|(task, bytes)| Step::Output { task, bytes }),
        2 => any::<Index>().prop_map(|task| Step::Remove { task }),
        1 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Crash),
    ]
}

fn ids(store: &SqliteStore) -> Vec<TaskId> {
    let mut all = store.db.conn().prepare("SELECT id FROM tasks ORDER BY id").unwrap();
    all.query_map((), |row| row.get(0).map(TaskId)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn pick(store: &SqliteStore, index: Index) -> Option<TaskId> {
    let ids = ids(store);
    (!ids.is_empty()).then(|| *index.get(&ids))
}

fn really_counted(store: &SqliteStore) -> BTreeMap<QueueName, Counts> {
    let sql = "SELECT l.name, t.state, count(*) FROM tasks t JOIN lanes l ON l.id = t.lane GROUP BY 1, 2";
    let mut count = store.db.conn().prepare(sql).unwrap();
    let mut counts = BTreeMap::<QueueName, Counts>::new();
    let mut rows = count.query(()).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let name: String = row.get(0).unwrap();
        let state = codes::to_state(row.get(1).unwrap()).unwrap();
        counts.entry(name.parse().unwrap()).or_default().insert(state, row.get(2).map(i64::unsigned_abs).unwrap());
    }
    counts
}

fn really_kept(store: &SqliteStore) -> u64 {
    let sql = "SELECT coalesce(sum(output_bytes), 0) FROM attempts WHERE ended_at IS NOT NULL";
    store.db.conn().query_row(sql, (), |row| row.get(0).map(i64::unsigned_abs)).unwrap()
}

fn end_another_attempt(store: &mut SqliteStore, id: TaskId, output_bytes: u64) {
    let number = change(store, id, |task| task.attempts += 1).attempts;
    store.insert_attempt(key(id, number), &claim(), NOW).unwrap();
    let cost = Cost { output_bytes, ..Cost::default() };
    let (ended_at, outcome) = (Some(NOW), Some(Outcome::Interrupted));
    let attempt =
        Attempt { number, claimed_at: NOW, pid: None, pid_start: None, started_at: None, ended_at, outcome, cost };
    store.end_attempt(id, &attempt).unwrap();
}

fn take(mut store: SqliteStore, step: Step) -> SqliteStore {
    match step {
        Step::Insert { owner, queue: name, state } => {
            let placement = Placement { queue: queue(name), ..Placement::default() };
            insert_for(&mut store, owner, &Submission { placement, ..submission() }, state, None, &[]);
        }
        Step::Move { task, queue: name, state } => {
            if let Some(id) = pick(&store, task) {
                change(&mut store, id, |task| (task.queue, task.state) = (queue(name), state));
            }
        }
        Step::Output { task, bytes } => {
            if let Some(id) = pick(&store, task) {
                end_another_attempt(&mut store, id, bytes);
            }
        }
        Step::Remove { task } => {
            if let Some(id) = pick(&store, task) {
                let task = store.task(id).unwrap().unwrap();
                store.remove_task(&task).unwrap();
            }
        }
        Step::Commit => {
            store.commit().unwrap();
            store.begin().unwrap();
        }
        Step::Rollback => {
            store.rollback();
            store.begin().unwrap();
        }
        Step::Crash => {
            store = store.crash().unwrap();
            store.begin().unwrap();
        }
    }
    store
}

proptest! {
    #[test]
    fn counts_and_output_equal_what_is_there_at_any_moment(steps in vec(step(), 1..60)) {
        let mut store = SqliteStore::in_memory().unwrap();
        store.begin().unwrap();
        for step in steps {
            store = take(store, step);
            prop_assert_eq!(store.counts().unwrap(), really_counted(&store));
            prop_assert_eq!(store.output_bytes().unwrap(), really_kept(&store));
        }
        store.commit().unwrap();
        let before = store.counts().unwrap();
        let mut store = store.crash().unwrap();
        prop_assert_eq!(store.counts().unwrap(), before);
    }
}

#[test]
fn a_rollback_forgets_counts_numbers_and_queue_names() {
    let mut store = SqliteStore::in_memory().unwrap();
    store.begin().unwrap();
    let placement = Placement { queue: queue("new"), ..Placement::default() };
    let id = insert(&mut store, &Submission { placement, ..submission() }, State::Queued);
    submitted(&mut store, id);
    store.insert_attempt(key(id, 1), &claim(), NOW).unwrap();
    store.rollback();
    assert!(store.counts().unwrap().is_empty());
    assert_eq!(store.last_event().unwrap(), 0);
    assert_eq!(store.task(id).unwrap(), None);
    committed(&mut store, |store| {
        let placement = Placement { queue: queue("other"), ..Placement::default() };
        assert_eq!(insert(store, &Submission { placement, ..submission() }, State::Queued), id);
        store.insert_attempt(key(id, 1), &claim(), NOW).unwrap();
    });
    assert_eq!(store.task(id).unwrap().unwrap().queue, queue("other"));
    assert_eq!(store.open_attempts().unwrap()[0].claim, claim());
}
