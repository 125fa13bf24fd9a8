//! How soon the kernel lets a thread run that has just become ready.

use std::io;

use nix::errno::Errno;

/// As much as a thread asks for at a time: the least that the kernel takes.
const SHORTEST_NS: u64 = 100_000;

/// What the scheduler knows of a thread: `struct sched_attr` as of its first version; sched_setattr(2).
#[repr(C)]
#[derive(Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Its length in bytes.
const SIZE: u32 = 48;
const _: () = assert!(size_of::<Attributes>() == 48);

/// Asks for short turns of the calling thread, and for early ones in return: it gets no more of the processor than
/// before, but waits less behind threads that are busy. Linux 6.12 and later heed it, earlier ones do nothing. What is
/// started from the thread is as if it had not asked.
///
/// Nothing is asked for where the thread was given precedence already, by a real-time policy or a negative nice value,
/// for what it starts would lose that.
///
/// # Errors
/// Where a sandbox forbids it.
pub fn shorten() -> io::Result<()> {
    let mut now = Attributes::default();
    // SAFETY: the kernel writes so many bytes at most to a structure of that size, which all patterns are good for.
    let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, SIZE, 0) };
    Errno::result(read)?;
    if now.policy != libc::SCHED_OTHER.unsigned_abs() || now.nice < 0 {
        return Ok(());
    }
    let flags = libc::SCHED_FLAG_RESET_ON_FORK.unsigned_abs().into();
    let wanted = Attributes { size: SIZE, flags, runtime: SHORTEST_NS, ..now };
    // SAFETY: the kernel reads as many bytes of the structure as it says itself to have.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    Errno::result(set)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The policy of a thread or process, as the kernel tells it.
    fn flags(of: libc::c_long) -> u64 {
        let mut now = Attributes::default();
        // SAFETY: as above.
        let read = unsafe { libc::syscall(libc::SYS_sched_getattr, of, &raw mut now, SIZE, 0) };
        assert_eq!(read, 0);
        now.flags
    }

    #[test]
    fn what_is_started_is_as_if_nothing_was_asked_for() {
        let before = flags(0);
        shorten().unwrap();
        assert_eq!(flags(0), u64::from(libc::SCHED_FLAG_RESET_ON_FORK.unsigned_abs()));
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let of_child = flags(child.id().into());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((before, of_child), (0, 0));
    }
}
