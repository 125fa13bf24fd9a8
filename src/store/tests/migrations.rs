use super::*;
use crate::store::db::Db;
use crate::store::{Error, schema};

/// A queue as the first schema kept it, as `sqlite3 queue.db .dump` writes it.
const FIRST: &str = include_str!("first.sql");

fn stored(place: &Place, dump: &str) {
    let db = raw(place.path());
    db.execute_batch(dump).unwrap();
}

#[test]
fn a_queue_of_the_first_schema_opens_with_all_that_it_held() {
    let place = Place::new();
    stored(&place, FIRST);
    let mut store = place.open();
    assert_eq!(store.identity(), "0123456789abcdef0123456789abcdef");
    let task = store.task(TaskId(2)).unwrap().unwrap();
    assert_eq!((task.state, task.queue, task.owner, task.attempts), (State::Failed, queue("night"), 1001, 1));
    assert_eq!(store.spec(TaskId(1)).unwrap(), Some(spec(&["echo", "hello"])));
    assert_eq!(store.stdin(TaskId(1)).unwrap(), Some(b"input".to_vec()));
    assert_eq!(store.open_dependencies(TaskId(3)).unwrap().len(), 1);
    assert_eq!(store.attempts(TaskId(2)).unwrap()[0].cost.output_bytes, 77);
    assert_eq!(store.output_bytes().unwrap(), 77);
    assert_eq!(store.queues().unwrap(), [plain_queue("night")]);
    assert_eq!(store.last_event().unwrap(), 3);
    assert_eq!(store.counts().unwrap().values().flat_map(|counts| counts.values()).sum::<u64>(), 3);
    assert_eq!(committed(&mut store, |store| insert(store, &submission(), State::Queued)), TaskId(4));
}

fn in_memory() -> Db {
    Db::new(raw(":memory:"), "queue.db".to_owned())
}

fn version(db: &Db) -> u32 {
    db.conn().query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap()
}

#[test]
fn steps_run_once_each_from_wherever_the_database_is() {
    let steps = [schema::MIGRATIONS[0], "ALTER TABLE tasks ADD COLUMN host TEXT", "INSERT INTO meta VALUES ('x', 1)"];
    let mut db = in_memory();
    schema::migrate(&mut db, &steps[..1]).unwrap();
    db.conn().execute_batch("INSERT INTO lanes (id, name) VALUES (1, 'kept')").unwrap();
    schema::migrate(&mut db, &steps).unwrap();
    schema::migrate(&mut db, &steps).unwrap();
    assert_eq!(version(&db), 3);
    assert_eq!(db.conn().query_row("SELECT name FROM lanes", (), |row| row.get::<_, String>(0)).unwrap(), "kept");
}

#[test]
fn a_step_that_fails_leaves_the_schema_as_it_was() {
    let steps = [schema::MIGRATIONS[0], "ALTER TABLE tasks ADD COLUMN host TEXT; INSERT INTO nowhere VALUES (1)"];
    let mut db = in_memory();
    assert!(schema::migrate(&mut db, &steps).is_err());
    assert_eq!(version(&db), 1);
    assert!(db.conn().prepare("SELECT host FROM tasks").is_err());
}

#[test]
fn a_newer_schema_is_refused_in_words_and_kept() {
    let place = Place::new();
    drop(place.open());
    raw(place.path()).pragma_update(None, "user_version", 9).unwrap();
    let fault = open(&place.path()).unwrap_err();
    assert!(matches!(fault, Error::Newer { found: 9, known: 1, .. }), "{fault}");
    assert!(fault.to_string().ends_with("has schema 9, and this version knows 1; install the newer taskdaemon again"));
    raw(place.path()).pragma_update(None, "user_version", 1).unwrap();
    place.open();
}
