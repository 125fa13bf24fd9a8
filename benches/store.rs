//! What the store costs at a million tasks: `cargo bench --bench store [-- TASKS]`.
//!
//! Everything happens on one real file in the directory for temporary files; times are of the wall and, where they
//! say so, of the CPU (getrusage(2)).
#![expect(clippy::print_stdout, reason = "a bench has nothing else to say it with")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use taskdaemon::store::{EventFilter, Filter, NewTask, Page, Settings, SqliteStore, Store};
use taskdaemon::task::{
    Attempt, AttemptKey, Claim, Cost, EventKind, Limits, OnInterrupt, Outcome, Placement, QueueName, Retry, Spec,
    State, Stop, Submission, TaskId, Timestamp,
};

const BATCH: u32 = 1000;

fn submission() -> Submission {
    let words = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let spec = Spec {
        argv: ["gzip", "--keep", "/srv/archive/2026/november/measurements.csv"].map(Into::into).to_vec(),
        directory: "/srv/archive".into(),
        environment: words(&[("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/home/u"), ("LANG", "C.UTF-8")]),
        umask: 0o22,
        timeout_ms: None,
        stop: Stop::default(),
        retry: Retry::default(),
        on_interrupt: OnInterrupt::default(),
        limits: Limits::default(),
        nice: 0,
        output_cap_bytes: 1 << 20,
    };
    Submission { spec, placement: Placement::default(), stdin: None }
}

fn cpu() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = [used.user_time(), used.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Duration::from_micros(micros.iter().sum::<i64>().try_into().unwrap())
}

fn say(what: &str, count: u32, wall: Duration, cpu: Duration) {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(count);
    println!("{what:<44} {:>9.2} µs wall {:>9.2} µs CPU {:>9.0}/s", each(wall), each(cpu), 1e6 / each(wall));
}

fn timed<T>(what: &str, count: u32, run: impl FnOnce() -> T) -> T {
    let (wall, before) = (Instant::now(), cpu());
    let value = run();
    say(what, count, wall.elapsed(), cpu() - before);
    value
}

fn submit(store: &mut SqliteStore, total: u32) {
    let draft = submission().into();
    let queue = QueueName::default();
    let state = State::Queued;
    for batch in 0..total / BATCH {
        let now = Timestamp(1_700_000_000_000_000 + i64::from(batch));
        store.begin().unwrap();
        for _ in 0..BATCH {
            let new =
                NewTask { owner: 1000, draft: &draft, state, now, due: None, open_dependencies: &[], schedule: None };
            let id = store.insert_task(&new).unwrap();
            store.append_event(now, Some((id, 1000)), &queue, EventKind::Submitted { state }).unwrap();
        }
        store.commit().unwrap();
    }
}

fn claim(store: &mut SqliteStore, id: TaskId, claim: &Claim, now: Timestamp) {
    let before = store.task(id).unwrap().unwrap();
    let mut after = before.clone();
    (after.state, after.attempts) = (State::Running, 1);
    store.update_task(&before, &after).unwrap();
    store.insert_attempt(AttemptKey { task: id, attempt: 1 }, claim, now).unwrap();
    store.append_event(now, Some((id, before.owner)), &before.queue, EventKind::Started { attempt: 1 }).unwrap();
}

fn end(store: &mut SqliteStore, id: TaskId, now: Timestamp) {
    let outcome = Some(Outcome::Exited { code: 0 });
    let attempt = Attempt {
        number: 1,
        claimed_at: now,
        pid: Some(4711),
        pid_start: Some(99_999),
        started_at: Some(now),
        ended_at: Some(now),
        outcome: outcome.clone(),
        cost: Cost { user_us: 500, system_us: 700, max_rss_bytes: 1 << 20, output_bytes: 0, dropped_bytes: 0 },
    };
    store.end_attempt(id, &attempt).unwrap();
    let before = store.task(id).unwrap().unwrap();
    let mut after = before.clone();
    (after.state, after.ended_at) = (State::Succeeded, Some(now));
    store.update_task(&before, &after).unwrap();
    let kind = EventKind::Ended { attempt: 1, outcome, state: after.state, due: None, reason: None };
    store.append_event(now, Some((id, before.owner)), &before.queue, kind).unwrap();
}

