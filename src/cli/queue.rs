//! `queue`: lanes, their limits and their modes.

use anyhow::Context as _;
use comfy_table::{Cell, CellAlignment, Color};

use super::args::{BreakerOptions, Queue, QueueSet, QueueVerb};
use super::describe::Lines;
use super::exit::Code;
use super::failure::Failure;
use super::parse::Limit;
use super::session::Session;
use super::{human, request, table};
use crate::client::Client;
use crate::task::{Mode, Origin, QueueName, State, Timestamp};
use crate::wire::api::{BreakerDocument, BreakerRequest, QueueDocument, QueueRequest};

/// How long a breaker stays open unless told otherwise, in milliseconds.
const USUAL_COOLDOWN_MS: u64 = 60_000;

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Queue) -> anyhow::Result<Code> {
    let mut client = session.client()?;
    match &options.verb {
        QueueVerb::List => list(session, &client.queues()?.queues)?,
        QueueVerb::Show(named) => {
            let queue = find(&mut client, &named.name)?.ok_or_else(|| Failure::NoQueue(named.name.clone()))?;
            show(session, &queue)?;
        }
        QueueVerb::Set(set) => {
            let before = find(&mut client, &set.name)?.map(|queue| queue.limits).unwrap_or_default();
            let limits = changed(before, set)?;
            show(session, &client.set_queue(&set.name, &limits)?)?;
        }
        QueueVerb::Pause(named) => show(session, &client.pause_queue(&named.name)?)?,
        QueueVerb::Resume(named) => show(session, &client.resume_queue(&named.name)?)?,
        QueueVerb::Drain(named) => show(session, &client.drain_queue(&named.name)?)?,
        QueueVerb::Rm(named) => {
            let left = client.remove_queue(&named.name)?;
            match left.queues.iter().find(|queue| queue.name == named.name) {
                Some(queue) => show(session, queue)?,
                None if session.output.is_json() => session.output.document(&left)?,
                None => session.output.line(format_args!("queue {} removed", named.name))?,
            }
        }
    }
    Ok(Code::Success)
}

fn find(client: &mut Client, name: &QueueName) -> anyhow::Result<Option<QueueDocument>> {
    let queues = client.queues().context("look at the queues")?.queues;
    Ok(queues.into_iter().find(|queue| queue.name == *name))
}

/// The limits with what was given changed, and the rest as it was.
fn changed(before: QueueRequest, set: &QueueSet) -> Result<QueueRequest, Failure> {
    Ok(QueueRequest {
        slots: set.slots.map_or(before.slots, |Limit(slots)| slots),
        max_length: set.max_length.map_or(before.max_length, |Limit(length)| length),
        breaker: changed_breaker(before.breaker, &set.breaker)?,
    })
}

fn changed_breaker(
    before: Option<BreakerRequest>,
    options: &BreakerOptions,
) -> Result<Option<BreakerRequest>, Failure> {
    let cooldown = options.breaker_cooldown.map(request::millis);
    match (options.breaker_failures, before) {
        (Some(Limit(None)), _) => Ok(None),
        (Some(Limit(Some(failures))), before) => {
            let usual = before.map_or(USUAL_COOLDOWN_MS, |breaker| breaker.cooldown_ms);
            Ok(Some(BreakerRequest { failures, cooldown_ms: cooldown.unwrap_or(usual) }))
        }
        (None, Some(breaker)) => {
            Ok(Some(BreakerRequest { cooldown_ms: cooldown.unwrap_or(breaker.cooldown_ms), ..breaker }))
        }
        (None, None) if cooldown.is_some() => {
            Err(Failure::Usage("--breaker-cooldown needs --breaker-failures: the queue has no breaker yet"))
        }
        (None, None) => Ok(None),
    }
}

fn list(session: &mut Session<'_>, queues: &[QueueDocument]) -> anyhow::Result<()> {
    if session.output.is_json() {
        session.output.document(&queues)?;
    } else if session.output.is_terminal() {
        let names = ["NAME", "MODE", "RUNNING", "WAITING", "ENDED", "SLOTS", "MAX-LENGTH"];
        let mut drawn = table::plain(&names, session.look());
        for queue in queues {
            table::add(&mut drawn, row(queue, Session::now()));
        }
        drawn.lines().try_for_each(|line| session.output.line(line.trim_end()))?;
    } else {
        queues.iter().try_for_each(|queue| session.output.line(line(queue)))?;
    }
    Ok(())
}

fn line(queue: &QueueDocument) -> String {
    let tally = Tally::of(queue);
    let breaker = match queue.breaker {
        BreakerDocument::Closed { .. } => "closed",
        BreakerDocument::Open { .. } => "open",
        BreakerDocument::Probing { .. } => "probing",
    };
    format!(
        "{}\t{}\t{breaker}\t{}\t{}\t{}\t{}\t{}",
        queue.name,
        mode(queue.mode),
        tally.running,
        tally.waiting,
        tally.ended,
        or_none(queue.limits.slots, "-"),
        or_none(queue.limits.max_length, "-"),
    )
}

