//! What people ask of the daemon on a day.

use std::time::Duration;

use fastrand::Rng;
use taskdaemon::engine::{
    Action, Caller, Command, Filter, Hook, Hooks, Occasion, Page, Query, QueueChange, Selection, Settings, Thresholds,
};
use taskdaemon::task::{
    BreakerLimits, Condition, Dependency, Limits, Missed, Mode, OnInterrupt, Overlap, Placement, QueueLimits,
    QueueName, Retry, Rule, Signal, Spec, Start, State, Stop, Submission, TaskId, Timestamp,
};

pub(crate) const QUEUES: [&str; 4] = ["default", "narrow", "fragile", "adhoc"];
pub(crate) const USERS: [u32; 2] = [1000, 1001];

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

pub(crate) fn queue(rng: &mut Rng) -> QueueName {
    pick(rng, &QUEUES).parse().unwrap()
}

pub(crate) fn settings(rng: &mut Rng) -> Settings {
    let narrow = QueueLimits { slots: Some(rng.u32(1..3)), max_length: Some(rng.u64(5..40)), breaker: None };
    let breaker = BreakerLimits { failures: rng.u32(1..4), cooldown_ms: rng.u64(1..120_000) };
    let fragile = QueueLimits { breaker: Some(breaker), ..QueueLimits::default() };
    let mut queues = vec![("default", QueueLimits::default()), ("narrow", narrow), ("fragile", fragile)];
    if chance(rng, 20) {
        queues.retain(|(name, _)| *name != "narrow");
    }
    let hooks = hooks(rng);
    if !hooks.on.is_empty() {
        queues.push(("hooks", QueueLimits { slots: Some(rng.u32(1..4)), ..QueueLimits::default() }));
    }
    Settings {
        hooks,
        slots: rng.u32(1..6),
        queues: queues.into_iter().map(|(name, limits)| (name.parse().unwrap(), limits)).collect(),
        max_tasks: chance(rng, 20).then(|| rng.u64(10..100)),
        min_free_bytes: 1 << 20,
        max_interruptions: rng.u32(0..4),
        max_age: Duration::from_secs(if chance(rng, 20) { 3600 } else { 86_400 * 365 * 10 }),
        max_ended: if chance(rng, 20) { rng.u64(0..20) } else { 1_000_000 },
        max_output_bytes: u64::MAX,
        health: Thresholds::default(),
    }
}

/// What is run when something happens, on half of the days.
fn hooks(rng: &mut Rng) -> Hooks {
    let mut hooks = Hooks {
        owner: 0,
        max_waiting: rng.u64(1..8),
        watch_every: Duration::from_secs(rng.u64(600..7200)),
        ..Hooks::default()
    };
    if rng.bool() {
        for occasion in [Occasion::Failed, Occasion::Degraded, Occasion::Started, Occasion::Stopped] {
            if chance(rng, 70) {
                let queues = chance(rng, 30).then(|| [queue(rng)].into());
                hooks.on.insert(occasion, Hook { spec: spec(rng), queues });
            }
        }
    }
    hooks
}

fn spec(rng: &mut Rng) -> Spec {
    let retry = Retry { limit: rng.u32(0..3), delay_ms: rng.u64(0..60_000), ..Retry::default() };
    Spec {
        argv: vec!["work".into()],
        directory: "/".into(),
        environment: Vec::new(),
        umask: 0o22,
        timeout_ms: chance(rng, 30).then_some(60_000),
        stop: Stop::default(),
        retry: if chance(rng, 50) { retry } else { Retry::default() },
        on_interrupt: if chance(rng, 70) { OnInterrupt::Retry } else { OnInterrupt::End },
        limits: Limits::default(),
        nice: 0,
        output_cap_bytes: 1 << 20,
    }
}

/// One that can start at once, in the place of any other.
pub(crate) fn plain(rng: &mut Rng, now: Timestamp, label: &str, queue: &QueueName) -> Submission {
    let mut submission = submission(rng, now, &[], label);
    submission.spec.on_interrupt = OnInterrupt::Retry;
    let (queue, label) = (queue.clone(), submission.placement.label);
    submission.placement = Placement { queue, label, ..Placement::default() };
    submission
}

fn placement(rng: &mut Rng, now: Timestamp, known: &[TaskId], label: &str) -> Placement {
    let start = match rng.u8(..10) {
        0 | 1 => Start::After(Duration::from_millis(rng.u64(..600_000))),
        2 => Start::At(Timestamp(now.0 + rng.i64(-1_000_000..86_400_000_000))),
        _ => Start::Now,
    };
    let mut after = Vec::new();
    while !known.is_empty() && chance(rng, 25) {
        let condition = if chance(rng, 70) { Condition::Success } else { Condition::End };
        after.push(Dependency { on: pick(rng, known), condition });
    }
    Placement {
        queue: queue(rng),
        priority: rng.i32(-2..3),
        slots: if chance(rng, 70) { 1 } else { rng.u32(1..8) },
        label: Some(label.parse().unwrap()),
        key: chance(rng, 25).then(|| format!("key-{}", rng.u8(..3)).parse().unwrap()),
        start,
        after,
        held: chance(rng, 5),
    }
}

