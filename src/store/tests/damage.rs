use std::error::Error as _;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::durability::cut_off;
use super::*;
use crate::store::recover::beside;
use crate::store::{Error, Filter, Page};

fn used(tasks: usize) -> Place {
    let place = Place::new();
    let mut store = place.open();
    committed(&mut store, |store| {
        for _ in 0..tasks {
            insert(store, &submission(), State::Queued);
        }
    });
    place
}

/// Refused as damage that names the detail, and byte for byte the same afterwards.
fn refused(place: &Place, detail: &str) {
    let before = std::fs::read(place.path()).unwrap();
    let fault = open(&place.path()).unwrap_err();
    assert!(matches!(&fault, Error::Damaged { detail: found, .. } if found.contains(detail)), "{fault}");
    assert!(fault.to_string().contains("left untouched"));
    assert!(std::fs::read(place.path()).unwrap() == before);
}

#[test]
fn an_emptied_file_is_refused_not_taken_for_a_new_queue() {
    let place = used(1);
    std::fs::write(place.path(), b"").unwrap();
    refused(&place, "it is empty");
}

#[test]
fn a_file_cut_short_is_refused() {
    for keep in [1, 99, 100, 4096, 20_000] {
        let place = used(200);
        let bytes = std::fs::read(place.path()).unwrap();
        std::fs::write(place.path(), &bytes[..keep]).unwrap();
        refused(&place, "it is cut short");
    }
}

#[test]
fn a_file_cut_short_after_a_crash_is_refused_and_its_log_kept_too() {
    let place = used(500);
    let mut store = place.open();
    committed(&mut store, |store| insert(store, &submission(), State::Queued));
    for keep in [0, 1, 4096, 40_960, 100_000] {
        let crashed = cut_off(&place);
        let log = beside(&crashed.path(), "-wal");
        let [file_before, log_before] = [&crashed.path(), &log].map(|path| std::fs::read(path).unwrap());
        std::fs::write(crashed.path(), &file_before[..keep]).unwrap();
        refused(&crashed, if keep == 0 { "it is empty" } else { "it is cut short" });
        assert!(std::fs::read(&log).unwrap() == log_before);
        std::fs::write(crashed.path(), &file_before).unwrap();
        assert!(crashed.open().task(TaskId(501)).unwrap().is_some());
    }
}

#[test]
fn a_queue_refused_for_its_schema_keeps_its_log_as_it_is() {
    let place = used(1);
    let store = place.open();
    store.db.conn().pragma_update(None, "user_version", 9).unwrap();
    let crashed = cut_off(&place);
    let read = || ["", "-wal"].map(|ending| std::fs::read(beside(&crashed.path(), ending)).unwrap());
    let before = read();
    assert!(matches!(open(&crashed.path()), Err(Error::Newer { found: 9, .. })));
    assert!(read() == before);
}

#[test]
fn garbage_is_refused() {
    let place = used(1);
    std::fs::write(place.path(), vec![0x5a; 8192]).unwrap();
    refused(&place, "not an SQLite database");
}

#[test]
fn another_programs_database_is_refused() {
    let place = Place::new();
    raw(place.path()).execute_batch("CREATE TABLE t (x)").unwrap();
    refused(&place, "another program's database");
}

#[test]
fn a_log_without_its_database_is_refused_and_both_stay_as_they_are() {
    let place = used(1);
    std::fs::remove_file(place.path()).unwrap();
    std::fs::write(beside(&place.path(), "-wal"), b"log").unwrap();
    let fault = open(&place.path()).unwrap_err();
    assert!(matches!(fault, Error::Damaged { .. }), "{fault}");
    assert!(!place.path().exists());
    assert_eq!(std::fs::read(beside(&place.path(), "-wal")).unwrap(), b"log");
}

#[test]
fn a_page_overwritten_in_the_middle_is_told_when_it_is_read() {
    let place = used(3000);
    let mut bytes = std::fs::read(place.path()).unwrap();
    let pages = bytes.len() / 4096;
    for page in pages / 2..pages {
        bytes[page * 4096..(page + 1) * 4096].fill(0xff);
    }
    std::fs::write(place.path(), &bytes).unwrap();
    let page = Page { after: None, limit: 3000, oldest_first: true };
    let fault = open(&place.path()).and_then(|mut store| store.list(&Filter::default(), page)).unwrap_err();
    assert!(matches!(fault, Error::Damaged { .. }), "{fault}");
}

