//! The runner's process: who it becomes, and who keeps it running.

use std::ffi::{CStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};

use nix::sys::socket::{UnixAddr, getsockname};
use nix::unistd::{User, geteuid};

use super::Error;
use crate::daemon::keeper::{self, Wanted};
use crate::daemon::privileges::{self, Account, Extent};
use crate::daemon::sandbox::{Commands, Report};
use crate::daemon::service::{Inherited, Manager};
use crate::daemon::upgrade::inherited;
use crate::runner::{Table, serve};
use crate::sys::cgroup::{self, Tree};
use crate::sys::detach::{self, Side};
use crate::sys::{fd, memory, process, signal, socket, user};

/// The argument that makes this program the runner.
pub const RUNNER: &str = "runner";
/// What its keeper is called.
pub(super) const KEEPER: &CStr = c"taskdaemon-keep";

/// What its control group is called among what the service manager passes on.
const CONTROL_GROUP: &str = "control-group";

/// How the runner is to run, as its command line says it. By hand: to have it read as the other verbs' is would
/// take more memory than all the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunnerOptions {
    /// Start another process as the runner, and another one where that fails: `--keep`.
    pub keep: bool,
    /// Who it becomes, started by root: `--as UID:GID:GROUP,GROUP…`.
    pub account: Option<Account>,
    /// Whom it serves: `--daemon USER`; unless said, its own user.
    pub daemon: Option<u32>,
    /// Have no program of a task's gain rights, and keep tasks from each other: `--no-new-privileges`.
    pub no_new_privileges: bool,
    /// Have the service manager keep this service's control group for the runner, which it starts next, and do nothing
    /// else: `--pass-control-group`. Tasks see it read-only then, where the runner does not need to.
    pub pass_control_group: bool,
}

impl RunnerOptions {
    /// Reads them from the arguments behind `runner`.
    ///
    /// # Errors
    /// [`Error::RunnerArgument`] names the first that is not known.
    pub fn parse(arguments: &[OsString]) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let unknown = || Error::RunnerArgument(argument.to_string_lossy().into_owned());
            let mut value = || arguments.next().and_then(|value| value.to_str()).ok_or_else(unknown);
            match argument.to_str() {
                Some("--keep") => options.keep = true,
                Some("--pass-control-group") => options.pass_control_group = true,
                Some("--no-new-privileges") => options.no_new_privileges = true,
                Some("--as") => options.account = Some(account(value()?).ok_or_else(unknown)?),
                Some("--daemon") => options.daemon = Some(user_number(value()?).ok_or_else(unknown)?),
                Some(_) | None => return Err(unknown()),
            }
        }
        Ok(options)
    }

    /// The arguments that [`RunnerOptions::parse`] reads.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        if self.keep {
            words.push("--keep".to_owned());
        }
        if let Some(Account { uid, gid, groups }) = &self.account {
            let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
            words.extend(["--as".to_owned(), format!("{uid}:{gid}:{}", groups.join(","))]);
        }
        if let Some(daemon) = self.daemon {
            words.extend(["--daemon".to_owned(), daemon.to_string()]);
        }
        if self.no_new_privileges {
            words.push("--no-new-privileges".to_owned());
        }
        if self.pass_control_group {
            words.push("--pass-control-group".to_owned());
        }
        words.into_iter().map(OsString::from).collect()
    }
}

fn account(text: &str) -> Option<Account> {
    let mut parts = text.splitn(3, ':');
    let (uid, gid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let groups = parts.next()?.split(',').map(|group| group.parse().ok()).collect::<Option<_>>()?;
    Some(Account { uid, gid, groups })
}

fn user_number(text: &str) -> Option<u32> {
    text.parse().ok().or_else(|| Some(User::from_name(text).ok().flatten()?.uid.as_raw()))
}

/// Runs the runner: its listening socket is its standard input, or the one that a service manager passes on as `runner`.
///
/// # Errors
/// [`Error`] where the socket is not one, or the runner cannot do its work.
pub fn runner(options: &RunnerOptions) -> Result<(), Error> {
    if options.pass_control_group {
        return pass_control_group().map_err(prepare("pass the control group on"));
    }
    let mut table = match inherited()? {
        Some(table) => {
            descend(options)?;
            table
        }
        None => match begin(options)? {
            Some(table) => table,
            None => return Ok(()),
        },
    };
    if options.no_new_privileges {
        // What is missing is told by the daemon, which asks the same kernel.
        table.commands.enter();
    }
    // The daemon connects whether or not somebody heard this, and gives up what does not answer.
    Manager::of_environment().unwrap_or_else(|_| Manager::none()).ready();
    Ok(serve(table)?)
}

/// The table of a runner that begins; `None` after one was kept until it was not wanted any more.
fn begin(options: &RunnerOptions) -> Result<Option<Table>, Error> {
    let mut passed = Inherited::adopt()?;
    let is_service = !passed.is_empty();
    let group = passed.directory(CONTROL_GROUP)?;
    let listener = match passed.named(RUNNER).packets(RUNNER)? {
        Some(passed) => passed,
        None => fd::take_standard_input().map_err(Error::Descriptors)?,
    };
    let address = getsockname::<UnixAddr>(listener.as_fd().as_raw_fd());
    let address = address.map_err(|source| Error::NoListener(source.into()))?;
    if options.keep {
        keep(options, &listener, &address)?;
        return Ok(None);
    }
    descend(options)?;
    socket::listen_in_own_name(&listener).map_err(Error::NoListener)?;
    let daemon = options.daemon.unwrap_or_else(|| geteuid().as_raw());
    let mut table = Table::new(listener, daemon).map_err(Error::OpenFiles)?;
    table.report = if options.no_new_privileges { Commands::outlook() } else { Report::default() };
    match group.ok_or(io::ErrorKind::NotFound.into()).and_then(Tree::take) {
        Ok(tree) => {
            let limited = tree.controllers().join(", ");
            table.report.in_force.push(format!("a control group for each ({limited})"));
            table.tree = Some(tree);
        }
        // Nobody was to pass one.
        Err(_) if !is_service => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            table.report.missing.push("a control group for each: none was passed to the runner".to_owned());
        }
        Err(error) => table.report.missing.push(format!("a control group for each: {error}")),
    }
    for part in table.report.in_force.iter_mut().chain(&mut table.report.missing) {
        *part = format!("tasks: {part}");
    }
    Ok(Some(table))
}

