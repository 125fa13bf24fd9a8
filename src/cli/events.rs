//! `events`: what happened, and what happens.

use std::fmt::Display;

use super::args::Events;
use super::describe;
use super::exit::Code;
use super::session::Session;
use crate::client::Patience;
use crate::wire::api::EventDocument;

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Events) -> anyhow::Result<Code> {
    let mut client = if options.follow { session.patient_client()? } else { session.client()? };
    if options.follow {
        for event in client.events(options.after, options.task, Patience::Endless)? {
            tell(session, &event?)?;
            session.output.flush()?;
        }
        return Ok(Code::Success);
    }
    let mut after = options.after.unwrap_or(0);
    loop {
        let page = client.events_page(after, options.task)?;
        page.events.iter().try_for_each(|event| tell(session, event))?;
        if page.next <= after {
            return Ok(Code::Success);
        }
        after = page.next;
    }
}

fn tell(session: &mut Session<'_>, event: &EventDocument) -> std::io::Result<()> {
    if session.output.is_json() { session.output.document(event) } else { session.output.line(line(event)) }
}

/// An event on one line; what is written by others holds no control characters, or is left out of it.
fn line(event: &EventDocument) -> String {
    let task = event.task.map_or_else(|| "-".to_owned(), |id| id.to_string());
    format!("{}\t{}\t{task}\t{}\t{}\t{}", event.seq, event.at, event.queue, event.event, detail(event))
}

/// What else is known, as `name=value` and words.
fn detail(event: &EventDocument) -> String {
    let mut said = Vec::new();
    let mut add = |name: &str, value: Option<&dyn Display>| {
        said.extend(value.map(|value| format!("{name}={value}")));
    };
    add("state", event.state.as_ref().map(|it| it as &dyn Display));
    add("attempt", event.attempt.as_ref().map(|it| it as &dyn Display));
    add("exit", event.exit_code.as_ref().map(|it| it as &dyn Display));
    add("due", event.due.as_ref().map(|it| it as &dyn Display));
    add("until", event.until.as_ref().map(|it| it as &dyn Display));
    add("signal", event.signal.as_ref().map(|it| it as &dyn Display));
    add("schedule", event.schedule.as_ref().map(|it| it as &dyn Display));
    add("run", event.run.as_ref().map(|it| it as &dyn Display));
    let how = event.outcome.as_ref().map(describe::outcome);
    said.extend(
        how.into_iter().chain(event.reason.clone()).map(|text| format!("({})", text.replace(char::is_control, " "))),
    );
    if said.is_empty() { "-".to_owned() } else { said.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Event, EventKind, Outcome, State, TaskId, Timestamp};

    #[test]
    fn an_event_is_one_line_of_six_columns() {
        let kind = EventKind::Ended {
            attempt: 1,
            outcome: Some(Outcome::NotStarted { reason: "no\tsuch\nfile".into(), code: 127 }),
            state: State::Failed,
            due: None,
            reason: None,
        };
        let event =
            Event { seq: 5, at: Timestamp(0), task: Some(TaskId(7)), owner: Some(0), queue: Default::default(), kind };
        let expected = "5\t1970-01-01T00:00:00.000000Z\t7\tdefault\tended\t\
            state=failed attempt=1 exit=127 (not started: no such file)";
        assert_eq!(line(&event.into()), expected);
    }
}
