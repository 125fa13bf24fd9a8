//! Whether the service runs: by its own word, by which program says it, and by the word of who watches it.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::carry::run;
use super::{Manager, Service, ServiceError};
use crate::client::Client;
use crate::config::{self, Environment, Flags};
use crate::daemon::inspect;
use crate::sys::fs::identity;

/// How long it may take until it answers, once it was started.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The process of the service, which answers and is this program.
pub(super) fn verify(service: &Service) -> Result<u32, ServiceError> {
    let (_, socket) = places(service.manager).map_err(ServiceError::NotRunning)?;
    let deadline = Instant::now() + PATIENCE;
    let pid = loop {
        let asked = Client::connect_within(&socket, ANSWER).and_then(|mut client| client.status());
        match asked {
            Ok(status) => break status.pid,
            Err(error) if Instant::now() >= deadline => return Err(ServiceError::NotRunning(error.to_string())),
            Err(_) => thread::sleep(PAUSE),
        }
    };
    let same = || {
        let (its, ours) = (fs::metadata(format!("/proc/{pid}/exe"))?, fs::metadata(&service.program)?);
        std::io::Result::Ok(identity(&its) == identity(&ours))
    };
    match same() {
        Ok(true) => {}
        Ok(false) => {
            let program = service.program.display();
            return Err(ServiceError::NotRunning(format!(
                "process {pid} answers, which is another program than {program}"
            )));
        }
        Err(error) => return Err(ServiceError::NotRunning(format!("look at process {pid}, which answers: {error}"))),
    }
    let asked: &[&str] = match service.manager {
        Manager::Systemd => &["systemctl", "is-active", "taskdaemon.service"],
        Manager::SystemdUser => &["systemctl", "--user", "is-active", "taskdaemon.service"],
        Manager::Sysv => &["/etc/init.d/taskdaemon", "status"],
        Manager::Openrc => &["rc-service", "taskdaemon", "status"],
        Manager::Launchd => return Err(ServiceError::TextOnly),
    };
    run(asked).map(|()| pid)
}

/// A daemon that runs already.
pub(super) fn running(manager: Manager) -> Option<i32> {
    let (directory, _) = places(manager).ok()?;
    inspect(&directory).record().map(|record| record.pid)
}

/// The runtime directory and the socket, as the service will have them: it does not see who installs it.
fn places(manager: Manager) -> Result<(PathBuf, PathBuf), String> {
    let mut around = Environment::of_process(manager.mode());
    around.variables.retain(|name, _| {
        let name = name.to_string_lossy();
        name == "HOME" || name.starts_with("XDG_")
    });
    let settings = config::load(&around, &Flags::default()).map_err(|error| error.to_string())?;
    Ok((settings.paths.runtime_directory, settings.paths.socket))
}
