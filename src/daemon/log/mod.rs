//! The log: events to standard error, each as one line.
//!
//! [`install`] once, early; the [`Handle`] changes the level later. [`Style`] says what a line looks
//! like.
//!
//! It must not know what is logged, nor settings: its options are its own.

mod format;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

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

impl Style {
    /// The style for people on this process's standard error: [`Style::Journal`] where systemd
    /// reads it.
    #[must_use]
    pub fn for_people() -> Self {
        let stream = env::var_os("JOURNAL_STREAM");
        if stream.is_some_and(|stream| is_journal(&stream, io::stderr())) { Self::Journal } else { Self::Text }
    }
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
pub struct Handle(reload::Handle<LevelFilter, Registry>);

impl Handle {
    /// Logs what is as grave as `level` or graver from now on.
    pub fn set_level(&self, level: LevelFilter) {
        // It fails only once the subscriber is gone, and then nothing is logged at all.
        drop(self.0.reload(level));
    }
}

/// Logs the whole process's events to standard error from now on.
///
/// # Errors
/// Where another subscriber is installed already.
pub fn install(level: LevelFilter, style: Style) -> Result<Handle, TryInitError> {
    let (filter, handle) = reload::Layer::new(level);
    let lines = fmt::layer()
        .event_format(format::Lines(style))
        .with_writer(io::stderr)
        // Else a closed standard error would be complained about on standard error, with a panic.
        .log_internal_errors(false);
    Registry::default().with(filter).with(lines).try_init()?;
    Ok(Handle(handle))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, subscriber, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, act: impl FnOnce(&Handle)) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
        let lines = fmt::layer().event_format(format::Lines(style)).with_writer(move || writer.clone());
        subscriber::with_default(Registry::default().with(filter).with(lines), || act(&Handle(handle)));
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
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
