//! The main loop: signals, reloads, upgrades and ends, one at a time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::dump::log_status;
use super::inbox::{Inbox, Notice};
use super::organs::{Given, Organs};
use super::reload::{Reloader, log_reload};
use super::upgrade::{self, Tried, Upgrades};
use super::vitals::Vitals;
use super::{Error, Hold, guard};
use crate::api::{ReloadFailure, ReloadTo, UpgradeFailure, UpgradeTo};
use crate::config::Settings;
use crate::daemon::lifecycle::{Event, Hooks, Lifecycle, State};
use crate::daemon::log::in_full;
use crate::daemon::service::Manager;
use crate::daemon::signals::Signal;
use crate::daemon::upgrade::Candidate;
use crate::daemon::{Phase, Readiness};
use crate::engine::Pulse;

/// How long it may take at least to put everything away, however long stopping has taken before.
const LEAST: Duration = Duration::from_secs(5);
/// What the service manager allows for on top.
const EXTRA: Duration = Duration::from_secs(10);
/// How long the organs may take to end where a new program is to take over.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(60);

/// One daemon, from when its organs work until everything is put away.
pub(super) struct Control {
    inbox: Inbox,
    reloader: Reloader,
    settings: Settings,
    upgrades: Upgrades,
    hold: Hold,
    life: Lifecycle<'static>,
    manager: Manager,
    /// Who asked for a reload while another was under way.
    waiting: Vec<ReloadTo>,
    /// Whether a signal is among them: one stands for many.
    signalled: bool,
    /// By when everything has to have ended.
    deadline: Option<Instant>,
}

/// What works, and what shows that it does.
struct Body {
    organs: Organs,
    vitals: Vitals,
}

/// What ends the main loop.
enum Turn {
    End,
    Upgrade(Box<Candidate>),
}

