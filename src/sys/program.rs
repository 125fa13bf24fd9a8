//! A program to execute: its strings as the kernel takes them, where it is looked for, and why it was not found.

use std::ffi::{CString, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::process::{Limit, StartError, Step};

/// Where commands are looked for by a program without PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// What to execute, and as what.
#[derive(Debug)]
pub struct Program<'a> {
    /// The arguments, the command first: a path, or a name that is looked for along the PATH of `environment`.
    /// Relative paths are relative to `directory`.
    pub arguments: &'a [Vec<u8>],
    /// The whole environment, as NAME=value.
    pub environment: &'a [Vec<u8>],
    /// Its working directory.
    pub directory: &'a [u8],
    /// Its file mode creation mask.
    pub umask: u32,
    /// Added to this process's nice value.
    pub nice: i32,
    /// Its resource limits.
    pub limits: &'a [Limit],
    /// Its standard input.
    pub input: BorrowedFd<'a>,
    /// Its standard output and its standard error.
    pub output: BorrowedFd<'a>,
    /// A ruleset of landlock(7): each program that is started with it is in a domain of its own. It needs a process
    /// without new privileges.
    pub domain: Option<BorrowedFd<'a>>,
    /// Where it enters a control group.
    pub door: Option<Door<'a>>,
}

/// The way into a control group.
#[derive(Debug, Clone, Copy)]
pub struct Door<'a> {
    /// [`Group::door`](super::cgroup::Group::door).
    pub procs: BorrowedFd<'a>,
    /// Whether memory is limited behind it, and may be too little to execute anything.
    pub starves: bool,
}

/// A program's strings as execve(2) takes them.
pub(super) struct Strings {
    pub(super) candidates: Vec<CString>,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    pub(super) directory: CString,
}

/// The environment of this process as NAME=value, without the variables of these names.
#[must_use]
pub fn environment_without(names: &[&str]) -> Vec<Vec<u8>> {
    let kept = std::env::vars_os().filter(|(name, _)| names.iter().all(|other| name != other));
    kept.map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'=')).collect()
}

impl Program<'_> {
    pub(super) fn strings(&self) -> Result<Strings, StartError> {
        let one =
            |bytes: &[u8]| CString::new(bytes).map_err(|_| StartError { step: Step::Strings, errno: libc::EINVAL });
        let all = |list: &[Vec<u8>]| list.iter().map(|bytes| one(bytes)).collect::<Result<Vec<_>, _>>();
        let name = self.arguments.first().map_or(&b""[..], Vec::as_slice);
        let path = self.environment.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
        Ok(Strings {
            candidates: all(&search(name, path.unwrap_or(DEFAULT_PATH)))?,
            arguments: all(self.arguments)?,
            environment: all(self.environment)?,
            directory: one(self.directory)?,
        })
    }
}

impl Strings {
    /// Tells apart what execve(2) does not: a directory from a file that may not be executed, and a program
    /// that is not there from one whose interpreter is not.
    pub(super) fn explain(&self, error: StartError) -> StartError {
        let directory = Path::new(OsStr::from_bytes(self.directory.as_bytes()));
        let named = self.candidates.iter().map(|path| path.as_bytes()).filter(|path| !path.is_empty());
        let mut there = named.filter_map(|path| std::fs::metadata(directory.join(OsStr::from_bytes(path))).ok());
        match (error.step, error.errno) {
            (Step::Execute, libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ENAMETOOLONG | libc::ELOOP) => {
                match there.next() {
                    Some(found) if found.is_dir() => StartError { errno: libc::EISDIR, ..error },
                    None if error.errno != libc::EACCES => StartError { step: Step::Search, ..error },
                    Some(_) | None => error,
                }
            }
            _ => error,
        }
    }
}

/// The paths that `name` may mean, as execvp(3) has it: without a slash it is looked for along `path`.
fn search(name: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    if name.is_empty() || name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let join = |directory: &[u8]| match directory {
        b"" => [b"./", name].concat(),
        _ => [directory, b"/", name].concat(),
    };
    path.split(|byte| *byte == b':').map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_along_the_path() {
        assert_eq!(search(b"ls", b"/a:/b"), [b"/a/ls", b"/b/ls"]);
        assert_eq!(search(b"ls", b""), [b"./ls"]);
        assert_eq!(search(b"./ls", b"/a:/b"), [b"./ls"]);
        assert_eq!(search(b"", b"/a"), [b""]);
    }
}
