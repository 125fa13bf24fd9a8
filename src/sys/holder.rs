//! Who holds what somebody else wants: a process with its name.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::stat::{major, minor};

/// A process, and what it calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: i32,
    /// What it calls itself, proc_pid_comm(5); without control characters, and empty where that cannot be read.
    pub name: String,
}

impl Holder {
    /// The process of that number.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, name: String::from_utf8_lossy(name.trim_ascii_end()).replace(char::is_control, "?") }
    }

    /// The process that has `file` locked by flock(2); `None` where it is out of sight: proc_locks(5).
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn of_lock(file: &File) -> io::Result<Option<Self>> {
        let found = file.metadata()?;
        let place = format!("{:02x}:{:02x}:{}", major(found.dev()), minor(found.dev()), found.ino());
        let locks = fs::read_to_string("/proc/locks")?;
        let holder = locks.lines().find_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match *words {
                [_, "FLOCK", _, _, pid, at, ..] if at == place => pid.parse().ok(),
                _ => None,
            }
        });
        Ok(holder.filter(|pid| *pid > 0).map(Self::of))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "process {} ({})", self.pid, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_a_lock_is_told() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Holder::of_lock(&file).unwrap(), None);
        file.lock().unwrap();
        // Some file systems number their files otherwise than stat(2) says; then nobody is told rather than somebody.
        let Some(holder) = Holder::of_lock(&file).unwrap() else { return };
        assert_eq!(u32::try_from(holder.pid).unwrap(), std::process::id());
        assert_eq!(holder.to_string(), format!("process {} ({})", holder.pid, holder.name));
    }
}
