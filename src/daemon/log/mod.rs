//! The log: events to standard error, a file, the journal or syslog.
//!
//! [`install`] first of all: events are kept until [`Handle::open`] says where they go, so that none is lost before.
//! The [`Handle`] changes level and file later. [`Target`] says where to, [`Style`] what a line looks like.
//!
//! It must not know what is logged, nor settings: its options are its own.

mod entry;
mod file;
mod format;
mod journal;
mod sink;
mod state;
mod syslog;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Registry, reload};

use super::Readiness;
pub use entry::in_full;
use sink::Sink;
use state::{Shared, Writer};

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people: time, level, text, fields.
    Text,
    /// For the journal, which knows the time: the priority in the form of sd-daemon(3), text, fields.
    Journal,
    /// For programs: a JSON object.
    Json,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard error.
    Stderr(Style),
    /// A file, which is appended to.
    File {
        /// Which; its directory has to be there.
        path: PathBuf,
        /// Its permissions where it is made.
        mode: u32,
        /// What a line looks like.
        style: Style,
        /// Whether standard output and standard error become the file too.
        standard: bool,
    },
    /// systemd's journal, with its fields.
    Journal {
        /// What the program calls itself: `SYSLOG_IDENTIFIER`.
        identifier: String,
        /// What stands before the name of each field, as `MYDAEMON_`.
        prefix: String,
    },
    /// /dev/log.
    Syslog {
        /// What the program calls itself.
        identifier: String,
    },
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Something else stands in the place of the file.
    #[error("refuse {}: it is {found}; remove it, or log elsewhere", path.display())]
    Planted {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// The file is somebody else's, who could read it.
    #[error("refuse {}: it belongs to user {owner}; remove it, or log elsewhere", path.display())]
    ForeignOwner {
        /// The path.
        path: PathBuf,
        /// The owner's numeric user ID.
        owner: u32,
    },
    /// There is no journal.
    #[error("there is no journal at {}; choose another target, such as file", journal::SOCKET)]
    NoJournal,
    /// The system refused.
    #[error("{verb} {}", path.display())]
    FileSystem {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Whether this process's standard error is a stream to systemd's journal, and the journal can be reached.
#[must_use]
pub fn is_started_by_systemd() -> bool {
    journal::is_there() && is_stream_to_journal()
}

/// Whether a service manager has given this process a directory for its logs: LOGS_DIRECTORY of systemd.exec(5), which
/// others set too.
#[must_use]
pub fn is_given_a_directory() -> bool {
    std::env::var_os("LOGS_DIRECTORY").is_some_and(|path| !path.is_empty())
}

impl Style {
    /// The style for people on this process's standard error: [`Style::Journal`] where systemd
    /// reads it.
    #[must_use]
    pub fn for_people() -> Self {
        if is_stream_to_journal() { Self::Journal } else { Self::Text }
    }
}

fn is_stream_to_journal() -> bool {
    env::var_os("JOURNAL_STREAM").is_some_and(|stream| is_journal(&stream, io::stderr()))
}

/// Whether `descriptor` is the stream that `$JOURNAL_STREAM` names by device and inode,
/// systemd.exec(5). The variable alone does not tell: it is inherited by whatever a service starts.
#[must_use]
pub fn is_journal(stream: &OsStr, descriptor: impl AsFd) -> bool {
    let named = stream.to_str().and_then(|text| text.split_once(':'));
    let (Some((device, inode)), Ok(found)) = (named, fstat(descriptor)) else {
        return false;
    };
    device.parse() == Ok(found.st_dev) && inode.parse() == Ok(found.st_ino)
}

/// Changes the log while it runs.
#[derive(Debug, Clone)]
pub struct Handle {
    filter: reload::Handle<LevelFilter, Registry>,
    shared: Arc<Shared>,
}

impl Handle {
    /// Logs what is as grave as `level` or graver from now on.
    pub fn set_level(&self, level: LevelFilter) {
        // It fails only once the subscriber is gone, and then nothing is logged at all.
        drop(self.filter.reload(level));
    }

    /// Logs to `target` from now on, what was kept so far included.
    ///
    /// # Errors
    /// [`LogError`]; events are kept, or go where they went.
    pub fn open(&self, target: &Target) -> Result<(), LogError> {
        self.shared.open(Sink::open(target)?);
        Ok(())
    }

    /// Shows each event to whoever waits for the daemon too, those that were kept so far included.
    pub fn show_to(&self, waiting: Readiness) {
        self.shared.show_to(waiting);
    }

    /// Opens a log file again, for logrotate(8) has moved it; other targets have nothing to open.
    ///
    /// # Errors
    /// [`LogError`]; events go where they went.
    pub fn reopen(&self) -> Result<(), LogError> {
        self.shared.reopen()
    }
}

/// Takes the whole process's events from now on, and keeps them until the log is opened.
///
/// # Errors
/// Where another subscriber is installed already.
pub fn install(level: LevelFilter) -> Result<Handle, TryInitError> {
    let (filter, handle) = reload::Layer::new(level);
    let shared = Arc::new(Shared::default());
    Registry::default().with(filter).with(Writer(Arc::clone(&shared))).try_init()?;
    Ok(Handle { filter: handle, shared })
}

/// Logs panics, for a process whose standard error nobody reads.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let at = panic.location().map(ToString::to_string);
        let said = panic.payload();
        let said = said.downcast_ref::<&str>().copied().or_else(|| said.downcast_ref::<String>().map(String::as_str));
        let said = said.unwrap_or_default();
        tracing::error!(thread = thread.name(), at, "panic: {said}");
    }));
}
