//! `wait`: until tasks have ended, and with what status.

use std::time::Duration;

use super::args::Wait;
use super::exit::{self, Code};
use super::failure::Failure;
use super::progress::Progress;
use super::session::Session;
use super::{ending, human, request};
use crate::client::{Client, ListRequest, Patience};
use crate::task::{Label, QueueName, State, TaskId};
use crate::wire::api::{Order, TaskFilter, TaskSummary, WaitLine, WaitMode, WaitRequest};

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Wait) -> anyhow::Result<Code> {
    let mut client = session.patient_client()?;
    let mut request =
        WaitRequest { mode: if options.any { WaitMode::Any } else { WaitMode::All }, ..WaitRequest::default() };
    match options.labels.as_slice() {
        _ if !options.ids.is_empty() => request.ids = Some(options.ids.clone()),
        [_, _, ..] => request.ids = Some(open_tasks(&mut client, &options.labels, options.queue.as_ref())?),
        labels => request.filter = Some(filter(labels.first(), options.queue.as_ref())),
    }
    let mut tally = watch(session, &mut client, request, options.deadline)?;
    if options.ids.is_empty() {
        // Whatever a filter finds counts as many, so that the exit status means the same each time.
        tally.single = None;
        if let (false, Some(earlier)) = (options.any, failed_earlier(&mut client, options, &tally)?) {
            session.output.note(format_args!("task {} {} earlier", earlier.id, earlier.state));
            return Ok(Code::Failure);
        }
    }
    tally.verdict(options.deadline)
}

/// A task with one of the labels that had ended otherwise than well before anybody waited for it.
///
/// Otherwise a script that submits under a label and then waits would depend on how fast the tasks are.
fn failed_earlier(client: &mut Client, options: &Wait, tally: &Tally) -> anyhow::Result<Option<TaskSummary>> {
    if tally.left.is_some() || tally.failed > 0 {
        return Ok(None);
    }
    for label in &options.labels {
        let states = State::ALL.into_iter().filter(|state| state.is_ended() && *state != State::Succeeded).collect();
        let filter = TaskFilter { states, ..filter(Some(label), options.queue.as_ref()) };
        let mut request = ListRequest { filter, limit: Some(1), ..ListRequest::default() };
        // A page may be empty before the end.
        loop {
            let mut page = client.list(&request)?;
            match (page.tasks.pop(), page.next) {
                (Some(task), _) => return Ok(Some(task)),
                (None, Some(next)) => request.after = Some(next),
                (None, None) => break,
            }
        }
    }
    Ok(None)
}

fn filter(label: Option<&Label>, queue: Option<&QueueName>) -> TaskFilter {
    TaskFilter { label: label.cloned(), queue: queue.cloned(), ..TaskFilter::default() }
}

