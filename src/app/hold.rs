//! What the daemon holds on to, from before its organs start until after they have ended.

use std::cell::Cell;
use std::net::TcpListener;
use std::path::PathBuf;

use super::entrance::{Entrance, Passed};
use super::handover::Estate;
use super::{Error, VERSION, lock_state, now, tell_predecessor};
use crate::api::Listeners;
use crate::config::Settings;
use crate::daemon::lifecycle::PassedOver;
use crate::daemon::sandbox::Report;
use crate::daemon::{Lock, port, socket};
use crate::sys::fd::{self, OpenFiles};
use crate::sys::inherit::Inheritable;
use crate::task::Timestamp;

/// Locks and sockets; a new program takes them over.
pub(super) struct Hold {
    /// Goes before the locks do.
    pub(super) traces: Traces,
    pub(super) lock: Lock,
    pub(super) state_lock: Option<Lock>,
    pub(super) entrance: Entrance,
    /// The process's limits as they were when it started.
    pub(super) open_files: OpenFiles,
    pub(super) started_at: Timestamp,
    /// The runner's user.
    pub(super) runner: u32,
    /// What is refused to this process by now.
    pub(super) sandbox: Option<Report>,
}

/// The sockets that this daemon has made, removed where it ends before its engine works: a runner that was started for
/// it ends with its socket.
#[derive(Default)]
pub(super) struct Traces {
    sockets: Vec<PathBuf>,
    stay: Cell<bool>,
}

impl Traces {
    pub(super) fn note(&mut self, socket: PathBuf) {
        self.sockets.push(socket);
    }

    /// From now on the runner may have tasks, and whatever ends this daemon leaves it to the next one.
    pub(super) fn stay(&self) {
        self.stay.set(true);
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if !self.stay.get() {
            self.sockets.iter().for_each(|path| socket::remove(path));
        }
    }
}

impl Hold {
    /// Takes the locks, then listens where it was not `passed` a socket.
    pub(super) fn acquire(settings: &Settings, group: Option<u32>, passed: Passed, runner: u32) -> Result<Self, Error> {
        let open_files = fd::raise_open_files().map_err(Error::OpenFiles)?;
        let lock = Lock::acquire(&settings.paths.runtime_directory, VERSION, now().0)?;
        let state_lock = lock_state(settings)?;
        tell_predecessor(&lock);
        let entrance = Entrance::open(passed, settings, group)?;
        let mut traces = Traces::default();
        if !entrance.is_kept {
            traces.note(entrance.path.clone());
        }
        Ok(Self { traces, lock, state_lock, entrance, open_files, started_at: now(), runner, sandbox: None })
    }

    /// Takes up what the program before this one held.
    pub(super) fn inherit(mut left: Estate, settings: &Settings) -> Result<Self, Error> {
        let (paths, started_at) = (&settings.paths, left.started_at());
        let (open_files, runner, sandbox) = (left.open_files, left.runner, left.sandbox.take());
        let control = left.control().ok_or(Error::NoSocket)?.into_inner().into();
        let loopback = left.loopback().map(|fd| TcpListener::from(fd.into_inner()));
        let lock = Lock::inherit(left.lock.into_inner(), &paths.runtime_directory, VERSION)?;
        let inherit = |fd: Inheritable| Lock::inherit(fd.into_inner(), &paths.state_directory, VERSION);
        let state_lock = left.state_lock.map(inherit).transpose()?;
        let loopback = match (settings.health.listen, loopback) {
            (Some(wanted), Some(had)) if had.local_addr().is_ok_and(|had| had == wanted) => Some(had),
            (wanted, had) => {
                drop(had);
                wanted.map(port::listen).transpose()?
            }
        };
        let entrance = Entrance::inherit(Listeners { control, loopback }, left.is_kept, settings);
        let traces = Traces::default();
        Ok(Self { traces, lock, state_lock, entrance, open_files, started_at, runner, sandbox })
    }

    /// Lets the next daemon have the queue, once nothing of this one writes to it any more: what was `passed_over` at
    /// the end may still.
    pub(super) fn release(self, passed_over: Result<(), PassedOver>) -> Result<(), Error> {
        let Self { lock, state_lock, .. } = self;
        if let Err(hung) = passed_over {
            // The kernel releases them with this process.
            std::mem::forget((lock, state_lock));
            return Err(hung.into());
        }
        drop(state_lock);
        Ok(lock.release()?)
    }
}
