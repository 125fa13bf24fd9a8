//! The history as it goes on, across restarts of the daemon.

use std::path::PathBuf;

use super::Result;
use super::follow::{Lines, Patience, persist};
use super::target::Target;
use crate::task::TaskId;
use crate::wire::api::EventDocument;

/// The history as it goes on: an iterator without end.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    task: Option<TaskId>,
    after: Option<i64>,
    patience: Patience,
    lines: Option<Lines>,
}

impl Events {
    pub(super) fn open(path: PathBuf, after: Option<i64>, task: Option<TaskId>, patience: Patience) -> Result<Self> {
        let mut events = Self { path, task, after, patience, lines: None };
        events.lines = Some(events.connect()?);
        Ok(events)
    }

    fn connect(&mut self) -> Result<Lines> {
        let lines = persist(self.patience, || {
            let target =
                Target::new("/v1/events").with("follow", Some(true)).with("after", self.after).with("task", self.task);
            Lines::open(&self.path, None, "GET", &target.into_text(), None)
        })?;
        // From now on what was asked for as "from now on" has a place in the history.
        if self.after.is_none() {
            self.after = lines.header("taskdaemon-after").and_then(|text| text.parse().ok());
        }
        Ok(lines)
    }

    fn advance(&mut self) -> Result<EventDocument> {
        loop {
            let mut lines = match self.lines.take() {
                Some(lines) => lines,
                None => self.connect()?,
            };
            match lines.next::<EventDocument>() {
                Ok(Some(event)) => {
                    self.after = Some(event.seq);
                    self.lines = Some(lines);
                    return Ok(event);
                }
                Ok(None) => {}
                Err(error) if error.is_absence() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<EventDocument>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.advance())
    }
}
