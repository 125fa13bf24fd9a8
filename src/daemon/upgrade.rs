//! Becoming another program without ceasing to be: trial run, handover, execve(2).
//!
//! A [`Candidate`] is looked at, then tried out in a process of its own, and only then takes this one's place: same
//! process ID, same parent, same children, and the descriptors that it is left, with facts about them, in a sealed
//! memory file. The new program finds them by [`inherited`]. What fails before the kernel has let go of the old program
//! is an error, and nothing has changed; what fails after that is a crash, for whoever restarts the service.
//!
//! ```no_run
//! use std::os::fd::{AsFd, OwnedFd};
//! use std::time::Duration;
//! use taskdaemon::daemon::upgrade::{Candidate, inherited};
//! use taskdaemon::sys::inherit::Inheritable;
//!
//! # fn listen() -> std::io::Result<OwnedFd> { taskdaemon::sys::fd::null() }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket: Inheritable = match inherited()? {
//!     Some(left) => left,
//!     None => listen()?.into(),
//! };
//! // … and when told to upgrade:
//! let candidate = Candidate::at("/usr/sbin/mydaemon".as_ref())?;
//! let version = candidate.try_out(&["--check".into()], "mydaemon ", Duration::from_secs(10))?;
//! let error = candidate.take_over(&["mydaemon".into()], &socket, &[socket.as_fd()]);
//! eprintln!("{version} could not take over, this one goes on: {error}");
//! # Ok(())
//! # }
//! ```
//!
//! It must not know what is handed over, nor what for.

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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::service;
use super::wait::readable;
use crate::sys::fd::adopt;
use crate::sys::inherit::stays_open;
use crate::sys::{memfd, pidfd};

/// The variable that names the record: the process that it is for, a colon, the descriptor's number. Children inherit
/// the variable too, and see that they are not meant.
pub const VARIABLE: &str = "DAEMON_HANDOVER";

/// The form of the record that this program writes, and the newest that it reads.
pub const FORM: u16 = 1;

/// The oldest form of the record that this program reads.
pub const OLDEST_FORM: u16 = 1;

/// The largest record, in bytes.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What a trial may say at most, in bytes.
const MOST_SAID: u64 = 64 * 1024;

/// Sockets that a service manager passed are handed over as all others are: the next program must not take them twice.
const ACTIVATION: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// Why this program stays in charge, or what the one before it left is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// There is no such program, or it may not be read.
    #[error("open the new program {}", path.display())]
    Open {
        /// Where it should be.
        path: PathBuf,
        /// Why it could not be opened.
        source: io::Error,
    },
    /// Somebody else could put anything there.
    #[error(
        "refuse {}: it is no regular file that only root or this user could change (owner {owner}, mode {mode:04o}); \
        see to that with chown and chmod go-w", path.display()
    )]
    Unsafe {
        /// The program.
        path: PathBuf,
        /// Its owner's numeric user ID.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// It is no program for this machine.
    #[error("run the new program {}", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// Why it does not run.
        source: io::Error,
    },
    /// It refused, or crashed.
    #[error("the new program {} failed its trial ({status}): {said}", path.display())]
    Trial {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// It is something else than was expected.
    #[error("the new program {} is not one that can take over: it answered the trial with {said:?}", path.display())]
    Stranger {
        /// The program.
        path: PathBuf,
        /// What it said.
        said: String,
    },
    /// It took too long.
    #[error("the new program {} did not end its trial within {} s", path.display(), after.as_secs())]
    Slow {
        /// The program.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// It is another one than was tried.
    #[error("the program {} was changed while it was tried out; upgrade again", path.display())]
    Changed {
        /// The program.
        path: PathBuf,
    },
    /// The kernel did not execute it.
    #[error("execute the new program")]
    Execute(#[source] io::Error),
    /// What is to be handed over.
    #[error("write the handover down")]
    Record(#[source] io::Error),
    /// What was handed over.
    #[error("take the handover {variable:?} up")]
    Inherit {
        /// What names it.
        variable: OsString,
        /// What is wrong with it.
        source: io::Error,
    },
}

impl UpgradeError {
    /// The whole of it in one line, with its cause.
    #[must_use]
    pub fn in_full(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

/// What is handed over.
#[derive(Serialize, Deserialize)]
struct Record<F> {
    form: u16,
    facts: F,
}

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

/// What the program before this one left to this process; none where it was started afresh.
///
/// To be called once, before anything else opens descriptors.
///
/// # Errors
/// [`UpgradeError::Inherit`] where there is something, and it cannot be read: it is better to end than to do without.
pub fn inherited<F: DeserializeOwned>() -> Result<Option<F>, UpgradeError> {
    let Some(variable) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let number = variable.to_str().and_then(|text| {
        let (pid, number) = text.split_once(':')?;
        (pid.parse() == Ok(std::process::id())).then(|| number.parse().ok())?
    });
    let Some(number) = number else { return Ok(None) };
    let facts = adopt(number).and_then(|record| read(&memfd::read_sealed(record, MOST_BYTES)?));
    facts.map(Some).map_err(|source| UpgradeError::Inherit { variable, source })
}

fn read<F: DeserializeOwned>(bytes: &[u8]) -> io::Result<F> {
    /// What every form begins with; the facts are read only where the form is known.
    #[derive(Deserialize)]
    struct Head {
        form: u16,
    }
    let form = serde_json::from_slice::<Head>(bytes)?.form;
    if !(OLDEST_FORM..=FORM).contains(&form) {
        let detail = format!("its form is {form}, and this program knows {OLDEST_FORM} to {FORM}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    Ok(serde_json::from_slice::<Record<F>>(bytes)?.facts)
}

fn record(facts: &impl Serialize) -> io::Result<OwnedFd> {
    memfd::sealed("handover", &serde_json::to_vec(&Record { form: FORM, facts })?)
}

fn environment(record: RawFd) -> Vec<OsString> {
    let ours = |name: &OsString| ACTIVATION.iter().chain([&VARIABLE]).any(|own| name == own);
    let kept = std::env::vars_os().filter(|(name, _)| !ours(name));
    let pairs = kept.map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='));
    let own = format!("{VARIABLE}={}:{record}", std::process::id()).into_bytes();
    pairs.chain([own]).map(OsString::from_vec).collect()
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

    #[test]
    fn a_record_of_a_form_that_is_not_known_is_told() {
        let bytes = |form| serde_json::to_vec(&Record { form, facts: vec![1, 2] }).unwrap();
        assert_eq!(read::<Vec<i32>>(&bytes(FORM)).unwrap(), [1, 2]);
        let error = read::<Vec<i32>>(&bytes(FORM + 1)).unwrap_err();
        assert_eq!(error.to_string(), "its form is 2, and this program knows 1 to 1");
    }
}
