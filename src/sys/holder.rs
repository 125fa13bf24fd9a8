//! Who holds what somebody else wants: a process with its name.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::stat::{major, minor};

use super::procfs;

/// The flag of a socket that listens, `__SO_ACCEPTCON`, in `/proc/net/unix`.
const LISTENS: &str = "00010000";

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

    /// The processes that have the socket open that listens at `path`, as it was bound: proc_pid_net(5). Nobody is
    /// connected to, which could start somebody.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn all_of_listener(path: &Path) -> io::Result<Vec<Self>> {
        let table = String::from_utf8_lossy(&fs::read("/proc/net/unix")?).into_owned();
        let inodes: Vec<&str> = table.lines().filter_map(|line| listener(line, &path.to_string_lossy())).collect();
        Ok(Self::all_of_sockets(&inodes).collect())
    }

    /// The processes that have one of these sockets open; root alone sees those of others.
    pub(super) fn all_of_sockets(inodes: &[&str]) -> impl Iterator<Item = Self> {
        let inodes: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
        let all = if inodes.is_empty() { Vec::new() } else { procfs::all().unwrap_or_default() };
        let holds = move |pid: i32| {
            let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
            let mut targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
            targets.any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
        };
        all.into_iter().filter(move |process| holds(process.pid)).map(|process| Self::of(process.pid))
    }
}

/// The inode of the socket in this line of `/proc/net/unix`, where it listens at `wanted`.
fn listener<'a>(line: &'a str, wanted: &str) -> Option<&'a str> {
    let mut fields = line.split_ascii_whitespace();
    let (flags, inode) = (fields.nth(3)?, fields.nth(2)?);
    let path = line.split_once(inode)?.1.strip_prefix(' ')?;
    (flags == LISTENS && path == wanted).then_some(inode)
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

    #[test]
    fn whoever_listens_is_found_without_a_connection() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let found = Holder::all_of_listener(&path).unwrap();
        assert_eq!(
            found.iter().map(|holder| holder.pid).collect::<Vec<_>>(),
            [i32::try_from(std::process::id()).unwrap()]
        );
        assert_eq!(Holder::all_of_listener(directory.path()).unwrap(), []);
        drop(listener);
        assert_eq!(Holder::all_of_listener(&path).unwrap(), []);
    }
}
