//! What streams share: lines of JSON, and patience with a daemon that is away.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::http::Connection;
use super::{ClientError, Result};

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
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<Answer>,
}

impl Lines {
    /// Asks over `kept`, where there is such a connection, and else over a new one.
    pub(super) fn open(
        path: &Path,
        kept: Option<Connection>,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<Self> {
        let connection = kept.map_or_else(|| Connection::open(path, None), Ok)?;
        let answer = connection.ask(method, target, body, None)?.check()?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(answer) })
    }

    /// A header of the answer, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.reader.get_ref().header(name)
    }

    /// The next line; `None` where the answer ended.
    pub(super) fn next<D: DeserializeOwned>(&mut self) -> Result<Option<D>> {
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

    pub(super) fn set_patience(&mut self, patience: Option<Duration>) {
        self.reader.get_mut().set_patience(patience);
    }
}
