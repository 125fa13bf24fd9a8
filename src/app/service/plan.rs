//! What is done, in order, to have a service or to be rid of it; and whether that may be done at all.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::mark::{self, Mark};
use super::texts::File;
use super::{Manager, Service, ServiceError, accounts, verify};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a user and its group where there is none.
    Account(&'static str),
    /// Write a file, in place of one that this wrote before.
    Write(File),
    /// Remove a file.
    Remove(PathBuf),
    /// Run a command, which has to succeed.
    Run(Vec<String>),
    /// Run a command that may have nothing to do.
    Try(Vec<String>),
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(out, "add the user {name}"),
            Self::Write(file) => write!(out, "write {}", file.path.display()),
            Self::Remove(path) => write!(out, "remove {}", path.display()),
            Self::Run(words) | Self::Try(words) => write!(out, "run {}", words.join(" ")),
        }
    }
}

/// The units that are enabled and started; whoever listens comes first, so that nobody is refused.
const UNITS: [&str; 3] = ["taskdaemon-runner.socket", "taskdaemon.socket", "taskdaemon.service"];
/// What is stopped: sockets first, or a connection would start the rest again.
const ALL_UNITS: [&str; 4] =
    ["taskdaemon.socket", "taskdaemon.service", "taskdaemon-runner.socket", "taskdaemon-runner.service"];
const SCRIPT: &str = "/etc/init.d/taskdaemon";

/// What to do to have the service.
pub(super) fn installation(service: &Service) -> Result<Vec<Step>, ServiceError> {
    not_packaged(service.manager)?;
    let files: Vec<File> = service.files().into_iter().filter(is_wanted).collect();
    let mut steps = Vec::new();
    let mut is_known = false;
    for file in files {
        match found(&file.path)? {
            None => steps.push(Step::Write(file)),
            Some((Mark::Ours, text)) => {
                is_known = true;
                if text != file.text.as_bytes() {
                    steps.push(Step::Write(file));
                }
            }
            Some((mark, _)) => return Err(foreign(&file.path, mark)),
        }
    }
    if !is_known && let Some(pid) = verify::running(service.manager) {
        return Err(ServiceError::Running { pid });
    }
    if service.manager != Manager::SystemdUser {
        steps.splice(0..0, accounts::missing().map(Step::Account));
    }
    steps.extend(match service.manager {
        Manager::Systemd => {
            let tmpfiles = run(&["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/taskdaemon.conf"]);
            [vec![tmpfiles], systemctl(&["systemctl"])].concat()
        }
        Manager::SystemdUser => systemctl(&["systemctl", "--user"]),
        Manager::Sysv => vec![registration(), run(&[SCRIPT, "start"])],
        Manager::Openrc => {
            vec![run(&["rc-update", "add", "taskdaemon", "default"]), run(&["rc-service", "taskdaemon", "start"])]
        }
        Manager::Launchd => return Err(ServiceError::TextOnly),
    });
    Ok(steps)
}

/// Enables and starts with systemd.
fn systemctl(command: &[&str]) -> Vec<Step> {
    vec![
        run(&[command, &["daemon-reload"]].concat()),
        run(&[command, &["--quiet", "enable"], &UNITS].concat()),
        run(&[command, &["start"], &UNITS].concat()),
    ]
}

/// Has the script run at boot and at shutdown.
fn registration() -> Step {
    if is_program("update-rc.d") {
        run(&["update-rc.d", "taskdaemon", "defaults"])
    } else if is_program("chkconfig") {
        run(&["chkconfig", "--add", "taskdaemon"])
    } else {
        run(&["/usr/lib/lsb/install_initd", SCRIPT])
    }
}

/// What to do to be rid of the service; nothing where nothing is there.
pub(super) fn removal(service: &Service) -> Result<Vec<Step>, ServiceError> {
    let mut removals = Vec::new();
    for file in service.files() {
        match found(&file.path)? {
            None => {}
            Some((Mark::Ours, _)) => removals.push(Step::Remove(file.path)),
            Some((mark, _)) => return Err(foreign(&file.path, mark)),
        }
    }
    if removals.is_empty() {
        return Ok(removals);
    }
    let (before, after) = ending(service.manager);
    Ok([before, removals, after].concat())
}

