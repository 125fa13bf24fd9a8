//! Doing what was planned, and taking it back where the service does not come to run.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan::{self, Step};
use super::texts::File;
use super::{Manager, Service, ServiceError, accounts, verify};

/// Where commands are looked for, whatever the caller's is.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// What a user's own systemd is found by.
const PASSED: [&str; 3] = ["HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// A file as it was before.
struct Before {
    path: PathBuf,
    /// None where there was none.
    was: Option<(Vec<u8>, Permissions)>,
}

/// Takes the steps, and makes sure that the service runs; its process. Otherwise what was written is taken back.
pub(super) fn install(service: &Service, steps: &[Step], told: &mut dyn FnMut(&Step)) -> Result<u32, ServiceError> {
    let mut written = Vec::new();
    let outcome = steps
        .iter()
        .try_for_each(|step| {
            take(step, &mut written)?;
            told(step);
            Ok(())
        })
        .and_then(|()| verify::verify(service));
    outcome.map_err(|error| {
        let error = with_journal(service.manager, error);
        // One that ran before, and whose files are as they were, goes on.
        if written.is_empty() { error } else { undone(service, written, error) }
    })
}

/// Takes the steps.
pub(super) fn uninstall(steps: &[Step], told: &mut dyn FnMut(&Step)) -> Result<(), ServiceError> {
    steps.iter().try_for_each(|step| {
        take(step, &mut Vec::new())?;
        told(step);
        Ok(())
    })
}

fn take(step: &Step, written: &mut Vec<Before>) -> Result<(), ServiceError> {
    match step {
        Step::Account(name) => accounts::make(name),
        Step::Write(file) => {
            written.push(Before { path: file.path.clone(), was: read(&file.path)? });
            write(file)
        }
        Step::Remove(path) => remove(path),
        Step::Run(words) => run(&words.iter().map(String::as_str).collect::<Vec<_>>()),
        Step::Try(words) => {
            // What it says is of no use: there may have been nothing to do.
            let _ = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            Ok(())
        }
    }
}

/// Ends what was started, and has the files as they were.
fn undone(service: &Service, written: Vec<Before>, why: ServiceError) -> ServiceError {
    let is_new = written.iter().all(|before| before.was.is_none());
    let (end, after) = plan::ending(service.manager);
    let attempt = |steps: &[Step]| {
        for step in steps {
            // It is the first failure that is told.
            let _ = take(step, &mut Vec::new());
        }
    };
    if is_new {
        attempt(&end);
    }
    for before in written {
        let _ = match before.was {
            None => remove(&before.path),
            Some((text, permissions)) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                write(&File { path: before.path, mode: permissions.mode() & 0o7777, text })
            }
        };
    }
    attempt(&after);
    ServiceError::Undone(Box::new(why))
}

/// The last that the journal has of it, which systemctl(1) does not say.
fn with_journal(manager: Manager, error: ServiceError) -> ServiceError {
    let user: &[&str] = match manager {
        Manager::Systemd => &[],
        Manager::SystemdUser => &["--user"],
        Manager::Sysv | Manager::Openrc | Manager::Launchd => return error,
    };
    let journal = command("journalctl").args(user).args(["--unit=taskdaemon", "--lines=5", "--output=cat"]).output();
    let lines = journal.map(|output| String::from_utf8_lossy(&output.stdout).trim_end().to_owned()).unwrap_or_default();
    match error {
        ServiceError::Command { command, told } => ServiceError::Command { command, told: format!("{told}\n{lines}") },
        ServiceError::NotRunning(told) => ServiceError::NotRunning(format!("{told}\n{lines}")),
        other => other,
    }
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).current_dir("/");
    for name in PASSED {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// Runs a command, which has to succeed.
pub(super) fn run(words: &[&str]) -> Result<(), ServiceError> {
    let failed = |told: String| ServiceError::Command { command: words.join(" "), told };
    let (program, arguments) = words.split_first().ok_or_else(|| failed("no command".to_owned()))?;
    let output = command(program).args(arguments).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim_end().to_owned();
    Err(failed(if said.is_empty() { output.status.to_string() } else { said }))
}

fn read(path: &Path) -> Result<Option<(Vec<u8>, Permissions)>, ServiceError> {
    let io = |source| ServiceError::Io { verb: "read", path: path.to_owned(), source };
    match fs::read(path) {
        Ok(text) => Ok(Some((text, fs::metadata(path).map_err(io)?.permissions()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(error)),
    }
}

/// Writes a file as a whole or not at all.
fn write(file: &File) -> Result<(), ServiceError> {
    let io = |verb| {
        let path = file.path.clone();
        move |source| ServiceError::Io { verb, path, source }
    };
    let Some(directory) = file.path.parent() else { return Ok(()) };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755).create(directory).map_err(io("make the directory of"))?;
    let mut new = file.path.clone().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    // What a run that was cut off has left.
    remove(&new)?;
    let mut options = OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(0o600).open(&new).map_err(io("write"))?;
    opened
        .write_all(file.text.as_bytes())
        .and_then(|()| opened.set_permissions(Permissions::from_mode(file.mode)))
        .and_then(|()| opened.sync_all())
        .and_then(|()| fs::rename(&new, &file.path))
        .map_err(io("write"))
}

fn remove(path: &Path) -> Result<(), ServiceError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ServiceError::Io { verb: "remove", path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
