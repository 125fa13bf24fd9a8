//! The words between the daemon and the runner.
//!
//! [`ToRunner`] goes down, [`FromRunner`] comes up, [`packet`] puts them on the socket, a [`channel`] holds
//! what waits there; a [`mark`] tells whose a process is. The daemon speaks
//! first: [`ToRunner::Hello`]; the runner answers [`FromRunner::Welcome`] with all it has. New messages and
//! new variants go to the end of their enum, so that a newer side can leave them out when the `Hello` names
//! an older version.
//!
//! Plain data. It must not know what a task is for, and not how either side keeps it.

pub mod channel;
mod kernel;
pub mod mark;
pub mod packet;
#[cfg(test)]
mod tests;
mod version;

use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The version that this program speaks.
pub const VERSION: u16 = 5;

/// The version since which attempts can stand by, and several orders come in one packet.
pub const STANDBY: u16 = 5;

/// The oldest version that this program still understands.
pub const OLDEST: u16 = 1;

/// The version of this program, the daemon's and the runner's alike.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// The form of the table that a runner of this program hands over when it becomes another.
pub const TABLE: u16 = 1;

/// The oldest form of a table that a runner of this program takes up.
pub const OLDEST_TABLE: u16 = 1;

/// One execution of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The task's number.
    pub task: i64,
    /// Which execution of it.
    pub attempt: u32,
}

impl Key {
    /// What its control group is called.
    #[must_use]
    pub fn group(self) -> String {
        format!("task-{}.{}", self.task, self.attempt)
    }
}

/// Ends by their name, written down as a list: for a handover, whose form knows no such names.
pub mod by_key {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Ended, Key};

    /// Writes them down.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(ended: &BTreeMap<Key, Ended>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(ended.values())
    }

    /// Reads them back.
    ///
    /// # Errors
    /// Those of the format.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Key, Ended>, D::Error> {
        let ended = Vec::<Ended>::deserialize(from)?;
        Ok(ended.into_iter().map(|ended| (ended.key, ended)).collect())
    }
}

/// From the daemon to the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRunner {
    /// The first message of a connection.
    Hello {
        /// What the daemon speaks.
        version: u16,
        /// The daemon's lasting identity, its state directory's.
        instance: String,
    },
    /// Start an attempt; one that is known already is left alone. Carries the output file, then the
    /// standard input if there is one; in a packet with several orders, after those of the ones before.
    Spawn(Box<Spawn>),
    /// End an attempt.
    Stop {
        /// Which.
        key: Key,
        /// The polite signal.
        signal: i32,
        /// How long after it SIGKILL follows, in milliseconds.
        grace_ms: u64,
    },
    /// Send a signal to the process group of an attempt.
    Signal {
        /// Which.
        key: Key,
        /// The signal.
        signal: i32,
    },
    /// These ends are recorded and can be forgotten.
    Acknowledge(Vec<Key>),
    /// End what a dead runner left behind; answered by [`FromRunner::Swept`].
    Sweep(Sweep),
    /// Let what runs end by itself for a while, then end it; said again, the new time counts.
    Drain {
        /// How long, in milliseconds.
        patience_ms: u64,
    },
    /// Exit once nothing runs and every end is acknowledged.
    Leave,
    /// Become the program that comes along as a descriptor, and keep everything; answered by [`FromRunner::Program`],
    /// from the new one, or by [`FromRunner::Kept`]. Since version 2.
    Upgrade,
    /// Start an attempt once another has succeeded, in its place; told by [`FromRunner::Succeeded`]. Those that stand by
    /// start in the order in which they came. Carries the same as [`ToRunner::Spawn`]. Since version 5.
    StandBy(Box<Spawn>),
    /// Start nothing of what stands by; answered by [`FromRunner::Recalled`], if anything does. Since version 5.
    Recall,
}

