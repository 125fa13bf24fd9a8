//! Many tasks, one line each, in as few requests as is sensible.

use std::io::BufRead;

use serde_json::value::RawValue;

use super::{Client, ClientError, Result};
use crate::wire::api::{Accepted, TaskRequest, plain};

/// Tasks of one request at most.
const MAX_TASKS: usize = 2_000;
/// Bytes of one request, about.
const MAX_BYTES: usize = 1 << 20;
/// Bytes of one request at most, with the defaults that the daemon copies into each task.
const MAX_EXPANDED: usize = 32 << 20;

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchDone {
    /// Tasks accepted, those that were there already included.
    pub accepted: u64,
    /// Of these, tasks that were there already under the same key.
    pub existing: u64,
    /// Lines read.
    pub lines: u64,
}

/// The lines of one request.
struct Slice {
    body: Vec<u8>,
    /// The line that each task stands on, and where it ends in `body`.
    tasks: Vec<(u64, usize)>,
}

impl Slice {
    /// The request with the first `count` tasks alone.
    fn request(&self, count: usize) -> Vec<u8> {
        let end = if count == 0 { 0 } else { self.tasks[count - 1].1 };
        [&self.body[..end], b"]}"].concat()
    }
}

struct Slicer<R> {
    reader: R,
    head: Vec<u8>,
    most_tasks: usize,
    line: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Slicer<R> {
    fn new(reader: R, defaults: &TaskRequest) -> Result<Self> {
        let defaults = serde_json::to_vec(defaults).map_err(|error| ClientError::Protocol(error.to_string()))?;
        let most_tasks = (MAX_EXPANDED / defaults.len().max(1)).clamp(1, MAX_TASKS);
        let head = [b"{\"defaults\":", defaults.as_slice(), b",\"tasks\":["].concat();
        Ok(Self { reader, head, most_tasks, line: 0, text: Vec::new() })
    }

    /// The next request; `None` at the end of the input. `Err` holds what stands before the line at fault.
    fn next(&mut self) -> std::result::Result<Option<Slice>, (Slice, Fault)> {
        let mut slice = Slice { body: self.head.clone(), tasks: Vec::new() };
        while slice.tasks.len() < self.most_tasks && slice.body.len() < MAX_BYTES {
            self.text.clear();
            match self.reader.read_until(b'\n', &mut self.text) {
                Ok(0) => break,
                Ok(_) => self.line += 1,
                Err(error) => return Err((slice, Fault::Read(error))),
            }
            let text = self.text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if let Err(error) = serde_json::from_slice::<&RawValue>(text) {
                return Err((slice, Fault::Json(error)));
            }
            if !slice.tasks.is_empty() {
                slice.body.push(b',');
            }
            slice.body.extend_from_slice(text);
            slice.tasks.push((self.line, slice.body.len()));
        }
        Ok((!slice.tasks.is_empty()).then_some(slice))
    }
}

enum Fault {
    Read(std::io::Error),
    Json(serde_json::Error),
}

impl Client {
    /// Submits one task per line of `reader`, each a JSON object as of [`TaskRequest`], completed by `defaults`.
    /// Empty lines are passed over. IDs are given in the order of the lines; `on_accepted` hears of each part
    /// as soon as it is durable.
    ///
    /// # Errors
    /// [`ClientError::Line`] names the line at fault. What was accepted before it stays so.
    pub fn submit_batch(
        &mut self,
        reader: impl BufRead,
        defaults: &TaskRequest,
        mut on_accepted: impl FnMut(&Accepted),
    ) -> Result<BatchDone> {
        let mut slicer = Slicer::new(reader, defaults)?;
        let mut done = BatchDone::default();
        loop {
            let (slice, fault) = match slicer.next() {
                Ok(Some(slice)) => (slice, None),
                Ok(None) => break,
                Err((slice, fault)) => (slice, Some(fault)),
            };
            if !slice.tasks.is_empty() {
                self.submit_slice(&slice, &mut done, &mut on_accepted)?;
            }
            match fault {
                None => {}
                Some(Fault::Read(source)) => return Err(ClientError::Input { line: slicer.line, source }),
                Some(Fault::Json(error)) => {
                    let (line, accepted, detail) =
                        (slicer.line, done.accepted, format!("it is no JSON document: {}", plain(&error)));
                    return Err(ClientError::Line { line, detail, accepted, problem: None });
                }
            }
        }
        done.lines = slicer.line;
        Ok(done)
    }

    fn submit_slice(
        &mut self,
        slice: &Slice,
        done: &mut BatchDone,
        on_accepted: &mut impl FnMut(&Accepted),
    ) -> Result<()> {
        let mut send = |client: &mut Self, count| {
            let accepted: Accepted = client.document("POST", "/v1/tasks", Some(&slice.request(count)))?;
            done.accepted += accepted.ids.len() as u64;
            done.existing += accepted.existing.len() as u64;
            on_accepted(&accepted);
            Ok(())
        };
        let stopped =
            |source, accepted| ClientError::Stopped { line: slice.tasks[0].0, accepted, source: Box::new(source) };
        match send(self, slice.tasks.len()) {
            Ok(()) => Ok(()),
            Err(ClientError::Problem(problem)) => match problem.task.filter(|at| *at < slice.tasks.len()) {
                Some(at) => {
                    // The daemon took none of the slice; what stands before the line at fault is good.
                    if at > 0
                        && let Err(error) = send(self, at)
                    {
                        return Err(stopped(error, done.accepted));
                    }
                    let (line, detail, accepted) = (slice.tasks[at].0, problem.detail.clone(), done.accepted);
                    Err(ClientError::Line { line, detail, accepted, problem: Some(problem) })
                }
                None => Err(stopped(ClientError::Problem(problem), done.accepted)),
            },
            Err(error) => Err(stopped(error, done.accepted)),
        }
    }
}