fn row(queue: &QueueDocument, now: Timestamp) -> Vec<Cell> {
    let tally = Tally::of(queue);
    let works = queue.mode == Mode::Open && matches!(queue.breaker, BreakerDocument::Closed { .. });
    let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    vec![
        Cell::new(&queue.name),
        Cell::new(state(queue, now)).fg(if works { Color::Reset } else { Color::Yellow }),
        number(tally.running.to_string()),
        number(tally.waiting.to_string()),
        number(tally.ended.to_string()),
        number(or_none(queue.limits.slots, "")),
        number(or_none(queue.limits.max_length, "")),
    ]
}

fn show(session: &mut Session<'_>, queue: &QueueDocument) -> anyhow::Result<()> {
    if session.output.is_json() {
        return Ok(session.output.document(queue)?);
    }
    let tally = Tally::of(queue);
    let mut lines = Lines::default();
    lines.add("Queue", queue.name.as_str());
    lines.add("Mode", state(queue, Session::now()));
    lines.add("Tasks", format!("{} running, {} waiting, {} ended", tally.running, tally.waiting, tally.ended));
    lines.add("Slots", or_none(queue.limits.slots, "as many as the host has"));
    lines.add("Length", or_none(queue.limits.max_length, "without limit"));
    let breaker = queue.limits.breaker.map(|breaker| {
        format!("opens after {} failures in a row, for {}", breaker.failures, human::millis(breaker.cooldown_ms))
    });
    lines.add("Breaker", breaker.as_deref().unwrap_or("none"));
    let origin = match queue.origin {
        Origin::Configured => "the configuration",
        Origin::Adjusted => "set by hand",
    };
    lines.add("Limits from", origin);
    Ok(session.output.line(lines.finish())?)
}

/// The mode, and what the breaker makes of it.
fn state(queue: &QueueDocument, now: Timestamp) -> String {
    let mode = mode(queue.mode);
    match &queue.breaker {
        BreakerDocument::Closed { .. } => mode.to_owned(),
        BreakerDocument::Open { until } => format!("{mode}, breaker open, probes {}", human::distance(until.0, now)),
        BreakerDocument::Probing { .. } => format!("{mode}, breaker probing"),
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Open => "open",
        Mode::Paused => "paused",
        Mode::Draining => "draining",
    }
}

fn or_none(number: Option<impl ToString>, none: &str) -> String {
    number.map_or_else(|| none.to_owned(), |number| number.to_string())
}

/// A queue's tasks in three numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    running: u64,
    waiting: u64,
    ended: u64,
}

impl Tally {
    fn of(queue: &QueueDocument) -> Self {
        let mut tally = Self::default();
        for (state, count) in &queue.counts {
            let place = match state {
                State::Running => &mut tally.running,
                State::Queued | State::Scheduled | State::Held | State::Waiting => &mut tally.waiting,
                State::Succeeded | State::Failed | State::TimedOut | State::Cancelled | State::Interrupted => {
                    &mut tally.ended
                }
            };
            *place += count;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn set(slots: Option<Limit<u32>>, failures: Option<Limit<u32>>, cooldown: Option<u64>) -> QueueSet {
        let breaker =
            BreakerOptions { breaker_failures: failures, breaker_cooldown: cooldown.map(Duration::from_millis) };
        QueueSet { name: QueueName::default(), slots, max_length: None, breaker }
    }

    #[test]
    fn what_is_not_given_stays() {
        let breaker = Some(BreakerRequest { failures: 5, cooldown_ms: 100 });
        let before = QueueRequest { slots: Some(2), max_length: Some(9), breaker };
        assert_eq!(changed(before.clone(), &set(None, None, None)).unwrap(), before);
        let after = changed(before, &set(Some(Limit(None)), Some(Limit(Some(3))), None)).unwrap();
        let breaker = Some(BreakerRequest { failures: 3, cooldown_ms: 100 });
        assert_eq!(after, QueueRequest { slots: None, max_length: Some(9), breaker });
    }

    #[test]
    fn a_cooldown_needs_a_breaker() {
        assert!(changed(QueueRequest::default(), &set(None, None, Some(1))).is_err());
        let after = changed(QueueRequest::default(), &set(None, Some(Limit(Some(3))), None)).unwrap();
        assert_eq!(after.breaker, Some(BreakerRequest { failures: 3, cooldown_ms: USUAL_COOLDOWN_MS }));
    }

    #[test]
    fn a_pipe_gets_these_columns_in_every_version() {
        let queue = QueueDocument {
            name: "mail".parse().unwrap(),
            mode: Mode::Paused,
            origin: Origin::Adjusted,
            limits: QueueRequest { slots: Some(2), ..QueueRequest::default() },
            breaker: BreakerDocument::Closed { failures: 0 },
            counts: BTreeMap::from([(State::Running, 1), (State::Held, 2), (State::Queued, 3), (State::Failed, 4)]),
        };
        assert_eq!(line(&queue), "mail\tpaused\tclosed\t1\t5\t4\t2\t-");
    }
}
