//! What the log keeps, where it goes, and what it refuses.

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
