//! The signs of life: what the service manager is told while the daemon runs, and when there is nothing left to do.

use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::inbox::{Inbox, Notice, Notifier, Stir};
use super::organs::Organs;
use crate::api::Door;
use crate::daemon::lifecycle::State;
use crate::daemon::service::{Manager, Sign, Watchdog};
use crate::engine::Pulse;

/// How often the status is told at most.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How often the manager is asked for patience while the daemon drains, and for how long each time.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const EXTEND_BY: Duration = Duration::from_secs(20);

/// How often a daemon that would like to leave looks whether it may, where nothing has happened.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the main loop does by the clock.
pub(super) struct Vitals {
    manager: Manager,
    watchdog: Option<Watchdog>,
    /// Whether a connection starts the daemon again once it has left.
    returns: bool,
    stir: Stir,
    notifier: Notifier,
    door: Door,
    /// What the manager was told last.
    told: String,
    look_at: Option<Instant>,
    looked: Option<Instant>,
    extend_at: Option<Instant>,
    idle: Idle,
}

/// The way to an end for want of work.
struct Idle {
    /// How long nothing may happen; `None` keeps the daemon.
    after: Option<Duration>,
    /// Since when nothing did, and how many clients had come by then.
    since: Option<(Instant, u64)>,
    step: Step,
}

/// Clients first: once the door is closed nothing new comes, and what the engine says then stays true.
#[derive(PartialEq, Eq)]
enum Step {
    Stay,
    Close,
    Ask,
}

impl Vitals {
    pub(super) fn new(manager: Manager, returns: bool, inbox: &Inbox, organs: &Organs, now: Instant) -> Self {
        let (heart, door) = (organs.heart(), organs.door());
        let watched = door.clone();
        let watchdog = Watchdog::new(&manager, now).map(|watchdog| {
            let engine = move |sign: Sign| {
                heart.pulse(move |reply| match reply {
                    Ok(_) => sign.give(),
                    Err(error) => debug!(error = &error as &dyn std::error::Error, "no pulse"),
                });
            };
            let api = move |sign: Sign| watched.prove(Box::new(|| sign.give()));
            watchdog.with("engine and store", engine).with("API", api)
        });
        let idle = Idle { after: None, since: None, step: Step::Stay };
        Self {
            manager,
            watchdog,
            returns,
            stir: organs.stir(),
            notifier: inbox.notifier(),
            door,
            told: String::new(),
            look_at: Some(now),
            looked: None,
            extend_at: None,
            idle,
        }
    }

    /// Has the daemon leave after this long without anything to do, where a connection starts it again; `None` stays.
    pub(super) fn leave_after(&mut self, idle: Option<Duration>, now: Instant) {
        let idle = idle.filter(|_| self.returns);
        if self.idle.after != idle {
            self.idle.after = idle;
            self.idle.since = None;
            self.look_at = Some(now);
        }
    }

    /// When there is something to do next.
    pub(super) fn due(&self) -> Option<Instant> {
        let watchdog = self.watchdog.as_ref().map(Watchdog::due);
        let look = self.look_at.filter(|_| self.is_wanted());
        [watchdog, look, self.extend_at, self.idle.due()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn turn(&mut self, organs: &Organs, now: Instant) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.tick(now);
        }
        if self.extend_at.is_some_and(|at| at <= now) {
            self.manager.extend(EXTEND_BY);
            self.extend_at = Some(now + EXTEND_EVERY);
        }
        if self.is_wanted() && self.look_at.is_some_and(|at| at <= now) {
            (self.look_at, self.looked) = (None, Some(now));
            // Before it is asked, so that no change falls in between.
            self.stir.arm();
            self.look(organs);
        }
        if self.idle.due().is_some_and(|at| at <= now) {
            self.close(now);
        }
    }

    /// Something has happened: it is looked at soon, and nobody leaves.
    pub(super) fn stirred(&mut self, now: Instant) {
        self.idle.since = None;
        let pause = self.idle.after.map_or(STATUS_EVERY, |after| after.min(STATUS_EVERY));
        self.look_at = Some(self.looked.map_or(now, |looked| now.max(looked + pause)));
    }

    /// Takes up how much there is to do; true where the daemon may leave.
    pub(super) fn pulse(&mut self, pulse: Option<Pulse>, state: State, now: Instant) -> bool {
        let Some(pulse) = pulse else {
            self.stay(now);
            return false;
        };
        self.tell(pulse, state);
        let running = state == State::Running;
        match self.idle.step {
            Step::Ask if pulse.idle && running => return true,
            Step::Ask => self.stay(now),
            Step::Stay if !pulse.idle => {
                self.idle.since = None;
                // Not everything that keeps it here is told when it goes.
                self.look_at = self.look_at.or(self.idle.after.map(|after| now + after.max(LOOK_AGAIN)));
            }
            Step::Stay => self.idle.since = self.idle.since.or(Some((now, self.door.visits()))),
            Step::Close => {}
        }
        false
    }

    /// Whether the door has closed, for a daemon that wants to leave.
    pub(super) fn closed(&mut self, closed: bool, organs: &Organs, now: Instant) {
        if closed {
            self.idle.step = Step::Ask;
            self.look(organs);
        } else {
            self.stay(now);
        }
    }

    /// The daemon drains: it needs patience, and tells how far it is.
    pub(super) fn draining(&mut self, now: Instant) {
        self.idle.after = None;
        self.extend_at = self.manager.is_present().then_some(now);
        self.stirred(now);
    }

    fn is_wanted(&self) -> bool {
        self.manager.is_present() || self.idle.after.is_some()
    }

    fn look(&self, organs: &Organs) {
        let notifier = self.notifier.clone();
        organs.heart().pulse(move |reply| notifier.notify(Notice::Pulse(reply.ok())));
    }

    fn tell(&mut self, pulse: Pulse, state: State) {
        let Pulse { running, queued, failed, idle: _ } = pulse;
        let counts = format!("{running} running, {queued} queued, {failed} failed");
        let text = match state {
            State::Running | State::Reloading => counts,
            State::Stopped | State::Starting | State::Draining | State::Stopping => {
                format!("{}: {counts}", state.word())
            }
        };
        if self.told != text {
            self.manager.status(&text);
            self.told = text;
        }
    }

    fn close(&mut self, now: Instant) {
        let visits = self.door.visits();
        if self.idle.since.is_some_and(|(_, before)| before != visits) {
            self.idle.since = Some((now, visits));
            return;
        }
        self.idle.step = Step::Close;
        let notifier = self.notifier.clone();
        self.door.close(Box::new(move |closed| notifier.notify(Notice::Closed(closed))));
    }

    fn stay(&mut self, now: Instant) {
        if self.idle.step == Step::Ask {
            info!("there is something to do after all");
            self.door.open();
        }
        self.idle.step = Step::Stay;
        self.idle.since = None;
        self.look_at = Some(now + STATUS_EVERY);
    }
}

impl Idle {
    fn due(&self) -> Option<Instant> {
        let (since, _) = self.since.filter(|_| self.step == Step::Stay)?;
        Some(since + self.after?)
    }
}
