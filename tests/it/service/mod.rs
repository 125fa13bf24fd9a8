//! Promises S1, S2, S3, S10, D6, D8, D13, T9: the daemon and the service manager, with a manager of the test's own.

mod activation;
mod freeze;
mod idle;
mod notify;
mod signals;
mod watchdog;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{DEADLINE, Daemon};

/// What a service manager hears of the daemon.
struct Ear(UnixDatagram);

impl Ear {
    /// Listens at `path`.
    fn at(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).unwrap())
    }

    /// The next message, if one comes in time.
    fn within(&self, time: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(time.max(Duration::from_millis(1)))).unwrap();
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Waits for a message that has this line, and returns it.
    fn wait(&self, wanted: &str) -> String {
        let start = Instant::now();
        let mut heard = Vec::new();
        while start.elapsed() < DEADLINE {
            let message = self.within(DEADLINE.saturating_sub(start.elapsed())).unwrap_or_default();
            if message.lines().any(|line| line.starts_with(wanted)) {
                return message;
            }
            heard.push(message);
        }
        panic!("{wanted} was not heard, but {heard:?}");
    }

    /// How many messages with this line come in that time.
    fn count(&self, wanted: &str, time: Duration) -> usize {
        let start = Instant::now();
        let mut count = 0;
        while let Some(left) = time.checked_sub(start.elapsed())
            && let Some(message) = self.within(left)
        {
            count += usize::from(message.lines().any(|line| line == wanted));
        }
        count
    }
}

/// A daemon with a manager that listens, not started yet.
fn listened_to(configuration: &str) -> (Daemon, Ear) {
    let daemon = Daemon::unstarted(configuration);
    let ear = Ear::at(&daemon.path("notify"));
    (daemon, ear)
}

/// The command that starts the daemon in the foreground, with somebody who listens.
fn told(daemon: &Daemon) -> Command {
    let mut command = daemon.command(&["start", "--foreground"]);
    command.env("NOTIFY_SOCKET", daemon.path("notify"));
    command
}

/// The command that starts the daemon with `passed` as the first descriptor after the standard ones, and with these
/// variables, in which `$$` is its process.
fn passing(daemon: &Daemon, passed: OwnedFd, variables: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("exec 3<&0 0</dev/null; {variables} exec \"$0\" start --foreground");
    daemon.point(command.args(["-c", &script, env!("CARGO_BIN_EXE_taskdaemon")]));
    command.stdin(Stdio::from(passed));
    command
}

/// The names of a process's environment.
fn variables(pid: i32) -> Vec<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let names = environment.split(|byte| *byte == 0).filter_map(|line| line.split(|byte| *byte == b'=').next());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
