//! A task's output as it comes, attempt after attempt, until the task has ended.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::exit::{self, Code};
use super::failure::Failure;
use super::session::Session;
use super::{ending, human};
use crate::client::{Client, ClientError, OutputRequest, Patience};
use crate::task::TaskId;

/// What comes from the daemon.
enum Piece {
    /// Output.
    Bytes(Vec<u8>),
    /// Bytes of an attempt's output that were thrown away.
    Dropped(u64),
    /// The task has ended, with this exit status.
    Ended(i32),
    /// The task was removed.
    Removed,
    /// That was all that can be had.
    Failed(ClientError),
}

/// Prints what the task writes, and ends as it does; the deadline ends the looking on, not the task.
pub(super) fn task(
    session: &mut Session<'_>,
    client: Client,
    id: TaskId,
    deadline: Option<Duration>,
) -> anyhow::Result<Code> {
    let until = deadline.map(|limit| Instant::now() + limit);
    let (pieces, inbox) = sync_channel(16);
    let socket = client.path().to_owned();
    // A thread of its own waits for the daemon, so that this one can look at the clock. It ends with the process.
    thread::spawn(move || {
        let last = fetch(&client, id, &pieces).unwrap_or_else(|error| Some(Piece::Failed(error)));
        if let Some(last) = last {
            // Nobody listens any more where the deadline has passed.
            let _ = pieces.send(last);
        }
    });
    while let Some(piece) = next(&inbox, until) {
        match piece {
            Piece::Bytes(bytes) => {
                session.output.bytes(&bytes)?;
                session.output.flush()?;
            }
            Piece::Dropped(bytes) => session.output.note(format_args!("{bytes} bytes of output were thrown away")),
            Piece::Ended(code) => {
                ending::explain(session, &socket, id, code);
                return Ok(exit::of_task(code));
            }
            Piece::Removed => return Err(Failure::Removed(id).into()),
            Piece::Failed(error) => return Err(error.into()),
        }
    }
    Err(Failure::Deadline { after: human::span(deadline.unwrap_or_default()), open: 1 }.into())
}

fn next(inbox: &Receiver<Piece>, deadline: Option<Instant>) -> Option<Piece> {
    let Some(deadline) = deadline else { return inbox.recv().ok() };
    inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

/// Goes along the task's history and fetches the output of each attempt; `None` where nobody listens.
fn fetch(client: &Client, id: TaskId, pieces: &SyncSender<Piece>) -> Result<Option<Piece>, ClientError> {
    for event in client.events(Some(0), Some(id), Patience::Endless)? {
        let event = event?;
        match (event.event.as_str(), event.attempt) {
            ("started", Some(attempt)) => {
                if !fetch_attempt(client, id, attempt, pieces)? {
                    return Ok(None);
                }
            }
            ("removed", _) => return Ok(Some(Piece::Removed)),
            _ => {
                if let Some(code) = event.exit_code {
                    return Ok(Some(Piece::Ended(code)));
                }
            }
        }
    }
    Ok(None)
}

/// Fetches the output of one attempt up to its end; false where nobody listens.
fn fetch_attempt(client: &Client, task: TaskId, attempt: u32, pieces: &SyncSender<Piece>) -> Result<bool, ClientError> {
    let request = OutputRequest { task, attempt: Some(attempt), follow: true, offset: 0, tail_bytes: None };
    let mut output = match client.output(request, Patience::Endless) {
        Ok(output) => output,
        // An attempt that was claimed and never started is not there any more.
        Err(ClientError::Problem(problem)) if problem.status == 404 => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut buffer = vec![0; 64 << 10];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                if pieces.send(Piece::Bytes(buffer[..length].to_vec())).is_err() {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ClientError::Protocol(error.to_string())),
        }
    }
    Ok(output.dropped_bytes == 0 || pieces.send(Piece::Dropped(output.dropped_bytes)).is_ok())
}
