//! The program that may take over: looked at, tried out, executed.

use std::ffi::{CString, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{execve, fexecve};
use serde::Serialize;

use super::UpgradeError;
use super::record::{VARIABLE, environment, record};
use crate::daemon::service;
use crate::daemon::wait::readable;
use crate::sys::inherit::stays_open;
use crate::sys::pidfd;

/// What a trial may say at most, in bytes.
const MOST_SAID: u64 = 64 * 1024;

/// A program that may take this one's place.
#[derive(Debug)]
pub struct Candidate {
    file: File,
    /// What it was when it was looked at.
    seen: Metadata,
    /// Where it is; a descriptor that was passed alone is executed as it is.
    path: Option<PathBuf>,
}

impl Candidate {
    /// The program at `path`, which must be one that only root or this user could have put there.
    ///
    /// # Errors
    /// [`UpgradeError::Open`] and [`UpgradeError::Unsafe`].
    pub fn at(path: &Path) -> Result<Self, UpgradeError> {
        let file = File::open(path).map_err(|source| UpgradeError::Open { path: path.to_owned(), source })?;
        Self::checked(file, Some(path.to_owned()))
    }

    /// The program that `file` is, under the same condition.
    ///
    /// # Errors
    /// [`UpgradeError::Unsafe`].
    pub fn of(file: OwnedFd) -> Result<Self, UpgradeError> {
        Self::checked(file.into(), None)
    }

    fn checked(file: File, path: Option<PathBuf>) -> Result<Self, UpgradeError> {
        let named = || path.clone().unwrap_or_else(|| "that was passed".into());
        let seen = file.metadata().map_err(|source| UpgradeError::Open { path: named(), source })?;
        let (owner, mode) = (seen.uid(), seen.mode() & 0o7777);
        let trusted = owner == 0 || owner == nix::unistd::geteuid().as_raw();
        if seen.is_file() && trusted && mode & 0o022 == 0 {
            return Ok(Self { file, seen, path });
        }
        Err(UpgradeError::Unsafe { path: named(), owner, mode })
    }

    /// Runs it with `arguments` and nothing handed over; it proves itself by ending well with one line that begins
    /// with `word`. Returns the rest of that line.
    ///
    /// # Errors
    /// What kept it from proving itself, with its own words.
    pub fn try_out(&self, arguments: &[OsString], word: &str, time: Duration) -> Result<String, UpgradeError> {
        let path = self.path.clone().unwrap_or_else(|| format!("/proc/self/fd/{}", self.file.as_raw_fd()).into());
        let run = |source| UpgradeError::Run { path: path.clone(), source };
        let (said, writer) = io::pipe().map_err(run)?;
        let mut command = Command::new(&path);
        command.args(arguments).stdin(Stdio::null());
        for name in service::VARIABLES.into_iter().chain([VARIABLE]) {
            command.env_remove(name);
        }
        command.stdout(writer.try_clone().map_err(run)?).stderr(writer);
        let mut child = command.spawn().map_err(run)?;
        // It holds the writing ends, without which the reading one never comes to its end.
        drop(command);
        let deadline = Instant::now() + time;
        let ended = listen(said, deadline).and_then(|said| Ok((said, end_of(&mut child, deadline)?)));
        let (said, status) = match ended {
            Ok((said, Some(status))) => (said, status),
            other => {
                // It may have ended by itself at this very moment.
                let _ = child.kill();
                let _ = child.wait();
                other.map_err(run)?;
                return Err(UpgradeError::Slow { path, after: time });
            }
        };
        let said = said.trim().to_owned();
        match said.strip_prefix(word) {
            Some(rest) if status.success() && !rest.contains('\n') => Ok(rest.to_owned()),
            _ if status.success() => Err(UpgradeError::Stranger { path, said }),
            _ if said.is_empty() => Err(UpgradeError::Trial { path, status, said: "it said nothing".to_owned() }),
            _ => Err(UpgradeError::Trial { path, status, said }),
        }
    }

    /// Becomes this program, with `arguments` (its name first), `facts`, and `left` still open. Returns only where
    /// that failed, and then nothing has changed.
    ///
    /// Every other thread of the process ends. Signals that are blocked stay so, and those that wait go on waiting for
    /// the new program. Whatever else is not closed on exec is inherited too.
    #[must_use]
    pub fn take_over(&self, arguments: &[OsString], facts: &impl Serialize, left: &[BorrowedFd<'_>]) -> UpgradeError {
        let record = match record(facts) {
            Ok(record) => record,
            Err(error) => return UpgradeError::Record(error),
        };
        let left: Vec<BorrowedFd<'_>> = left.iter().copied().chain([record.as_fd()]).collect();
        let done = left.iter().try_for_each(|fd| stays_open(fd, true));
        let error = match done {
            Ok(()) => self.execute(arguments, record.as_raw_fd()),
            Err(error) => UpgradeError::Record(error),
        };
        for fd in left {
            // It is open, and setting a flag then cannot fail.
            let _ = stays_open(fd, false);
        }
        error
    }

    fn execute(&self, arguments: &[OsString], record: RawFd) -> UpgradeError {
        let strings = (strings(arguments.iter().cloned()), strings(environment(record)));
        let (Ok(arguments), Ok(environment)) = strings else {
            return UpgradeError::Execute(io::ErrorKind::InvalidInput.into());
        };
        let done = match &self.path {
            None => fexecve(&self.file, &arguments, &environment),
            Some(path) if !self.is_still_at(path) => return UpgradeError::Changed { path: path.clone() },
            Some(path) => match CString::new(path.as_os_str().as_bytes()) {
                Ok(path) => execve(&path, &arguments, &environment),
                Err(error) => return UpgradeError::Execute(error.into()),
            },
        };
        match done {
            Ok(never) => match never {},
            Err(errno) => UpgradeError::Execute(errno.into()),
        }
    }

    fn is_still_at(&self, path: &Path) -> bool {
        let mark = |it: &Metadata| (it.dev(), it.ino(), it.mtime(), it.mtime_nsec(), it.len());
        std::fs::metadata(path).is_ok_and(|found| mark(&found) == mark(&self.seen))
    }
}

fn strings(list: impl IntoIterator<Item = OsString>) -> io::Result<Vec<CString>> {
    list.into_iter().map(|text| CString::new(text.into_vec()).map_err(io::Error::from)).collect()
}

/// What comes from the pipe until its end; a deadline that passes ends it too.
fn listen(mut pipe: io::PipeReader, deadline: Instant) -> io::Result<String> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while u64::try_from(said.len()).is_ok_and(|length| length < MOST_SAID) && readable(&pipe, deadline)? {
        match pipe.read(&mut buffer)? {
            0 => break,
            read => said.extend_from_slice(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// How the child ended; none where it has not by then.
fn end_of(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let held = pidfd::open(i32::try_from(child.id()).map_err(io::Error::other)?)?;
    if readable(held, deadline)? { child.wait().map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SHORT: Duration = Duration::from_secs(10);

    fn script(directory: &tempfile::TempDir, text: &str) -> Candidate {
        let (source, path) = (directory.path().join("source"), directory.path().join("program"));
        fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
        // A file that a child of another test has inherited for writing could not be executed.
        assert!(Command::new("install").args(["-m", "755"]).args([&source, &path]).status().unwrap().success());
        Candidate::at(&path).unwrap()
    }

    #[test]
    fn a_program_proves_itself_by_its_word() {
        let directory = tempfile::tempdir().unwrap();
        let said = script(&directory, "echo \"mine $1\"").try_out(&["2.0".into()], "mine ", SHORT);
        assert_eq!(said.unwrap(), "2.0");
    }

    #[test]
    fn what_fails_in_the_trial_is_told_in_its_own_words() {
        let directory = tempfile::tempdir().unwrap();
        let failed = script(&directory, "echo no such luck >&2; exit 78").try_out(&[], "mine ", SHORT).unwrap_err();
        assert!(failed.to_string().ends_with("failed its trial (exit status: 78): no such luck"), "{failed}");
        let stranger = script(&directory, "echo hello").try_out(&[], "mine ", SHORT);
        assert!(matches!(stranger, Err(UpgradeError::Stranger { .. })), "{stranger:?}");
    }

    #[test]
    fn a_trial_that_does_not_end_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["exec sleep 1000", "exec sleep 1000 >/dev/null 2>&1"] {
            let slow = script(&directory, text).try_out(&[], "mine ", Duration::from_millis(50));
            assert!(matches!(slow, Err(UpgradeError::Slow { .. })), "{slow:?}");
        }
    }

    #[test]
    fn a_program_that_others_could_change_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(script(&directory, "exit 0"));
        let path = directory.path().join("program");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Candidate::at(&path), Err(UpgradeError::Unsafe { .. })));
        assert!(matches!(Candidate::at(directory.path()), Err(UpgradeError::Unsafe { .. })));
        assert!(matches!(Candidate::at(&path.join("x")), Err(UpgradeError::Open { .. })));
    }

    #[test]
    fn a_program_that_changed_or_does_not_execute_leaves_everything_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let candidate = script(&directory, "exit 0");
        let left = crate::sys::fd::null().unwrap();
        let path = directory.path().join("program");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = candidate.take_over(&["x".into()], &7, &[left.as_fd()]);
        assert!(matches!(error, UpgradeError::Execute(_)), "{error:?}");
        let flags = nix::fcntl::fcntl(&left, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, nix::libc::FD_CLOEXEC, "closed on exec again");
        fs::write(&path, "another").unwrap();
        assert!(matches!(candidate.take_over(&["x".into()], &7, &[]), UpgradeError::Changed { .. }));
    }
}
