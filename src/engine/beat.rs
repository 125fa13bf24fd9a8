//! The beat: what has arrived, one transaction, then its consequences.

use std::sync::Arc;

use super::link::Link;
use super::outbox::Order;
use super::{Command, Engine, Envelope, Message, Refusal, Settings};
use crate::executor::{Executor, Report};
use crate::store::{self, Store};
use crate::sys::memory;
use crate::task::{State, Timestamp};

/// Messages that one beat takes up at most.
const MESSAGES_PER_BEAT: usize = 1024;

/// Events after which the engine rests when it can: a few tasks leave nothing worth giving back.
const BUSY_EVENTS: usize = 4096;

/// Submissions after which a beat takes up no further message, so that a reply is never far.
const SUBMISSIONS_PER_BEAT: usize = 10_000;

/// What a failed beat is put back to, besides the memory, which is read again.
struct Before {
    settings: Arc<Settings>,
    link: Link,
    retain_at: Option<Timestamp>,
}

/// What one beat takes up.
#[derive(Default)]
struct Batch {
    reports: Vec<Report>,
    messages: Vec<Message>,
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Takes up what has arrived, plans, commits all of it in one transaction, then answers and gives orders.
    ///
    /// A beat is bounded: what it leaves is for the next, which [`Engine::next_wake`] then asks for at once.
    /// Where the commit fails, nothing of the beat happened: its commands are refused, its reports are kept
    /// and taken up again, with growing pauses, until a commit succeeds.
    pub fn beat(&mut self, now: Timestamp, messages: Vec<Message>) {
        self.inbox.extend(messages);
        if self.left {
            return;
        }
        if self.is_waiting_out(now) {
            self.wait_out(now);
            return;
        }
        (self.dirty, self.more, self.free) = (false, false, None);
        let batch = self.next_batch(now);
        let before =
            Before { settings: Arc::clone(&self.settings), link: self.link.clone(), retain_at: self.retain_at };
        let mut reports = Vec::new();
        match self.transact(now, batch, &mut reports) {
            Ok(()) => self.publish(now),
            Err(error) => {
                self.settings = before.settings;
                self.link = before.link;
                self.retain_at = before.retain_at;
                self.give_up(now, error, reports);
            }
        }
        self.clock = now;
    }

