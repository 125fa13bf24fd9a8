//! What attempts wrote, as it comes.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use super::answer::Answer;
use super::follow::{Patience, persist};
use super::http::Connection;
use super::target::Target;
use super::{ClientError, Result};
use crate::task::TaskId;

/// Which output, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputRequest {
    /// The task.
    pub task: TaskId,
    /// The attempt; `None` is the last, and where there is none yet and `follow` is set, the first.
    pub attempt: Option<u32>,
    /// Whether to go on until the attempt has ended.
    pub follow: bool,
    /// Only from this byte on.
    pub offset: u64,
    /// Only the last so many bytes of what is there.
    pub tail_bytes: Option<u64>,
}

/// What an attempt wrote: bytes to read, and what is known of them.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    request: OutputRequest,
    timeout: Option<Duration>,
    patience: Patience,
    answer: Option<Answer>,
    /// Which attempt it is.
    pub attempt: u32,
    /// Whether the attempt had ended when it was asked for.
    pub ended: bool,
    /// Bytes that were thrown away past the cap, where the attempt had ended.
    pub dropped_bytes: u64,
}

impl Output {
    pub(super) fn open(
        path: PathBuf,
        request: OutputRequest,
        timeout: Option<Duration>,
        patience: Patience,
    ) -> Result<Self> {
        let answer = None;
        let mut output = Self { path, request, timeout, patience, answer, attempt: 0, ended: false, dropped_bytes: 0 };
        output.connect()?;
        Ok(output)
    }

    /// Where in the output the next byte stands.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.request.offset
    }

    fn connect(&mut self) -> Result<()> {
        let request = &self.request;
        let target = Target::new(format!("/v1/tasks/{}/output", request.task))
            .with("attempt", request.attempt)
            .with("follow", request.follow.then_some(true))
            .with("offset", (request.offset > 0).then_some(request.offset))
            .with("tail_bytes", request.tail_bytes)
            .into_text();
        let limit = if request.follow { None } else { self.timeout };
        let answer =
            persist(self.patience, || Connection::open(&self.path, limit)?.ask("GET", &target, None, limit)?.check())?;
        self.attempt = number(&answer, "taskdaemon-attempt")?;
        self.ended = answer.header("taskdaemon-ended") == Some("true");
        self.dropped_bytes = number(&answer, "taskdaemon-dropped-bytes")?;
        // From here on it is this attempt and this place, whatever happens to the daemon.
        self.request.attempt = Some(self.attempt);
        self.request.offset = number(&answer, "taskdaemon-offset")?;
        self.request.tail_bytes = None;
        self.answer = Some(answer);
        Ok(())
    }
}

fn number<N: std::str::FromStr>(answer: &Answer, name: &str) -> Result<N> {
    let value = answer.header(name).and_then(|text| text.parse().ok());
    value.ok_or_else(|| ClientError::Protocol(format!("it has no {name}")))
}

impl Read for Output {
    /// Reads on, across a restart of the daemon where the output is followed.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.answer.is_none() {
                self.connect().map_err(io::Error::other)?;
            }
            let Some(answer) = &mut self.answer else { continue };
            match answer.read(into) {
                Ok(read) => {
                    self.request.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if self.request.follow && error.kind() != io::ErrorKind::InvalidData => self.answer = None,
                Err(error) => return Err(error),
            }
        }
    }
}