/// Has the service manager keep the control group that this process is in. Said by a process outside the sandbox of the
/// service: its view of the group can be written to, and only who holds the descriptor has that view.
fn pass_control_group() -> io::Result<()> {
    let group = cgroup::own()?.ok_or(io::ErrorKind::NotFound)?;
    Manager::of_environment().map_err(io::Error::other)?.keep(CONTROL_GROUP, group.as_fd())
}

fn prepare(step: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Prepare { step, source }
}

/// Becomes who it is to be, and closed to its own tasks where the daemon is somebody else.
fn descend(options: &RunnerOptions) -> Result<(), Error> {
    let me = geteuid().as_raw();
    match &options.account {
        Some(account) if account.uid != me => {
            let extent = if options.no_new_privileges { Extent::ForGood } else { Extent::ItsOwn };
            privileges::drop_to(account, extent)?;
        }
        Some(_) | None if options.no_new_privileges => {
            user::forbid_new_privileges().map_err(prepare("forbid new privileges"))?;
        }
        Some(_) | None => {}
    }
    if options.account.is_some() || options.daemon.is_some_and(|daemon| daemon != me) {
        user::hide_process().map_err(prepare("hide it from tasks"))?;
    }
    Ok(())
}

/// Keeps a runner, as whoever this process is, for as long as the socket is where clients look for it: the daemon
/// removes it when it ends in good order.
fn keep(options: &RunnerOptions, listener: &OwnedFd, address: &UnixAddr) -> Result<(), Error> {
    let blocked = signal::block_all().map_err(Error::Signals)?;
    // Before the daemon goes on: whoever ends the daemon finds it by its name.
    process::set_name(KEEPER).map_err(prepare("name it"))?;
    let path = address.path().ok_or_else(|| Error::NoListener(io::ErrorKind::AddrNotAvailable.into()))?;
    // While the daemon is there it is this one's: the next daemon's will have the same name.
    let wanted = match Wanted::at(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        wanted => wanted.map_err(Error::Keep)?,
    };
    if matches!(detach::fork(&blocked).map_err(prepare("leave the daemon"))?, Side::Parent { .. }) {
        // The daemon waits for this, and for nothing else.
        detach::end(0);
    }
    detach::new_session().map_err(prepare("leave the daemon's session"))?;
    fd::close_all_on_exec().map_err(Error::Descriptors)?;
    // As the daemon called it: the file behind the name may be replaced, or a link lead to the next version, any time.
    let program =
        std::env::args_os().next().ok_or(io::ErrorKind::NotFound.into()).map_err(prepare("find the program"))?;
    let options = RunnerOptions { keep: false, ..options.clone() };
    let start = || {
        let input = Stdio::from(listener.try_clone()?);
        let child = Command::new(&program).arg(RUNNER).args(options.arguments()).stdin(input).spawn();
        // To wait for its end takes little of this program; what stays in memory does no harm.
        let _ = memory::forget_code();
        child
    };
    keeper::keep(&blocked, &wanted, start).map_err(Error::Keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let account = Account { uid: 997, gid: 998, groups: vec![100, 998] };
        let options = RunnerOptions {
            keep: true,
            account: Some(account),
            daemon: Some(5),
            no_new_privileges: true,
            pass_control_group: true,
        };
        assert_eq!(RunnerOptions::parse(&options.arguments()).unwrap(), options);
        assert_eq!(RunnerOptions::parse(&[]).unwrap(), RunnerOptions::default());
        assert_eq!(RunnerOptions::parse(&["--daemon".into(), "root".into()]).unwrap().daemon, Some(0));
        for wrong in [&["--loud"][..], &["--as", "1:2"], &["--daemon"], &["--daemon", "no-such-user"]] {
            let wrong: Vec<OsString> = wrong.iter().map(OsString::from).collect();
            assert!(matches!(RunnerOptions::parse(&wrong), Err(Error::RunnerArgument(_))), "{wrong:?}");
        }
    }
}
