//! Who this process is: users, groups and capabilities; credentials(7), capabilities(7).
//!
//! The C library changes users and groups of all threads at once; everything else here is the calling
//! thread's own, and inherited by those that it starts.

use std::io;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::procfs;

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: two words of 32 capabilities each.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// More than Linux will have: the kernel says where they end.
const CAPABILITIES_MOST: libc::c_ulong = 64;

// linux/securebits.h; each lock stands one bit above what it locks.
const NO_ROOT: libc::c_ulong = 1 << 0;
const KEEP_CAPABILITIES_LOCKED: libc::c_ulong = 1 << 5;
const NO_AMBIENT_RAISE: libc::c_ulong = 1 << 6;

/// What the kernel says of a process's rights: `/proc/PID/status`, proc_pid_status(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective, saved and file system user.
    pub uids: Vec<u32>,
    /// Real, effective, saved and file system group.
    pub gids: Vec<u32>,
    /// The supplementary groups, in ascending order.
    pub groups: Vec<u32>,
    /// The capability sets: inheritable, permitted, effective, bounding, ambient.
    pub capabilities: [u64; 5],
    /// Whether no program that it executes gains rights; prctl(2), PR_SET_NO_NEW_PRIVS.
    pub no_new_privileges: bool,
    /// Whether its system calls are filtered; seccomp(2).
    pub filtered: bool,
    /// How many threads it has.
    pub threads: usize,
}

impl Credentials {
    /// Those of the calling thread; the number of threads is the process's.
    ///
    /// # Errors
    /// Where /proc is not mounted, InvalidData where a line is missing.
    pub fn of_this_thread() -> io::Result<Self> {
        let status = std::fs::read("/proc/thread-self/status")?;
        Self::parse(&String::from_utf8_lossy(&status)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn is_without_capabilities(&self) -> bool {
        let [inheritable, permitted, effective, _, ambient] = self.capabilities;
        inheritable | permitted | effective | ambient == 0
    }

    fn parse(status: &str) -> Option<Self> {
        let numbers = |name| -> Option<Vec<u32>> {
            procfs::field(status, name)?.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
        };
        let set = |name| u64::from_str_radix(procfs::field(status, name)?, 16).ok();
        let mut groups = numbers("Groups")?;
        groups.sort_unstable();
        Some(Self {
            uids: numbers("Uid")?,
            gids: numbers("Gid")?,
            groups,
            capabilities: [set("CapInh")?, set("CapPrm")?, set("CapEff")?, set("CapBnd")?, set("CapAmb")?],
            no_new_privileges: procfs::field(status, "NoNewPrivs")? == "1",
            // Absent where the kernel was built without it.
            filtered: procfs::field(status, "Seccomp").is_some_and(|mode| mode == "2"),
            threads: procfs::field(status, "Threads")?.parse().ok()?,
        })
    }
}

/// Becomes another user for good: groups, then the group, then the user, each in all of its forms.
///
/// # Errors
/// EPERM without CAP_SETGID and CAP_SETUID; setgroups(2), setresgid(2), setresuid(2).
pub fn become_for_good(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&all(groups))?;
    setresgid(gid, gid, gid)?;
    Ok(setresuid(uid, uid, uid)?)
}

/// Acts as another user; the real user stays, and with it the way back.
///
/// # Errors
/// As [`become_for_good`].
pub fn act_as(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let keep = (Uid::from_raw(u32::MAX), Gid::from_raw(u32::MAX));
    setgroups(&all(groups))?;
    setresgid(keep.1, Gid::from_raw(gid), keep.1)?;
    Ok(setresuid(keep.0, Uid::from_raw(uid), keep.0)?)
}

/// Acts as the real user again, with these supplementary groups.
///
/// # Errors
/// As [`become_for_good`].
pub fn act_as_oneself(groups: &[u32]) -> io::Result<()> {
    let keep = (Uid::from_raw(u32::MAX), Gid::from_raw(u32::MAX));
    setresuid(keep.0, Uid::current(), keep.0)?;
    setresgid(keep.1, Gid::current(), keep.1)?;
    Ok(setgroups(&all(groups))?)
}

/// Whether the process could still become root or take other groups: it tries.
#[must_use]
pub fn can_return() -> bool {
    let (root, group) = (Uid::from_raw(0), Gid::from_raw(0));
    let keep = (Uid::from_raw(u32::MAX), Gid::from_raw(u32::MAX));
    setresuid(root, keep.0, keep.0).is_ok()
        || setresuid(keep.0, root, keep.0).is_ok()
        || setresuid(keep.0, keep.0, root).is_ok()
        || (!Gid::current().eq(&group) && setresgid(group, group, group).is_ok())
        || setgroups(&[group]).is_ok()
}

fn all(groups: &[u32]) -> Vec<Gid> {
    groups.iter().copied().map(Gid::from_raw).collect()
}

/// The two structures of capset(2).
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Empties the effective, permitted, inheritable and ambient sets of the calling thread.
///
/// # Errors
/// None for a thread that gives up what is its own; capset(2).
pub fn clear_capabilities() -> io::Result<()> {
    match prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong) {
        // Before Linux 4.3 there is no such set.
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let header = Header { version: CAPABILITY_VERSION, pid: 0 };
    let sets = [Sets::default(); 2];
    // SAFETY: both are the kernel's structures, and version 3 reads exactly two of the second.
    match Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }) {
        // A service manager's filter may refuse the call, and whoever has none has none to give up.
        Err(Errno::EPERM) if Credentials::of_this_thread().is_ok_and(|found| found.is_without_capabilities()) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(_) => Ok(()),
    }
}

/// Empties the bounding set, so that no program that is executed from now on gains any capability.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn clear_bounding_set() -> io::Result<()> {
    for capability in 0..CAPABILITIES_MOST {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Has user 0 be a user like others, for this thread and for all that it executes, and locks that.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn make_root_ordinary() -> io::Result<()> {
    let bits = NO_ROOT | NO_ROOT << 1 | KEEP_CAPABILITIES_LOCKED | NO_AMBIENT_RAISE | NO_AMBIENT_RAISE << 1;
    prctl(libc::PR_SET_SECUREBITS, bits)
}

/// From now on no program that this thread executes gains rights by set-user-ID or file capabilities.
///
/// # Errors
/// Where the kernel is older than 3.5.
pub fn forbid_new_privileges() -> io::Result<()> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

/// Keeps this process's memory, environment and descriptors from others of the same user, and from core files,
/// until it executes a program: PR_SET_DUMPABLE.
///
/// # Errors
/// None on Linux.
pub fn hide_process() -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these options take numbers only.
    Errno::result(unsafe {
        libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\nGroups:\t9 7 \nThreads:\t3\nCapInh:\t0\n\
            CapPrm:\t1\nCapEff:\t000001ffffffffff\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let found = Credentials::parse(status).unwrap();
        assert_eq!((found.uids, found.gids, found.groups), (vec![1, 2, 3, 4], vec![5; 4], vec![7, 9]));
        assert_eq!(found.capabilities, [0, 1, 0x1ff_ffff_ffff, 0, 0]);
        assert!(found.no_new_privileges && found.filtered && found.threads == 3);
        assert_eq!(Credentials::parse("Uid:\t1\n"), None);
    }

    #[test]
    fn this_thread_is_who_the_c_library_says() {
        let found = Credentials::of_this_thread().unwrap();
        assert_eq!(found.uids[1], nix::unistd::geteuid().as_raw());
        assert_eq!(found.gids[0], nix::unistd::getgid().as_raw());
    }
}
