//! Random days in the life of a daemon, each decided by its seed.
//!
//! The engine and its store are the real ones; the runner, the clock and the clients are made up. A day submits,
//! cancels, holds, retries, pauses and reconfigures, lets attempts end in every way, sets the clock forward and
//! back, fills the disk, kills runners and cuts the power, and kills the daemon between any two of its calls to
//! the store, to the executor and to clients. After each beat the promises of [`checks`] are held; in the
//! evening everything is let run, and then everything must have ended.
//!
//! `TASKDAEMON_SEEDS` is the number of days, `TASKDAEMON_SEED` one day alone, with its steps printed.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, which tells its days")]

mod ask;
mod checks;
mod daemon;
mod day;
mod faults;
mod history;
mod scenes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use day::Day;

const DAYS: u64 = 2000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?} and must be a number")))
}

#[test]
fn nothing_accepted_is_lost_and_nothing_runs_twice_at_once_on_any_day() {
    if let Some(seed) = number("TASKDAEMON_SEED") {
        Day::new(seed, true).live();
        return;
    }
    let days = number("TASKDAEMON_SEEDS").unwrap_or(DAYS);
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= days {
                    return failed;
                }
                if catch_unwind(AssertUnwindSafe(|| Day::new(seed, false).live())).is_err() {
                    eprintln!("day {seed} failed; TASKDAEMON_SEED={seed} lives it again, step by step");
                    failed.push(seed);
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "days that failed: {failed:?}");
}