/// What to start, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// Its name.
    pub key: Key,
    /// The command and its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// The absolute working directory.
    pub directory: Vec<u8>,
    /// The environment, name and value; the runner adds its [`Mark`](mark::Mark).
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// The file mode creation mask.
    pub umask: u32,
    /// Ceilings.
    pub limits: Limits,
    /// Added to the runner's nice value.
    pub nice: i32,
    /// The longest time that it may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The polite signal after the timeout, and for what it leaves behind.
    pub stop_signal: i32,
    /// How long after it SIGKILL follows, in milliseconds.
    pub grace_ms: u64,
    /// Output kept, in bytes.
    pub output_cap_bytes: u64,
    /// Whether a second descriptor comes along: standard input; else it is /dev/null.
    pub has_input: bool,
}

impl Spawn {
    /// This order, which is the next one in a packet, with those of the packet's descriptors that are its own.
    pub fn with_own(self: Box<Self>, descriptors: &mut Vec<OwnedFd>) -> (Box<Self>, Vec<OwnedFd>) {
        let count = 1 + usize::from(self.has_input);
        (self, descriptors.drain(..count.min(descriptors.len())).collect())
    }
}

/// Resource limits; `None` leaves the runner's own. See setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// CPU time in seconds.
    pub cpu_seconds: Option<u64>,
    /// Memory of all its processes where they have a control group, else address space of each, in bytes.
    pub memory_bytes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Its processes and threads where they have a control group, else all of the user.
    pub processes: Option<u64>,
    /// Size of any file written, in bytes.
    pub file_bytes: Option<u64>,
}

/// What a dead runner may have left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The attempts that it ran. Whatever else carries this daemon's [`Mark`](mark::Mark) is ended too.
    pub leftovers: Vec<Leftover>,
    /// How long after SIGTERM SIGKILL follows, in milliseconds.
    pub grace_ms: u64,
}

/// An attempt of a dead runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// Which.
    pub key: Key,
    /// Its main process, with when that started in clock ticks after boot; only where it was of this boot.
    pub process: Option<(i32, u64)>,
}

/// From the runner to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRunner {
    /// The answer to [`ToRunner::Hello`].
    Welcome(Welcome),
    /// The other answer; the runner hangs up after it.
    Refused {
        /// The newest version that the runner speaks.
        version: u16,
        /// The daemon identity whose tasks it runs.
        instance: String,
    },
    /// An attempt runs.
    Started(Running),
    /// An attempt ended; repeated at each link until it is acknowledged.
    Ended(Ended),
    /// A sweep is over.
    Swept {
        /// The attempts of the order.
        keys: Vec<Key>,
        /// What even SIGKILL did not end: it hangs in the kernel.
        survivors: Vec<i32>,
    },
    /// Which program it is; after each [`FromRunner::Welcome`], and once it has become another. Since version 2.
    Program {
        /// Its version.
        version: String,
        /// The form of the table that it would hand over.
        table: u16,
    },
    /// It stays the program that it is. Since version 2.
    Kept {
        /// Why, as a sentence.
        reason: String,
    },
    /// What each attempt is held in, and what it is not and why, as short sentences; follows [`FromRunner::Program`].
    /// Since version 3.
    Holds {
        /// What is in force.
        in_force: Vec<String>,
        /// What is not.
        missing: Vec<String>,
    },
    /// An attempt succeeded, and what stood by first starts in its place; repeated as two messages. Since version 5.
    Succeeded {
        /// How it ended.
        by: Ended,
        /// What starts.
        next: Key,
        /// How many stand by still.
        left: u32,
    },
    /// What stood by and is not started: after [`ToRunner::Recall`], after an end that is no success, and before the
    /// runner becomes another program. Since version 5.
    Recalled {
        /// Which.
        keys: Vec<Key>,
    },
}

/// While as many stand by, a success can wait a little: the next ones start without the daemon.
const SPARE: u32 = 3;

impl channel::Word for FromRunner {
    fn patience(&self) -> Duration {
        match self {
            // Most tasks end soon, and then their start is told with that.
            Self::Started(_) => Duration::from_millis(5),
            // Not as long: until it is committed a crash of everything would have the task run again.
            Self::Succeeded { left: SPARE.., .. } => Duration::from_millis(2),
            _ => Duration::ZERO,
        }
    }
}

