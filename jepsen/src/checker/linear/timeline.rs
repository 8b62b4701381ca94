//! The operations of one object in the order of their events, prepared for the search.

use std::collections::HashMap;

/// The end of an operation that nobody knows of.
pub(super) const NEVER: u32 = u32::MAX;

/// An operation, between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// What it does, by number.
    pub op: u32,
    pub began: u32,
    /// [`NEVER`] if it may still happen, or never.
    pub ended: u32,
}

/// What the search looks up, and never changes.
///
/// Operations that ended are called by their rank: the place among the ends. Those that
/// did not come behind them, in the order in which they began.
pub(super) struct Timeline {
    /// How many ended.
    pub ended: usize,
    pub calls: Vec<Call>,
    /// The place in the history's list.
    pub places: Vec<usize>,
    /// Begin (`2 * rank`) and end (`2 * rank + 1`) of those that ended, in order.
    pub events: Vec<u32>,
    /// Of each that ended: how many of those that did not began before its end.
    pub unknown_before: Vec<u32>,
    /// A number that no two have that are open at the same time.
    pub slots: Vec<u32>,
    pub slot_count: usize,
    /// The one before with the same operation: of those that ended by the end, of the
    /// others by the begin.
    pub twins: Vec<Option<u32>>,
}

impl Timeline {
    pub(super) fn new(history: &[Call]) -> Timeline {
        let mut places: Vec<usize> = (0..history.len()).collect();
        let order = |place: &usize| (history[*place].ended, history[*place].began);
        places.sort_by_key(order);
        let calls: Vec<Call> = places.iter().map(|place| history[*place]).collect();
        let ended = calls.partition_point(|call| call.ended != NEVER);
        let mut events: Vec<u32> = (0..2 * ended as u32).collect();
        events.sort_unstable_by_key(|event| {
            let call = calls[*event as usize / 2];
            if is_begin(*event) { call.began } else { call.ended }
        });
        let unknown = &calls[ended..];
        let unknown_before = calls[..ended]
            .iter()
            .map(|call| unknown.partition_point(|other| other.began < call.ended) as u32)
            .collect();
        let mut slots = vec![0; ended];
        let (mut free, mut slot_count) = (Vec::new(), 0);
        for event in &events {
            let rank = *event as usize / 2;
            if !is_begin(*event) {
                free.push(slots[rank]);
                continue;
            }
            slots[rank] = free.pop().unwrap_or_else(|| {
                slot_count += 1;
                slot_count - 1
            });
        }
        let twins = twins(&calls, ended);
        let slot_count = slot_count as usize;
        Timeline { ended, calls, places, events, unknown_before, slots, slot_count, twins }
    }

    pub(super) fn ops(&self, order: &[u32]) -> impl Iterator<Item = u32> {
        order.iter().map(|call| self.op(*call))
    }

    /// Whether all that ended are in that order, each once, and none before another one
    /// that had ended when it began.
    pub(super) fn in_time(&self, order: &[u32]) -> bool {
        let mut met = vec![false; self.calls.len()];
        let mut first_end = NEVER;
        order.iter().rev().all(|call| {
            let times = self.calls[*call as usize];
            let in_time = times.began < first_end;
            first_end = first_end.min(times.ended);
            in_time && !std::mem::replace(&mut met[*call as usize], true)
        }) && met[..self.ended].iter().all(|met| *met)
    }

    pub(super) fn op(&self, call: u32) -> u32 {
        self.calls[call as usize].op
    }
}

/// Whether an event of a timeline is a begin.
pub(super) fn is_begin(event: u32) -> bool {
    event & 1 == 0
}

fn twins(calls: &[Call], ended: usize) -> Vec<Option<u32>> {
    let mut last = HashMap::new();
    let mut twins = Vec::with_capacity(calls.len());
    for (place, call) in calls.iter().enumerate() {
        let kind = (call.op, place < ended);
        twins.push(last.insert(kind, place as u32));
    }
    twins
}