impl Control {
    pub(super) fn new(
        inbox: Inbox,
        reloader: Reloader,
        settings: Settings,
        upgrades: Upgrades,
        hold: Hold,
        (life, manager): (Lifecycle<'static>, Manager),
    ) -> Self {
        let (waiting, signalled, deadline) = (Vec::new(), false, None);
        Self { inbox, reloader, settings, upgrades, hold, life, manager, waiting, signalled, deadline }
    }

    /// Runs until the daemon is to end, and ends it.
    pub(super) fn live(mut self, organs: Organs, given: Given, ready: &Readiness) -> Result<(), Error> {
        if self.inbox.is_to_end() {
            info!("told to end before it was ready");
            return self.end(organs, Ok(()));
        }
        self.take(Event::Ready)?;
        info!(socket = %self.hold.entrance.path.display(), slots = self.settings.host.slots, "ready");
        ready.ready();
        let mut body = self.embody(organs);
        loop {
            match self.run(&mut body) {
                Err(error) => return self.end(body.organs, Err(error)),
                Ok(Turn::End) => {
                    // Nothing runs any more, so the runner is to leave too.
                    guard::end_runner(&self.settings);
                    return self.end(body.organs, Ok(()));
                }
                Ok(Turn::Upgrade(candidate)) => body = self.upgrade(body, &candidate, given.clone())?,
            }
        }
    }

    fn embody(&self, organs: Organs) -> Body {
        let returns = self.hold.entrance.is_kept;
        let mut vitals = Vitals::new(self.manager.clone(), returns, &self.inbox, &organs, Instant::now());
        vitals.leave_after(self.settings.host.idle_exit, Instant::now());
        Body { organs, vitals }
    }

    fn run(&mut self, body: &mut Body) -> Result<Turn, Error> {
        loop {
            let due = body.vitals.due().into_iter().chain(self.deadline).min();
            let notice = self.inbox.next(due);
            let now = Instant::now();
            if let Some(turn) = self.hear(notice, body, now)? {
                return Ok(turn);
            }
            body.vitals.turn(&body.organs, now);
        }
    }

    /// Takes up what came, if anything did.
    fn hear(&mut self, notice: Option<Notice>, body: &mut Body, now: Instant) -> Result<Option<Turn>, Error> {
        match notice {
            Some(Notice::Signal(signal)) => self.obey(signal, body, now)?,
            Some(Notice::Reload(reply)) => self.reload(reply, body)?,
            Some(Notice::Reloaded(new)) => {
                if let Some(new) = new {
                    self.settings = *new;
                }
                self.reloaded(body, now)?;
            }
            Some(Notice::Upgrade(binary, reply)) => self.try_out(binary, reply),
            Some(Notice::Tried(tried)) => return Ok(self.tried(*tried)),
            Some(Notice::Stirred) => body.vitals.stirred(now),
            Some(Notice::Pulse(pulse)) => self.weigh(pulse, body, now)?,
            Some(Notice::Closed(closed)) => body.vitals.closed(closed, &body.organs, now),
            Some(Notice::Drained) => return Ok(Some(Turn::End)),
            Some(Notice::EngineEnded) => return Err(Error::Ended("engine")),
            None if self.deadline.is_some_and(|deadline| deadline <= now) => {
                error!(timeout = ?self.settings.host.shutdown_timeout, "not everything ended in time");
                return Err(Error::Unfinished);
            }
            None => {}
        }
        Ok(None)
    }

    fn obey(&mut self, signal: Signal, body: &mut Body, now: Instant) -> Result<(), Error> {
        match signal {
            Signal::Terminate | Signal::Interrupt => return self.obey_end(signal, body, now),
            Signal::Reload => return self.obey_reload(body),
            Signal::Dump => body.organs.look(Box::new(log_status)),
            Signal::Upgrade => self.try_out(None, upgrade::nobody()),
        }
        Ok(())
    }

    /// The first such signal begins the end, the second one is it.
    fn obey_end(&mut self, signal: Signal, body: &mut Body, now: Instant) -> Result<(), Error> {
        if self.is_ending() {
            warn!("stopping now: what still runs is taken up at the next start");
            self.deadline = Some(now + LEAST);
            return Err(Error::Unfinished);
        }
        info!(?signal, "draining");
        self.drain(self.settings.host.stop_grace, body, now)
    }

    fn obey_reload(&mut self, body: &mut Body) -> Result<(), Error> {
        if self.is_ending() {
            info!("not reloaded: the daemon is stopping");
            return Ok(());
        }
        let under_way = self.life.state() == State::Reloading;
        if under_way && std::mem::replace(&mut self.signalled, true) {
            return Ok(());
        }
        self.reload(Box::new(log_reload), body)
    }

    fn is_ending(&self) -> bool {
        match self.life.state() {
            State::Draining | State::Stopping | State::Stopped => true,
            State::Starting | State::Running | State::Reloading => false,
        }
    }

    /// Reads the configuration anew, or has it read again once the reload under way is over: that one may have begun
    /// before the file was changed.
    fn reload(&mut self, reply: ReloadTo, body: &Body) -> Result<(), Error> {
        match self.life.state() {
            State::Reloading => self.waiting.push(reply),
            State::Running => {
                self.take(Event::Reload)?;
                self.begin_reload(vec![reply], body);
            }
            State::Stopped | State::Starting | State::Draining | State::Stopping => reply(Err(stopping())),
        }
        Ok(())
    }

    fn begin_reload(&mut self, replies: Vec<ReloadTo>, body: &Body) {
        let notifier = self.inbox.notifier();
        let done = move |new| notifier.notify(Notice::Reloaded(new));
        self.reloader.reload(&body.organs, &self.settings, replies, done);
    }

    fn reloaded(&mut self, body: &mut Body, now: Instant) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.waiting);
        self.signalled = false;
        if self.is_ending() {
            waiting.into_iter().for_each(|reply| reply(Err(stopping())));
        } else if waiting.is_empty() {
            self.take(Event::Reloaded)?;
            body.vitals.leave_after(self.settings.host.idle_exit, now);
        } else {
            self.begin_reload(waiting, body);
        }
        Ok(())
    }

    fn try_out(&mut self, binary: Option<PathBuf>, reply: UpgradeTo) {
        if self.is_ending() {
            return reply(Err(UpgradeFailure::Busy("the daemon is stopping".into())));
        }
        self.upgrades.begin(binary, &self.settings, reply);
    }

    fn tried(&mut self, tried: Tried) -> Option<Turn> {
        if self.is_ending() {
            return None;
        }
        self.upgrades.tried(tried).map(|candidate| Turn::Upgrade(Box::new(candidate)))
    }

    /// Becomes the new program. Returns only where that failed, with organs that work again.
    fn upgrade(&mut self, body: Body, candidate: &Candidate, given: Given) -> Result<Body, Error> {
        let closed = self.inbox.close();
        let mut hooks = Hooks::new();
        body.organs.put_away(&mut hooks);
        if let Err(error) = hooks.run(UPGRADE_PATIENCE) {
            warn!(%error, "the new program ends what hangs");
        }
        let error = self.upgrades.take_over(candidate, &self.hold);
        drop(closed);
        let given = Given { is_new: false, ..given };
        let organs = Organs::start(&self.settings, given, &self.hold, &self.inbox, &self.upgrades, None)?;
        self.upgrades.fail(&error);
        let mut body = self.embody(organs);
        if self.life.state() == State::Reloading {
            // The word that it is over was refused meanwhile.
            self.reloaded(&mut body, Instant::now())?;
        }
        Ok(body)
    }

    /// Takes up how much there is to do: where there is nothing, it may be time to leave.
    fn weigh(&mut self, pulse: Option<Pulse>, body: &mut Body, now: Instant) -> Result<(), Error> {
        if !body.vitals.pulse(pulse, self.life.state(), now) {
            return Ok(());
        }
        info!("nothing to do; the next connection starts it again");
        // A hook on the end may still run.
        self.drain(self.settings.host.stop_grace, body, now)
    }

    /// Takes nothing new, and lets what runs end within the time that stopping may take.
    fn drain(&mut self, patience: Duration, body: &mut Body, now: Instant) -> Result<(), Error> {
        self.take(Event::Drain)?;
        self.upgrades.give_up("the daemon is stopping");
        self.deadline = Some(now + self.settings.host.shutdown_timeout);
        body.vitals.draining(now);
        let notifier = self.inbox.notifier();
        body.organs.drain(patience, Box::new(move |_| notifier.notify(Notice::Drained)));
        Ok(())
    }

    /// Puts everything away.
    fn end(mut self, organs: Organs, end: Result<(), Error>) -> Result<(), Error> {
        self.take(Event::Stop)?;
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + self.settings.host.shutdown_timeout);
        let within = deadline.saturating_duration_since(Instant::now()).max(LEAST);
        self.manager.extend(within + EXTRA);
        let mut hooks = Hooks::new();
        self.hold.entrance.put_away(&mut hooks);
        organs.put_away(&mut hooks);
        let passed_over = hooks.run(within);
        self.life.take(Event::Ended)?;
        self.hold.release(passed_over)?;
        info!("stopped");
        end
    }

    /// Takes an event up, and says in the lock where the daemon is now, for `status` of other processes.
    fn take(&mut self, event: Event) -> Result<(), Error> {
        let phase = Phase::of(self.life.take(event)?);
        if let Some(phase) = phase
            && let Err(error) = self.hold.lock.set_phase(phase)
        {
            warn!(error = in_full(&error), "the lock tells an earlier state");
        }
        Ok(())
    }
}

fn stopping() -> ReloadFailure {
    ReloadFailure { faults: vec!["the daemon is stopping".into()] }
}
