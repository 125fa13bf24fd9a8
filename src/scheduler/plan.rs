//! Which queued tasks start now.
//!
//! The rules, in order:
//! 1. The host's slots and each queue's slots are never exceeded. A task that asks for more than its queue or
//!    the host can ever give weighs all that they can give, so that it runs alone instead of never.
//! 2. Within a queue the head goes first (highest priority, then lowest ID). A lighter task behind a head that
//!    does not fit waits with it, else a stream of light tasks would starve the heavy one.
//! 3. Among the heads of the queues the highest priority goes first, then the queue that uses the fewest slots,
//!    then the lowest ID.
//! 4. A head that does not fit its own queue holds back that queue alone. A head that fits its queue but not the
//!    host holds back every head that ranks after it: the host's slots are kept free for it as they come.
//!
//! So a slot stays free only where no head may take it, or where it is kept for a heavier task that ranks first.

use std::cmp::Reverse;

use crate::task::{Breaker, Mode, TaskId, Timestamp};

/// A queued task at or near the front of its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The task.
    pub id: TaskId,
    /// Higher first.
    pub priority: i32,
    /// How many slots it asks for.
    pub slots: u32,
}

/// How many tasks a queue may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// As many as fit.
    Open,
    /// One, to see whether it succeeds.
    Probe,
    /// None.
    Shut,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its limit; `None` is the host's.
    pub slots: Option<u32>,
    /// Slots that its running tasks take.
    pub used: u32,
    /// How many may start.
    pub gate: Gate,
    /// Its first tasks in their order; no more than the host has free slots need be given.
    pub heads: Vec<Head>,
}

/// The queues at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The host's slots.
    pub slots: u32,
    /// Slots taken over all queues.
    pub used: u32,
    /// The queues.
    pub lanes: Vec<Lane>,
}

/// A task to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The place of its queue in the snapshot.
    pub lane: usize,
    /// The task.
    pub id: TaskId,
    /// The slots that it takes while it runs.
    pub weight: u32,
}

/// The slots that a task takes while it runs: what it asks for, or all where it asks for more than there is.
#[must_use]
pub fn weight(asked: u32, lane: Option<u32>, host: u32) -> u32 {
    asked.min(lane.unwrap_or(host)).min(host).max(1)
}

/// How many tasks a queue may start, by what people told it and what its failures made of it.
#[must_use]
pub fn gate(mode: Mode, breaker: &Breaker, now: Timestamp) -> Gate {
    match (mode, breaker) {
        (Mode::Paused | Mode::Draining, _) | (Mode::Open, Breaker::Probing { task: Some(_) }) => Gate::Shut,
        (Mode::Open, Breaker::Closed { .. }) => Gate::Open,
        (Mode::Open, Breaker::Open { until }) if *until > now => Gate::Shut,
        (Mode::Open, Breaker::Open { .. } | Breaker::Probing { task: None }) => Gate::Probe,
    }
}

/// The tasks to start, in the order in which they were chosen.
#[must_use]
pub fn plan(snapshot: &Snapshot) -> Vec<Choice> {
    let mut fronts: Vec<Front<'_>> = snapshot.lanes.iter().enumerate().map(Front::new).collect();
    let mut used = snapshot.used;
    let mut choices = Vec::new();
    while let Some((front, head)) = first(&mut fronts) {
        let limit = front.lane.slots.unwrap_or(snapshot.slots);
        let weight = weight(head.slots, front.lane.slots, snapshot.slots);
        if front.used.saturating_add(weight) > limit.max(1) {
            front.shut = true;
        } else if used.saturating_add(weight) > snapshot.slots.max(1) {
            break;
        } else {
            choices.push(Choice { lane: front.index, id: head.id, weight });
            used += weight;
            front.take(weight);
        }
    }
    choices
}

/// A queue while the plan is made.
struct Front<'a> {
    index: usize,
    lane: &'a Lane,
    used: u32,
    taken: usize,
    shut: bool,
}

