//! Where clients arrive: a socket of the service manager's, or one of our own.

use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use super::Error;
use crate::api::Listeners;
use crate::config::Settings;
use crate::daemon::lifecycle::Hooks;
use crate::daemon::service::Inherited;
use crate::daemon::{port, socket};

/// What the service manager calls the control socket; the only one needs no name.
const CONTROL: &str = "control";
/// What it calls the one where others ask how the daemon is.
const HEALTH: &str = "health";
/// How long the removal of a socket may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the service manager passed on.
pub(super) struct Passed {
    pub(super) control: Option<UnixListener>,
    pub(super) loopback: Option<TcpListener>,
}

impl Passed {
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let control = self.control.as_ref().map(AsFd::as_fd);
        control.into_iter().chain(self.loopback.as_ref().map(AsFd::as_fd))
    }
}

/// The sockets of this daemon.
pub(super) struct Entrance {
    pub(super) listeners: Listeners,
    /// Where clients find the control socket.
    pub(super) path: PathBuf,
    /// Whether somebody else keeps that: then it stays when the daemon leaves, and a connection starts the next one.
    pub(super) is_kept: bool,
}

/// Takes over what the service manager passed on, before anything is forked.
pub(super) fn inherit() -> Result<Passed, Error> {
    let mut inherited = Inherited::adopt()?.named(CONTROL);
    let passed = Passed { control: inherited.unix(CONTROL)?, loopback: inherited.tcp(HEALTH)? };
    for name in inherited.finish() {
        warn!(name, "a socket of the service manager is not used; this daemon knows {CONTROL} and {HEALTH}");
    }
    Ok(passed)
}

impl Entrance {
    /// Takes what was passed on, the rights of which are the service manager's to set; listens by itself at what was
    /// not.
    pub(super) fn open(passed: Passed, settings: &Settings, group: Option<u32>) -> Result<Self, Error> {
        let configured = &settings.paths.socket;
        let loopback = match passed.loopback {
            Some(passed) => Some(only_loopback(passed)?),
            None => settings.health.listen.map(port::listen).transpose()?,
        };
        let Some(control) = passed.control else {
            let listeners = Listeners { control: socket::listen(configured, group)?, loopback };
            return Ok(Self { listeners, path: configured.clone(), is_kept: false });
        };
        let entrance = Self::inherit(Listeners { control, loopback }, true, settings);
        if entrance.path == *configured {
            info!(socket = %configured.display(), "listening at the socket of the service manager");
        } else {
            warn!(socket = %entrance.path.display(), configured = %configured.display(), "clients look elsewhere");
        }
        Ok(entrance)
    }

    /// Sockets that somebody else opened; `is_kept` where they stay when the daemon leaves.
    pub(super) fn inherit(listeners: Listeners, is_kept: bool, settings: &Settings) -> Self {
        let named = listeners.control.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
        Self { listeners, path: named.unwrap_or_else(|| settings.paths.socket.clone()), is_kept }
    }

    /// Has the socket removed at the end, unless somebody else keeps it.
    pub(super) fn put_away(&self, hooks: &mut Hooks) {
        if !self.is_kept {
            let path = self.path.clone();
            hooks.register("control socket", PATIENCE, move || socket::remove(&path));
        }
    }
}

/// Whoever asks there is not known, so nobody from elsewhere may.
fn only_loopback(listener: TcpListener) -> Result<TcpListener, Error> {
    let address = listener.local_addr().map_err(Error::Descriptors)?;
    if address.ip().is_loopback() { Ok(listener) } else { Err(Error::NotLoopback(address)) }
}
