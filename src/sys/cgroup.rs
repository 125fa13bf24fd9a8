//! Control groups of version 2, below one that was given to this process: cgroups(7).
//!
//! A [`Tree`] is the group that was given, with this process in a leaf of it; a [`Group`] is another leaf, for programs
//! that are limited, counted and ended together. A process leaves its group only where it may write to files of another
//! one: whoever gives the tree as a descriptor, and lets nobody see it in writable directories, holds them in.
//!
//! The kernel's words for all files: Documentation/admin-guide/cgroup-v2.rst.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use super::inherit::Inheritable;

/// The leaf of the process that the tree was given to.
const OWN: &str = "runner";

/// What groups are limited in, where the host's service manager passed it on.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// The control group that this process is in: a directory. `None` where the host has none of version 2.
///
/// # Errors
/// Where it is there and cannot be opened.
pub fn own() -> io::Result<Option<OwnedFd>> {
    let Some(path) = own_path()? else { return Ok(None) };
    Ok(Some(File::options().read(true).custom_flags(libc::O_DIRECTORY).open(path)?.into()))
}

fn own_path() -> io::Result<Option<PathBuf>> {
    let (groups, mounts) = (fs::read_to_string("/proc/self/cgroup")?, fs::read_to_string("/proc/self/mountinfo")?);
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    // There systemd puts what it runs beside a service that was given its group.
    let path = path.map(|path| path.strip_suffix("/.control").unwrap_or(path));
    // Behind the dash: type, source, options. Before it, the fifth field is where it is mounted: proc_pid_mountinfo(5).
    let mut mounted = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    let mount = mounted.find_map(|line| line.split(' ').nth(4));
    Ok(mount.zip(path).map(|(mount, path)| PathBuf::from(mount).join(path)))
}

/// A group that was given to this process, with all that it makes below.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tree {
    root: Inheritable,
    controllers: Vec<String>,
}

/// What a group may take; `None` leaves it to what is above.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Memory in bytes, none of it swapped out.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Its share of a busy CPU, as a nice value would have it.
    pub nice: i32,
}

/// What a group has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// The most memory at once, in bytes; since Linux 5.19, where memory is counted.
    pub peak_bytes: Option<u64>,
    /// How many of its processes the kernel killed for want of memory.
    pub killed: u64,
}

impl Tree {
    /// Takes the group whose directory is `root`: moves this process, with all of its threads, into a leaf of its own, and
    /// has every other leaf counted.
    ///
    /// # Errors
    /// PermissionDenied or ReadOnlyFilesystem where it was not given to this user; ResourceBusy where others are in it;
    /// Unsupported before Linux 5.14, which cannot end a group as a whole.
    pub fn take(root: OwnedFd) -> io::Result<Self> {
        Self::take_for(root, std::process::id())
    }

    fn take_for(root: OwnedFd, process: u32) -> io::Result<Self> {
        ensure(&root, OWN)?;
        let leaf = directory(&root, OWN)?;
        if open(&leaf, "cgroup.kill", OFlag::O_WRONLY).is_err() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        write(&leaf, "cgroup.procs", &process.to_string())?;
        let there = read(&root, "cgroup.controllers")?;
        let wanted = CONTROLLERS.into_iter().filter(|name| there.split_ascii_whitespace().any(|other| other == *name));
        let controllers: Vec<String> = wanted.map(str::to_owned).collect();
        for name in &controllers {
            write(&root, "cgroup.subtree_control", &format!("+{name}"))?;
        }
        let tree = Self { root: root.into(), controllers };
        // What another one before this left, and nothing runs in.
        tree.groups()?.iter().try_for_each(|group| tree.remove(group).map(drop))?;
        Ok(tree)
    }

    /// What groups are limited in: `memory`, `pids`, `cpu`.
    #[must_use]
    pub fn controllers(&self) -> &[String] {
        &self.controllers
    }

