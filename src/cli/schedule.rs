//! `schedule`: recurring tasks.

use comfy_table::{Cell, Color};

use super::args::{Schedule, ScheduleAdd, ScheduleVerb};
use super::exit::Code;
use super::failure::Failure;
use super::session::Session;
use super::{human, quote, request, table};
use crate::task::Timestamp;
use crate::wire::api::{ScheduleDocument, ScheduleRequest, TaskRequest};

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Schedule) -> anyhow::Result<Code> {
    match &options.verb {
        ScheduleVerb::Add(add) => {
            let request = requested(add).map_err(Failure::Directory)?;
            request::note_missing(session, &add.surroundings);
            let schedule = session.client()?.add_schedule(&request)?;
            tell(session, &schedule, "added")?;
        }
        ScheduleVerb::List => {
            let schedules = session.client()?.schedules()?.schedules;
            list(session, &schedules)?;
        }
        ScheduleVerb::Pause(named) => {
            let schedule = session.client()?.pause_schedule(&named.name, named.owner)?;
            tell(session, &schedule, "paused")?;
        }
        ScheduleVerb::Resume(named) => {
            let schedule = session.client()?.resume_schedule(&named.name, named.owner)?;
            tell(session, &schedule, "resumed")?;
        }
        ScheduleVerb::Rm(named) => {
            let left = session.client()?.remove_schedule(&named.name, named.owner)?;
            if session.output.is_json() {
                session.output.document(&left)?;
            } else {
                session.output.line(format_args!("{} removed", named.name))?;
            }
        }
    }
    Ok(Code::Success)
}

fn requested(add: &ScheduleAdd) -> std::io::Result<ScheduleRequest> {
    let mut task = TaskRequest::default();
    request::set_command(&mut task, &add.command, add.shell.as_ref());
    request::set_room(&mut task, &add.room);
    request::set_policy(&mut task, &add.policy);
    request::set_surroundings(&mut task, &add.surroundings)?;
    Ok(ScheduleRequest {
        name: add.name.clone(),
        every_ms: add.every.map(request::millis),
        calendar: add.cron.clone(),
        zone: add.zone.clone(),
        missed: add.missed,
        overlap: add.overlap,
        task,
    })
}

fn tell(session: &mut Session<'_>, schedule: &ScheduleDocument, what: &str) -> anyhow::Result<()> {
    if session.output.is_json() {
        return Ok(session.output.document(schedule)?);
    }
    let clock = Session::clock();
    let next = match schedule.next.filter(|_| !schedule.paused) {
        Some(next) => format!("next run {}", human::moment(next.0, clock.now, &clock.zone)),
        None => "no further run".to_owned(),
    };
    Ok(session.output.line(format_args!("{} {what}; {next}", schedule.name))?)
}

fn list(session: &mut Session<'_>, schedules: &[ScheduleDocument]) -> anyhow::Result<()> {
    if session.output.is_json() {
        session.output.document(&schedules)?;
    } else if session.output.is_terminal() {
        let mut drawn = table::plain(&["NAME", "RULE", "NEXT", "LAST RUN", "COMMAND"], session.look());
        for schedule in schedules {
            table::add(&mut drawn, row(schedule, Session::now()));
        }
        drawn.lines().try_for_each(|line| session.output.line(line.trim_end()))?;
    } else {
        schedules.iter().try_for_each(|schedule| session.output.line(line(schedule)))?;
    }
    Ok(())
}

fn line(schedule: &ScheduleDocument) -> String {
    let nothing = || "-".to_owned();
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}",
        schedule.name,
        if schedule.paused { "paused" } else { "active" },
        rule(schedule),
        schedule.next.map_or_else(nothing, |next| next.to_string()),
        schedule.last_run.map_or_else(nothing, |run| run.to_string()),
        schedule.queue,
        quote::command(&schedule.command),
    )
}

fn row(schedule: &ScheduleDocument, now: Timestamp) -> Vec<Cell> {
    let next = match (schedule.paused, schedule.next) {
        (true, _) => Cell::new("paused").fg(Color::Yellow),
        (false, Some(next)) => Cell::new(human::distance(next.0, now)),
        (false, None) => Cell::new("never"),
    };
    vec![
        Cell::new(&schedule.name),
        Cell::new(rule(schedule)),
        next,
        Cell::new(schedule.last_run.map_or_else(String::new, |run| run.to_string())),
        Cell::new(quote::command(&schedule.command)),
    ]
}

fn rule(schedule: &ScheduleDocument) -> String {
    match (&schedule.calendar, schedule.every_ms) {
        (Some(calendar), _) => match &schedule.zone {
            Some(zone) => format!("{calendar} {zone}"),
            None => calendar.clone(),
        },
        (None, Some(interval)) => format!("every {}", human::millis(interval)),
        (None, None) => "-".to_owned(),
    }
}
