//! The engine's side of running things.
//!
//! [`Executor`] takes orders and returns at once; what becomes of them arrives as [`Report`]s.
//! The real one is a link to the runner process; the fake one serves the simulator.
//!
//! A [`Launcher`] starts the runner, [`RunnerLink`] finds it by a [`Dialer`] and keeps what attempts write in
//! [`Outputs`]; a [`Replacer`] has it become another program.
//!
//! It must not know queues, policies or the store.

pub mod fake;
mod launch;
mod link;
mod listener;
mod outputs;
mod replace;
#[cfg(test)]
mod tests;
mod translate;

pub use launch::{ConnectError, Dialer, LaunchError, Launched, Launcher, listen_for_runner};
pub use link::{Connect, Replacer, RunnerLink};
pub use outputs::{OutputError, Outputs};
pub use replace::Replaced;

use std::fs::File;
use std::time::Duration;

use crate::task::{AttemptKey, Cost, Signal, Spec, TaskId, Timestamp};

/// What runs attempts.
pub trait Executor: Send {
    /// Says that one more [`Report::Linked`] was taken up. Orders given before that are dropped: a start that
    /// followed an earlier link's orders would run on a runner whose report does not know it.
    fn adopt(&mut self);

    /// Starts an attempt whose claim is committed.
    fn start(&mut self, start: Start);

    /// Has an attempt whose claim is committed start once one that runs has succeeded, in its place:
    /// [`Report::Ended::next`] tells. Those that stand by start in the order in which they were given. False where it does
    /// not stand by: the runner may be older than this word.
    ///
    /// Each runs in the place of whichever ends first, so they must all be such that this is right. Where anything but a
    /// success comes, the runner gives back all of them: [`Report::Recalled`]. The order leaves as that of
    /// [`Executor::acknowledge`] does.
    fn stand_by(&mut self, start: Start) -> bool;

    /// Takes back what stands by; answered by [`Report::Recalled`], if anything does.
    fn recall(&mut self);

    /// Ends an attempt: its own stop signal, its own grace, then SIGKILL, to all of its processes.
    fn stop(&mut self, key: AttemptKey, spec_stop: crate::task::Stop);

    /// Sends one signal to the attempt's process group.
    fn signal(&mut self, key: AttemptKey, signal: Signal);

    /// Says that these ends are committed, so that the runner may forget them. It may ride along with the next
    /// order, and leaves with [`Executor::flush`] at the latest.
    fn acknowledge(&mut self, keys: &[AttemptKey]);

    /// Lets everything leave that waits to ride along with an order.
    fn flush(&mut self);

    /// Ends what a dead runner left behind; answered by one [`Report::Swept`].
    fn sweep(&mut self, leftovers: Vec<Leftover>);

    /// Asks everything that runs to end: after `patience` the stop signals, then each one's grace, then SIGKILL.
    fn drain(&mut self, patience: Duration);

    /// Tells the runner to leave once nothing runs.
    fn leave(&mut self);

    /// Opens what an attempt wrote, for reading.
    ///
    /// # Errors
    /// Where there is no such output, or it cannot be opened.
    fn output(&self, key: AttemptKey) -> std::io::Result<File>;

    /// Whether an attempt may have started: not where its output was never made, or only to stand by.
    fn may_have_begun(&self, key: AttemptKey) -> bool;

    /// Removes what all attempts of these tasks wrote; the work may be done later, elsewhere.
    fn remove_output(&mut self, tasks: &[(TaskId, u32)]);
}

/// Where reports go. Called on a thread of the executor's, or on that of an order; must not wait.
pub type Sink = Box<dyn Fn(Report) + Send + Sync>;

/// An attempt to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub key: AttemptKey,
    /// What runs, and how.
    pub spec: Spec,
    /// What it reads on standard input; `None` is /dev/null.
    pub stdin: Option<Vec<u8>>,
}

/// Processes of an attempt whose runner is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leftover {
    /// Which attempt.
    pub key: AttemptKey,
    /// Its first process, with when it started in clock ticks after boot; only of this boot.
    pub process: Option<(i32, u64)>,
}

/// What the runner tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A runner answers: this is what it has. Ends follow as [`Report::Ended`].
    Linked {
        /// This runner process, by a random name.
        runner: String,
        /// Its process.
        pid: i32,
        /// The boot of the host.
        boot: String,
        /// Every attempt that it runs or has an unacknowledged end of.
        known: Vec<AttemptKey>,
    },
    /// The runner is gone or does not answer; another [`Report::Linked`] follows.
    Lost {
        /// A sentence for people.
        reason: String,
    },
    /// An attempt's process started.
    Started {
        /// Which.
        key: AttemptKey,
        /// Its process.
        pid: i32,
        /// When it started, in clock ticks after boot.
        pid_start: u64,
        /// When.
        at: Timestamp,
    },
    /// An attempt and all its processes ended.
    Ended {
        /// Which.
        key: AttemptKey,
        /// How and when.
        end: End,
        /// What stood by and starts in its place.
        next: Option<AttemptKey>,
    },
    /// What stood by and does not start any more; nothing is left of it.
    Recalled {
        /// Which.
        keys: Vec<AttemptKey>,
    },
    /// How the runner that answers holds each attempt.
    Holds(Holds),
    /// What a dead runner left behind is gone.
    Swept {
        /// The attempts of the order.
        keys: Vec<AttemptKey>,
    },
}

/// What holds each attempt, and what does not and why, as short sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holds {
    /// What is in force.
    pub in_force: Vec<String>,
    /// What is not.
    pub missing: Vec<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What its first process came to.
    pub status: ExitStatus,
    /// Who ended it.
    pub cause: Cause,
    /// When its process started, if it did.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it used.
    pub cost: Cost,
}

/// What a process came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Signalled {
        /// Which.
        signal: Signal,
        /// Whether a core file was written.
        core_dumped: bool,
    },
    /// It could not be started.
    NotStarted {
        /// A sentence for people: what was not to be had.
        reason: String,
        /// 127 where the command was not found, else 126.
        code: i32,
    },
}

/// Who ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It ended by itself.
    Itself,
    /// Its timeout passed.
    Timeout,
    /// [`Executor::stop`] asked for it.
    Stopped,
    /// The service is being stopped.
    Drained,
    /// The kernel, for want of memory.
    Memory,
}
