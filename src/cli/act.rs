//! What is done to tasks: `cancel`, `signal`, `retry`, `hold`, `release`, `prioritise`, `rm` and `prune`.

use super::args::{Act, Prioritise, Prune, Select, SendSignal};
use super::exit::Code;
use super::request;
use super::session::Session;
use crate::wire::api::{ActRequest, Done, PruneRequest, TaskFilter, Verb};

/// Does `verb` to the tasks that were selected.
pub(super) fn run(session: &mut Session<'_>, verb: Verb, options: &Act) -> anyhow::Result<Code> {
    send(session, verb, selected(&options.select))
}

/// Sends a signal to running tasks.
pub(super) fn signal(session: &mut Session<'_>, options: &SendSignal) -> anyhow::Result<Code> {
    let request = ActRequest { signal: Some(options.signal), ..selected(&options.select) };
    send(session, Verb::Signal, request)
}

/// Changes the priority of tasks.
pub(super) fn prioritise(session: &mut Session<'_>, options: &Prioritise) -> anyhow::Result<Code> {
    let request = ActRequest { priority: Some(options.priority), ..selected(&options.select) };
    send(session, Verb::Priority, request)
}

/// Removes ended tasks.
pub(super) fn prune(session: &mut Session<'_>, options: &Prune) -> anyhow::Result<Code> {
    let narrow = &options.narrow;
    let filter = TaskFilter {
        states: narrow.states.clone(),
        queue: narrow.queue.clone(),
        label: narrow.label.clone(),
        ..TaskFilter::default()
    };
    let request =
        PruneRequest { older_than_ms: options.older_than.map(request::millis), keep_last: options.keep, filter };
    let mut client = session.client()?;
    client.set_timeout(None);
    let done = client.prune(&request)?;
    tell(session, Verb::Remove, &done)
}

fn selected(select: &Select) -> ActRequest {
    if !select.ids.is_empty() {
        return ActRequest { ids: Some(select.ids.clone()), ..ActRequest::default() };
    }
    let narrow = &select.narrow;
    let filter = TaskFilter {
        states: narrow.states.clone(),
        queue: narrow.queue.clone(),
        label: narrow.label.clone(),
        ..TaskFilter::default()
    };
    ActRequest { filter: Some(filter), ..ActRequest::default() }
}

fn send(session: &mut Session<'_>, verb: Verb, request: ActRequest) -> anyhow::Result<Code> {
    let mut client = session.client()?;
    if request.filter.is_some() {
        // A million tasks take their time, and the daemon works through them page by page.
        client.set_timeout(None);
    }
    let done = client.act(verb, &request)?;
    tell(session, verb, &done)
}

fn tell(session: &mut Session<'_>, verb: Verb, done: &Done) -> anyhow::Result<Code> {
    if session.output.is_json() {
        session.output.document(done)?;
    } else {
        let tasks = if done.count == 1 { "task" } else { "tasks" };
        session.output.line(format_args!("{} {tasks} {}", done.count, participle(verb)))?;
    }
    Ok(Code::Success)
}

const fn participle(verb: Verb) -> &'static str {
    match verb {
        Verb::Cancel => "cancelled",
        Verb::Signal => "signalled",
        Verb::Retry => "put back",
        Verb::Hold => "held",
        Verb::Release => "released",
        Verb::Priority => "changed",
        Verb::Remove => "removed",
    }
}
