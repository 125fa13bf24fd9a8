//! `list`: tasks, page by page.

use super::args::List;
use super::exit::Code;
use super::session::Session;
use super::table;
use crate::client::{Client, ListRequest};
use crate::task::{State, Timestamp};
use crate::wire::api::{Order, TaskFilter, TaskSummary};

/// Tasks that a terminal shows unless told otherwise.
const USUAL_LIMIT: usize = 50;
/// Tasks of one page.
const PAGE: usize = 1000;

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &List) -> anyhow::Result<Code> {
    let mut client = session.client()?;
    let limit = match options.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if session.output.is_terminal() => USUAL_LIMIT,
        None => usize::MAX,
    };
    let mut walk = Walk::new(options, limit, Session::now());
    if session.output.is_json() {
        as_array(session, &mut client, &mut walk)?;
    } else if session.output.is_terminal() {
        as_table(session, &mut client, &mut walk)?;
    } else {
        as_lines(session, &mut client, &mut walk, options.header)?;
    }
    Ok(Code::Success)
}

fn as_lines(session: &mut Session<'_>, client: &mut Client, walk: &mut Walk, header: bool) -> anyhow::Result<()> {
    if header {
        session.output.line(table::HEADER)?;
    }
    while let Some(tasks) = walk.page(client)? {
        tasks.iter().try_for_each(|task| session.output.line(table::line(task)))?;
    }
    Ok(())
}

fn as_array(session: &mut Session<'_>, client: &mut Client, walk: &mut Walk) -> anyhow::Result<()> {
    let mut separator: &[u8] = b"[";
    while let Some(tasks) = walk.page(client)? {
        for task in &tasks {
            session.output.bytes(separator)?;
            session.output.bytes(&serde_json::to_vec(task)?)?;
            separator = b",\n";
        }
    }
    session.output.bytes(if separator == b"[" { b"[]\n" } else { b"]\n" })?;
    Ok(())
}

fn as_table(session: &mut Session<'_>, client: &mut Client, walk: &mut Walk) -> anyhow::Result<()> {
    let mut tasks = Vec::new();
    while let Some(page) = walk.page(client)? {
        tasks.extend(page);
    }
    if tasks.is_empty() {
        session.output.note("no tasks match");
        return Ok(());
    }
    let table = table::tasks(&tasks, Session::now(), session.look());
    table.lines().try_for_each(|line| session.output.line(line.trim_end()))?;
    if walk.cut {
        session.output.flush()?;
        session.output.note(format_args!("{} tasks shown; for all, add --limit 0", tasks.len()));
    }
    Ok(())
}

/// The way through the pages.
struct Walk {
    request: ListRequest,
    /// Only tasks submitted after this.
    since: Option<Timestamp>,
    left: usize,
    ended: bool,
    /// Whether the limit ended it, not the list.
    cut: bool,
}

impl Walk {
    fn new(options: &List, limit: usize, now: Timestamp) -> Self {
        let narrow = &options.narrow;
        let states = if options.open {
            State::ALL.into_iter().filter(|state| !state.is_ended()).collect()
        } else {
            narrow.states.clone()
        };
        let filter = TaskFilter {
            states,
            queue: narrow.queue.clone(),
            label: narrow.label.clone(),
            schedule: options.schedule.clone(),
            owner: None,
        };
        let order = if options.oldest_first { Order::OldestFirst } else { Order::NewestFirst };
        let since = options.since.map(|span| now.before(span));
        let request = ListRequest { filter, order, ..ListRequest::default() };
        Self { request, since, left: limit, ended: false, cut: false }
    }

    /// The next page; `None` at the end.
    fn page(&mut self, client: &mut Client) -> anyhow::Result<Option<Vec<TaskSummary>>> {
        if self.ended {
            return Ok(None);
        }
        self.request.limit = Some(self.left.min(PAGE));
        let page = client.list(&self.request)?;
        self.request.after = page.next;
        Ok(Some(self.take(page.tasks)))
    }

    /// What of a page is wanted; also notes whether that was the last one.
    fn take(&mut self, mut tasks: Vec<TaskSummary>) -> Vec<TaskSummary> {
        let found = tasks.len();
        if let Some(since) = self.since {
            tasks.retain(|task| task.submitted_at.0 >= since);
        }
        // IDs count up with time, so from the newest down the first task that is too old ends it all.
        let passed = tasks.len() < found && self.request.order == Order::NewestFirst;
        tasks.truncate(self.left);
        self.left -= tasks.len();
        let over = passed || self.request.after.is_none();
        self.ended = over || self.left == 0;
        self.cut = self.left == 0 && !over;
        tasks
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Arguments, Verb};
    use super::super::table::tests::task;
    use super::*;
    use crate::task::TaskId;

    fn walk(line: &[&str], limit: usize) -> Walk {
        let arguments = Arguments::try_parse_from([&["taskdaemon", "list"], line].concat()).unwrap();
        let Verb::List(options) = arguments.verb else { panic!() };
        Walk::new(&options, limit, Timestamp(1_800_000_060_000_000))
    }

    fn page(ids: &[i64]) -> Vec<TaskSummary> {
        ids.iter().map(|id| task(*id, State::Queued, None, &["true"])).collect()
    }

    #[test]
    fn a_limit_ends_the_walk_and_says_so() {
        let mut walk = walk(&[], 3);
        walk.request.after = Some(TaskId(8));
        assert_eq!(walk.take(page(&[9, 8])).len(), 2);
        assert!(!walk.ended);
        assert_eq!(walk.take(page(&[7, 6])).len(), 1);
        assert!(walk.ended && walk.cut);
    }

    #[test]
    fn the_end_of_the_list_is_no_cut() {
        let mut walk = walk(&[], 2);
        walk.request.after = None;
        assert_eq!(walk.take(page(&[2, 1])).len(), 2);
        assert!(walk.ended && !walk.cut);
    }

    #[test]
    fn the_first_task_that_is_too_old_ends_it() {
        let mut walk = walk(&["--since", "30s"], usize::MAX);
        walk.request.after = Some(TaskId(1));
        assert!(walk.take(page(&[2, 1])).is_empty());
        assert!(walk.ended);
    }

    #[test]
    fn open_is_every_state_that_is_not_final() {
        assert_eq!(walk(&["--open"], 1).request.filter.states.len(), 5);
    }
}
