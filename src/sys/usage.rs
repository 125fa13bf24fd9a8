//! What this process uses of the host.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::unistd::{SysconfVar, sysconf};

/// What this process uses; what the kernel does not tell, or a sandbox hides, is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time on the CPU: getrusage(2).
    pub cpu: Option<Duration>,
    /// Memory in use: proc_pid_statm(5).
    pub resident_bytes: Option<u64>,
    /// Address space.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// File descriptors that may be open: getrlimit(2).
    pub max_fds: Option<u64>,
}

impl Usage {
    /// What it uses now.
    #[must_use]
    pub fn now() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = |field: usize| {
            let pages: u64 = statm.split(' ').nth(field)?.parse().ok()?;
            let size = sysconf(SysconfVar::PAGE_SIZE).ok()??;
            Some(pages.saturating_mul(u64::try_from(size).ok()?))
        };
        let counted = |path: &str| u64::try_from(fs::read_dir(path).ok()?.count()).ok();
        Self {
            cpu: getrusage(UsageWho::RUSAGE_SELF).ok().and_then(|used| {
                let (user, system) = (used.user_time(), used.system_time());
                let seconds = u64::try_from(user.tv_sec() + system.tv_sec()).ok()?;
                let micros = u64::try_from(user.tv_usec() + system.tv_usec()).ok()?;
                Some(Duration::from_secs(seconds) + Duration::from_micros(micros))
            }),
            virtual_bytes: pages(0),
            resident_bytes: pages(1),
            threads: counted("/proc/self/task"),
            // One of them is that of the listing itself.
            open_fds: counted("/proc/self/fd").map(|count| count.saturating_sub(1)),
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something_of_everything() {
        let usage = Usage::now();
        let (resident, address_space) = (usage.resident_bytes.unwrap(), usage.virtual_bytes.unwrap());
        assert!(resident > 0 && resident < address_space, "{usage:?}");
        assert!(usage.threads.unwrap() >= 1 && usage.open_fds.unwrap() < usage.max_fds.unwrap(), "{usage:?}");
        assert!(usage.cpu.is_some());
    }
}
