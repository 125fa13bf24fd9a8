//! The round: one transaction, from its beginning to its commit and to what follows from that.
//!
//! A round is one beat, or a few: while work that was begun ahead keeps every slot busy, the ends of attempts
//! wait a moment and share a commit. Whoever asks for anything ends the wait at once.

use std::sync::Arc;
use std::time::Duration;

use super::hooks::Watch;
use super::link::Link;
use super::outbox::Order;
use super::{Engine, Message, Settings};
use crate::executor::{Executor, Report};
use crate::store::{self, Store};
use crate::task::{State, Timestamp};

/// How long ends wait for others at most.
const HOLD: Duration = Duration::from_millis(4);

/// A transaction, with what it took up and what the engine is put back to where it fails.
pub(super) struct Round {
    /// Until when it may stay open.
    pub(super) until: Timestamp,
    /// Whether it takes up nothing but news of attempts.
    pub(super) is_news: bool,
    /// What it took up of the runner's.
    pub(super) reports: Vec<Report>,
    is_open: bool,
    settings: Arc<Settings>,
    link: Link,
    retain_at: Option<Timestamp>,
    watch: Watch,
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Whether what has arrived can join the round that is open: what is more than news of attempts finds it
    /// committed. A clock that was set back must not keep it open.
    pub(super) fn is_joined(&self, now: Timestamp, round: &Round) -> bool {
        self.is_news() && (self.clock..round.until).contains(&now)
    }

    fn is_news(&self) -> bool {
        let news = |message: &Message| match message {
            Message::Report(Report::Started { .. } | Report::Ended { .. } | Report::Recalled { .. }) => true,
            Message::Report(Report::Linked { .. } | Report::Lost { .. } | Report::Holds(_) | Report::Swept { .. })
            | Message::Command(_)
            | Message::Leave => false,
        };
        self.kept.is_empty() && !self.inbox.is_empty() && self.inbox.iter().all(news)
    }

    pub(super) fn new_round(&mut self, now: Timestamp) -> Round {
        (self.dirty, self.more, self.free) = (false, false, None);
        Round {
            until: now + HOLD,
            is_news: self.is_news(),
            reports: Vec::new(),
            is_open: false,
            settings: Arc::clone(&self.settings),
            link: self.link.clone(),
            retain_at: self.retain_at,
            watch: self.watch.clone(),
        }
    }

    /// Opens the transaction, where it is not.
    pub(super) fn open_round(&mut self, now: Timestamp, round: &mut Round) -> store::Result<()> {
        if round.is_open {
            return Ok(());
        }
        self.store.begin()?;
        round.is_open = true;
        self.write_begun(now)
    }

    /// Leaves the round open where that keeps nobody waiting, and else closes it.
    pub(super) fn hold_or_close(&mut self, now: Timestamp, round: Round) {
        let busy = !self.begun.is_empty() && self.memory.used >= self.settings.slots;
        if round.is_news && busy && self.outbox.orders.is_empty() && !self.more {
            self.round = Some(round);
        } else {
            self.close(now, round);
        }
    }

    /// Commits the round, and tells what it did.
    pub(super) fn close(&mut self, now: Timestamp, round: Round) {
        match self.finish(now) {
            Ok(()) => self.publish(now),
            Err(error) => self.undo(now, error, round),
        }
    }

    /// Puts the engine back to where the round began.
    pub(super) fn undo(&mut self, now: Timestamp, error: store::Error, round: Round) {
        self.settings = round.settings;
        self.link = round.link;
        self.retain_at = round.retain_at;
        self.watch = round.watch;
        // The number of a task that was not accepted goes to another one.
        self.specs.clear();
        self.give_up(now, error, round.reports);
    }

    /// Writes what rides along, and commits if anything was written.
    fn finish(&mut self, now: Timestamp) -> store::Result<()> {
        if self.trouble.is_some() && !self.dirty {
            self.prove_writable()?;
        }
        if self.dirty || self.next_note().is_some_and(|at| at <= now) {
            self.write_notes()?;
        }
        if self.dirty || self.left {
            self.reserve(now)?;
        }
        if !self.dirty {
            self.store.rollback();
            return Ok(());
        }
        let scheduled = self.memory.total(|state| state == State::Scheduled);
        self.memory.next_due = if scheduled > 0 { self.store.next_due()? } else { None };
        self.store.commit()
    }

    /// Everything that waited for the commit: first what makes tasks run, then the answers, last what nobody waits for.
    pub(super) fn publish(&mut self, now: Timestamp) {
        if self.dirty {
            self.notes.clear();
            self.begun.clear();
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
        for (reply, answer) in outbox.answers {
            reply(answer);
        }
        self.busy = self.busy.saturating_add(outbox.events.len());
        if !outbox.events.is_empty() {
            (self.feed)(&outbox.events);
        }
        self.executor.acknowledge(&acknowledged);
        // Where every slot is taken and the next start is reserved, this rides along with that.
        if self.memory.used < self.settings.slots || self.memory.reserved.is_empty() {
            self.executor.flush();
        }
        self.finish_shutdown();
    }
}
