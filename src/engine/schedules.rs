//! Recurring tasks: their times, and the runs that they submit.

use std::collections::BTreeMap;
use std::time::Duration;

use super::submit::Waits;
use super::{Caller, Engine, Refusal, Reply};
use crate::executor::Executor;
use crate::scheduler::calendar;
use crate::store::{self, Store};
use crate::task::{
    Condition, Dependency, EventKind, Missed, Overlap, Placement, Rule, Schedule, Spec, Start, Submission, TaskId,
    Timestamp,
};

/// Missed runs that are made up for at most.
const RUNS_AT_ONCE: usize = 1000;

/// A run that is late by less is on time.
const TOLERANCE: Duration = Duration::from_secs(60);

/// A recurring task that is to be added.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) rule: Rule,
    pub(super) missed: Missed,
    pub(super) overlap: Overlap,
    pub(super) spec: Box<Spec>,
    pub(super) placement: Box<Placement>,
}

impl<S: Store, E: Executor> Engine<S, E> {
    pub(super) fn add_schedule(&mut self, now: Timestamp, caller: Caller, request: Request) -> Result<Reply, Refusal> {
        let Request { name, rule, missed, overlap, spec, placement } = request;
        if self.stopping.is_some() {
            return Err(Refusal::Stopping);
        }
        check_name(&name)?;
        spec.check()?;
        placement.check()?;
        self.check_slots(&placement)?;
        if self.memory.schedules.contains_key(&(caller.uid, name.clone())) {
            return Err(Refusal::ScheduleExists(name));
        }
        let rule = started(rule, now)?;
        let next = first_time(&rule, now)?;
        let placement = Placement { start: Start::Now, after: Vec::new(), key: None, ..*placement };
        let schedule = Schedule {
            name,
            owner: caller.uid,
            rule,
            missed,
            overlap,
            spec: *spec,
            placement,
            paused: false,
            next: Some(next),
            last_run: None,
        };
        self.put_schedule(schedule.clone())?;
        Ok(Reply::Schedules(vec![schedule]))
    }

    pub(super) fn pause_schedule(
        &mut self,
        now: Timestamp,
        caller: Caller,
        owner: Option<u32>,
        name: String,
        paused: bool,
    ) -> Result<Reply, Refusal> {
        let mut schedule = self.schedule(caller, owner, name)?;
        if !paused && schedule.paused && schedule.missed == Missed::Skip {
            schedule.next = calendar::next_after(&schedule.rule, now).unwrap_or_default();
        }
        schedule.paused = paused;
        self.put_schedule(schedule.clone())?;
        Ok(Reply::Schedules(vec![schedule]))
    }

    pub(super) fn remove_schedule(
        &mut self,
        caller: Caller,
        owner: Option<u32>,
        name: String,
    ) -> Result<Reply, Refusal> {
        let schedule = self.schedule(caller, owner, name)?;
        self.dirty = true;
        self.store.remove_schedule(schedule.owner, &schedule.name)?;
        self.memory.schedules.remove(&(schedule.owner, schedule.name.clone()));
        Ok(Reply::Schedules(vec![schedule]))
    }

    fn schedule(&self, caller: Caller, owner: Option<u32>, name: String) -> Result<Schedule, Refusal> {
        let owner = owner.filter(|_| caller.privileged).unwrap_or(caller.uid);
        let key = (owner, name);
        self.memory.schedules.get(&key).cloned().ok_or(Refusal::NoSchedule(key.1))
    }

    fn put_schedule(&mut self, schedule: Schedule) -> store::Result<()> {
        self.dirty = true;
        self.store.put_schedule(&schedule)?;
        self.memory.schedules.insert((schedule.owner, schedule.name.clone()), schedule);
        Ok(())
    }

    /// When the next run recurs.
    pub(super) fn next_recurrence(&self) -> Option<Timestamp> {
        let waiting = self.memory.schedules.values().filter(|schedule| !schedule.paused && self.stopping.is_none());
        waiting.filter_map(|schedule| schedule.next).min()
    }

    /// Submits the runs whose time has come.
    pub(super) fn recur(&mut self, now: Timestamp) -> store::Result<()> {
        if self.next_recurrence().is_none_or(|next| next > now) {
            return Ok(());
        }
        let is_due = |schedule: &&Schedule| !schedule.paused && schedule.next.is_some_and(|next| next <= now);
        let due: Vec<Schedule> = self.memory.schedules.values().filter(is_due).cloned().collect();
        due.into_iter().try_for_each(|schedule| self.fire(now, schedule))
    }