    /// When the next beat is due though nothing arrives; `None` is never.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.left {
            return None;
        }
        if let Some(trouble) = &self.trouble {
            return Some(trouble.retry_at);
        }
        if self.more || !self.inbox.is_empty() || !self.kept.is_empty() {
            return Some(self.clock);
        }
        let timers = [
            self.memory.next_due,
            self.next_recurrence(),
            self.next_probe(),
            self.next_note(),
            self.retain_at,
            self.room_at,
        ];
        timers.into_iter().flatten().min()
    }

    /// Whether there is memory to give back once nothing has arrived for a while.
    #[must_use]
    pub fn is_tired(&self) -> bool {
        self.busy >= BUSY_EVENTS
    }

    /// Gives back memory that only a busy time needed.
    pub fn rest(&mut self) {
        self.busy = 0;
        self.inbox.shrink_to_fit();
        self.store.rest();
        memory::trim();
        if let Err(error) = memory::forget_code() {
            tracing::debug!(%error, "unused code stays in memory");
        }
    }

    /// What needs no commit is done at once, so that no failure of one makes it fail: reads, from what is
    /// committed, and the shutdown. Gives back what needs one.
    pub(super) fn answer_at_once(&mut self, now: Timestamp, message: Message) -> Option<Message> {
        match message {
            Message::Command(Envelope { caller, command: Command::Read(query), reply }) => {
                reply(self.read(now, caller, query));
                None
            }
            Message::Command(Envelope { caller, command: Command::Shutdown { patience }, reply }) => {
                self.shut_down(now, caller, patience, reply);
                None
            }
            Message::Command(_) | Message::Report(_) | Message::Leave => Some(message),
        }
    }

    fn next_batch(&mut self, now: Timestamp) -> Batch {
        let mut batch = Batch { reports: self.kept.drain(..).collect(), ..Batch::default() };
        let mut submissions = 0;
        while batch.messages.len() < MESSAGES_PER_BEAT
            && submissions < SUBMISSIONS_PER_BEAT
            && let Some(message) = self.inbox.pop_front()
        {
            let Some(message) = self.answer_at_once(now, message) else { continue };
            if let Message::Command(Envelope { command: Command::Submit(tasks), .. }) = &message {
                submissions += tasks.len();
            }
            batch.messages.push(message);
        }
        batch
    }

    /// One transaction. The reports that it took up are in `taken`, also when it fails.
    fn transact(&mut self, now: Timestamp, batch: Batch, taken: &mut Vec<Report>) -> store::Result<()> {
        let begun = self.store.begin();
        let mut failed = begun.err();
        for report in batch.reports {
            self.take_report(now, report, taken, &mut failed);
        }
        for message in batch.messages {
            match message {
                Message::Report(report) => self.take_report(now, report, taken, &mut failed),
                Message::Command(envelope) => self.take_command(now, envelope, &mut failed),
                Message::Leave => self.left = true,
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.follow_clock(now)?;
        self.plan(now)?;
        self.finish(now)
    }

    fn take_report(
        &mut self,
        now: Timestamp,
        report: Report,
        taken: &mut Vec<Report>,
        failed: &mut Option<store::Error>,
    ) {
        if failed.is_none()
            && let Err(error) = self.report(now, &report)
        {
            *failed = Some(error);
        }
        taken.push(report);
    }

    /// A write that fails ends the beat, for half of it may be written.
    fn take_command(&mut self, now: Timestamp, envelope: Envelope, failed: &mut Option<store::Error>) {
        let Envelope { caller, command, reply } = envelope;
        if let Some(error) = failed.as_ref() {
            let result = Err(Refusal::Store(super::trouble::copy(error)));
            self.outbox.answers.push((reply, result));
            return;
        }
        let result = match command {
            Command::Read(query) => self.read(now, caller, query),
            Command::Shutdown { patience } => return self.shut_down(now, caller, patience, reply),
            Command::Submit(tasks) => stop_at(self.submit(now, caller, &tasks), failed),
            Command::Act(action, selection) => stop_at(self.act(now, caller, action, selection), failed),
            Command::Queue(name, change) => stop_at(self.change_queue(now, caller, name, change), failed),
            Command::AddSchedule { name, rule, missed, overlap, spec, placement } => {
                let request = super::schedules::Request { name, rule, missed, overlap, spec, placement };
                stop_at(self.add_schedule(now, caller, request), failed)
            }
            Command::PauseSchedule { owner, name, paused } => {
                stop_at(self.pause_schedule(now, caller, owner, name, paused), failed)
            }
            Command::RemoveSchedule { owner, name } => stop_at(self.remove_schedule(caller, owner, name), failed),
            Command::Examine => stop_at(self.prove(now), failed),
            Command::Reconfigure(settings) => stop_at(self.reconfigure(now, caller, *settings), failed),
        };
        self.outbox.answers.push((reply, result));
    }

    /// Writes what rides along, and commits if anything was written.
    fn finish(&mut self, now: Timestamp) -> store::Result<()> {
        if self.trouble.is_some() && !self.dirty {
            self.prove_writable()?;
        }
        if self.dirty || self.next_note().is_some_and(|at| at <= now) {
            self.write_notes()?;
        }
        if !self.dirty {
            self.store.rollback();
            return Ok(());
        }
        let scheduled = self.memory.total(|state| state == State::Scheduled);
        self.memory.next_due = if scheduled > 0 { self.store.next_due()? } else { None };
        self.store.commit()
    }

    /// Everything that waited for the commit: first what makes tasks run, then the answers.
    pub(super) fn publish(&mut self, now: Timestamp) {
        if self.dirty {
            self.notes.clear();
            self.trouble = None;
            self.tally.commits += 1;
            self.committed_at = now;
        }
        self.dirty = false;
        let mut outbox = std::mem::take(&mut self.outbox);
        self.tally.add(&outbox.events, std::mem::take(&mut outbox.runs));
        let mut acknowledged = outbox.acknowledged;
        for order in outbox.orders {
            // Together they cost one message; a link is adopted before.
            if matches!(order, Order::Start(_)) {
                self.executor.acknowledge(&std::mem::take(&mut acknowledged));
            }
            order.give(&mut self.executor);
        }
        self.executor.acknowledge(&acknowledged);
        self.executor.flush();
        for (reply, answer) in outbox.answers {
            reply(answer);
        }
        self.busy = self.busy.saturating_add(outbox.events.len());
        if !outbox.events.is_empty() {
            (self.feed)(&outbox.events);
        }
        self.finish_shutdown();
    }
}

/// Passes the answer on; where the store failed, the caller of the beat gets the error and the client a copy.
fn stop_at(answer: Result<super::Reply, Refusal>, failed: &mut Option<store::Error>) -> Result<super::Reply, Refusal> {
    if let Err(Refusal::Store(error)) = &answer {
        *failed = Some(super::trouble::copy(error));
    }
    answer
}