/// Who the runner is and what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// What both speak.
    pub version: u16,
    /// The runner's identity: 128 random bits in hexadecimal, new at each of its starts.
    pub runner: String,
    /// Its process.
    pub pid: i32,
    /// The host's boot, as /proc/sys/kernel/random/boot_id names it.
    pub boot: String,
    /// What runs.
    pub running: Vec<Running>,
    /// What ended and is not acknowledged.
    pub ended: Vec<Ended>,
}

/// An attempt that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Which.
    pub key: Key,
    /// Its main process, which leads its process group.
    pub pid: i32,
    /// When that process started, in clock ticks after boot: proc_pid_stat(5) field 22.
    pub start_ticks: u64,
    /// The same moment in microseconds since 1970.
    pub started_at_us: i64,
}

/// An attempt that ended: its main process is collected and all that it left is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub key: Key,
    /// How its main process ended.
    pub end: End,
    /// On whose account.
    pub cause: Cause,
    /// When its main process started, in microseconds since 1970.
    pub started_at_us: i64,
    /// When its main process ended.
    pub ended_at_us: i64,
    /// What it used.
    pub usage: Usage,
    /// Output kept, in bytes.
    pub output_bytes: u64,
    /// Output thrown away past the cap or for want of space, in bytes.
    pub dropped_bytes: u64,
}

impl Ended {
    /// An end by itself, without usage or output.
    #[must_use]
    pub fn new(key: Key, end: End, started_at_us: i64, ended_at_us: i64) -> Self {
        let (cause, usage) = (Cause::Itself, Usage::default());
        Self { key, end, cause, started_at_us, ended_at_us, usage, output_bytes: 0, dropped_bytes: 0 }
    }

    /// Whether it did what it was to do, and nobody had to end it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!((&self.end, self.cause), (End::Exited { code: 0 }, Cause::Itself))
    }
}

/// How a main process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself.
    Exited {
        /// Its status.
        code: i32,
    },
    /// By a signal.
    Signalled {
        /// Its number.
        signal: i32,
        /// Whether a core file was written.
        core_dumped: bool,
    },
    /// It never ran.
    NotStarted {
        /// Why.
        fault: Fault,
        /// The kernel's word for it; errno(3).
        errno: i32,
        /// The command or the directory.
        subject: Vec<u8>,
    },
}

/// Why a command never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// No such file, nor one of that name along PATH.
    CommandNotFound,
    /// It is a directory.
    CommandIsDirectory,
    /// It is there and may not be executed.
    CommandForbidden,
    /// It is a script whose interpreter does not exist, or a program whose loader does not.
    NoInterpreter,
    /// It is neither a program for this machine nor a script with an interpreter line.
    NotAProgram,
    /// Arguments and environment are larger than the kernel takes, or hold a NUL byte.
    BadArguments,
    /// The working directory does not exist.
    DirectoryGone,
    /// The working directory may not be entered.
    DirectoryForbidden,
    /// The working directory is a file.
    DirectoryIsFile,
    /// A limit could not be set: it is above the runner's own.
    LimitRefused,
    /// The nice value could not be set.
    NiceRefused,
    /// Processes, descriptors or memory ran out.
    NoResources,
}

/// On whose account an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Its own.
    Itself,
    /// The timeout's.
    Timeout,
    /// The daemon's, by [`ToRunner::Stop`].
    Stopped,
    /// The end of the service, by [`ToRunner::Drain`] or by SIGTERM to the runner.
    Drained,
    /// The kernel's, for want of memory: its own limit's, or the host's. Since version 3.
    Memory,
}

/// What an attempt's processes used: all of them where they have a control group, cgroups(7), else those that were waited
/// for, getrusage(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// The most memory at once in its control group; else the largest resident set of any process; in bytes.
    pub max_rss_bytes: u64,
}
