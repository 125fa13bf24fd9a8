//! What every verb needs: the global options, the two streams, the clock, and the way to the daemon.

use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::args::Globals;
use super::describe::Clock;
use super::output::Output;
use super::place::Place;
use super::table::Look;
use crate::client::Client;
use crate::task::Timestamp;

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
