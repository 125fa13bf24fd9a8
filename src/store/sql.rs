//! Every statement that the store runs while it is open, with what could not be done where it fails.
//!
//! A [`Sql`] can be made here alone, so that the test at the foot sees every plan: none walks a table that grows.

/// A statement, and the words for its failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sql {
    text: &'static str,
    action: &'static str,
}

impl Sql {
    /// The statement.
    pub(super) const fn text(self) -> &'static str {
        self.text
    }

    /// What could not be done, such as "cannot read a task".
    pub(super) const fn action(self) -> &'static str {
        self.action
    }
}

/// How many there are: each stays prepared.
pub(super) const COUNT: usize = ALL.len();

macro_rules! catalogue {
    ($($(#[$comment:meta])* $name:ident: $action:literal, $text:expr;)*) => {
        $($(#[$comment])* pub(super) const $name: Sql = Sql { text: $text, action: $action };)*
        const ALL: &[Sql] = &[$($name),*];
    };
}

/// The columns of a task, in the order that `tasks::read` expects.
macro_rules! task_where {
    ($condition:literal) => {
        concat!(
            "SELECT id, owner, lane, state, priority, slots, submitted_at, due, ended_at, attempts, failures, \
             interruptions, cancelling, label, key, schedule, reason FROM tasks WHERE ",
            $condition
        )
    };
}

/// The columns of an attempt, in the order that `attempts::read` expects.
macro_rules! attempt_where {
    ($condition:literal) => {
        concat!(
            "SELECT number, claimed_at, pid, pid_start, started_at, ended_at, outcome, user_us, system_us, \
             max_rss_bytes, output_bytes, dropped_bytes FROM attempts WHERE ",
            $condition
        )
    };
}

/// The columns of an event, in the order that `events::read` expects.
macro_rules! event_where {
    ($condition:literal) => {
        concat!("SELECT seq, at, task, owner, lane, kind FROM events WHERE ", $condition, " ORDER BY seq")
    };
}

catalogue! {
    BEGIN: "cannot begin a change", "BEGIN IMMEDIATE";
    COMMIT: "cannot make a change durable", "COMMIT";
    ROLLBACK: "cannot take a change back", "ROLLBACK";
    SHRINK_MEMORY: "cannot give memory back", "PRAGMA shrink_memory";

    GET_META: "cannot read the state's own facts", "SELECT value FROM meta WHERE name = ?1";
    PUT_META: "cannot write the state's own facts",
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    LANES: "cannot read the queues' numbers", "SELECT id, name FROM lanes ORDER BY id";
    INSERT_LANE: "cannot write a queue's number", "INSERT INTO lanes (id, name) VALUES (?1, ?2)";
    COUNTS: "cannot read how many tasks there are", "SELECT owner, lane, state, n FROM counts";
    PUT_COUNT: "cannot write how many tasks there are",
        "INSERT INTO counts (owner, lane, state, n) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET n = excluded.n";
    DELETE_COUNT: "cannot write how many tasks there are",
        "DELETE FROM counts WHERE owner = ?1 AND lane = ?2 AND state = ?3";

    INSERT_TASK: "cannot write a task",
        "INSERT INTO tasks (id, owner, lane, state, priority, slots, submitted_at, due, attempts, failures, \
         interruptions, cancelling, label, key, schedule) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, 0, 0, ?9, ?10, ?11)";
    UPDATE_TASK: "cannot write a task",
        "UPDATE tasks SET lane = ?2, state = ?3, priority = ?4, due = ?5, ended_at = ?6, attempts = ?7, failures = ?8, \
         interruptions = ?9, cancelling = ?10, reason = ?11 WHERE id = ?1";
    DELETE_TASK: "cannot remove a task", "DELETE FROM tasks WHERE id = ?1";
    TASK: "cannot read a task", task_where!("id = ?1");
    TASK_WITH_KEY: "cannot look a key up",
        "SELECT id FROM tasks WHERE owner = ?1 AND key = ?2 AND key IS NOT NULL AND state < 5";
    LAST_TASK: "cannot read the newest task", "SELECT id FROM tasks WHERE id > ?1 ORDER BY id DESC LIMIT 1";
    READY: "cannot read what could start",
        "SELECT id, priority, slots FROM tasks WHERE lane = ?1 AND state = 0 ORDER BY priority DESC, id LIMIT ?2";
    DUE: "cannot read what is due",
        "SELECT id FROM tasks WHERE state = 1 AND due <= ?1 ORDER BY due, id LIMIT ?2";
    NEXT_DUE: "cannot read what is due next",
        "SELECT due FROM tasks WHERE state = 1 AND due IS NOT NULL ORDER BY due LIMIT 1";
    ENDED_BEFORE: "cannot read what has ended", task_where!("ended_at < ?1 ORDER BY ended_at, id LIMIT ?2");

    INSERT_SPEC: "cannot write what a task runs", "INSERT INTO specs (task, document) VALUES (?1, ?2)";
    DELETE_SPEC: "cannot remove what a task runs", "DELETE FROM specs WHERE task = ?1";
    SPEC: "cannot read what a task runs", "SELECT document FROM specs WHERE task = ?1";
    INSERT_INPUT: "cannot write a task's standard input", "INSERT INTO inputs (task, bytes) VALUES (?1, ?2)";
    DELETE_INPUT: "cannot remove a task's standard input", "DELETE FROM inputs WHERE task = ?1";
    INPUT: "cannot read a task's standard input", "SELECT bytes FROM inputs WHERE task = ?1";

    INSERT_DEPENDENCY: "cannot write a dependency",
        "INSERT OR IGNORE INTO dependencies (task, awaited, condition) VALUES (?1, ?2, ?3)";
    DELETE_DEPENDENCY: "cannot strike a dependency", "DELETE FROM dependencies WHERE task = ?1 AND awaited = ?2";
    DELETE_DEPENDENCIES: "cannot strike a task's dependencies", "DELETE FROM dependencies WHERE task = ?1";
    COUNT_DEPENDENCIES: "cannot count a task's dependencies", "SELECT count(*) FROM dependencies WHERE task = ?1";
    DEPENDENCIES: "cannot read a task's dependencies",
        "SELECT awaited, condition FROM dependencies WHERE task = ?1 ORDER BY awaited, condition";
    DEPENDENTS: "cannot read what waits for a task",
        "SELECT task, condition FROM dependencies WHERE awaited = ?1 ORDER BY task, condition LIMIT ?2";

    LIST_DOWN: "cannot list tasks", task_where!("id < ?1 ORDER BY id DESC");
    LIST_UP: "cannot list tasks", task_where!("id > ?1 ORDER BY id");
    PLACE_DOWN: "cannot list tasks",
        "SELECT id FROM tasks WHERE owner = ?1 AND lane = ?2 AND state = ?3 AND id < ?4 ORDER BY id DESC LIMIT ?5";
    PLACE_UP: "cannot list tasks",
        "SELECT id FROM tasks WHERE owner = ?1 AND lane = ?2 AND state = ?3 AND id > ?4 ORDER BY id LIMIT ?5";
    LABEL_DOWN: "cannot list tasks", task_where!("label = ?2 AND id < ?1 ORDER BY id DESC");
    LABEL_UP: "cannot list tasks", task_where!("label = ?2 AND id > ?1 ORDER BY id");
    SCHEDULE_DOWN: "cannot list tasks", task_where!("schedule = ?2 AND id < ?1 ORDER BY id DESC");
    SCHEDULE_UP: "cannot list tasks", task_where!("schedule = ?2 AND id > ?1 ORDER BY id");
    LINE: "cannot list tasks",
        "SELECT s.document, a.outcome, a.started_at FROM specs s \
         LEFT JOIN attempts a ON a.task = s.task AND a.number = ?2 WHERE s.task = ?1";

    CLAIMANT: "cannot read who claims",
        "SELECT id FROM claimants WHERE owner = ?1 AND runner = ?2 AND boot = ?3";
    INSERT_CLAIMANT: "cannot write who claims", "INSERT INTO claimants (owner, runner, boot) VALUES (?1, ?2, ?3)";
    INSERT_ATTEMPT: "cannot write a claim",
        "INSERT INTO attempts (task, number, claimant, lease_until, claimed_at, user_us, system_us, max_rss_bytes, \
         output_bytes, dropped_bytes) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, 0)";
    START_ATTEMPT: "cannot note the start of an attempt",
        "UPDATE attempts SET pid = ?3, pid_start = ?4, started_at = ?5 WHERE task = ?1 AND number = ?2";
    END_ATTEMPT: "cannot write the end of an attempt",
        "UPDATE attempts SET claimed_at = ?3, pid = ?4, pid_start = ?5, started_at = ?6, ended_at = ?7, outcome = ?8, \
         user_us = ?9, system_us = ?10, max_rss_bytes = ?11, output_bytes = ?12, dropped_bytes = ?13 \
         WHERE task = ?1 AND number = ?2";
    DELETE_ATTEMPT: "cannot remove an attempt", "DELETE FROM attempts WHERE task = ?1 AND number = ?2";
    DELETE_ATTEMPTS: "cannot remove a task's attempts", "DELETE FROM attempts WHERE task = ?1";
    KEPT_OUTPUT: "cannot read an attempt",
        "SELECT output_bytes FROM attempts WHERE task = ?1 AND number = ?2 AND ended_at IS NOT NULL";
    KEPT_OUTPUTS: "cannot read a task's attempts",
        "SELECT coalesce(sum(output_bytes), 0) FROM attempts WHERE task = ?1 AND ended_at IS NOT NULL";
    ATTEMPT: "cannot read an attempt", attempt_where!("task = ?1 AND number = ?2");
    ATTEMPTS: "cannot read a task's attempts", attempt_where!("task = ?1 ORDER BY number DESC LIMIT 1000");
    OPEN_ATTEMPTS: "cannot read what runs",
        "SELECT a.task, a.number, c.owner, c.runner, c.boot, a.lease_until, a.pid, a.pid_start FROM attempts a \
         JOIN claimants c ON c.id = a.claimant WHERE a.ended_at IS NULL AND a.task > 0 ORDER BY a.task, a.number";

    INSERT_EVENT: "cannot write an event",
        "INSERT INTO events (seq, at, task, owner, lane, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    EVENTS: "cannot read events", event_where!("seq > ?1");
    TASK_EVENTS: "cannot read a task's events", event_where!("seq > ?1 AND task = ?2");
    LAST_OF_TASK: "cannot read a task's events",
        "SELECT at FROM events WHERE task = ?1 ORDER BY seq DESC LIMIT 1";
    LAST_EVENT: "cannot read the newest event", "SELECT seq FROM events WHERE seq > ?1 ORDER BY seq DESC LIMIT 1";
    EVENT_TIMES: "cannot read events", "SELECT seq, at FROM events WHERE seq > 0 ORDER BY seq LIMIT ?1";
    DELETE_EVENTS: "cannot remove events", "DELETE FROM events WHERE seq <= ?1";

    QUEUES: "cannot read the queues", "SELECT document FROM queues ORDER BY name";
    PUT_QUEUE: "cannot write a queue",
        "INSERT INTO queues (name, document) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET document = excluded.document";
    DELETE_QUEUE: "cannot remove a queue", "DELETE FROM queues WHERE name = ?1";
    SCHEDULES: "cannot read the schedules", "SELECT document FROM schedules ORDER BY owner, name";
    PUT_SCHEDULE: "cannot write a schedule",
        "INSERT INTO schedules (owner, name, document) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET document = excluded.document";
    DELETE_SCHEDULE: "cannot remove a schedule", "DELETE FROM schedules WHERE owner = ?1 AND name = ?2";
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::db::Db;
    use super::super::schema::{self, MIGRATIONS};
    use super::{ALL, BEGIN, COMMIT, ROLLBACK, SHRINK_MEMORY, Sql};

    /// Tables that are small by nature and read whole on purpose.
    const READ_WHOLE: [&str; 4] = ["SCAN lanes", "SCAN counts", "SCAN queues", "SCAN schedules"];

    fn plan(db: &Connection, sql: Sql) -> Vec<String> {
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text())).unwrap();
        let parameters = vec![1_i64; explain.parameter_count()];
        let rows = explain.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn no_statement_scans_a_table_that_grows_or_sorts() {
        let mut db = Db::new(crate::store::tests::raw(":memory:"), String::new());
        schema::migrate(&mut db, MIGRATIONS).unwrap();
        let without_plan = [BEGIN, COMMIT, ROLLBACK, SHRINK_MEMORY].map(Sql::text);
        let mut faults = Vec::new();
        for sql in ALL.iter().filter(|sql| !without_plan.contains(&sql.text())) {
            for step in plan(db.conn(), *sql) {
                let whole = step.contains("SCAN") && !READ_WHOLE.iter().any(|known| step.starts_with(known));
                if whole || step.contains("TEMP B-TREE") {
                    faults.push(format!("{step}: {}", sql.text()));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