pub(crate) fn submission(rng: &mut Rng, now: Timestamp, known: &[TaskId], label: &str) -> Submission {
    let stdin = chance(rng, 10).then(|| b"input".to_vec());
    Submission { spec: spec(rng), placement: placement(rng, now, known, label), stdin }
}

pub(crate) fn caller(rng: &mut Rng) -> Caller {
    if chance(rng, 50) { crate::daemon::ROOT } else { Caller { uid: pick(rng, &USERS), privileged: false } }
}

fn selection(rng: &mut Rng, known: &[TaskId]) -> Selection {
    // What is recent is likely to run, or to have just ended.
    let recent = &known[known.len().saturating_sub(6)..];
    let known = if chance(rng, 60) { recent } else { known };
    if !known.is_empty() && chance(rng, 80) {
        return Selection::Ids((0..rng.usize(1..4)).map(|_| pick(rng, known)).collect());
    }
    let filter = Filter {
        owner: chance(rng, 30).then(|| pick(rng, &USERS)),
        states: if chance(rng, 50) { vec![pick(rng, &State::ALL)] } else { Vec::new() },
        queue: chance(rng, 50).then(|| queue(rng)),
        ..Filter::default()
    };
    Selection::Matching(filter, Page { after: None, limit: rng.usize(1..5), oldest_first: rng.bool() })
}

pub(crate) fn act(rng: &mut Rng, known: &[TaskId]) -> Command {
    let action = match rng.u8(..16) {
        0..=4 => Action::Cancel,
        5 => Action::Signal(Signal::TERM),
        6..=8 => Action::Retry,
        9 | 10 => Action::Hold,
        11..=13 => Action::Release,
        14 => Action::Remove,
        _ => Action::Prioritise(rng.i32(-5..6)),
    };
    Command::Act(action, selection(rng, known))
}

pub(crate) fn change_queue(rng: &mut Rng) -> Command {
    let change = match rng.u8(..10) {
        0..=2 => QueueChange::Mode(Mode::Paused),
        3 => QueueChange::Mode(Mode::Draining),
        4..=6 => QueueChange::Mode(Mode::Open),
        7 => QueueChange::Remove,
        _ => {
            let breaker = BreakerLimits { failures: rng.u32(1..4), cooldown_ms: rng.u64(1..60_000) };
            QueueChange::Set(QueueLimits {
                slots: chance(rng, 50).then(|| rng.u32(1..5)),
                max_length: chance(rng, 20).then(|| rng.u64(1..20)),
                breaker: chance(rng, 30).then_some(breaker),
            })
        }
    };
    Command::Queue(queue(rng), change)
}

pub(crate) fn change_schedule(rng: &mut Rng) -> Command {
    let name = format!("schedule-{}", rng.u8(..3));
    match rng.u8(..4) {
        0 => Command::RemoveSchedule { owner: None, name },
        1 => Command::PauseSchedule { owner: None, name, paused: rng.bool() },
        2 => Command::AddSchedule {
            name,
            rule: Rule::Every { interval_ms: rng.u64(500..3_600_000), since: Timestamp(0) },
            missed: pick(rng, &[Missed::Skip, Missed::Once]),
            overlap: pick(rng, &[Overlap::Skip, Overlap::Queue, Overlap::Allow]),
            spec: Box::new(spec(rng)),
            placement: Box::new(Placement { queue: queue(rng), ..Placement::default() }),
        },
        _ => Command::AddSchedule {
            name,
            rule: Rule::Calendar {
                expression: pick(rng, &["*/30 * * * *", "@hourly", "30 2 * * *", "* * *"]).to_owned(),
                zone: Some("Europe/Berlin".to_owned()),
            },
            missed: pick(rng, &[Missed::Skip, Missed::Once, Missed::All]),
            overlap: pick(rng, &[Overlap::Skip, Overlap::Queue, Overlap::Allow]),
            spec: Box::new(spec(rng)),
            placement: Box::new(Placement { queue: queue(rng), ..Placement::default() }),
        },
    }
}

pub(crate) fn look(rng: &mut Rng, known: &[TaskId]) -> Command {
    let id = if known.is_empty() { TaskId(1) } else { pick(rng, known) };
    let page = Page { after: None, limit: 10, oldest_first: rng.bool() };
    Command::Read(match rng.u8(..6) {
        0 => Query::List(Filter::default(), page),
        1 => Query::States(known.to_vec()),
        2 => Query::Show(id),
        3 => Query::Queues,
        4 => Query::Schedules,
        _ => Query::Status,
    })
}
