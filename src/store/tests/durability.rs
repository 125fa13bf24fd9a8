use std::path::PathBuf;

use super::*;
use crate::store::recover::beside;
use crate::store::{Error, EventFilter};
use crate::task::EventKind;

/// What a power cut at this moment would leave: the files as they are, in a directory of their own.
pub(super) fn cut_off(place: &Place) -> Place {
    let copy = Place::new();
    for ending in ["", "-wal"] {
        std::fs::copy(beside(&place.path(), ending), beside(&copy.path(), ending)).unwrap();
    }
    copy
}

const PAGE: usize = 4096;

fn log(place: &Place) -> PathBuf {
    beside(&place.path(), "-wal")
}

#[test]
fn what_was_committed_survives_a_crash_and_what_was_not_did_not_happen() {
    let place = Place::new();
    let mut store = place.open();
    for n in 1..=20 {
        let id = committed(&mut store, |store| insert(store, &submission(), State::Queued));
        store.begin().unwrap();
        change(&mut store, id, |task| task.state = State::Running);
        insert(&mut store, &submission(), State::Queued);
        submitted(&mut store, id);
        let mut after = cut_off(&place).open();
        assert_eq!(after.task(id).unwrap().unwrap().state, State::Queued);
        assert_eq!(after.task(TaskId(n + 1)).unwrap(), None);
        assert_eq!(after.last_event().unwrap(), 0);
        assert_eq!(after.counts().unwrap()[&QueueName::default()][&State::Queued], n.unsigned_abs());
        store.rollback();
    }
}

#[test]
fn a_log_torn_anywhere_loses_at_most_what_was_not_yet_answered() {
    let place = Place::new();
    let mut store = place.open();
    let mut lengths = vec![std::fs::metadata(log(&place)).map_or(0, |about| about.len())];
    for _ in 0..8 {
        committed(&mut store, |store| {
            let id = insert(store, &submission(), State::Queued);
            submitted(store, id);
        });
        lengths.push(std::fs::metadata(log(&place)).unwrap().len());
    }
    let whole = *lengths.last().unwrap();
    for cut in (0..=whole).step_by(1777).chain(lengths.clone()) {
        let copy = cut_off(&place);
        std::fs::OpenOptions::new().write(true).open(log(&copy)).unwrap().set_len(cut).unwrap();
        let durable = lengths.iter().filter(|length| **length <= cut).count().saturating_sub(1);
        let mut after = copy.open();
        let found = after.last_event().unwrap();
        assert!(usize::try_from(found).unwrap() >= durable, "{found} of {durable} at {cut}");
        assert_eq!(after.task(TaskId(found)).unwrap().is_some(), found > 0);
        assert_eq!(after.task(TaskId(found + 1)).unwrap(), None);
    }
}

#[test]
fn a_database_without_room_says_full_and_nothing_of_the_change_happened() {
    let place = Place::new();
    let mut store = place.open();
    let id = committed(&mut store, |store| insert(store, &submission(), State::Queued));
    let pages: i64 = store.db.conn().query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    let set = |store: &SqliteStore, most: i64| {
        store.db.conn().pragma_update_and_check(None, "max_page_count", most, |_| Ok(())).unwrap();
    };
    set(&store, pages);
    store.begin().unwrap();
    let stdin = Some(vec![1; 1 << 20]);
    let large = Submission { stdin, ..submission() }.into();
    let new = NewTask {
        owner: 1,
        draft: &large,
        state: State::Queued,
        now: NOW,
        due: None,
        open_dependencies: &[],
        schedule: None,
    };
    let fault = store.insert_task(&new).and_then(|_| store.commit()).unwrap_err();
    store.rollback();
    assert!(matches!(fault, Error::Full { .. }), "{fault}");
    assert_eq!(store.counts().unwrap()[&QueueName::default()][&State::Queued], 1);
    assert_eq!(store.task(TaskId(id.0 + 1)).unwrap(), None);
    set(&store, 1 << 30);
    assert_eq!(committed(&mut store, |store| store.insert_task(&new).unwrap()), TaskId(2));
}

