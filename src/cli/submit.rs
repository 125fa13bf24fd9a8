//! `submit`: from the command line, or from a batch, to IDs.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use jiff::tz::TimeZone;

use super::args::Submit;
use super::exit::Code;
use super::failure::Failure;
use super::session::Session;
use super::{follow, request, wait};
use crate::client::ClientError;
use crate::task::TaskId;
use crate::wire::api::{Accepted, SubmitRequest, TaskRequest, WaitRequest};

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Submit) -> anyhow::Result<Code> {
    let mut task = described(options)?;
    request::note_missing(session, &options.surroundings);
    if let Some(path) = &options.batch {
        return batch(session, options, path, &task);
    }
    request::set_command(&mut task, &options.command, options.shell.as_ref());
    task.stdin = options.stdin.as_deref().map(read).transpose()?.map(Into::into);
    let mut client = session.client()?;
    let accepted = client.submit(&SubmitRequest { defaults: TaskRequest::default(), tasks: vec![task] })?;
    let Some(&id) = accepted.ids.first() else {
        return Err(ClientError::Protocol("it names no task".to_owned()).into());
    };
    if accepted.existing.contains(&id) {
        session.output.note(format_args!("task {id} has this key and has not ended; nothing was submitted"));
    }
    if options.follow {
        session.output.note(format_args!("task {id}"));
        return follow::task(session, client, id, options.deadline);
    }
    tell(session, &accepted)?;
    session.output.flush()?;
    if !options.wait {
        return Ok(Code::Success);
    }
    let one = WaitRequest { ids: Some(vec![id]), ..WaitRequest::default() };
    wait::until_ended(session, &mut client, one, options.deadline)
}

/// All that the options say but the command itself.
fn described(options: &Submit) -> Result<TaskRequest, Failure> {
    let mut task = TaskRequest::default();
    request::set_room(&mut task, &options.room);
    request::set_start(&mut task, &options.start, || (Session::now(), TimeZone::system()))
        .map_err(|source| Failure::Time { source })?;
    request::set_policy(&mut task, &options.policy);
    request::set_surroundings(&mut task, &options.surroundings).map_err(Failure::Directory)?;
    Ok(task)
}

/// Submits one task for each line. What was accepted before a faulty line stays, and its IDs have been printed.
fn batch(session: &mut Session<'_>, options: &Submit, path: &Path, defaults: &TaskRequest) -> anyhow::Result<Code> {
    let mut client = session.client()?;
    let mut ids = Vec::new();
    let mut printed = Ok(());
    let mut accept = |accepted: &Accepted| {
        if options.wait {
            ids.extend_from_slice(&accepted.ids);
        }
        if printed.is_ok() {
            printed = tell(session, accepted).and_then(|()| session.output.flush());
        }
    };
    let done = if is_standard(path) {
        client.submit_batch(io::stdin().lock(), defaults, &mut accept)?
    } else {
        let file = File::open(path).map_err(|source| Failure::Read { path: path.to_owned(), source })?;
        client.submit_batch(BufReader::with_capacity(1 << 16, file), defaults, &mut accept)?
    };
    printed?;
    if done.existing > 0 {
        session.output.note(format_args!("{} of the tasks were there already, under the same key", done.existing));
    }
    if !options.wait || ids.is_empty() {
        return Ok(Code::Success);
    }
    let all = WaitRequest { ids: Some(ids), ..WaitRequest::default() };
    wait::until_ended(session, &mut client, all, options.deadline)
}

/// Prints the IDs, and nothing else.
fn tell(session: &mut Session<'_>, accepted: &Accepted) -> io::Result<()> {
    if session.output.is_json() {
        return session.output.document(accepted);
    }
    accepted.ids.iter().try_for_each(|id: &TaskId| session.output.line(id))
}

/// The whole of a file, or of standard input.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if is_standard(path) {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|source| Failure::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}
