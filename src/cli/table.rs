//! Tasks as rows: stable columns for programs, a table for people.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table};

use super::{human, quote};
use crate::task::{State, Timestamp};
use crate::wire::api::TaskSummary;

/// The names of the columns of [`line()`].
pub(super) const HEADER: &str = "ID\tSTATE\tQUEUE\tPRIORITY\tATTEMPTS\tEXIT\tSUBMITTED\tLABEL\tCOMMAND";

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A task on one line for programs. No column holds a tab or a line break.
pub(super) fn line(task: &TaskSummary) -> String {
    let exit = task.exit_code.map_or_else(|| NOTHING.to_owned(), |code| code.to_string());
    let label = task.label.as_ref().map_or(NOTHING, |label| label.as_str());
    format!(
        "{}\t{}\t{}\t{}\t{}\t{exit}\t{}\t{label}\t{}",
        task.id,
        task.state,
        task.queue,
        task.priority,
        task.attempts,
        task.submitted_at,
        quote::command(&task.command),
    )
}

/// How a table is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Columns of the terminal.
    pub(super) width: u16,
    /// Whether it has colours.
    pub(super) colored: bool,
}

/// The tasks as a table for people; columns in which nothing would stand are left out.
pub(super) fn tasks(tasks: &[TaskSummary], now: Timestamp, look: Look) -> Table {
    let queues = tasks.iter().any(|task| task.queue.as_str() != "default");
    let labels = tasks.iter().any(|task| task.label.is_some());
    let mut names = vec!["ID", "STATE", "WHEN"];
    names.extend(queues.then_some("QUEUE"));
    names.extend(labels.then_some("LABEL"));
    names.push("COMMAND");
    let mut table = plain(&names, look);
    for task in tasks {
        let mut cells = vec![
            Cell::new(task.id).set_alignment(CellAlignment::Right),
            Cell::new(state(task)).fg(color(task.state)),
            Cell::new(when(task, now)),
        ];
        cells.extend(queues.then(|| Cell::new(&task.queue)));
        cells.extend(labels.then(|| Cell::new(task.label.as_ref().map_or("", |label| label.as_str()))));
        cells.push(Cell::new(quote::command(&task.command)));
        add(&mut table, cells);
    }
    table
}

