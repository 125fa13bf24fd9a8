//! Tasks per second beside the kernel's own limit. Run by hand: `cargo test --release --test runner -- --ignored --nocapture`.

use std::collections::VecDeque;
use std::fs;
use std::time::{Duration, Instant};

use taskdaemon::executor::{Executor, Report};

use crate::host::{Daemon, Host, spec};

/// Tasks per round; rounds alternate, so that a busy machine slows both alike.
const COUNT: i64 = 500;
const ROUNDS: usize = 15;

/// A loop over posix_spawn(3), which std's Command is, with two in flight.
fn bare() -> f64 {
    let started = Instant::now();
    let mut running = VecDeque::new();
    for _ in 0..COUNT {
        if running.len() == 2 {
            let mut child: std::process::Child = running.pop_front().unwrap();
            child.wait().unwrap();
        }
        let mut command = std::process::Command::new("/bin/true");
        running.push_back(command.stdin(std::process::Stdio::null()).spawn().unwrap());
    }
    for mut child in running {
        child.wait().unwrap();
    }
    rate(started.elapsed())
}

fn rate(time: Duration) -> f64 {
    f64::from(i32::try_from(COUNT).unwrap()) / time.as_secs_f64()
}

fn through_the_runner(daemon: &mut Daemon, first: i64) -> f64 {
    let started = Instant::now();
    let (mut next, mut open) = (first, 0);
    while next < first + COUNT || open > 0 {
        while open < 2 && next < first + COUNT {
            daemon.start(next, spec(&["/bin/true"]));
            next += 1;
            open += 1;
        }
        let key = daemon.wait("end", |report| match report {
            Report::Ended { key, .. } => Some(key),
            _ => None,
        });
        daemon.link.acknowledge(&[key]);
        daemon.link.flush();
        open -= 1;
    }
    rate(started.elapsed())
}

#[test]
#[ignore = "a measurement"]
fn two_in_flight_beside_posix_spawn() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let mut ratios = Vec::new();
    let mut first = 0;
    for _ in 0..ROUNDS {
        let (bare, ours) = (bare(), through_the_runner(&mut daemon, first));
        first += COUNT;
        ratios.push(ours / bare);
        println!("posix_spawn {bare:.0}/s, runner {ours:.0}/s, ratio {:.2}", ours / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ROUNDS / 2]);
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", host.runner.id())).unwrap();
    println!(
        "{}",
        rollup.lines().filter(|line| line.starts_with("Pss") || line.starts_with("Rss")).collect::<Vec<_>>().join(", ")
    );
}
