//! Telling the service manager how the daemon is: sd_notify(3).

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::daemon::lifecycle::{Lifecycle, State};
use crate::sys::{detach, socket};

/// How long a manager that does not read may keep the daemon.
const PATIENCE: Duration = Duration::from_secs(2);

/// The characters of the longest status that is told: it is read at a glance.
const MAX_STATUS: usize = 500;

/// The one who started this process and wants to know how it is. Cheap to clone; where there is none, nothing is
/// told.
#[derive(Debug, Clone)]
pub struct Manager {
    channel: Option<Arc<Channel>>,
    /// The process that it started.
    started: u32,
    watchdog: Option<Duration>,
}

/// Why nobody is told anything.
#[derive(Debug, thiserror::Error)]
#[error("reach the service manager at {}, which NOTIFY_SOCKET names", name.display())]
pub struct ManagerError {
    name: OsString,
    source: io::Error,
}

#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// Finds it in the environment. To be called before the process forks, starts a thread or gives up privileges: the
    /// variables name the process that was started, and the socket may be closed to others.
    ///
    /// The variables stay for whatever program takes this one's place, but for WATCHDOG_PID: once it is found to name
    /// this process, it would only keep the forked daemon from finding itself meant.
    ///
    /// # Errors
    /// Where there is one that cannot be reached: [`Manager::none`] stands in for it, the daemon can do its work without.
    pub fn of_environment() -> Result<Self, ManagerError> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(Self::none()) };
        let channel = Channel::open(&name).map_err(|source| ManagerError { name, source })?;
        let watchdog = sd_notify::watchdog_enabled().filter(|time| !time.is_zero());
        if watchdog.is_some() {
            // Where it cannot be taken out, no more is lost than the watchdog of a daemon that forked and is upgraded.
            let _ = detach::forget_variable("WATCHDOG_PID");
        }
        Ok(Self { channel: Some(Arc::new(channel)), started: process::id(), watchdog })
    }

    /// Nobody.
    #[must_use]
    pub fn none() -> Self {
        Self { channel: None, started: process::id(), watchdog: None }
    }

    /// One that listens at `path` and allows for `watchdog`.
    #[cfg(test)]
    pub(super) fn watching(path: &std::path::Path, watchdog: Duration) -> Self {
        let channel = Channel::open(path.as_os_str()).expect("it listens");
        Self { channel: Some(Arc::new(channel)), watchdog: Some(watchdog), ..Self::none() }
    }

    /// Its descriptor, for whoever closes all others.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(|channel| channel.socket.as_fd())
    }

    /// Whether there is somebody to tell.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.channel.is_some()
    }

    /// After how long without [`Manager::alive`] the daemon counts as hung; `None` where nobody cares.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it of every state that `life` reaches from now on.
    pub fn follow(&self, life: &mut Lifecycle<'_>) {
        let manager = self.clone();
        life.watch(move |state| match state {
            State::Stopped | State::Starting => manager.status(state.word()),
            State::Running => manager.ready(),
            State::Reloading => manager.reloading(),
            State::Draining | State::Stopping => manager.stopping(state.word()),
        });
    }

    /// The daemon is ready, or done with a reload. Where it forked, it says which process it is now.
    pub fn ready(&self) {
        if process::id() == self.started {
            self.tell(&[NotifyState::Ready]);
        } else {
            self.tell(&[NotifyState::MainPid(process::id()), NotifyState::Ready]);
        }
    }

    /// How it stands, in a few words for people.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(&line(status))]);
    }

    /// The daemon reads its configuration again; [`Manager::ready`] follows.
    pub fn reloading(&self) {
        // The manager takes no reload for done that began before it asked: sd_notify(3), MONOTONIC_USEC=.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => warn!(%error, "cannot tell the service manager of the reload"),
        }
    }

    /// Has it keep `fd` under `name`, and pass it on with the sockets to what it starts next for this service:
    /// [`Inherited::directory`](super::Inherited::directory). What it has kept under that name is dropped.
    ///
    /// # Errors
    /// Where it cannot be told. That it keeps nothing, for want of FileDescriptorStoreMax= in its unit, shows later.
    pub fn keep(&self, name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        let Some(channel) = &self.channel else { return Err(io::ErrorKind::NotConnected.into()) };
        channel.send(format!("FDSTOREREMOVE=1\nFDNAME={name}\n").as_bytes())?;
        let text = format!("FDSTORE=1\nFDNAME={name}\n");
        socket::send(&channel.socket, text.as_bytes(), &[fd.try_clone_to_owned()?])
    }

    /// The daemon is on its way out.
    pub fn stopping(&self, status: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(&line(status))]);
    }

    /// The daemon failed: why, in words, and with the number of the system's error where it was one; errno(3).
    pub fn failed(&self, status: &str, errno: Option<i32>) {
        let status = line(status);
        let mut states = vec![NotifyState::Status(&status)];
        states.extend(errno.and_then(|errno| u32::try_from(errno).ok()).map(NotifyState::Errno));
        self.tell(&states);
    }

    /// Starting or stopping takes longer than the manager allows for: it is to wait for `by` from now on.
    pub fn extend(&self, by: Duration) {
        let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
    }

    /// The daemon makes progress. See [`super::Watchdog`] for when that may be said.
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(channel) = &self.channel else { return };
        let text = states.iter().map(|state| format!("{state}\n")).collect::<String>();
        if let Err(error) = channel.send(text.as_bytes()) {
            // `start-stop-daemon` listens until the daemon is ready, and leaves then.
            tracing::debug!(%error, "the service manager does not listen");
        }
    }
}