/// Claims and ends `count` tasks, `group` in each commit; tells the longest beats too.
fn drain(store: &mut SqliteStore, count: u32, group: u32) {
    let who = Claim { owner: "o".repeat(32), runner: "r".repeat(32), boot: "b".repeat(36), lease_until: None };
    let now = Timestamp(1_800_000_000_000_000);
    let queue = QueueName::default();
    let mut beats = Vec::new();
    timed(&format!("claim and end, {group} in a commit"), count, || {
        let mut running = Vec::new();
        for _ in 0..=count / group {
            let began = Instant::now();
            store.begin().unwrap();
            for id in running.drain(..) {
                end(store, id, now);
            }
            for candidate in store.candidates(&queue, usize::try_from(group).unwrap()).unwrap() {
                claim(store, candidate.id, &who, now);
                running.push(candidate.id);
            }
            store.commit().unwrap();
            beats.push(began.elapsed());
        }
    });
    beats.sort_unstable();
    let at = |per_mille: usize| beats[(beats.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
    println!(
        "{:<44} {:.2} / {:.2} / {:.2} / {:.2} ms",
        "  beats: p50, p99, p99.9, longest",
        at(500),
        at(990),
        at(999),
        at(1000)
    );
}

fn lists(store: &mut SqliteStore) {
    let page = Page { after: None, limit: 50, oldest_first: false };
    let all = Filter::default();
    let failed = Filter { states: vec![State::Failed], ..all.clone() };
    let ended = Filter { states: vec![State::Succeeded], ..all.clone() };
    let open = Filter { states: vec![State::Queued, State::Running, State::Held], ..all.clone() };
    let stranger = Filter { owner: Some(1), ..all.clone() };
    for (what, filter) in
        [("all", all), ("failed", failed), ("succeeded", ended), ("open", open), ("nobody's", stranger)]
    {
        for after in [None, Some(TaskId(50_000))] {
            let page = Page { after, ..page };
            let name = format!("list 50, {what}, {}", if after.is_some() { "far down" } else { "newest" });
            store.list(&filter, page).unwrap();
            timed(&name, 200, || (0..200).for_each(|_| drop(store.list(&filter, page).unwrap())));
        }
    }
}

/// Reads what is known of a task that nobody looked at lately.
fn show(store: &mut SqliteStore, total: u32) {
    let id = TaskId(fastrand::i64(1..=i64::from(total)));
    store.task(id).unwrap().unwrap();
    store.spec(id).unwrap().unwrap();
    store.attempts(id).unwrap();
    store.events(&EventFilter { task: Some(id), ..EventFilter::default() }, 50).unwrap();
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    text.lines().filter(|line| line.starts_with("Pss:") || line.starts_with("Rss:")).collect::<Vec<_>>().join(" ")
}

fn main() {
    // Without --bench it is `cargo test` that calls, and wants to know only whether this still runs.
    let usual = if std::env::args().any(|word| word == "--bench") { 1_000_000 } else { 10_000 };
    let total = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(usual);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let settings = Settings::default();
    let now = Timestamp(1);
    let mut store = SqliteStore::open(&path, &settings, now).unwrap();
    timed("submit, 1000 in a commit", total, || submit(&mut store, total));
    println!("{} bytes a task; {}", std::fs::metadata(&path).unwrap().len() / u64::from(total), memory());
    drain(&mut store, 20_000, 100);
    drain(&mut store, 4_000, 1);
    drain(&mut store, 4_000, 2);
    lists(&mut store);
    timed("show, any of all tasks", 20_000, || (0..20_000).for_each(|_| show(&mut store, total)));
    timed("counts", 1000, || (0..1000).for_each(|_| drop(store.counts().unwrap())));
    let left = directory.path().join("left.db");
    std::fs::copy(&path, &left).unwrap();
    std::fs::copy(directory.path().join("queue.db-wal"), directory.path().join("left.db-wal")).unwrap();
    let log_bytes = std::fs::metadata(directory.path().join("left.db-wal")).unwrap().len();
    let name = format!("open after a crash, {} KiB of log", log_bytes >> 10);
    let left = timed(&name, 1, || SqliteStore::open(&left, &settings, now).unwrap());
    drop(left);
    timed("close", 1, || drop(store));
    let mut store = timed("open", 1, || SqliteStore::open(&path, &settings, now).unwrap());
    timed("first candidates", 1, || store.candidates(&QueueName::default(), 64).unwrap());
    println!("{}", memory());
}
