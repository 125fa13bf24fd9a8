//! The beat: what has arrived, one transaction, then its consequences.

use super::round::Round;
use super::{Command, Engine, Envelope, Message, Refusal};
use crate::executor::{Executor, Report};
use crate::store::{self, Store};
use crate::sys::memory;
use crate::task::Timestamp;

/// Messages that one beat takes up at most.
const MESSAGES_PER_BEAT: usize = 1024;

/// Events after which the engine rests when it can: a few tasks leave nothing worth giving back.
pub(super) const BUSY_EVENTS: usize = 4096;

/// Submissions after which a beat takes up no further message, so that a reply is never far.
const SUBMISSIONS_PER_BEAT: usize = 10_000;

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
    /// and taken up again, with growing pauses, until a commit succeeds. Ends of attempts may wait a moment, and
    /// share the commit with those of the next beats.
    pub fn beat(&mut self, now: Timestamp, messages: Vec<Message>) {
        self.inbox.extend(messages);
        if self.left {
            return;
        }
        if self.is_waiting_out(now) {
            self.wait_out(now);
            return;
        }
        self.hold_back(now);
        let mut round = match self.round.take() {
            Some(round) if self.is_joined(now, &round) => round,
            Some(round) => {
                self.close(now, round);
                self.clock = now;
                return;
            }
            None => self.new_round(now),
        };
        let batch = self.next_batch(now);
        match self.transact(now, batch, &mut round) {
            Ok(()) => self.hold_or_close(now, round),
            Err(error) => self.undo(now, error, round),
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
        if self.more || !self.inbox.is_empty() || !self.kept.is_empty() || self.standby.lets_go() {
            return Some(self.clock);
        }
        let timers = [
            self.round.as_ref().map(|round| round.until),
            self.standby.patience_ends(),
            self.memory.next_due,
            self.next_recurrence(),
            self.next_probe(),
            self.next_note(),
            self.retain_at,
            self.room_at,
            self.next_look(),
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

    /// All that the beat writes but what rides along with the commit.
    fn transact(&mut self, now: Timestamp, batch: Batch, round: &mut Round) -> store::Result<()> {
        let mut failed = self.open_round(now, round).and_then(|()| self.lose_patience(now)).err();
        for report in batch.reports {
            self.take_report(now, report, round, &mut failed);
        }
        for message in batch.messages {
            match message {
                Message::Report(report) => self.take_report(now, report, round, &mut failed),
                Message::Command(envelope) => self.take_command(now, envelope, &mut failed),
                Message::Leave => self.left = true,
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.follow_clock(now)?;
        self.look_at_health(now)?;
        self.hook_stopped(now)?;
        self.plan(now, round.is_news)
    }

    fn take_report(&mut self, now: Timestamp, report: Report, round: &mut Round, failed: &mut Option<store::Error>) {
        if failed.is_none()
            && let Err(error) = self.report(now, &report)
        {
            *failed = Some(error);
        }
        round.reports.push(report);
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
}

/// Passes the answer on; where the store failed, the caller of the beat gets the error and the client a copy.
fn stop_at(answer: Result<super::Reply, Refusal>, failed: &mut Option<store::Error>) -> Result<super::Reply, Refusal> {
    if let Err(Refusal::Store(error)) = &answer {
        *failed = Some(super::trouble::copy(error));
    }
    answer
}