/// What ends the service, before its files go and after.
pub(super) fn ending(manager: Manager) -> (Vec<Step>, Vec<Step>) {
    let systemd = |command: &[&str]| {
        let disable = attempt(&[command, &["--quiet", "disable"], &UNITS].concat());
        let stop = attempt(&[command, &["stop"], &ALL_UNITS].concat());
        (vec![disable, stop], vec![run(&[command, &["daemon-reload"]].concat())])
    };
    match manager {
        Manager::Systemd => systemd(&["systemctl"]),
        Manager::SystemdUser => systemd(&["systemctl", "--user"]),
        Manager::Sysv if is_program("update-rc.d") => {
            (vec![run(&[SCRIPT, "stop"])], vec![run(&["update-rc.d", "taskdaemon", "remove"])])
        }
        Manager::Sysv => (vec![run(&[SCRIPT, "stop"]), attempt(&["chkconfig", "--del", "taskdaemon"])], vec![]),
        Manager::Openrc => (
            vec![
                run(&["rc-service", "--ifstarted", "taskdaemon", "stop"]),
                attempt(&["rc-update", "--quiet", "del", "taskdaemon", "default"]),
            ],
            vec![],
        ),
        Manager::Launchd => (vec![], vec![]),
    }
}

fn run(words: &[&str]) -> Step {
    Step::Run(words.iter().map(ToString::to_string).collect())
}

fn attempt(words: &[&str]) -> Step {
    Step::Try(words.iter().map(ToString::to_string).collect())
}

/// Where others keep theirs: without a logrotate there is nobody to read its file.
fn is_wanted(file: &File) -> bool {
    !file.path.starts_with("/etc/logrotate.d") || Path::new("/etc/logrotate.d").is_dir()
}

/// Whether a command is there.
pub(super) fn is_program(name: &str) -> bool {
    super::carry::PATH.split(':').any(|directory| Path::new(directory).join(name).exists())
}

/// A file that is there already, and whose it is.
fn found(path: &Path) -> Result<Option<(Mark, Vec<u8>)>, ServiceError> {
    let failed = |source| ServiceError::Io { verb: "look at", path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Ok(Some((Mark::Foreign, Vec::new()))),
        Ok(_) => {
            let text = fs::read(path).map_err(failed)?;
            Ok(Some((mark::of(&text), text)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// That a file is left alone, with whose it is.
fn foreign(path: &Path, mark: Mark) -> ServiceError {
    let reason = match (mark, package_of(path)) {
        (Mark::Changed, _) => "it was changed since service install wrote it; look at it, and move it away".to_owned(),
        (_, Some(package)) => format!("it belongs to the package {package}, which brings the service along"),
        (_, None) => "it is not from service install; look at it, and move it away".to_owned(),
    };
    ServiceError::Foreign { path: path.to_owned(), reason }
}

/// The package that a file belongs to, where that can be told.
fn package_of(path: &Path) -> Option<String> {
    let asked = |program: &str, options: &[&str]| {
        let output = Command::new(program).args(options).arg(path).env("LC_ALL", "C").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let dpkg = || asked("dpkg-query", &["--search"]).and_then(|told| Some(told.split_once(": ")?.0.to_owned()));
    dpkg().or_else(|| asked("rpm", &["--query", "--file"]).map(|told| told.trim().to_owned()))
}

/// The units of a package, which ours would hide.
fn not_packaged(manager: Manager) -> Result<(), ServiceError> {
    let (kind, start) = match manager {
        Manager::Systemd => ("system", "systemctl enable --now taskdaemon.socket taskdaemon.service"),
        Manager::SystemdUser => ("user", "systemctl --user enable --now taskdaemon.socket taskdaemon.service"),
        Manager::Sysv | Manager::Openrc | Manager::Launchd => return Ok(()),
    };
    let path = PathBuf::from(format!("/usr/lib/systemd/{kind}/taskdaemon.service"));
    if path.exists() { Err(ServiceError::Packaged { path, start }) } else { Ok(()) }
}