/// The tasks with any of these labels that have not ended.
fn open_tasks(client: &mut Client, labels: &[Label], queue: Option<&QueueName>) -> anyhow::Result<Vec<TaskId>> {
    let mut ids = Vec::new();
    for label in labels {
        let states = State::ALL.into_iter().filter(|state| !state.is_ended()).collect();
        let filter = TaskFilter { states, ..filter(Some(label), queue) };
        let mut request = ListRequest { filter, order: Order::OldestFirst, ..ListRequest::default() };
        loop {
            let page = client.list(&request)?;
            ids.extend(page.tasks.iter().map(|task| task.id));
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
    }
    Ok(ids)
}

/// Waits as the request says; the exit status is that of `wait`.
pub(super) fn until_ended(
    session: &mut Session<'_>,
    client: &mut Client,
    request: WaitRequest,
    deadline: Option<Duration>,
) -> anyhow::Result<Code> {
    watch(session, client, request, deadline)?.verdict(deadline)
}

/// Waits as the request says, across restarts of the daemon, and tells what happens meanwhile.
fn watch(
    session: &mut Session<'_>,
    client: &mut Client,
    mut request: WaitRequest,
    deadline: Option<Duration>,
) -> anyhow::Result<Tally> {
    request.timeout_ms = deadline.map(request::millis);
    let mut tally = Tally::new(&request);
    let drawn = tally.is_many() && session.output.has_progress();
    let progress = Progress::new(drawn.then(|| session.output.width()));
    for line in client.wait(request, Patience::Endless)? {
        let line = line?;
        if session.output.is_json() {
            session.output.document(&line)?;
            session.output.flush()?;
        }
        if let Some(remark) = tally.count(&line) {
            progress.beside(|| session.output.note(&remark));
        }
        progress.show(tally.all, tally.ended, tally.failed);
    }
    drop(progress);
    if let (false, Some(id), Some((_, code))) = (tally.any, tally.single, tally.first) {
        ending::explain(session, client.path(), id, code);
    }
    if let (true, Some(first), false) = (tally.any, tally.first, session.output.is_json()) {
        session.output.line(first.0)?;
    }
    Ok(tally)
}

/// What has become of the tasks so far.
#[derive(Debug, Default)]
struct Tally {
    any: bool,
    /// The only task, where there is one.
    single: Option<TaskId>,
    all: usize,
    ended: usize,
    failed: usize,
    first: Option<(TaskId, i32)>,
    removed: Option<TaskId>,
    left: Option<usize>,
}

impl Tally {
    fn new(request: &WaitRequest) -> Self {
        let ids = request.ids.as_deref();
        let single = ids.and_then(|ids| if let [only] = ids { Some(*only) } else { None });
        Self { any: request.mode == WaitMode::Any, single, all: ids.map_or(0, <[_]>::len), ..Self::default() }
    }

    const fn is_many(&self) -> bool {
        self.single.is_none()
    }

    /// Takes a line in; what is worth saying of it, where several tasks are waited for.
    fn count(&mut self, line: &WaitLine) -> Option<String> {
        match line {
            WaitLine::Waiting { count, .. } => self.all = *count,
            WaitLine::Ended { id, state, exit_code } => {
                self.ended += 1;
                self.first.get_or_insert((*id, *exit_code));
                if *exit_code != 0 {
                    self.failed += 1;
                    return (self.is_many() && !self.any)
                        .then(|| format!("task {id} {state} (exit status {exit_code})"));
                }
            }
            WaitLine::Removed { id } => {
                self.ended += 1;
                self.failed += 1;
                self.removed = Some(*id);
                return self.is_many().then(|| format!("task {id} was removed before its end could be told"));
            }
            WaitLine::Timeout { open } | WaitLine::Stopping { open } => self.left = Some(*open),
            WaitLine::Done => {}
        }
        None
    }

    fn verdict(&self, deadline: Option<Duration>) -> anyhow::Result<Code> {
        if let Some(open) = self.left {
            let after = human::span(deadline.unwrap_or_default());
            return Err(Failure::Deadline { after, open }.into());
        }
        match (self.first, self.removed) {
            (None, Some(removed)) if self.any || self.single.is_some() => Err(Failure::Removed(removed).into()),
            (Some((_, code)), _) if self.any || self.single.is_some() => Ok(exit::of_task(code)),
            (Some(_) | None, _) if self.failed > 0 => Ok(Code::Failure),
            (Some(_) | None, _) => Ok(Code::Success),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ids: Option<&[i64]>, mode: WaitMode, lines: &[WaitLine]) -> Tally {
        let ids = ids.map(|ids| ids.iter().copied().map(TaskId).collect());
        let mut tally = Tally::new(&WaitRequest { ids, mode, ..WaitRequest::default() });
        for line in lines {
            tally.count(line);
        }
        tally
    }

    fn ended(id: i64, exit_code: i32) -> WaitLine {
        let state = if exit_code == 0 { State::Succeeded } else { State::Failed };
        WaitLine::Ended { id: TaskId(id), state, exit_code }
    }

    fn code(tally: &Tally) -> String {
        tally
            .verdict(Some(Duration::from_millis(100)))
            .map_or_else(|error| error.to_string(), |code| code.number().to_string())
    }

    fn number(number: u8) -> String {
        number.to_string()
    }

    #[test]
    fn one_task_gives_its_own_status() {
        for status in [0, 2, 124, 143, 75, 137] {
            let tally = tally(Some(&[7]), WaitMode::All, &[ended(7, status), WaitLine::Done]);
            assert_eq!(code(&tally), number(u8::try_from(status).unwrap()));
        }
    }

    #[test]
    fn many_give_success_or_failure() {
        let good = tally(Some(&[7, 8]), WaitMode::All, &[ended(7, 0), ended(8, 0), WaitLine::Done]);
        assert_eq!(code(&good), number(0));
        let bad = tally(Some(&[7, 8]), WaitMode::All, &[ended(7, 0), ended(8, 3), WaitLine::Done]);
        assert_eq!(code(&bad), number(1));
        assert_eq!(code(&tally(None, WaitMode::All, &[ended(7, 3), WaitLine::Done])), number(1));
    }

    #[test]
    fn nothing_to_wait_for_is_a_success() {
        assert_eq!(code(&tally(None, WaitMode::All, &[WaitLine::Done])), number(0));
    }

    #[test]
    fn the_first_of_any_decides() {
        let tally = tally(Some(&[7, 8]), WaitMode::Any, &[ended(8, 9), WaitLine::Done]);
        assert_eq!((code(&tally), tally.first), (number(9), Some((TaskId(8), 9))));
    }

    #[test]
    fn a_deadline_and_a_removal_are_told() {
        let late = tally(Some(&[7, 8]), WaitMode::All, &[ended(7, 0), WaitLine::Timeout { open: 1 }]);
        assert_eq!(code(&late), "gave up after 100ms: 1 of the tasks has not ended");
        let gone = tally(Some(&[7]), WaitMode::All, &[WaitLine::Removed { id: TaskId(7) }, WaitLine::Done]);
        assert_eq!(code(&gone), "task 7 was removed before its end could be told");
    }
}
