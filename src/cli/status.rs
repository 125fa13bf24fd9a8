//! How the daemon is: what it says itself, else what its files tell.

use std::time::Duration;

use serde::Serialize;

use super::describe::{Clock, Lines};
use super::exit::Code;
use super::human;
use super::session::Session;
use crate::client::Client;
use crate::daemon::program::{OnDisk, Program};
use crate::daemon::{self, Status};
use crate::task::Bytes;
use crate::wire::api::{ProgramDocument, RunnerDocument, SandboxDocument, StatusDocument};

/// After how long without an answer the daemon's files are to tell: whoever asks how it is waits for that.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found.
pub(super) enum Report {
    /// It answers.
    Answers(Box<StatusDocument>),
    /// It does not; its files tell.
    Silent(Status),
}

/// The report for programs, of a daemon that answers.
#[derive(Serialize)]
struct Answer<'a> {
    exit_code: u8,
    #[serde(flatten)]
    daemon: &'a StatusDocument,
}

/// The report for programs, of one that does not.
#[derive(Serialize)]
struct Silence {
    state: &'static str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<ProgramDocument>,
    reason: String,
}

impl Report {
    /// Asks the daemon, and looks at its files where it does not answer.
    pub(super) fn look(session: &Session<'_>) -> anyhow::Result<Self> {
        let place = session.place();
        let asked = place.socket().ok().map(|socket| Client::connect_within(&socket, PATIENCE)?.status());
        if let Some(Ok(document)) = asked {
            return Ok(Self::Answers(Box::new(document)));
        }
        // Whatever kept it from answering, the lock knows whether it is there.
        let directory = match place.settings() {
            Ok(settings) => settings.paths.runtime_directory,
            // Which says nothing of a daemon that is stopped, or still has the one before in force.
            Err(error) => place.certain_runtime_directory().ok_or(error)?,
        };
        Ok(Self::Silent(daemon::inspect(&directory)))
    }

    /// Whether it answers.
    pub(super) fn answers(&self) -> bool {
        match self {
            Self::Answers(_) => true,
            Self::Silent(_) => false,
        }
    }

    /// Whether it answers, and nothing is wrong with it.
    pub(super) fn is_healthy(&self) -> bool {
        match self {
            Self::Answers(document) => document.problems.is_empty(),
            Self::Silent(_) => false,
        }
    }

    /// The exit status as the Linux Standard Base has it.
    pub(super) fn exit_code(&self) -> Code {
        Code::Told(self.number())
    }

    fn number(&self) -> u8 {
        match self {
            Self::Answers(_) => 0,
            Self::Silent(status) => status.exit_code(),
        }
    }

    /// Prints it.
    pub(super) fn tell(&self, session: &mut Session<'_>) -> anyhow::Result<()> {
        if session.output.is_json() {
            match self {
                Self::Answers(daemon) => session.output.document(&Answer { exit_code: self.number(), daemon })?,
                Self::Silent(status) => session.output.document(&Silence {
                    state: status.word(),
                    exit_code: self.number(),
                    pid: pid(status),
                    program: on_disk(status),
                    reason: sentence(status),
                })?,
            }
            return Ok(());
        }
        let text = match self {
            Self::Answers(daemon) => running(daemon, &Session::clock()),
            Self::Silent(status) => match on_disk(status).and_then(program) {
                Some(said) => format!("{}\n{said}", sentence(status)),
                None => sentence(status),
            },
        };
        Ok(session.output.line(text)?)
    }
}

fn pid(status: &Status) -> Option<i32> {
    match status {
        Status::Stale { pid, .. } => *pid,
        Status::Starting(record) | Status::Running(record) | Status::Stopping(record) => Some(record.pid),
        Status::Stopped | Status::Unknown(_) => None,
    }
}

/// What the files tell, as a sentence.
fn sentence(status: &Status) -> String {
    match status {
        Status::Starting(record) => format!("starting: process {} does not answer yet", record.pid),
        Status::Running(record) => format!(
            "running: process {} has the lock, and does not answer here; its log may say why, and `taskdaemon restart` \
            replaces it",
            record.pid
        ),
        Status::Stopping(record) => format!("stopping: process {} is on its way out", record.pid),
        Status::Stale { pid, .. } => {
            let who = pid.map_or_else(|| "it".to_owned(), |pid| format!("process {pid}"));
            format!("stale: {who} died and left its files; `taskdaemon start` goes on from there")
        }
        Status::Stopped => "stopped".to_owned(),
        Status::Unknown(error) => format!("unknown: {error}"),
    }
}

