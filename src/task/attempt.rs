//! One execution of a task, and how it ended.

use serde::{Deserialize, Serialize};

use super::{Signal, State, Timestamp};

/// Who may run an attempt: written before the runner hears of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The daemon's lasting identity (its state directory's).
    pub owner: String,
    /// The runner's instance at that moment; another instance means that the attempt was cut off.
    pub runner: String,
    /// The boot of the host, as /proc/sys/kernel/random/boot_id names it.
    pub boot: String,
    /// When others may take the attempt over; `None` while one daemon alone uses the store.
    pub lease_until: Option<Timestamp>,
}

/// What an attempt used, as the kernel counted: all its processes where they have a control group, cgroups(7), else those
/// that were waited for, getrusage(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// The most memory at once in its control group; else the largest resident set of any of its processes; in bytes.
    pub max_rss_bytes: u64,
    /// Output kept, in bytes.
    pub output_bytes: u64,
    /// Output thrown away past the cap or for want of space, in bytes.
    pub dropped_bytes: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Outcome {
    /// By itself, with this exit status.
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// By a signal that this service did not send.
    Signalled {
        /// Which.
        signal: Signal,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
    /// It never ran: the command, its directory or a limit was not to be had.
    NotStarted {
        /// A sentence for people.
        reason: String,
        /// What a shell would have returned: 127 not found, 126 not executable or forbidden.
        code: i32,
    },
    /// It took longer than its timeout.
    TimedOut,
    /// It was cancelled while it ran.
    Cancelled,
    /// The kernel killed it for want of memory: its own limit's, or the host's.
    OutOfMemory,
    /// It was cut off: the runner died, the host went down, or the service was stopped.
    Interrupted,
}

impl Outcome {
    /// The state of a task for which this was the last word.
    #[must_use]
    pub const fn state(&self) -> State {
        match self {
            Self::Exited { code: 0 } => State::Succeeded,
            Self::Exited { .. } | Self::Signalled { .. } | Self::NotStarted { .. } | Self::OutOfMemory => State::Failed,
            Self::TimedOut => State::TimedOut,
            Self::Cancelled => State::Cancelled,
            Self::Interrupted => State::Interrupted,
        }
    }

    /// The exit status that a shell user expects: the task's own, 128 + n after signal n, 124 after a
    /// timeout as timeout(1) has it, 143 when cancelled, 75 (EX_TEMPFAIL, sysexits(3)) when interrupted.
    #[must_use]
    pub const fn exit_code(&self) -> i32 {
        match self {
            Self::Exited { code } | Self::NotStarted { code, .. } => *code,
            Self::Signalled { signal, .. } => 128 + signal.number(),
            Self::TimedOut => 124,
            Self::OutOfMemory => 128 + Signal::KILL.number(),
            Self::Cancelled => 143,
            Self::Interrupted => 75,
        }
    }
}

/// One execution of a task, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// The process, once the runner has told.
    pub pid: Option<i32>,
    /// When that process started, in clock ticks after boot: proc_pid_stat(5) field 22.
    pub pid_start: Option<u64>,
    /// When the process started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What it used.
    pub cost: Cost,
}
