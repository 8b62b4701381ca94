//! **I23** The safe point never moves back, over restarts too. When it moves, it stays
//! below every pin that it has not passed before, and on each shard below every
//! prepared writer and not above what the coordinator has made durable. (That no read
//! at or below it succeeds, and that nothing votes there, is asserted in the shard.)
//!
//! Source: the order in which TiKV resolves, publishes and deletes, issue 9526.

use std::collections::BTreeMap;

use synod_common::id::{Epoch, SessionId};
use synod_common::time::Timestamp;
use synod_coordinator::Member;
use synod_shard::Shard;

use super::Check;

/// How everything was when it was last looked at.
#[derive(Debug, Default)]
pub struct Watch {
    published: Timestamp,
    written: Timestamp,
    pins: BTreeMap<SessionId, Timestamp>,
    shards: BTreeMap<usize, Timestamp>,
    /// Of the newest leader.
    epoch: Epoch,
}

impl Watch {
    /// A server has recovered.
    pub fn restarted(&mut self, server: usize, shard: Option<&Shard>) {
        match shard {
            Some(shard) => _ = self.shards.insert(server, shard.safe_point().0),
            None => {
                self.pins.clear();
                self.written = self.published;
            }
        }
    }

    /// Called after every event of a coordinator.
    pub fn coordinator(&mut self, member: &Member) -> Check {
        let epoch = member.replica().promise().epoch;
        if !member.replica().leads() || !member.core().serves() || epoch < self.epoch {
            return Ok(());
        }
        if epoch > self.epoch {
            self.restarted(0, None);
            self.epoch = epoch;
        }
        let coordinator = member.core();
        let (published, written) = coordinator.safe_point();
        if published < self.published {
            return Err(format!("I23: the safe point went from {} to {published}", self.published));
        }
        let pins: BTreeMap<SessionId, Timestamp> = coordinator.pins().collect();
        for (session, pin) in &pins {
            let kept = self.pins.get(session) == Some(pin) && self.written < *pin;
            if kept && written >= *pin {
                return Err(format!("I23: the safe point {written} passed the pin {pin}"));
            }
        }
        (self.published, self.written, self.pins) = (published, written, pins);
        Ok(())
    }

    /// Called after every event of a shard.
    pub fn shard(&mut self, server: usize, shard: &Shard) -> Check {
        let (now, prepared) = shard.safe_point();
        let before = self.shards.insert(server, now).unwrap_or_default();
        if now < before {
            return Err(format!("I23: the safe point of s{server} went from {before} to {now}"));
        }
        if now > before && now > self.published {
            return Err(format!(
                "I23: s{server} is at {now}, the safe point at {}",
                self.published
            ));
        }
        match prepared {
            Some(m) if now > before && now >= m => {
                Err(format!("I23: the safe point {now} of s{server} passed a prepared {m}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
