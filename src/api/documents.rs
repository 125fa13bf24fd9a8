//! From the engine's answers to documents.

use super::context::{About, now};
use crate::daemon::health::Report;
use crate::daemon::lifecycle::State;
use crate::daemon::program::OnDisk;
use crate::engine::{Counts, Detail, EventPage, Filter, Line, Listing, RunnerState, Status};
use crate::task::Queue;
use crate::wire::api::{
    CheckDocument, EventDocument, EventsPage, HealthDocument, ProgramDocument, QueueDocument, QueuesPage,
    RunnerDocument, SlotsDocument, StatusDocument, TaskDetail, TaskFilter, TaskSummary, TasksPage,
};

pub(super) fn filter(filter: TaskFilter) -> Filter {
    Filter {
        owner: filter.owner,
        states: filter.states,
        queue: filter.queue,
        label: filter.label,
        schedule: filter.schedule,
    }
}

fn summary(line: Line) -> TaskSummary {
    TaskSummary::new(line.task, line.spec.argv, line.outcome, line.started_at)
}

pub(super) fn tasks(listing: Listing) -> TasksPage {
    TasksPage { tasks: listing.lines.into_iter().map(summary).collect(), next: listing.next }
}

pub(super) fn detail(detail: Detail, values: bool) -> TaskDetail {
    let last = detail.attempts.last();
    let outcome = last.and_then(|attempt| attempt.outcome.clone());
    let started_at = last.and_then(|attempt| attempt.started_at);
    let summary = TaskSummary::new(detail.task, detail.spec.argv.clone(), outcome, started_at);
    let shown = TaskDetail::new(summary, detail.spec, detail.attempts, detail.open_dependencies, values);
    TaskDetail { waits_for: detail.waits_for, ..shown }
}

pub(super) fn queues(queues: Vec<(Queue, Counts)>) -> QueuesPage {
    QueuesPage { queues: queues.into_iter().map(QueueDocument::from).collect() }
}

pub(super) fn events(page: EventPage) -> EventsPage {
    EventsPage { events: page.events.into_iter().map(EventDocument::from).collect(), next: page.next }
}

pub(super) fn health(report: &Report) -> HealthDocument {
    let checks = report.checks.iter().map(|check| CheckDocument {
        name: check.name.clone(),
        health: check.finding.level.word().to_owned(),
        says: check.finding.says.clone(),
        advice: check.finding.advice.clone(),
        took_ms: u64::try_from(check.took.as_millis()).unwrap_or(u64::MAX),
    });
    HealthDocument { health: report.level().word().to_owned(), checks: checks.collect() }
}

pub(super) fn status(status: Status, about: &About, state: State) -> StatusDocument {
    let mut sandbox = about.sandbox.clone();
    if let RunnerState::Linked { holds, .. } = &status.runner {
        for (told, said) in [(&mut sandbox.in_force, &holds.in_force), (&mut sandbox.missing, &holds.missing)] {
            // The daemon has said what it knew before the runner answered.
            told.extend(said.iter().filter(|said| !told.contains(said)).cloned().collect::<Vec<_>>());
        }
    }
    StatusDocument {
        state: match state {
            State::Starting => "starting",
            State::Running | State::Reloading => "running",
            State::Draining | State::Stopping | State::Stopped => "stopping",
        }
        .to_owned(),
        version: about.version.clone(),
        program: match about.program.on_disk() {
            OnDisk::Current => ProgramDocument::Current,
            OnDisk::Replaced => ProgramDocument::Replaced,
            OnDisk::Removed => ProgramDocument::Removed,
        },
        pid: std::process::id(),
        socket: about.socket.clone(),
        started_at: about.started_at.into(),
        uptime_ms: u64::try_from(now().since(about.started_at).as_millis()).unwrap_or(u64::MAX),
        health: status.health().word().to_owned(),
        problems: status.problems().map(str::to_owned).collect(),
        intake: status.intake,
        counts: status.counts,
        slots: SlotsDocument { taken: status.slots.0, all: status.slots.1 },
        runner: match status.runner {
            RunnerState::Linked { runner, pid, .. } => RunnerDocument::Linked { instance: runner, pid },
            RunnerState::Lost { reason } => RunnerDocument::Lost { reason },
        },
        sandbox,
        free_bytes: status.free_bytes,
        output_bytes: status.output_bytes,
        last_event: status.last_event,
    }
}
