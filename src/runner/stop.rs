//! The end of an attempt at somebody's wish: asked first, killed after its grace.

use std::time::{Duration, Instant};

use super::attempt::{Serial, Stage};
use super::serve::Runner;
use super::strays::Stray;
use crate::sys::procfs::{self, Process};
use crate::sys::{pidfd, signal};
use crate::wire::runner::Cause;

/// How long after SIGKILL the next look follows; what hangs in the kernel then is given up.
const AFTER_KILL: Duration = Duration::from_secs(5);

impl Runner {
    /// Asks all processes of an attempt to end, by `wanted`, and has them killed after `grace`. Asked again,
    /// the shorter grace counts, and the first cause.
    pub(super) fn stop(&mut self, serial: Serial, cause: Cause, wanted: i32, grace: Duration) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        if attempt.end.is_none() && attempt.cause == Cause::Itself {
            attempt.cause = cause;
        }
        let mut kill_at = Instant::now() + grace.min(Duration::from_secs(u64::from(u32::MAX)));
        match attempt.stage {
            Stage::Killed { .. } => return,
            Stage::Stopping { kill_at: before, .. } => kill_at = kill_at.min(before),
            Stage::Running => {}
        }
        if wanted == libc::SIGKILL || grace.is_zero() {
            return self.kill(serial);
        }
        attempt.stage = Stage::Stopping { signal: wanted, kill_at };
        // One that is stopped (SIGSTOP) takes no signal but this, and then the other that waits for it.
        self.signal_all(serial, &[wanted, libc::SIGCONT]);
    }

    /// Stops an attempt by its own signal, with its own grace.
    pub(super) fn stop_its_way(&mut self, serial: Serial, cause: Cause) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        let (wanted, grace) = (attempt.stop_signal, attempt.grace);
        self.stop(serial, cause, wanted, grace);
    }

    /// Kills all processes of an attempt.
    pub(super) fn kill(&mut self, serial: Serial) {
        let give_up_at = Instant::now() + AFTER_KILL;
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        attempt.stage = Stage::Killed { give_up_at };
        self.signal_all(serial, &[libc::SIGKILL]);
    }

    /// Tells an orphan that has just been found what its attempt's other processes were told.
    pub(super) fn greet_stray(&mut self, serial: Serial, pid: i32) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        match attempt.stage {
            Stage::Running => {}
            Stage::Stopping { signal: wanted, .. } => send_each(pid, &[wanted, libc::SIGCONT]),
            Stage::Killed { .. } => send_each(pid, &[libc::SIGKILL]),
        }
    }

    /// Signals the main process's group, the attempt's orphans, and all that is below either.
    fn signal_all(&mut self, serial: Serial, signals: &[i32]) {
        let strays = self.strays.iter().filter(|(_, stray)| **stray == Stray::Of(serial));
        let strays: Vec<i32> = strays.map(|(pid, _)| *pid).collect();
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        let main = attempt.main();
        let below: Vec<Process> = main.iter().chain(&strays).flat_map(|root| procfs::descendants(*root)).collect();
        // When their parents die they become orphans: then they are known, whatever their environment says.
        attempt.seen.extend(below.iter().map(|process| (process.pid, process.start_ticks)));
        if let Some(main) = main {
            for wanted in signals {
                // The main process may have moved itself into a group of another.
                if signal::send_group(main, *wanted).is_err() {
                    send_each(main, &[*wanted]);
                }
            }
        }
        for stray in strays {
            send_each(stray, signals);
        }
        for process in below.iter().filter(|process| Some(process.group) != main) {
            if let Ok(held) = pidfd::hold(process.pid, process.start_ticks) {
                signals.iter().for_each(|wanted| drop(pidfd::send_signal(&held, *wanted)));
            }
        }
    }
}

/// Signals a child that has not been collected. That it has ended meanwhile is no fault.
fn send_each(child: i32, signals: &[i32]) {
    signals.iter().for_each(|wanted| drop(signal::send(child, *wanted)));
}
