//! What attempts wrote, as far as it is there or as it comes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use crate::api::answer::{Failure, typed};
use crate::api::context::Context;
use crate::api::params::{By, Params, task_id};
use crate::api::stream::{Gone, Writer, stream};
use crate::engine::{Caller, Command, Query, Refusal, Reply};
use crate::task::{AttemptKey, TaskId};
use crate::wire::api::Problem;

const PIECE: usize = 256 << 10;
/// Pieces up to this size are read at once: they are most likely in memory.
const AT_ONCE: u64 = 64 << 10;

/// Which output, and how much of it.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct OutputQuery {
    /// Which attempt, from 1; if not given, the last.
    attempt: Option<u32>,
    /// Goes on until the attempt has ended; for a task that has not started, waits for its first attempt.
    follow: bool,
    /// Only from this byte on.
    offset: Option<u64>,
    /// Only the last so many bytes of what is there.
    tail_bytes: Option<u64>,
}

struct Found {
    file: Arc<File>,
    attempt: u32,
    ended: bool,
    dropped: u64,
}

/// Gives what an attempt wrote, byte for byte. The headers tell which attempt (`taskdaemon-attempt`), from which byte
/// on (`taskdaemon-offset`), whether it has ended (`taskdaemon-ended`) and how much was thrown away past its cap
/// (`taskdaemon-dropped-bytes`). An answer that breaks off can be asked for again from where it broke off.
#[utoipa::path(get, path = "/v1/tasks/{id}/output", tag = "tasks",
    params(("id" = i64, Path, description = "The task"), OutputQuery), responses(
    (status = 200, description = "What it wrote", content_type = "application/octet-stream"),
    (status = "default", description = "Refused", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::api) async fn output(
    State(context): State<Context>,
    By(caller): By,
    Path(id): Path<String>,
    Params(query): Params<OutputQuery>,
) -> Result<Response, Failure> {
    let task = task_id(&id)?;
    let key = AttemptKey { task, attempt: query.attempt.unwrap_or(0) };
    let found = if query.follow && key.attempt == 0 {
        first(&context, caller, task).await?
    } else {
        find(&context, caller, key).await?
    };
    let length = found.file.metadata().map_err(|source| unreadable(key, source))?.len();
    let tail = query.tail_bytes.map_or(0, |tail| length.saturating_sub(tail));
    let offset = query.offset.unwrap_or(0).max(tail);
    let (writer, body) = stream();
    let mut response = typed(StatusCode::OK, "application/octet-stream", body);
    let headers = response.headers_mut();
    headers.insert("taskdaemon-attempt", HeaderValue::from(found.attempt));
    headers.insert("taskdaemon-offset", HeaderValue::from(offset));
    headers.insert("taskdaemon-ended", HeaderValue::from_static(if found.ended { "true" } else { "false" }));
    headers.insert("taskdaemon-dropped-bytes", HeaderValue::from(found.dropped));
    let mut sending = Sending { file: Arc::clone(&found.file), offset, writer };
    if query.follow && !found.ended {
        let key = AttemptKey { task, attempt: found.attempt };
        tokio::spawn(async move { sending.follow(&context, caller, key).await });
    } else {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length.saturating_sub(offset)));
        tokio::spawn(async move {
            if let Err(Broken::Read) = sending.up_to(length).await {
                sending.writer.cut().await;
            }
        });
    }
    Ok(response)
}

async fn find(context: &Context, caller: Caller, key: AttemptKey) -> Result<Found, Failure> {
    match context.ask(caller, Command::Read(Query::Output(key))).await? {
        Reply::Output { file, attempt, ended, dropped } => Ok(Found { file: Arc::new(file), attempt, ended, dropped }),
        other => Err(Failure::unexpected(&other)),
    }
}

/// The last attempt, or where there is none yet, the first once it starts.
async fn first(context: &Context, caller: Caller, task: TaskId) -> Result<Found, Failure> {
    let changes = context.hub.changes(task);
    loop {
        let last = AttemptKey { task, attempt: 0 };
        match find(context, caller, last).await {
            Err(failure) if matches!(failure.0.kind(), "no-attempt" | "no-output") => {}
            other => return other,
        }
        match context.ask(caller, Command::Read(Query::States(vec![task]))).await? {
            Reply::States(states) if states.first().is_some_and(|(_, state, _)| !state.is_ended()) => {}
            // It may have started and ended since the first look.
            Reply::States(_) => return find(context, caller, last).await,
            other => return Err(Failure::unexpected(&other)),
        }
        tokio::select! {
            () = changes.changed() => {}
            () = context.stopped() => return Err(Failure::from(Refusal::Stopping)),
        }
    }
}

fn unreadable(key: AttemptKey, source: io::Error) -> Failure {
    Failure::from(Refusal::NoOutput { task: key.task, attempt: key.attempt, source })
}

enum Broken {
    /// The client has gone.
    Gone,
    /// The file could not be read, or is shorter than it was.
    Read,
}

impl From<Gone> for Broken {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

struct Sending {
    file: Arc<File>,
    offset: u64,
    writer: Writer,
}

impl Sending {
    /// Sends what is there before byte `end`.
    async fn up_to(&mut self, end: u64) -> Result<(), Broken> {
        while self.offset < end {
            let length = end - self.offset;
            let (file, offset) = (Arc::clone(&self.file), self.offset);
            let piece = if length <= AT_ONCE {
                read(&file, offset, length)
            } else {
                let reading = tokio::task::spawn_blocking(move || read(&file, offset, length)).await;
                reading.unwrap_or_else(|_| Err(io::Error::other("the reading thread failed")))
            };
            let piece = piece.map_err(|_| Broken::Read)?;
            self.offset += piece.len() as u64;
            self.writer.send(piece).await?;
        }
        Ok(())
    }

    async fn follow(mut self, context: &Context, caller: Caller, key: AttemptKey) {
        match self.run(context, caller, key).await {
            Ok(()) | Err(Broken::Gone) => {}
            Err(Broken::Read) => self.writer.cut().await,
        }
    }

    async fn run(&mut self, context: &Context, caller: Caller, key: AttemptKey) -> Result<(), Broken> {
        let changes = context.hub.changes(key.task);
        let mut watch = context.growth.watch(&self.file);
        let mut ask = true;
        let mut ended = false;
        loop {
            if ask {
                // Removed meanwhile: what is in the open file is all there ever will be.
                ended = find(context, caller, key).await.map_or(true, |found| found.ended);
            }
            let length = self.file.metadata().map_err(|_| Broken::Read)?.len();
            self.up_to(length).await?;
            if ended {
                return Ok(());
            }
            ask = tokio::select! {
                () = watch.grown() => false,
                () = changes.changed() => true,
                () = self.writer.gone() => return Err(Broken::Gone),
                () = context.stopped() => return Err(Broken::Read),
            };
        }
    }
}

fn read(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(PIECE)];
    let read = file.read_at(&mut piece, offset)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(read);
    Ok(piece)
}