#[test]
fn a_document_that_does_not_read_is_damage_not_a_crash() {
    let mut store = SqliteStore::in_memory().unwrap();
    let id = committed(&mut store, |store| insert(store, &submission(), State::Queued));
    store.db.conn().execute_batch("UPDATE specs SET document = '{'; UPDATE tasks SET state = 77").unwrap();
    assert!(matches!(store.spec(id), Err(Error::Damaged { .. })));
    assert!(matches!(store.task(id), Err(Error::Damaged { .. })));
}

#[test]
fn a_symbolic_link_in_the_queues_place_is_refused() {
    let (place, other) = (Place::new(), used(1));
    std::os::unix::fs::symlink(other.path(), place.path()).unwrap();
    let fault = open(&place.path()).unwrap_err();
    assert!(matches!(fault, Error::File { action: "open", .. }), "{fault}");
}

#[test]
fn a_linked_directory_is_followed() {
    let (place, other) = (used(1), Place::new());
    let link = other.directory.path().join("state");
    std::os::unix::fs::symlink(place.directory.path(), &link).unwrap();
    open(&link.join("queue.db")).unwrap();
}

#[test]
fn a_missing_directory_is_named() {
    let fault = open(Path::new("/nowhere/at/all/queue.db")).unwrap_err();
    assert_eq!(fault.to_string(), "cannot enter /nowhere/at/all");
    assert!(fault.source().is_some());
}

/// Root passes every permission check, so a stranger has to try: the test runs itself again as nobody.
fn as_nobody(test: &str) -> Option<bool> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    use std::os::unix::process::CommandExt;
    let myself = std::env::current_exe().unwrap();
    // A copy in a place that nobody can reach.
    let stage = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let copy = stage.path().join("tests");
    std::fs::copy(myself, &copy).unwrap();
    let status = Command::new(&copy).args([test, "--exact", "--quiet"]).uid(65_534).gid(65_534).status().unwrap();
    Some(status.success())
}

#[test]
fn a_directory_that_may_not_be_written_is_told_with_its_reason() {
    if let Some(passed) = as_nobody("store::tests::damage::a_directory_that_may_not_be_written_is_told_with_its_reason")
    {
        assert!(passed);
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.directory.path(), Permissions::from_mode(0o500)).unwrap();
    let fault = open(&place.path()).unwrap_err();
    assert_eq!(fault.to_string(), format!("cannot create {}", place.path().display()));
    assert_eq!(fault.source().unwrap().to_string(), "Permission denied (os error 13)");
}

#[test]
fn a_file_that_may_not_be_read_is_told_with_its_reason_and_kept() {
    if let Some(passed) =
        as_nobody("store::tests::damage::a_file_that_may_not_be_read_is_told_with_its_reason_and_kept")
    {
        assert!(passed);
        return;
    }
    let place = used(1);
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o000)).unwrap();
    let fault = open(&place.path()).unwrap_err();
    assert_eq!(fault.to_string(), format!("cannot open {}", place.path().display()));
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o600)).unwrap();
    place.open();
}

#[test]
fn the_files_are_their_owners_alone() {
    let place = Place::new();
    let mut store = place.open();
    committed(&mut store, |store| insert(store, &submission(), State::Queued));
    let mode = |ending| std::fs::metadata(beside(&place.path(), ending)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode(""), mode("-wal")], [0o600, 0o600]);
    drop(store);
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o644)).unwrap();
    let _store = place.open();
    assert_eq!(mode(""), 0o600);
}

/// Another process that has the queue open and says so, until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn of(place: &Place) -> Option<Self> {
        use std::io::{BufRead, BufReader};
        let mut shell = Command::new("sqlite3");
        shell.arg(place.path()).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = shell.spawn().ok()?;
        let orders = b"BEGIN IMMEDIATE;\nSELECT count(*) FROM tasks;\n";
        child.stdin.as_mut().unwrap().write_all(orders).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "1");
        Some(Self(child))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_queue_in_use_by_another_process_is_said_to_be_so() {
    let place = used(1);
    let Some(holder) = Holder::of(&place) else {
        println!("skipped: sqlite3 is not installed");
        return;
    };
    let fault = open(&place.path()).unwrap_err();
    assert!(matches!(fault, Error::InUse { .. }), "{fault}");
    drop(holder);
    place.open();
}
