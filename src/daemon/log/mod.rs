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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use tracing::{debug, error, info, subscriber, warn};

    use super::*;

    fn file(path: &Path, style: Style) -> Target {
        Target::File { path: path.to_owned(), mode: 0o640, style, standard: false }
    }

    /// Runs `act` with a log of its own that is not open yet.
    fn with_log(act: impl FnOnce(&Handle)) {
        let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
        let shared = Arc::new(Shared::default());
        let log = Registry::default().with(filter).with(Writer(Arc::clone(&shared)));
        subscriber::with_default(log, || act(&Handle { filter: handle, shared }));
    }

    fn logged(style: Style, act: impl FnOnce(&Handle)) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        with_log(|handle| {
            handle.open(&file(&path, style)).unwrap();
            act(handle);
        });
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn s9_what_is_logged_before_the_log_is_open_arrives_there_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        with_log(|handle| {
            info!("early");
            handle.open(&file(&path, Style::Journal)).unwrap();
            info!("late");
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "<6>early\n<6>late\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn s9_a_file_that_was_moved_away_or_removed_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        with_log(|handle| {
            handle.open(&file(&path, Style::Journal)).unwrap();
            info!("one");
            fs::rename(&path, &moved).unwrap();
            info!("two");
            handle.reopen().unwrap();
            info!("three");
            assert_eq!(fs::read_to_string(&path).unwrap(), "<6>three\n");
            fs::remove_file(&path).unwrap();
            info!("four");
        });
        assert_eq!(fs::read_to_string(&moved).unwrap(), "<6>one\n<6>two\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "<6>four\n");
    }

    #[test]
    fn s9_what_is_planted_in_place_of_the_file_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("log"), directory.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        let refused = |name: &str| {
            with_log(|handle| {
                info!("kept");
                let told = handle.open(&file(&path, Style::Text)).unwrap_err().to_string();
                assert!(told.contains(name), "{told}");
            });
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
            fs::remove_file(&path).unwrap();
        };
        symlink(&victim, &path).unwrap();
        refused("a symbolic link");
        fs::hard_link(&victim, &path).unwrap();
        refused("a file that has another name too");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused("a pipe");
    }

    #[test]
    fn s9_whoever_waits_for_the_daemon_is_shown_each_line_until_it_is_ready() {
        let (ready, mut waiting) = crate::daemon::readiness::pair().unwrap();
        with_log(|handle| {
            info!("before");
            handle.show_to(ready.clone());
            info!("after");
            ready.ready();
            info!("ready");
        });
        let mut heard = Vec::new();
        while let Some(what) = waiting.hear().unwrap() {
            heard.push(format!("{what:?}"));
            if heard.len() == 4 {
                break;
            }
        }
        assert!(heard[0].contains("before") && heard[1].contains("after"), "{heard:?}");
        assert_eq!(heard[2..], ["Ready", "End"]);
    }

    #[test]
    fn the_journal_gets_the_priority_and_no_time() {
        let lines = logged(Style::Journal, |_| {
            error!("broken");
            warn!(left = 3, "nearly full");
            info!(path = %"/a b", queue = "q", "made");
        });
        assert_eq!(lines, ["<3>broken", "<4>nearly full left=3", "<6>made path=\"/a b\" queue=q"]);
    }

    #[test]
    fn people_get_the_time_and_the_level() {
        let lines = logged(Style::Text, |_| info!("made"));
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == "2026-11-20T10:00:00.000Z".len(), "{time}");
        assert_eq!(rest, "INFO  made");
    }

    #[test]
    fn programs_get_an_object_with_fields_of_their_own_kind() {
        let lines = logged(Style::Json, |_| info!(count = 3, ok = true, time = "a field", "made"));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "info");
        assert_eq!(line["message"], "made");
        assert_eq!(line["fields"], serde_json::json!({"count": 3, "ok": true, "time": "a field"}));
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        for style in [Style::Text, Style::Journal, Style::Json] {
            let lines = logged(style, |_| info!(name = "a\n<0>forged \x1b[31m", "two\nlines \u{7f}"));
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].contains(char::is_control), "{lines:?}");
        }
    }

    #[test]
    fn the_level_changes_while_it_runs() {
        let lines = logged(Style::Journal, |handle| {
            debug!("one");
            handle.set_level(LevelFilter::DEBUG);
            debug!("two");
        });
        assert_eq!(lines, ["<7>two"]);
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode_not_by_the_variable_alone() {
        let file = tempfile::tempfile().unwrap();
        let found = file.metadata().unwrap();
        let named = format!("{}:{}", found.dev(), found.ino());
        assert!(is_journal(OsStr::new(&named), &file));
        assert!(!is_journal(OsStr::new(&named), File::open("/dev/null").unwrap()));
        assert!(!is_journal(OsStr::new("nonsense"), &file));
    }
}
