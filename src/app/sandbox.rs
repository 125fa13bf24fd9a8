//! What the daemon needs once it works: all else is refused to it by the kernel.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::Error;
use crate::config::{self, Environment, Mode, Settings};
use crate::daemon::directory::{self, Access};
use crate::daemon::sandbox::{Commands, Report, Sandbox, library_directories};

/// What is read beside the configuration: users and groups, time zones, processes, the host's limits.
const READ: [&str; 5] = ["/etc", "/usr/share/zoneinfo", "/proc", "/sys/fs/cgroup", "/dev/urandom"];

/// Where names of users are looked up by libraries that are loaded when it comes to that.
const LIBRARIES: [&str; 4] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64"];

/// Enters the sandbox, unless the configuration says not to. What this kernel cannot do is logged, once; also what it
/// cannot do for tasks, where those are to be kept `apart`.
///
/// # Errors
/// [`Error::Sandbox`] where all of it is required and something is missing.
pub(super) fn enter(
    settings: &Settings,
    environment: &Environment,
    program: &Path,
    apart: bool,
) -> Result<Report, Error> {
    let tasks = if apart { Commands::outlook() } else { Report::default() };
    let mut report = match settings.security.sandbox {
        config::Sandbox::Off => {
            Report { missing: vec!["all of it: security.sandbox is off".to_owned()], ..Report::default() }
        }
        config::Sandbox::Auto | config::Sandbox::Required => of(settings, environment, program).enter(),
    };
    let told = |parts: Vec<String>| parts.into_iter().map(|part| format!("tasks: {part}"));
    report.in_force.extend(told(tasks.in_force));
    report.missing.extend(told(tasks.missing));
    if !report.in_force.is_empty() {
        info!(in_force = report.in_force.join(", "), "in a sandbox");
    }
    if settings.security.sandbox == config::Sandbox::Required && !report.missing.is_empty() {
        return Err(Error::Sandbox(report.missing.join("; ")));
    }
    for part in &report.missing {
        warn!(part, "the sandbox lacks a part");
    }
    Ok(report)
}

fn of(settings: &Settings, environment: &Environment, program: &Path) -> Sandbox {
    let above = |path: &Path| path.parent().map(Path::to_owned);
    let paths = &settings.paths;
    if environment.mode == Mode::User && settings.files().next().is_none() {
        // What is not there cannot be let in: without it, the first file of a user's would wait for a restart. A home
        // that cannot be written to has none.
        drop(directory::prepare(&environment.config_directory(), Access::Private));
    }
    let configuration = settings.files().filter_map(above).chain([environment.config_directory()]);
    let fixed = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    // A new program is put beside the one that runs, and is loaded by the same loader.
    let programs = above(program).into_iter().chain(library_directories()).chain(fixed(&LIBRARIES));
    let mut write = vec![paths.state_directory.clone(), paths.runtime_directory.clone(), "/dev/null".into()];
    write.extend(above(&settings.log.file));
    Sandbox {
        read: configuration.chain(fixed(&READ)).collect(),
        write,
        remove: above(&paths.socket).into_iter().collect(),
        execute: programs.collect(),
    }
}
