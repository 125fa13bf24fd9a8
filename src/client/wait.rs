//! Waiting for tasks to end, across restarts of the daemon.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::follow::{Lines, Patience, persist};
use super::http::Connection;
use super::{ClientError, Result};
use crate::task::TaskId;
use crate::wire::api::{WaitLine, WaitRequest};

/// Tasks that are waited for: one line for each that ends, and a last one.
#[derive(Debug)]
pub struct Waiting {
    path: PathBuf,
    request: WaitRequest,
    open: HashSet<TaskId>,
    deadline: Option<Instant>,
    patience: Patience,
    lines: Option<Lines>,
    ended: bool,
}

impl Waiting {
    /// Begins over `kept`, where there is such a connection.
    pub(super) fn open(
        path: PathBuf,
        kept: Option<Connection>,
        request: WaitRequest,
        patience: Patience,
    ) -> Result<Self> {
        let deadline = request.timeout_ms.map(|limit| Instant::now() + Duration::from_millis(limit));
        let open = request.ids.iter().flatten().copied().collect();
        let mut waiting = Self { path, request, open, deadline, patience, lines: None, ended: false };
        waiting.lines = Some(waiting.connect(kept)?);
        Ok(waiting)
    }

    fn connect(&self, mut kept: Option<Connection>) -> Result<Lines> {
        persist(self.within(), || {
            let mut request = self.request.clone();
            if request.ids.is_some() {
                request.ids = Some(self.open.iter().copied().collect());
            }
            request.timeout_ms = self.remaining().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            let body = serde_json::to_vec(&request).map_err(|error| ClientError::Protocol(error.to_string()))?;
            let mut lines = Lines::open(&self.path, kept.take(), "POST", "/v1/wait", Some(&body))?;
            // The daemon keeps the time; this is for one that has stopped answering.
            lines.set_patience(self.remaining().map(|left| left + Duration::from_secs(5)));
            Ok(lines)
        })
    }

    fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn within(&self) -> Patience {
        match (self.patience, self.remaining()) {
            (Patience::For(limit), Some(left)) => Patience::For(limit.min(left)),
            (Patience::Endless, Some(left)) => Patience::For(left),
            (patience, _) => patience,
        }
    }

    /// What a daemon that is away, or back with fewer tasks, would have told.
    fn substitute(&mut self, error: ClientError) -> Result<WaitLine> {
        match &error {
            ClientError::Problem(problem) if problem.kind() == "no-task" => match problem.id {
                Some(id) if self.open.remove(&id) => Ok(WaitLine::Removed { id }),
                Some(_) | None => Err(error),
            },
            _ if error.is_absence() && self.remaining() == Some(Duration::ZERO) => {
                self.ended = true;
                Ok(WaitLine::Timeout { open: self.open.len() })
            }
            _ => Err(error),
        }
    }

    fn advance(&mut self) -> Result<WaitLine> {
        loop {
            let mut lines = match self.lines.take() {
                Some(lines) => lines,
                None => match self.connect(None) {
                    Ok(lines) => lines,
                    Err(error) => return self.substitute(error),
                },
            };
            let line = match lines.next::<WaitLine>() {
                Ok(Some(line)) => line,
                Ok(None) => continue,
                Err(error) if error.is_absence() => continue,
                Err(error) => return Err(error),
            };
            match &line {
                WaitLine::Waiting { ids, .. } => {
                    // What a filter found is fixed with the first answer, so that a restart changes nothing.
                    if self.request.filter.take().is_some() {
                        self.open = ids.iter().copied().collect();
                        self.request.ids = Some(Vec::new());
                        self.lines = Some(lines);
                        return Ok(line);
                    }
                    self.lines = Some(lines);
                    continue;
                }
                WaitLine::Ended { id, .. } | WaitLine::Removed { id } => {
                    self.open.remove(id);
                    self.lines = Some(lines);
                }
                WaitLine::Stopping { .. } => continue,
                WaitLine::Done | WaitLine::Timeout { .. } => self.ended = true,
            }
            return Ok(line);
        }
    }
}

impl Iterator for Waiting {
    type Item = Result<WaitLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.advance();
        self.ended |= line.is_err();
        Some(line)
    }
}