/// What stands on disk in the place of the program of a process that lives, where the kernel tells us.
fn on_disk(status: &Status) -> Option<ProgramDocument> {
    let found = Program::of_process(status.record()?.pid).ok()?;
    Some(match found.on_disk() {
        OnDisk::Current => ProgramDocument::Current,
        OnDisk::Replaced => ProgramDocument::Replaced,
        OnDisk::Removed => ProgramDocument::Removed,
    })
}

/// What stands on disk, where that is not what runs.
fn program(found: ProgramDocument) -> Option<&'static str> {
    match found {
        ProgramDocument::Current => None,
        ProgramDocument::Replaced => Some("another one is on disk: `taskdaemon upgrade` takes it up"),
        ProgramDocument::Removed => Some("its file was removed"),
    }
}

/// What the daemon says of itself.
fn running(daemon: &StatusDocument, clock: &Clock) -> String {
    let mut lines = Lines::default();
    lines.add("Daemon", format!("{}, process {}, version {}", daemon.state, daemon.pid, daemon.version));
    if let Some(said) = program(daemon.program) {
        lines.add("Program", said);
    }
    lines.add("Since", human::moment(daemon.started_at.0, clock.now, &clock.zone));
    lines.add("Socket", Bytes::to_string(&daemon.socket));
    lines.add("Health", &daemon.health);
    for problem in &daemon.problems {
        lines.add("Problem", problem);
    }
    let counts: Vec<String> = daemon
        .counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    lines.add("Tasks", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") });
    lines.add("Slots", format!("{} of {} taken", daemon.slots.taken, daemon.slots.all));
    lines.add("Intake", if daemon.intake { "open" } else { "closed" });
    lines.add(
        "Runner",
        match &daemon.runner {
            RunnerDocument::Linked { pid, .. } => format!("linked, process {pid}"),
            RunnerDocument::Lost { reason } => format!("lost: {reason}"),
        },
    );
    let (free, output) = (human::size(daemon.free_bytes), human::size(daemon.output_bytes));
    let SandboxDocument { in_force, missing } = &daemon.sandbox;
    lines.add("Sandbox", if in_force.is_empty() { "none".to_owned() } else { in_force.join(", ") });
    for part in missing {
        lines.add("Missing", part);
    }
    lines.add("Space", format!("{free} free, {output} of output kept"));
    lines.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::task::{State, Timestamp};
    use crate::wire::api::SlotsDocument;

    fn document() -> StatusDocument {
        StatusDocument {
            state: "running".to_owned(),
            version: "1.2.3".to_owned(),
            program: ProgramDocument::Replaced,
            pid: 77,
            socket: "/run/taskdaemon/control.sock".into(),
            started_at: Timestamp(0).into(),
            uptime_ms: 1,
            health: "degraded".to_owned(),
            problems: vec!["the runner is gone".to_owned()],
            intake: true,
            counts: BTreeMap::from([(State::Queued, 3), (State::Running, 0), (State::Failed, 1)]),
            slots: SlotsDocument { taken: 0, all: 2 },
            runner: RunnerDocument::Lost { reason: "no answer".to_owned() },
            sandbox: SandboxDocument {
                in_force: vec!["its own files alone".to_owned(), "system calls".to_owned()],
                missing: vec!["no signal to other processes: needs Linux 6.12".to_owned()],
            },
            free_bytes: 5 << 30,
            output_bytes: 0,
            last_event: 9,
        }
    }

    #[test]
    fn people_read_how_it_is() {
        let clock = Clock { now: Timestamp(60_000_000), zone: TimeZone::UTC };
        let expected = "\
Daemon:         running, process 77, version 1.2.3
Program:        another one is on disk: `taskdaemon upgrade` takes it up
Since:          1970-01-01 00:00:00 (1m ago)
Socket:         /run/taskdaemon/control.sock
Health:         degraded
Problem:        the runner is gone
Tasks:          3 queued, 1 failed
Slots:          0 of 2 taken
Intake:         open
Runner:         lost: no answer
Sandbox:        its own files alone, system calls
Missing:        no signal to other processes: needs Linux 6.12
Space:          5G free, 0 of output kept";
        assert_eq!(running(&document(), &clock), expected);
    }

    #[test]
    fn each_state_has_the_code_of_the_standard() {
        assert_eq!(Report::Answers(Box::new(document())).number(), 0);
        assert_eq!(Report::Silent(Status::Stopped).number(), 3);
    }
}
