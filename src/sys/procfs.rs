//! Other processes, as /proc shows them: proc(5).

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// When it started, in clock ticks after boot; with the number it tells one process from all others of this boot.
    pub start_ticks: u64,
    /// Whether it has ended and waits to be collected.
    pub zombie: bool,
}

/// Looks at process `pid`.
///
/// # Errors
/// NotFound where there is none.
pub fn process(pid: i32) -> io::Result<Process> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse(pid, &text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The name stands in parentheses and may hold anything, parentheses and spaces included.
fn parse(pid: i32, text: &[u8]) -> Option<Process> {
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(text.get(close + 2..)?).ok()?.split(' ').collect();
    Some(Process {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// The processes that were in sight at one time, by number.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(HashMap<i32, Process>);

impl Snapshot {
    /// Looks at all of them.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn take() -> io::Result<Self> {
        Ok(Self(all()?.into_iter().map(|process| (process.pid, process)).collect()))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Process> + Clone {
        self.0.values()
    }

    /// Whether `pid` is the process that started at `start_ticks`.
    #[must_use]
    pub fn holds(&self, pid: i32, start_ticks: u64) -> bool {
        self.0.get(&pid).is_some_and(|process| process.start_ticks == start_ticks)
    }

    /// What is left of something that `named` processes were of: they, who is in a process group of theirs or is marked,
    /// and all below these; nothing below `parent`, and none of `spared`.
    #[must_use]
    pub fn left_of(
        &self,
        named: &HashSet<i32>,
        parent: i32,
        spared: &HashSet<i32>,
        is_marked: impl Fn(i32) -> bool,
    ) -> Vec<Process> {
        let candidates = self.iter().filter(|process| !spared.contains(&process.pid));
        let is_left = |process: &&Process| {
            named.contains(&process.pid) || named.contains(&process.group) || is_marked(process.pid)
        };
        let roots: HashSet<i32> = candidates.filter(is_left).map(|process| process.pid).collect();
        self.below(&roots, parent, spared)
    }

    /// What runs and is one of `roots` or below one; nothing below `parent`, and none of `spared`.
    fn below(&self, roots: &HashSet<i32>, parent: i32, spared: &HashSet<i32>) -> Vec<Process> {
        let line = |process: &Process| self.ancestry(process.pid);
        let is_below = |process: &&Process| {
            !process.zombie
                && !spared.contains(&process.pid)
                && !line(process).any(|pid| pid == parent)
                && line(process).any(|pid| roots.contains(&pid))
        };
        self.iter().filter(is_below).copied().collect()
    }

    /// `pid`, its parent, and so on.
    pub fn ancestry(&self, pid: i32) -> impl Iterator<Item = i32> {
        let parent = |pid: &i32| self.0.get(pid).map(|process| process.parent).filter(|parent| *parent > 0);
        // Bounded, because the processes changed while they were read: there may be circles.
        std::iter::successors(Some(pid), parent).take(1024)
    }
}

/// Every process that is in sight.
///
/// # Errors
/// Where /proc is not mounted.
pub fn all() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended meanwhile is no fault.
        found.extend(process(pid).ok());
    }
    Ok(found)
}

/// Everything below `pid`: its children, theirs, and so on. What forks meanwhile may be missed.
#[must_use]
pub fn descendants(pid: i32) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if found.iter().any(|known| known.pid == child) {
                continue;
            }
            found.extend(process(child).ok());
            parents.push(child);
        }
    }
    found
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| numbers(&list)).collect()
}

fn numbers(list: &str) -> Vec<i32> {
    list.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// The user that process `pid` runs as: its real one. That `/proc/PID` belongs to root may only mean that the process
/// keeps its memory to itself.
///
/// # Errors
/// NotFound where there is none.
pub fn owner(pid: i32) -> io::Result<u32> {
    let status = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/status"))?).into_owned();
    let real = field(&status, "Uid").and_then(|uids| uids.split_ascii_whitespace().next()?.parse().ok());
    real.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What stands behind `name:` in a text such as `/proc/PID/status`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The value of `name` in an environment as [`environment`] returns it.
#[must_use]
pub fn variable<'a>(environment: &'a [u8], name: &str) -> Option<&'a str> {
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok()
}

/// The environment that process `pid` was started with, entries ended by NUL; empty while it is executing a
/// program just now.
///
/// # Errors
/// NotFound where there is no such process, PermissionDenied where it is another user's.
pub fn environment(pid: i32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ"))
}

/// This boot's own name.
///
/// # Errors
/// Where /proc is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The children of this process's first thread: what orphans are given to where this process is a subreaper.
///
/// Children are listed by the thread that started them, so a process that starts its own from another
/// thread finds only orphans here, for the price of one read.
#[derive(Debug)]
pub struct Orphans(File);

impl Orphans {
    /// Opens the list.
    ///
    /// # Errors
    /// NotFound where the kernel was built without CONFIG_PROC_CHILDREN.
    pub fn open() -> io::Result<Self> {
        let pid = std::process::id();
        Ok(Self(File::open(format!("/proc/self/task/{pid}/children"))?))
    }

    /// Their numbers, zombies included.
    ///
    /// # Errors
    /// As read(2).
    pub fn list(&self) -> io::Result<Vec<i32>> {
        let mut text = Vec::new();
        let mut part = [0u8; 4096];
        loop {
            let at = u64::try_from(text.len()).map_err(io::Error::other)?;
            let count = self.0.read_at(&mut part, at)?;
            text.extend(part.get(..count).unwrap_or_default());
            if count == 0 {
                return Ok(numbers(&String::from_utf8_lossy(&text)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_misleads_nobody() {
        let text = b"7 (a) Z 1 (b) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9911 1000 12";
        let found = parse(7, text).unwrap();
        assert_eq!(found, Process { pid: 7, parent: 3, group: 4, start_ticks: 9911, zombie: false });
        assert_eq!(parse(7, b"7 (a"), None);
        assert_eq!(parse(7, b"7 (a)"), None);
    }

    #[test]
    fn this_process_is_found_with_its_parent() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = process(pid).unwrap();
        assert_eq!(me.parent, nix::unistd::getppid().as_raw());
        assert!(all().unwrap().iter().any(|other| other.pid == pid && other.start_ticks == me.start_ticks));
        assert_eq!(owner(pid).unwrap(), nix::unistd::geteuid().as_raw());
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environment = b"XNAME=no\0NAMES=no\0NAME=yes\0";
        assert_eq!(variable(environment, "NAME"), Some("yes"));
        assert_eq!(variable(environment, "OTHER"), None);
    }
}