/// One line, or what follows would be read as states of their own.
fn line(text: &str) -> String {
    text.chars().take(MAX_STATUS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Channel {
    /// The sd-notify crate has the words; its own sender connects by path for each message, and knows no abstract name.
    fn open(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect_addr(&address)?;
        Ok(Self { socket, address })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotConnected};
        match self.socket.send(bytes) {
            // The manager itself was started again, and listens in the same place.
            Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionReset | NotConnected) => {
                self.socket.connect_addr(&self.address)?;
                self.socket.send(bytes)
            }
            sent => sent,
        }
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(socket: &UnixDatagram, name: &OsStr) -> Manager {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Manager { channel: Some(Arc::new(Channel::open(name).unwrap())), ..Manager::none() }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_both_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        manager(&socket, path.as_os_str()).ready();
        assert_eq!(heard(&socket), "READY=1\n");
        let name = format!("taskdaemon-test-{}", process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager(&socket, OsStr::new(&format!("@{name}"))).alive();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
    }

    #[test]
    fn each_state_is_said_in_the_words_of_the_protocol() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager { started: 1, ..manager(&socket, path.as_os_str()) };
        manager.ready();
        assert_eq!(heard(&socket), format!("MAINPID={}\nREADY=1\n", process::id()));
        manager.reloading();
        let words = heard(&socket);
        let moment = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(moment.parse::<u64>().unwrap() > 0);
        manager.stopping("going");
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=going\n");
        manager.failed("broken", Some(13));
        assert_eq!(heard(&socket), "STATUS=broken\nERRNO=13\n");
        manager.extend(Duration::from_secs(3));
        assert_eq!(heard(&socket), "EXTEND_TIMEOUT_USEC=3000000\n");
    }

    #[test]
    fn a_status_cannot_smuggle_in_a_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = manager(&socket, path.as_os_str());
        manager.status("one\nREADY=1");
        assert_eq!(heard(&socket), "STATUS=one READY=1\n");
        manager.status(&"ä".repeat(2000));
        assert_eq!(heard(&socket).chars().count(), "STATUS=\n".len() + MAX_STATUS);
    }

    #[test]
    fn a_manager_that_was_started_again_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let first = UnixDatagram::bind(&path).unwrap();
        let manager = manager(&first, path.as_os_str());
        drop(first);
        manager.alive();
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        manager.alive();
        assert_eq!(heard(&second), "WATCHDOG=1\n");
    }

    #[test]
    fn what_is_no_address_counts_as_nobody() {
        assert!(Channel::open(OsStr::new("vsock:2:1")).is_err());
        assert!(!Manager::none().is_present());
    }
}