/// A crash in the midst of a checkpoint: the log is whole, and any part of its pages is in the file already.
#[test]
fn a_checkpoint_cut_off_at_any_page_loses_nothing() {
    let place = Place::new();
    let mut store = place.open();
    for _ in 0..3 {
        committed(&mut store, |store| {
            for _ in 0..100 {
                let id = insert(store, &submission(), State::Queued);
                submitted(store, id);
            }
        });
    }
    let before = cut_off(&place);
    let done = cut_off(&place);
    drop(done.open());
    let [old, new] = [&before, &done].map(|place| std::fs::read(place.path()).unwrap());
    assert!(old.len() < new.len() && std::fs::metadata(log(&before)).unwrap().len() > 0);
    for moved in (0..new.len() / PAGE).step_by(3) {
        let mixed: Vec<u8> = new[..moved * PAGE].iter().chain(old.iter().skip(moved * PAGE)).copied().collect();
        let copy = cut_off(&before);
        std::fs::write(copy.path(), mixed).unwrap();
        let mut after = copy.open();
        assert_eq!(after.last_event().unwrap(), 300);
        let intact: String = after.db.conn().query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
        assert_eq!(intact, "ok");
        assert!(after.task(TaskId(300)).unwrap().is_some());
    }
}

/// A file system of its own with 2 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Needs the right to mount.
    fn new() -> Option<Self> {
        let directory = tempfile::TempDir::new().unwrap();
        let (target, none) = (directory.path(), None::<&str>);
        nix::mount::mount(none, target, Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=2m")).ok()?;
        Some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_loses_nothing_accepted_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::new() else {
        println!("skipped: mounting a small file system needs root");
        return;
    };
    let path = disk.0.path().join("queue.db");
    let mut store = open(&path).unwrap();
    let mut accepted = 0;
    let filler = disk.0.path().join("filler");
    std::fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let fault = loop {
        store.begin().unwrap();
        let stdin = Some(vec![1; 20_000]);
        let draft = Submission { stdin, ..submission() }.into();
        let new = NewTask {
            owner: 1,
            draft: &draft,
            state: State::Queued,
            now: NOW,
            due: None,
            open_dependencies: &[],
            schedule: None,
        };
        match store.insert_task(&new).and_then(|_| store.commit()) {
            Ok(()) => accepted += 1,
            Err(fault) => break fault,
        }
    };
    store.rollback();
    assert!(matches!(fault, Error::Full { .. }), "{fault}");
    assert!(accepted > 0);
    assert_eq!(store.counts().unwrap()[&QueueName::default()][&State::Queued], accepted);
    std::fs::remove_file(&filler).unwrap();
    committed(&mut store, |store| insert(store, &submission(), State::Queued));
    drop(store);
    let mut store = open(&path).unwrap();
    assert_eq!(store.counts().unwrap()[&QueueName::default()][&State::Queued], accepted + 1);
}

#[test]
fn a_crash_while_a_queue_is_made_leaves_no_half_made_one_in_the_way() {
    let place = Place::new();
    std::fs::write(beside(&place.path(), ".new"), b"half").unwrap();
    std::fs::write(beside(&place.path(), ".new-journal"), b"half").unwrap();
    let mut store = place.open();
    assert_eq!(store.events(&EventFilter::default(), 1).unwrap().next, 0);
    committed(&mut store, |store| store.append_event(NOW, None, &queue("q"), EventKind::QueueChanged).unwrap());
    let left: Vec<_> =
        std::fs::read_dir(place.directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    let known = ["queue.db", "queue.db-wal", "queue.db-reserve"];
    assert!(left.iter().all(|name| known.iter().any(|known| name == known)), "{left:?}");
}
