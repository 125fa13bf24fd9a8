//! What one attempt may use.

use serde::{Deserialize, Serialize};

/// Ceilings of one attempt; `None` leaves the service's own. See setrlimit(2), cgroups(7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// CPU time in seconds; the kernel sends SIGXCPU, a second later SIGKILL (RLIMIT_CPU).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
    /// Memory of all its processes in bytes (memory.max), or without a control group address space of each (RLIMIT_AS).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Open files of each process (RLIMIT_NOFILE).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Its processes and threads (pids.max), or without a control group the processes of the task's user (RLIMIT_NPROC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Size of any file that it writes, in bytes (RLIMIT_FSIZE).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