/// A table without lines; its last column takes what is left and is cut there.
pub(super) fn plain(names: &[&str], look: Look) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(look.width);
    if look.colored {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let mut header =
        Row::from(names.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)).collect::<Vec<_>>());
    header.max_height(1);
    table.set_header(header);
    for (column, _) in table.column_iter_mut().zip(names).rev().skip(1).rev() {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Adds a row of one line.
pub(super) fn add(table: &mut Table, cells: Vec<Cell>) {
    let mut row = Row::from(cells);
    row.max_height(1);
    table.add_row(row);
}

/// The state with what belongs to it: an exit status, or which attempt runs.
fn state(task: &TaskSummary) -> String {
    match task.state {
        State::Failed => task.exit_code.map_or_else(|| task.state.to_string(), |code| format!("failed ({code})")),
        State::Running if task.cancelling => "cancelling".to_owned(),
        State::Running if task.attempts > 1 => format!("running (#{})", task.attempts),
        State::Queued
        | State::Scheduled
        | State::Held
        | State::Waiting
        | State::Running
        | State::Succeeded
        | State::TimedOut
        | State::Cancelled
        | State::Interrupted => task.state.to_string(),
    }
}

/// What a person wants to know of the time: how long it runs, when it starts, when it ended.
fn when(task: &TaskSummary, now: Timestamp) -> String {
    match task.state {
        State::Running => match task.started_at {
            Some(started) => format!("for {}", human::span(whole_seconds(now, started.0))),
            None => "starting".to_owned(),
        },
        State::Scheduled => human::distance(task.due.unwrap_or(task.submitted_at).0, now),
        State::Queued | State::Held | State::Waiting => human::distance(task.submitted_at.0, now),
        State::Succeeded | State::Failed | State::TimedOut | State::Cancelled | State::Interrupted => {
            human::distance(task.ended_at.unwrap_or(task.submitted_at).0, now)
        }
    }
}

fn whole_seconds(now: Timestamp, then: Timestamp) -> std::time::Duration {
    std::time::Duration::from_secs(now.since(then).as_secs())
}

/// The colour of a state.
pub(super) const fn color(state: State) -> Color {
    match state {
        State::Queued | State::Scheduled | State::Waiting => Color::Reset,
        State::Held | State::Cancelled => Color::DarkGrey,
        State::Running => Color::Cyan,
        State::Succeeded => Color::Green,
        State::Failed | State::TimedOut => Color::Red,
        State::Interrupted => Color::Yellow,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::task::{Bytes, Outcome, Task, TaskId};

    pub(in crate::cli) fn task(id: i64, state: State, outcome: Option<Outcome>, argv: &[&str]) -> TaskSummary {
        let task = Task {
            id: TaskId(id),
            owner: 1000,
            queue: "default".parse().unwrap(),
            priority: 0,
            slots: 1,
            label: None,
            key: None,
            schedule: None,
            state,
            submitted_at: Timestamp(1_800_000_000_000_000),
            due: None,
            ended_at: state.is_ended().then_some(Timestamp(1_800_000_003_000_000)),
            attempts: u32::from(outcome.is_some()),
            failures: 0,
            interruptions: 0,
            cancelling: false,
            reason: None,
        };
        let argv: Vec<Bytes> = argv.iter().map(|word| Bytes::from(*word)).collect();
        TaskSummary::new(task, argv, outcome, Some(Timestamp(1_800_000_001_000_000)))
    }

    const NOW: Timestamp = Timestamp(1_800_000_010_000_000);

    fn drawn(tasks: &[TaskSummary], width: u16) -> String {
        super::tasks(tasks, NOW, Look { width, colored: false }).trim_fmt()
    }

    #[test]
    fn a_pipe_gets_these_columns_in_every_version() {
        let failed = task(7, State::Failed, Some(Outcome::Exited { code: 2 }), &["sh", "-c", "a\tb\n"]);
        assert_eq!(line(&failed), "7\tfailed\tdefault\t0\t1\t2\t2027-01-15T08:00:00.000000Z\t-\tsh -c $'a\\tb\\n'");
        let mut queued = task(8, State::Queued, None, &["true"]);
        queued.label = Some("night run".parse().unwrap());
        assert_eq!(line(&queued), "8\tqueued\tdefault\t0\t0\t-\t2027-01-15T08:00:00.000000Z\tnight run\ttrue");
        assert_eq!(line(&queued).split('\t').count(), HEADER.split('\t').count());
    }

    #[test]
    fn people_get_a_table_without_empty_columns() {
        let tasks = [
            task(12, State::Running, None, &["sleep", "60"]),
            task(7, State::Failed, Some(Outcome::Exited { code: 2 }), &["make"]),
        ];
        let expected =
            "ID  STATE       WHEN    COMMAND\n12  running     for 9s  sleep 60\n 7  failed (2)  7s ago  make";
        assert_eq!(drawn(&tasks, 80), expected);
    }

    #[test]
    fn a_long_command_is_cut_at_the_width() {
        let long = "x".repeat(500);
        let text = drawn(&[task(7, State::Queued, None, &["echo", &long])], 60);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }

    #[test]
    fn a_narrow_terminal_still_gets_its_rows() {
        let text = drawn(&[task(7, State::Queued, None, &["echo", "hello"])], 10);
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn a_command_cannot_speak_to_the_terminal() {
        let evil = task(7, State::Queued, None, &["\u{1b}]0;title\u{7}"]);
        assert!(!drawn(std::slice::from_ref(&evil), 80).contains('\u{1b}'));
        assert!(!line(&evil).contains('\u{1b}'));
    }
}
