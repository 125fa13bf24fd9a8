-- The first schema. Rows of `tasks` are small, for most of what the daemon does reads or changes them alone;
-- what is large and seldom read stands in tables of its own.

-- identity, created_at; the highest numbers given where their rows are gone; bytes of output kept.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- A number for each queue name ever used, so that rows and indexes carry one byte instead of a word.
CREATE TABLE lanes (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- States: 0 queued, 1 scheduled, 2 held, 3 waiting, 4 running; ended: 5 succeeded, 6 failed, 7 timed-out,
-- 8 cancelled, 9 interrupted. Times are microseconds since the epoch.
CREATE TABLE tasks (
    id            INTEGER PRIMARY KEY,
    owner         INTEGER NOT NULL,
    lane          INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    priority      INTEGER NOT NULL,
    slots         INTEGER NOT NULL,
    submitted_at  INTEGER NOT NULL,
    due           INTEGER,
    ended_at      INTEGER,
    attempts      INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    cancelling    INTEGER NOT NULL,
    label         TEXT,
    key           TEXT,
    schedule      TEXT,
    reason        TEXT
) STRICT;

-- Lists: together with `counts`, which says which places hold anything, it serves every mix of owner, queue and state.
CREATE INDEX tasks_place ON tasks (owner, lane, state);
-- What could start, in the order in which it starts; with all that is asked, so that no row is looked at.
CREATE INDEX tasks_ready ON tasks (lane, priority DESC, id, slots, state) WHERE state = 0;
CREATE INDEX tasks_due ON tasks (due, id) WHERE state = 1;
CREATE UNIQUE INDEX tasks_key ON tasks (owner, key) WHERE key IS NOT NULL AND state < 5;
CREATE INDEX tasks_ended ON tasks (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX tasks_label ON tasks (label) WHERE label IS NOT NULL;
CREATE INDEX tasks_schedule ON tasks (schedule) WHERE schedule IS NOT NULL;

-- How many tasks are in each place that holds any.
CREATE TABLE counts (
    owner INTEGER NOT NULL,
    lane  INTEGER NOT NULL,
    state INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    PRIMARY KEY (owner, lane, state)
) STRICT, WITHOUT ROWID;

-- What a task runs, as JSON.
CREATE TABLE specs (
    task     INTEGER PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;

-- What a task reads on standard input, where that is not /dev/null.
CREATE TABLE inputs (
    task  INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- What a task still waits for. Condition: 0 success, 1 any end.
CREATE TABLE dependencies (
    task      INTEGER NOT NULL,
    awaited   INTEGER NOT NULL,
    condition INTEGER NOT NULL,
    PRIMARY KEY (task, awaited, condition)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_awaited ON dependencies (awaited, task, condition);

-- Who claimed attempts: a daemon's identity, a runner's instance, a boot of a host.
CREATE TABLE claimants (
    id     INTEGER PRIMARY KEY,
    owner  TEXT NOT NULL,
    runner TEXT NOT NULL,
    boot   TEXT NOT NULL,
    UNIQUE (owner, runner, boot)
) STRICT;

-- Outcome is JSON; an attempt is open as long as it has no end.
CREATE TABLE attempts (
    task          INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    claimant      INTEGER NOT NULL,
    lease_until   INTEGER,
    claimed_at    INTEGER NOT NULL,
    pid           INTEGER,
    pid_start     INTEGER,
    started_at    INTEGER,
    ended_at      INTEGER,
    outcome       TEXT,
    user_us       INTEGER NOT NULL,
    system_us     INTEGER NOT NULL,
    max_rss_bytes INTEGER NOT NULL,
    output_bytes  INTEGER NOT NULL,
    dropped_bytes INTEGER NOT NULL,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_open ON attempts (task, number) WHERE ended_at IS NULL;

-- The history. Kind is JSON; task and owner are empty where the event is about a queue.
CREATE TABLE events (
    seq   INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL,
    task  INTEGER,
    owner INTEGER,
    lane  INTEGER NOT NULL,
    kind  TEXT NOT NULL
) STRICT;
CREATE INDEX events_task ON events (task) WHERE task IS NOT NULL;

-- Queues and recurring tasks, as JSON.
CREATE TABLE queues (
    name     TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE schedules (
    owner    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('identity', lower(hex(randomblob(16))));
