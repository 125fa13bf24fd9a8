PRAGMA application_id = 1952543595;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
INSERT INTO "attempts" VALUES(2,1,1,NULL,1700000000000000,4711,99,1700000000000001,1700000000000009,'{"how":"exited","code":1}',500,700,1048576,77,0);
CREATE TABLE claimants (
    id     INTEGER PRIMARY KEY,
    owner  TEXT NOT NULL,
    runner TEXT NOT NULL,
    boot   TEXT NOT NULL,
    UNIQUE (owner, runner, boot)
) STRICT;
INSERT INTO "claimants" VALUES(1,'0123456789abcdef0123456789abcdef','runner','boot');
CREATE TABLE counts (
    owner INTEGER NOT NULL,
    lane  INTEGER NOT NULL,
    state INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    PRIMARY KEY (owner, lane, state)
) STRICT, WITHOUT ROWID;
INSERT INTO "counts" VALUES(1000,1,0,1);
INSERT INTO "counts" VALUES(1000,1,3,1);
INSERT INTO "counts" VALUES(1001,2,6,1);
CREATE TABLE dependencies (
    task      INTEGER NOT NULL,
    awaited   INTEGER NOT NULL,
    condition INTEGER NOT NULL,
    PRIMARY KEY (task, awaited, condition)
) STRICT, WITHOUT ROWID;
INSERT INTO "dependencies" VALUES(3,1,0);
CREATE TABLE events (
    seq   INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL,
    task  INTEGER,
    owner INTEGER,
    lane  INTEGER NOT NULL,
    kind  TEXT NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,1700000000000000,1,1000,1,'{"event":"submitted","state":"queued"}');
INSERT INTO "events" VALUES(2,1700000000000000,2,1001,2,'{"event":"submitted","state":"queued"}');
INSERT INTO "events" VALUES(3,1700000000000000,3,1000,1,'{"event":"submitted","state":"waiting"}');
CREATE TABLE inputs (
    task  INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;
INSERT INTO "inputs" VALUES(1,X'696E707574');
CREATE TABLE lanes (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "lanes" VALUES(1,'default');
INSERT INTO "lanes" VALUES(2,'night');
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('created_at',1700000000000000);
INSERT INTO "meta" VALUES('identity','0123456789abcdef0123456789abcdef');
INSERT INTO "meta" VALUES('output_bytes',77);
CREATE TABLE queues (
    name     TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "queues" VALUES('night','{"name":"night","limits":{"slots":null,"max_length":null,"breaker":null},"origin":"configured","mode":"open","breaker":{"state":"closed","failures":0}}');
CREATE TABLE schedules (
    owner    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE specs (
    task     INTEGER PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;
INSERT INTO "specs" VALUES(1,'{"argv":["echo","hello"],"directory":"/","umask":18,"stop":{"signal":"SIGTERM","grace_ms":10000},"retry":{"limit":0,"delay_ms":1000,"max_delay_ms":3600000,"jitter_percent":10},"on_interrupt":"retry","nice":0,"output_cap_bytes":1048576}');
INSERT INTO "specs" VALUES(2,'{"argv":["false"],"directory":"/","umask":18,"stop":{"signal":"SIGTERM","grace_ms":10000},"retry":{"limit":0,"delay_ms":1000,"max_delay_ms":3600000,"jitter_percent":10},"on_interrupt":"retry","nice":0,"output_cap_bytes":1048576}');
INSERT INTO "specs" VALUES(3,'{"argv":["true"],"directory":"/","umask":18,"stop":{"signal":"SIGTERM","grace_ms":10000},"retry":{"limit":0,"delay_ms":1000,"max_delay_ms":3600000,"jitter_percent":10},"on_interrupt":"retry","nice":0,"output_cap_bytes":1048576}');
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
INSERT INTO "tasks" VALUES(1,1000,1,0,5,1,1700000000000000,NULL,NULL,0,0,0,0,'greeting',NULL,NULL,NULL);
INSERT INTO "tasks" VALUES(2,1001,2,6,0,1,1700000000000000,NULL,1700000000000009,1,1,0,0,NULL,NULL,NULL,NULL);
INSERT INTO "tasks" VALUES(3,1000,1,3,0,1,1700000000000000,NULL,NULL,0,0,0,0,NULL,NULL,NULL,NULL);
CREATE INDEX tasks_place ON tasks (owner, lane, state);
CREATE INDEX tasks_ready ON tasks (lane, priority DESC, id, slots, state) WHERE state = 0;
CREATE INDEX tasks_due ON tasks (due, id) WHERE state = 1;
CREATE UNIQUE INDEX tasks_key ON tasks (owner, key) WHERE key IS NOT NULL AND state < 5;
CREATE INDEX tasks_ended ON tasks (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX tasks_label ON tasks (label) WHERE label IS NOT NULL;
CREATE INDEX tasks_schedule ON tasks (schedule) WHERE schedule IS NOT NULL;
CREATE INDEX dependencies_awaited ON dependencies (awaited, task, condition);
CREATE INDEX attempts_open ON attempts (task, number) WHERE ended_at IS NULL;
CREATE INDEX events_task ON events (task) WHERE task IS NOT NULL;
COMMIT;
