//! The service files as packages ship them, with the program's own place in them.

use std::path::PathBuf;

use super::mark::marked;
use super::{Manager, Service};

/// Where packages have the program, and what stands in the files for it.
const PACKAGED: &str = "/usr/bin/taskdaemon";

/// One file of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it goes.
    pub path: PathBuf,
    /// With which permissions.
    pub mode: u32,
    /// What is in it.
    pub text: String,
}

/// A unit of systemd's, in both of its places.
macro_rules! units {
    ($directory:literal: $($name:literal),+) => {
        &[$(($name, include_str!(concat!("../../../systemd/", $directory, $name)))),+]
    };
}

const SYSTEM_UNITS: &[(&str, &str)] = units!("": "taskdaemon.service", "taskdaemon.socket", "taskdaemon-runner.service",
    "taskdaemon-runner.socket", "taskdaemon-health.socket");
const USER_UNITS: &[(&str, &str)] = units!("user/": "taskdaemon.service", "taskdaemon.socket",
    "taskdaemon-runner.service", "taskdaemon-runner.socket");
const TMPFILES: &str = include_str!("../../../systemd/tmpfiles.d/taskdaemon.conf");
const SYSV: &str = include_str!("../../../initd/taskdaemon");
const OPENRC: &str = include_str!("../../../initd/taskdaemon.openrc");
const LAUNCHD: &str = include_str!("../../../initd/taskdaemon.plist");
const LOGROTATE: &str = include_str!("../../../etc/logrotate.d/taskdaemon");

/// The files of a service.
pub(super) fn files(service: &Service) -> Vec<File> {
    let program = service.program.to_string_lossy();
    let file =
        |path: PathBuf, mode: u32, text: &str| File { path, mode, text: marked(&text.replace(PACKAGED, &program)) };
    let units = |directory: PathBuf, units: &[(&str, &str)]| -> Vec<File> {
        units.iter().map(|(name, text)| file(directory.join(name), 0o644, text)).collect()
    };
    // The file says it without a directory, because packages have it in PATH.
    let logrotate = || {
        let text = LOGROTATE.replace("\ttaskdaemon --system", &format!("\t{program} --system"));
        file("/etc/logrotate.d/taskdaemon".into(), 0o644, &text)
    };
    let script = |text: &str| vec![file("/etc/init.d/taskdaemon".into(), 0o755, text), logrotate()];
    match service.manager {
        Manager::Systemd => {
            let mut files = units("/etc/systemd/system".into(), SYSTEM_UNITS);
            files.push(file("/etc/tmpfiles.d/taskdaemon.conf".into(), 0o644, TMPFILES));
            files
        }
        Manager::SystemdUser => units(service.user_units.clone(), USER_UNITS),
        Manager::Sysv => script(SYSV),
        Manager::Openrc => script(OPENRC),
        // No mark: it takes no # for a comment, and nothing installs it.
        Manager::Launchd => {
            let path = "~/Library/LaunchAgents/taskdaemon.plist".into();
            vec![File { path, mode: 0o644, text: LAUNCHD.replace(PACKAGED, &program) }]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ALL: [Manager; 5] =
        [Manager::Systemd, Manager::SystemdUser, Manager::Sysv, Manager::Openrc, Manager::Launchd];

    #[test]
    fn every_file_names_the_program_where_it_is() {
        for manager in ALL {
            let service = Service::new(manager, Some(Path::new("/opt/here/taskdaemon"))).unwrap();
            let files = service.files();
            assert!(files.iter().any(|file| file.text.contains("/opt/here/taskdaemon")), "{manager:?}");
            for file in files {
                assert!(!file.text.contains(PACKAGED), "{manager:?}: {}", file.path.display());
            }
        }
    }

    #[test]
    fn the_log_is_rotated_by_the_program_itself() {
        let service = Service::new(Manager::Sysv, Some(Path::new("/opt/here/taskdaemon"))).unwrap();
        let file = service.files().pop().unwrap();
        assert!(file.text.contains("\t/opt/here/taskdaemon --system reload"), "{}", file.text);
    }
}
