//! Telling the coordinator who waits here: *all* waits that are old enough, again and
//! again. A full set makes good whatever was lost, by itself. Its cost is bounded:
//! with many waits the timer slows down.

use bytes::Bytes;
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::List;
use synod_common::message::deadlock::Wait;
use synod_common::node::Output;
use synod_common::time::Mono;

use super::{NO_REPLY, REPORT_BYTES};
use crate::shard::Shard;

/// What the coordinator was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reporting {
    /// How often it was.
    number: u64,
    /// Whether the last report named anybody.
    named: bool,
}

impl Shard {
    /// Tells all that have been waiting for a while, and once that there are none.
    pub(super) fn tell_waits(&mut self, now: Mono, out: &mut Output) -> u32 {
        let (waits, count) = self.old_waits(now);
        let reporting = &mut self.deadlocks.reporting;
        if count == 0 && !reporting.named {
            return 0;
        }
        reporting.named = count > 0;
        reporting.number += 1;
        let (life, number) = (self.deadlocks.life, self.deadlocks.reporting.number);
        let message = DeadlockMessage::Waits { life, number, waits };
        out.send(self.coordinator(), NO_REPLY, message);
        count
    }

    /// The waits that are old enough to be told, oldest first.
    fn old_waits(&self, now: Mono) -> (Bytes, u32) {
        let mut list = List::default();
        let mut count = 0;
        // In the order in which they began.
        for wait in self.waits.values().take_while(|wait| self.is_old(now, wait.since)) {
            for ticket in &wait.tickets {
                let Some((txn, target, mode)) = self.locks.request_of(*ticket) else { continue };
                let holders = self.locks.in_the_way(*ticket).into_iter();
                list.push(&Wait {
                    waiter: self.claim(txn),
                    wait: self.wait_number(*ticket),
                    target: target.shown(),
                    mode: mode.to_string(),
                    holders: holders.map(|holder| self.holder(txn, holder)).collect(),
                });
                count += 1;
            }
            if list.len() >= REPORT_BYTES {
                break;
            }
        }
        (list.finish(), count)
    }
}