    /// Whether groups are limited in `controller`.
    #[must_use]
    pub fn limits(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// Makes the group `name`, in which nothing runs yet, and opens its [door](Group::door). Where it cannot be limited in
    /// what is asked for, the ceiling is left out: [`Tree::limits`] tells before.
    ///
    /// # Errors
    /// AlreadyExists; or where there may be no more groups.
    pub fn make(&self, name: &str, ceilings: &Ceilings) -> io::Result<(Group, OwnedFd)> {
        let mode = Mode::from_bits_truncate(0o755);
        mkdirat(self.root.as_fd(), name, mode)?;
        let group = Group { name: name.to_owned(), directory: directory(&self.root, name)?.into() };
        let door = group.limit(self, ceilings).and_then(|()| group.door());
        let door = door.inspect_err(|_| drop(self.remove(&group)))?;
        Ok((group, door))
    }

    /// The groups below, but for this process's own.
    ///
    /// # Errors
    /// Where the list cannot be read.
    pub fn groups(&self) -> io::Result<Vec<Group>> {
        let mut found = Vec::new();
        for entry in Dir::openat(self.root.as_fd(), ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            // What belongs to systemd has a dot in front.
            if entry.file_type() == Some(nix::dir::Type::Directory) && !name.starts_with('.') && name != OWN {
                found.push(Group { name: name.to_owned(), directory: directory(&self.root, name)?.into() });
            }
        }
        Ok(found)
    }

    /// What runs in groups other than these.
    #[must_use]
    pub fn strangers(&self, known: &HashSet<&str>) -> Vec<i32> {
        let groups = self.groups().unwrap_or_default().into_iter();
        let strange = groups.filter(|group| !known.contains(group.name()));
        strange.flat_map(|group| group.processes().unwrap_or_default()).collect()
    }

    /// Kills all that runs in groups other than these, and removes them. What hangs in the kernel keeps its group.
    pub fn clear(&self, known: &HashSet<&str>) {
        let groups = self.groups().unwrap_or_default().into_iter();
        for group in groups.filter(|group| !known.contains(group.name())) {
            let _ = group.kill().and_then(|()| self.remove(&group));
        }
    }

    /// Removes a group, and what it made below; false where something runs there.
    ///
    /// # Errors
    /// Others than that.
    pub fn remove(&self, group: &Group) -> io::Result<bool> {
        match unlinkat(self.root.as_fd(), group.name.as_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(true),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Makes a group and opens its door, as [`Tree::make`]; `None` where there is no tree, or may be no more groups.
#[must_use]
pub fn make(tree: Option<&Tree>, name: &str, ceilings: &Ceilings) -> Option<(Group, OwnedFd)> {
    tree?.make(name, ceilings).ok()
}

/// Removes a group in which nothing runs, where there is one. Where something hangs in the kernel, it stays for whoever
/// takes the tree next.
pub fn remove(tree: Option<&Tree>, group: Option<&Group>) {
    if let (Some(tree), Some(group)) = (tree, group) {
        let _ = tree.remove(group);
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Programs that are limited, counted and ended together.
#[derive(Debug, Serialize, Deserialize)]
pub struct Group {
    name: String,
    directory: Inheritable,
}

impl Group {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `path`, as [`path_of`] tells it, leads into it.
    #[must_use]
    pub fn is_on(&self, path: &str) -> bool {
        path.split('/').any(|part| part == self.name)
    }

    fn limit(&self, tree: &Tree, ceilings: &Ceilings) -> io::Result<()> {
        if tree.limits("memory") {
            // What one of them lacks, all lack: half a pipeline is of no use.
            write(&self.directory, "memory.oom.group", "1")?;
            if let Some(bytes) = ceilings.memory_bytes {
                write(&self.directory, "memory.max", &bytes.to_string())?;
                // Not there where the host has no swap.
                drop(write(&self.directory, "memory.swap.max", "0"));
            }
        }
        if let Some(count) = ceilings.processes.filter(|_| tree.limits("pids")) {
            write(&self.directory, "pids.max", &count.to_string())?;
        }
        if ceilings.nice != 0 && tree.limits("cpu") {
            // Between groups the nice values of their processes mean nothing.
            write(&self.directory, "cpu.weight.nice", &ceilings.nice.clamp(-20, 19).to_string())?;
        }
        Ok(())
    }

    /// Where a process writes `0` to be in this group.
    ///
    /// # Errors
    /// Where descriptors run out.
    pub fn door(&self) -> io::Result<OwnedFd> {
        open(&self.directory, "cgroup.procs", OFlag::O_WRONLY)
    }

    /// What runs in it now.
    ///
    /// # Errors
    /// Where the list cannot be read.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        let list = read(&self.directory, "cgroup.procs")?;
        Ok(list.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Kills everything in it, what is being forked included.
    ///
    /// # Errors
    /// None for a group that is there.
    pub fn kill(&self) -> io::Result<()> {
        write(&self.directory, "cgroup.kill", "1")
    }

    /// What it has used; what cannot be read is nothing.
    #[must_use]
    pub fn used(&self) -> Used {
        let text = |name| read(&self.directory, name).unwrap_or_default();
        let (cpu, events) = (text("cpu.stat"), text("memory.events"));
        Used {
            user_us: value(&cpu, "user_usec").unwrap_or_default(),
            system_us: value(&cpu, "system_usec").unwrap_or_default(),
            peak_bytes: text("memory.peak").trim().parse().ok(),
            killed: value(&events, "oom_kill").unwrap_or_default(),
        }
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The control group that process `pid` is in, from the root of the hierarchy.
///
/// # Errors
/// NotFound where there is no such process.
pub fn path_of(pid: i32) -> io::Result<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    Ok(groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned())
}

/// What stands behind `name` in a list of names and numbers.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).and_then(|number| number.parse().ok())
}

fn ensure(at: impl AsFd, name: &str) -> io::Result<()> {
    match mkdirat(at, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn directory(at: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    open(at, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

fn open(at: impl AsFd, name: &str, flags: OFlag) -> io::Result<OwnedFd> {
    Ok(openat(at, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?)
}

fn read(at: impl AsFd, name: &str) -> io::Result<String> {
    let mut text = String::new();
    File::from(open(at, name, OFlag::O_RDONLY)?).read_to_string(&mut text)?;
    Ok(text)
}

fn write(at: impl AsFd, name: &str, text: &str) -> io::Result<()> {
    File::from(open(at, name, OFlag::O_WRONLY)?).write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