impl<'a> Front<'a> {
    fn new((index, lane): (usize, &'a Lane)) -> Self {
        Self { index, lane, used: lane.used, taken: 0, shut: lane.gate == Gate::Shut }
    }

    fn head(&self) -> Option<Head> {
        if self.shut { None } else { self.lane.heads.get(self.taken).copied() }
    }

    fn take(&mut self, weight: u32) {
        self.used += weight;
        self.taken += 1;
        self.shut = self.lane.gate == Gate::Probe;
    }
}

/// The queue whose head goes first, with that head.
fn first<'f, 'a>(fronts: &'f mut [Front<'a>]) -> Option<(&'f mut Front<'a>, Head)> {
    fronts
        .iter_mut()
        .filter_map(|front| front.head().map(|head| (front, head)))
        .min_by_key(|(front, head)| (Reverse(head.priority), front.used, head.id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

    use super::*;

    fn lane(slots: Option<u32>, heads: &[(i64, i32, u32)]) -> Lane {
        let heads = heads.iter().map(|&(id, priority, slots)| Head { id: TaskId(id), priority, slots }).collect();
        Lane { slots, used: 0, gate: Gate::Open, heads }
    }

    fn chosen(slots: u32, used: u32, lanes: Vec<Lane>) -> Vec<i64> {
        plan(&Snapshot { slots, used, lanes }).iter().map(|choice| choice.id.0).collect()
    }

    #[test]
    fn the_highest_priority_goes_first_then_the_idlest_queue_then_the_lowest_id() {
        let a = lane(None, &[(2, 0, 1), (4, 0, 1)]);
        let b = lane(None, &[(3, 0, 1), (5, 0, 1)]);
        let c = lane(None, &[(9, 7, 1)]);
        assert_eq!(chosen(5, 0, vec![a, b, c]), [9, 2, 3, 4, 5]);
    }

    #[test]
    fn a_light_task_never_passes_a_heavy_head_of_its_queue() {
        let heavy = lane(Some(2), &[(1, 0, 2), (2, 0, 1)]);
        assert_eq!(chosen(4, 1, vec![Lane { used: 1, ..heavy }]), Vec::<i64>::new());
    }

    #[test]
    fn slots_of_the_host_are_kept_for_a_heavy_head_that_ranks_first() {
        let heavy = lane(None, &[(1, 0, 3)]);
        let light = lane(None, &[(2, 0, 1)]);
        assert_eq!(chosen(3, 1, vec![heavy.clone(), light.clone()]), Vec::<i64>::new());
        assert_eq!(chosen(3, 0, vec![heavy, light]), [1]);
    }

    #[test]
    fn a_queue_at_its_own_limit_holds_back_nobody_else() {
        let full = Lane { used: 1, ..lane(Some(1), &[(1, 9, 1)]) };
        assert_eq!(chosen(3, 1, vec![full, lane(None, &[(2, 0, 1)])]), [2]);
    }

    #[test]
    fn a_task_heavier_than_the_host_runs_alone() {
        assert_eq!(chosen(2, 0, vec![lane(None, &[(1, 0, 50), (2, 0, 1)])]), [1]);
        assert_eq!(weight(50, Some(8), 2), 2);
    }

    #[test]
    fn a_probing_queue_starts_one_task() {
        let probing = Lane { gate: Gate::Probe, ..lane(None, &[(1, 0, 1), (2, 0, 1)]) };
        assert_eq!(chosen(4, 0, vec![probing]), [1]);
    }

    #[test]
    fn a_gate_follows_mode_and_breaker() {
        let (now, later) = (Timestamp(10), Timestamp(11));
        assert_eq!(gate(Mode::Open, &Breaker::Closed { failures: 3 }, now), Gate::Open);
        assert_eq!(gate(Mode::Paused, &Breaker::default(), now), Gate::Shut);
        assert_eq!(gate(Mode::Draining, &Breaker::default(), now), Gate::Shut);
        assert_eq!(gate(Mode::Open, &Breaker::Open { until: later }, now), Gate::Shut);
        assert_eq!(gate(Mode::Open, &Breaker::Open { until: later }, later), Gate::Probe);
        assert_eq!(gate(Mode::Open, &Breaker::Probing { task: Some(TaskId(1)) }, now), Gate::Shut);
    }

    fn lanes() -> impl Strategy<Value = Vec<Lane>> {
        let gate = prop_oneof![4 => Just(Gate::Open), 1 => Just(Gate::Probe), 1 => Just(Gate::Shut)];
        let heads = prop::collection::vec((-2_i32..3, 0_u32..6), 0..8);
        let lane = (prop::option::of(1_u32..6), 0_u32..3, gate, heads);
        prop::collection::vec(lane, 0..5).prop_map(|lanes| {
            let mut id = 0;
            let made = lanes.into_iter().map(|(slots, used, gate, mut heads)| {
                heads.sort_by_key(|&(priority, _)| Reverse(priority));
                let heads = heads.into_iter().map(|(priority, slots)| {
                    id += 1;
                    Head { id: TaskId(id), priority, slots }
                });
                Lane { slots, used, gate, heads: heads.collect() }
            });
            made.collect()
        })
    }

    fn use_after(snapshot: &Snapshot, choices: &[Choice], lane: usize) -> u32 {
        snapshot.lanes[lane].used + choices.iter().filter(|c| c.lane == lane).map(|c| c.weight).sum::<u32>()
    }

    proptest! {
        #[test]
        fn no_limit_is_ever_exceeded(slots in 1_u32..9, used in 0_u32..9, lanes in lanes()) {
            let snapshot = Snapshot { slots, used, lanes };
            let choices = plan(&snapshot);
            let taken: u32 = choices.iter().map(|choice| choice.weight).sum();
            assert!(choices.is_empty() || used + taken <= slots);
            for (index, lane) in snapshot.lanes.iter().enumerate() {
                let count = choices.iter().filter(|choice| choice.lane == index).count();
                assert!(count == 0 || use_after(&snapshot, &choices, index) <= lane.slots.unwrap_or(slots));
                assert!(lane.gate != Gate::Shut || count == 0);
                assert!(lane.gate != Gate::Probe || count <= 1);
            }
        }

        #[test]
        fn each_queue_starts_its_heads_in_order(slots in 1_u32..9, lanes in lanes()) {
            let snapshot = Snapshot { slots, used: 0, lanes };
            let choices = plan(&snapshot);
            for (index, lane) in snapshot.lanes.iter().enumerate() {
                let started = choices.iter().filter(|choice| choice.lane == index).map(|choice| choice.id);
                assert!(started.eq(lane.heads.iter().map(|head| head.id).take(choices.iter().filter(|c| c.lane == index).count())));
            }
        }

        #[test]
        fn slots_stay_free_only_where_no_first_head_fits(slots in 1_u32..9, used in 0_u32..9, lanes in lanes()) {
            let snapshot = Snapshot { slots, used, lanes };
            let choices = plan(&snapshot);
            let free = slots.saturating_sub(used + choices.iter().map(|choice| choice.weight).sum::<u32>());
            let left = snapshot.lanes.iter().enumerate().filter_map(|(index, lane)| {
                let count = choices.iter().filter(|choice| choice.lane == index).count();
                let spent = lane.gate == Gate::Shut || (lane.gate == Gate::Probe && count == 1);
                let head = lane.heads.get(count).filter(|_| !spent)?;
                let weight = weight(head.slots, lane.slots, slots);
                let in_lane = use_after(&snapshot, &choices, index);
                (in_lane + weight <= lane.slots.unwrap_or(slots)).then_some((Reverse(head.priority), in_lane, head.id, weight))
            });
            if let Some((.., weight)) = left.min() {
                assert!(weight > free, "a head of weight {weight} was left behind with {free} free");
            }
        }

        #[test]
        fn the_same_snapshot_gives_the_same_plan(slots in 1_u32..9, used in any::<u8>(), lanes in lanes()) {
            let snapshot = Snapshot { slots, used: used.into(), lanes };
            assert_eq!(plan(&snapshot), plan(&snapshot.clone()));
        }
    }
}
