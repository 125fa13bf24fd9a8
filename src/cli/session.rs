//! What every verb needs: the global options, the two streams, the clock, and the way to the daemon.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use jiff::tz::TimeZone;

use super::args::Globals;
use super::describe::Clock;
use super::output::Output;
use super::place::Place;
use super::table::Look;
use crate::client::{Client, ClientError};
use crate::task::Timestamp;

/// How long a daemon that died may take to be started again.
const RETURN: Duration = Duration::from_secs(5);
/// The pause between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// One run of the program.
pub(super) struct Session<'a> {
    globals: &'a Globals,
    /// Where everything is printed.
    pub(super) output: Output,
}

impl<'a> Session<'a> {
    /// A run with these options.
    pub(super) fn new(globals: &'a Globals) -> Self {
        Self { globals, output: Output::new(globals.json, globals.color) }
    }

    /// Which daemon is meant.
    pub(super) const fn place(&self) -> Place<'a> {
        Place::new(self.globals)
    }

    /// A connection to it.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.place().socket()?)?)
    }

    /// A connection to it, for whoever has time: a daemon that died is given a while to come back.
    pub(super) fn patient_client(&self) -> anyhow::Result<Client> {
        let socket = self.place().socket()?;
        let since = Instant::now();
        let mut died = false;
        loop {
            let error = match Client::connect(&socket) {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            // Only what was there is expected back; the new one removes the socket before it makes its own.
            died |= matches!(error, ClientError::StaleSocket { .. });
            if !died || !error.is_absence() || since.elapsed() >= RETURN {
                return Err(error.into());
            }
            thread::sleep(PAUSE);
        }
    }

    /// The present moment.
    pub(super) fn now() -> Timestamp {
        SystemTime::now().into()
    }

    /// The present moment and the reader's time zone.
    pub(super) fn clock() -> Clock {
        Clock { now: Self::now(), zone: TimeZone::system() }
    }

    /// How tables are drawn here.
    pub(super) fn look(&self) -> Look {
        Look { width: self.output.width(), colored: self.output.is_colored() }
    }
}
