//! What the engine costs per task: `cargo bench --bench engine [-- TASKS]`.
//!
//! A real queue file in the directory for temporary files and a runner whose tasks end at once: each beat takes
//! an end in, commits it with the next claim, and starts that. This is the ceiling for trivial tasks.
#![expect(clippy::print_stdout, reason = "a bench has nothing else to say it with")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use taskdaemon::engine::{Caller, Command, Engine, Envelope, Hooks, Message, Settings, Thresholds};
use taskdaemon::executor::fake::FakeRunner;
use taskdaemon::executor::{Cause, ExitStatus};
use taskdaemon::store::{self, SqliteStore};
use taskdaemon::task::{
    Limits, OnInterrupt, Placement, QueueLimits, QueueName, Retry, Spec, Stop, Submission, Timestamp,
};

const PARALLEL: u32 = 2;
const BATCH: u32 = 1000;

fn submission() -> Submission {
    let spec = Spec {
        argv: vec!["true".into()],
        directory: "/".into(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
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

fn settings() -> Settings {
    Settings {
        slots: PARALLEL,
        queues: BTreeMap::from([(QueueName::default(), QueueLimits::default())]),
        max_tasks: None,
        min_free_bytes: 0,
        max_interruptions: 3,
        max_age: Duration::from_secs(86_400),
        max_ended: u64::MAX,
        max_output_bytes: u64::MAX,
        health: Thresholds::default(),
        hooks: Hooks::default(),
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn say(what: &str, count: u32, wall: Duration) {
    let each = wall.as_secs_f64() * 1e6 / f64::from(count);
    println!("{what:<44} {each:>9.2} µs {:>9.0}/s", 1e6 / each);
}

fn main() {
    let total = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20_000);
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("queue"), &store::Settings::default(), now()).unwrap();
    let runner = FakeRunner::default();
    let (sender, mail) = channel();
    let executor = runner.executor(Box::new(move |report| drop(sender.send(Message::Report(report)))));
    let mut engine = Engine::new(store, executor, settings(), 1, Box::new(|_| {}), now()).unwrap();

    let begun = Instant::now();
    for _ in 0..total / BATCH {
        let command = Command::Submit((0..BATCH).map(|_| submission().into()).collect());
        let caller = Caller { uid: 0, privileged: true };
        let reply = Box::new(|answer: Result<_, _>| drop(answer.unwrap()));
        engine.beat(now(), vec![Message::Command(Envelope { caller, command, reply })]);
    }
    say("accept in batches of 1000", total, begun.elapsed());

    runner.link();
    let (begun, mut beats, mut ended) = (Instant::now(), 0, 0);
    while ended < total {
        engine.beat(now(), mail.try_iter().collect());
        beats += 1;
        runner.set_now(now());
        if let Some(key) = runner.running().first() {
            runner.end(*key, ExitStatus::Exited(0), Cause::Itself);
            ended += 1;
        }
    }
    say("one end and the next claim in one beat", total, begun.elapsed());
    say("beats", beats, begun.elapsed());
}