    fn fire(&mut self, now: Timestamp, mut schedule: Schedule) -> store::Result<()> {
        let first = schedule.next.unwrap_or(now);
        let due = calendar::due(&schedule.rule, first, now, RUNS_AT_ONCE);
        let last = calendar::last_until(&schedule.rule, now);
        let (Ok(due), Ok(last)) = (due, last) else {
            // The rule was read when it was added: its time zone has gone from the host since.
            tracing::error!(schedule = schedule.name, "the rule cannot be read any more; the schedule is paused");
            schedule.paused = true;
            return self.put_schedule(schedule);
        };
        let runs = match schedule.missed {
            Missed::All => due.times.len(),
            Missed::Once => 1,
            Missed::Skip => usize::from(last.is_some_and(|last| now.since(last) < TOLERANCE)),
        };
        schedule.next = due.next;
        for _ in 0..runs {
            self.run(now, &mut schedule)?;
        }
        self.put_schedule(schedule)
    }

    /// Submits one run, or lets it pass.
    fn run(&mut self, now: Timestamp, schedule: &mut Schedule) -> store::Result<()> {
        let before = match schedule.last_run {
            Some(id) => self.store.task(id)?.filter(|task| !task.state.is_ended()),
            None => None,
        };
        let mut waits = Waits::default();
        match (schedule.overlap, before) {
            (Overlap::Skip, Some(task)) => {
                return self.tell(now, &task, EventKind::Recurred { schedule: schedule.name.clone(), run: None });
            }
            (Overlap::Queue, Some(task)) => {
                waits.open.push(Dependency { on: task.id, condition: Condition::End });
            }
            (Overlap::Allow, _) | (Overlap::Skip | Overlap::Queue, None) => {}
        }
        let room =
            self.check_intake().and_then(|()| self.check_room(&BTreeMap::from([(&schedule.placement.queue, 1)])));
        match room {
            Ok(()) => {}
            Err(Refusal::Store(error)) => return Err(error),
            Err(refusal) => return self.let_pass(now, schedule, &refusal),
        }
        let submission = Submission { spec: schedule.spec.clone(), placement: schedule.placement.clone(), stdin: None };
        let id = self.enter(now, schedule.owner, &submission.into(), &waits, Some(&schedule.name))?;
        schedule.last_run = Some(id);
        self.tell_run(now, schedule, Some(id), id)
    }

    /// A run that is refused is told, beside the run before it.
    fn let_pass(&mut self, now: Timestamp, schedule: &Schedule, refusal: &Refusal) -> store::Result<()> {
        tracing::warn!(schedule = schedule.name, %refusal, "a recurring task was not submitted");
        schedule.last_run.map_or(Ok(()), |last| self.tell_run(now, schedule, None, last))
    }

    fn tell_run(
        &mut self,
        now: Timestamp,
        schedule: &Schedule,
        run: Option<TaskId>,
        about: TaskId,
    ) -> store::Result<()> {
        let kind = EventKind::Recurred { schedule: schedule.name.clone(), run };
        let event = self.store.append_event(now, Some((about, schedule.owner)), &schedule.placement.queue, kind)?;
        self.told(event);
        Ok(())
    }

    /// After the clock was set back: times that were counted from a future that did not come.
    pub(super) fn recompute_schedules(&mut self, now: Timestamp) -> store::Result<()> {
        let all: Vec<Schedule> = self.memory.schedules.values().cloned().collect();
        for mut schedule in all {
            if let Rule::Every { since, .. } = &mut schedule.rule
                && *since > now
            {
                *since = now;
            }
            let next = calendar::next_after(&schedule.rule, now).unwrap_or(schedule.next);
            if next != schedule.next {
                schedule.next = next;
                self.put_schedule(schedule)?;
            }
        }
        Ok(())
    }
}

/// The rule with the start of its interval.
fn started(rule: Rule, now: Timestamp) -> Result<Rule, Refusal> {
    match rule {
        Rule::Every { interval_ms, .. } if interval_ms < calendar::SHORTEST_INTERVAL_MS => Err(Refusal::Interval),
        Rule::Every { interval_ms, .. } => Ok(Rule::Every { interval_ms, since: now }),
        Rule::Calendar { .. } => Ok(rule),
    }
}

fn first_time(rule: &Rule, now: Timestamp) -> Result<Timestamp, Refusal> {
    let next = calendar::next_after(rule, now).and_then(|next| next.ok_or(calendar::Error::Never));
    next.map_err(|source| Refusal::Calendar {
        expression: match rule {
            Rule::Calendar { expression, .. } => expression.clone(),
            Rule::Every { interval_ms, .. } => format!("every {interval_ms} ms"),
        },
        source: Box::new(source),
    })
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        Err(Refusal::ScheduleName(name.chars().take(80).collect()))
    } else {
        Ok(())
    }
}
