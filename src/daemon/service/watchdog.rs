//! The watchdog: the service manager hears that the daemon lives only while every organ of it moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Manager;

/// Asks an organ to give its sign, from the thread that does its work. It must not block.
type Ask = Box<dyn Fn(Sign) + Send>;

/// Asks all organs in turn for a sign of life, and tells the manager once all have given one: WATCHDOG=1, sd_notify(3).
///
/// It has no thread: whoever owns it calls [`Watchdog::tick`] when [`Watchdog::due`] says, and so shows that it moves
/// itself. Nothing wakes up in between but the organs that are asked.
pub struct Watchdog {
    manager: Manager,
    every: Duration,
    due: Instant,
    organs: Vec<(&'static str, Ask)>,
    round: Option<Arc<Round>>,
    hangs: bool,
}

/// The signs of one turn that are still to come.
struct Round {
    manager: Manager,
    missing: Mutex<Vec<&'static str>>,
}

/// What an organ gives when it moves. One that is dropped says nothing.
pub struct Sign {
    organ: &'static str,
    round: Arc<Round>,
}

impl Watchdog {
    /// A watchdog that is fed at half the time that the manager allows for, from `now` on; `None` where there is no
    /// manager, or none that watches.
    #[must_use]
    pub fn new(manager: &Manager, now: Instant) -> Option<Self> {
        let every = manager.watchdog()? / 2;
        let manager = manager.clone();
        Some(Self { manager, every, due: now, organs: Vec::new(), round: None, hangs: false })
    }

    /// Watches an organ: `ask` has it give the sign.
    #[must_use]
    pub fn with(mut self, organ: &'static str, ask: impl Fn(Sign) + Send + 'static) -> Self {
        self.organs.push((organ, Box::new(ask)));
        self
    }

    /// When the next turn is.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Takes a turn, if it is time. While signs of the last one are still to come nobody is asked again, and the organs
    /// that owe them are named in the log.
    pub fn tick(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        self.due = now + self.every;
        let missing = self.round.as_ref().map(|round| round.missing().clone()).unwrap_or_default();
        if !missing.is_empty() {
            warn!(organs = missing.join(", "), "no sign of life; the service manager is told nothing");
            self.hangs = true;
        } else if std::mem::take(&mut self.hangs) {
            info!("every organ gives signs of life again");
        }
        // Where the signs were thrown away instead of given, as by an organ that failed, they are asked for anew.
        if self.round.as_ref().is_some_and(|round| !missing.is_empty() && Arc::strong_count(round) > 1) {
            return;
        }
        let missing = self.organs.iter().map(|(organ, _)| *organ).collect();
        let round = Arc::new(Round { manager: self.manager.clone(), missing: Mutex::new(missing) });
        self.round = Some(Arc::clone(&round));
        if self.organs.is_empty() {
            self.manager.alive();
        }
        for (organ, ask) in &self.organs {
            ask(Sign { organ, round: Arc::clone(&round) });
        }
    }
}

impl Round {
    fn missing(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sign {
    /// The organ moves. The last one of a turn tells the manager.
    pub fn give(self) {
        let mut missing = self.round.missing();
        missing.retain(|organ| *organ != self.organ);
        let all = missing.is_empty();
        drop(missing);
        if all {
            self.round.manager.alive();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::mpsc::channel;

    use super::*;

    /// A watchdog on two organs whose signs the test gives, and what the manager hears.
    fn watched(now: Instant) -> (Watchdog, std::sync::mpsc::Receiver<Sign>, UnixDatagram) {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = Manager::watching(&directory.path().join("notify"), Duration::from_secs(10));
        let (give, signs) = channel();
        let other = give.clone();
        let watchdog = Watchdog::new(&manager, now).unwrap();
        let watchdog = watchdog
            .with("one", move |sign| give.send(sign).unwrap())
            .with("two", move |sign| other.send(sign).unwrap());
        (watchdog, signs, socket)
    }

    fn pings(socket: &UnixDatagram) -> usize {
        std::iter::from_fn(|| socket.recv(&mut [0; 64]).ok()).count()
    }

    #[test]
    fn the_manager_hears_of_life_once_all_have_given_their_sign() {
        let now = Instant::now();
        let (mut watchdog, signs, socket) = watched(now);
        watchdog.tick(now);
        signs.try_recv().unwrap().give();
        assert_eq!(pings(&socket), 0, "one is missing");
        signs.try_recv().unwrap().give();
        assert_eq!(pings(&socket), 1);
        assert_eq!(watchdog.due(), now + Duration::from_secs(5), "half of what is allowed");
        watchdog.tick(now + Duration::from_secs(1));
        assert!(signs.try_recv().is_err(), "it is not time yet");
    }

    #[test]
    fn an_organ_that_hangs_ends_the_pings_until_it_moves_again() {
        let now = Instant::now();
        let (mut watchdog, signs, socket) = watched(now);
        watchdog.tick(now);
        let hangs = signs.try_recv().unwrap();
        signs.try_recv().unwrap().give();
        for turn in 1..4 {
            watchdog.tick(now + Duration::from_secs(5 * turn));
            assert!(signs.try_recv().is_err(), "nobody is asked while a sign is missing");
        }
        assert_eq!(pings(&socket), 0);
        hangs.give();
        assert_eq!(pings(&socket), 1, "late is not never");
        watchdog.tick(now + Duration::from_secs(20));
        assert_eq!(signs.try_iter().map(Sign::give).count(), 2);
        assert_eq!(pings(&socket), 1);
    }

    #[test]
    fn a_sign_that_is_dropped_is_none_and_is_asked_for_again() {
        let now = Instant::now();
        let (mut watchdog, signs, socket) = watched(now);
        watchdog.tick(now);
        drop(signs.try_recv().unwrap());
        signs.try_recv().unwrap().give();
        assert_eq!(pings(&socket), 0);
        watchdog.tick(now + Duration::from_secs(5));
        assert_eq!(signs.try_iter().map(Sign::give).count(), 2);
        assert_eq!(pings(&socket), 1);
    }
}
