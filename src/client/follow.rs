//! Streams of lines that outlive the daemon: after a restart they go on where they were.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::http::{Answer, Connection};
use super::target::Target;
use super::{ClientError, Result};
use crate::task::TaskId;
use crate::wire::api::{EventDocument, WaitLine, WaitRequest};

const MAX_LINE: usize = 16 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a stream tries to reach a daemon that went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: an absent daemon is an error at once.
    None,
    /// This long each time.
    For(Duration),
    /// For ever.
    Endless,
}

/// Calls `open` until it succeeds, or fails for another reason than the daemon's absence.
pub(super) fn persist<T>(patience: Patience, mut open: impl FnMut() -> Result<T>) -> Result<T> {
    let since = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match open() {
            Err(error) if error.is_absence() => {
                let over = match patience {
                    Patience::None => true,
                    Patience::For(limit) => since.elapsed() >= limit,
                    Patience::Endless => false,
                };
                if over {
                    return Err(error);
                }
            }
            other => return other,
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The lines of one answer.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    reader: BufReader<Answer>,
}

impl Lines {
    fn open(path: &Path, method: &str, target: &str, body: Option<&[u8]>) -> Result<Self> {
        let answer = Connection::open(path)?.ask(method, target, body, None)?.check()?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(answer) })
    }

    /// The next line; `None` where the answer ended.
    fn next<D: DeserializeOwned>(&mut self) -> Result<Option<D>> {
        let mut line = Vec::new();
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) => return Err(ClientError::broken("read from", &self.path, error)),
            };
            if available.is_empty() {
                return Ok(None);
            }
            let (part, whole) = match available.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (available.len(), false),
            };
            line.extend_from_slice(&available[..part]);
            self.reader.consume(part);
            if line.len() > MAX_LINE {
                return Err(ClientError::Protocol("a line is too long".to_owned()));
            }
            if whole {
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| ClientError::Protocol(error.to_string()));
            }
        }
    }

    fn set_patience(&mut self, patience: Option<Duration>) {
        self.reader.get_mut().set_patience(patience);
    }
}

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
            Lines::open(&self.path, "GET", &target.into_text(), None)
        })?;
        // From now on what was asked for as "from now on" has a place in the history.
        if self.after.is_none() {
            self.after = lines.reader.get_ref().header("taskdaemon-after").and_then(|text| text.parse().ok());
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
    pub(super) fn open(path: PathBuf, request: WaitRequest, patience: Patience) -> Result<Self> {
        let deadline = request.timeout_ms.map(|limit| Instant::now() + Duration::from_millis(limit));
        let open = request.ids.iter().flatten().copied().collect();
        let mut waiting = Self { path, request, open, deadline, patience, lines: None, ended: false };
        waiting.lines = Some(waiting.connect()?);
        Ok(waiting)
    }

    fn connect(&self) -> Result<Lines> {
        persist(self.within(), || {
            let mut request = self.request.clone();
            if request.ids.is_some() {
                request.ids = Some(self.open.iter().copied().collect());
            }
            request.timeout_ms = self.remaining().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            let body = serde_json::to_vec(&request).map_err(|error| ClientError::Protocol(error.to_string()))?;
            let mut lines = Lines::open(&self.path, "POST", "/v1/wait", Some(&body))?;
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

    /// Tasks that have not ended, as far as has been told.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    fn advance(&mut self) -> Result<WaitLine> {
        loop {
            let mut lines = match self.lines.take() {
                Some(lines) => lines,
                None => match self.connect() {
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
