//! Whose turn it is when a lock becomes free: who holds locks goes first.
//!
//! Queues in the order of arrival collapse under contention. Who waits at the end of one
//! queue holds his other locks all the time, so the queues for those grow, too, and in
//! the end nearly all wait for one another: from some number of clients on, more of them
//! get *less* done.
//!
//! ```text
//!   in order of arrival                     who holds locks goes first
//!     k: t1 ◀─ t2 ◀─ t3 (holds h)             k: t1 ◀─ t3 (holds h) ◀─ t2
//!                    ▲                                 ▲
//!     h:             └─ t4 ◀─ t5              h:       └─ t4 ◀─ t5
//! ```
//!
//! `t2` holds nothing, so nobody waits for it: it may as well wait. `t3` lets two
//! others go on when it ends.
//!
//! | scheme              | its turn                                                    |
//! |---------------------|-------------------------------------------------------------|
//! | `graph`, `probes`   | when it comes, if it holds locks here or elsewhere; else a tenth of the lock time-out later |
//! | `wound-wait`        | by age, the oldest first: else an older one would find younger ones in front, and abort them |
//! | `wait-die`          | when it comes: in any other order, more would have to wait for an older one |
//!
//! The tenth bounds what a newcomer loses: who comes after his turn is behind him. It is
//! the same for all, so that among newcomers the first to come is the first; who is not
//! willing to wait so long may give up before his turn. Nor does anybody starve by age, as
//! he gets older. A client says whether its transaction
//! holds locks elsewhere; one that commits on several shards does.
//!
//! *Deliberately absent*: how many wait for whom. Whether anybody may is enough, needs no
//! counting, and is known across shards.
//!
//! Sources: Tay, Goodman, Suri, *Locking Performance in Centralized Databases* (TODS
//! 1985), for the collapse; Tian et al., *Contention-Aware Lock Scheduling for
//! Transactional Databases* (VLDB 2018): who blocks most goes first; Huang et al., *A
//! Top-Down Approach to Achieving Performance Predictability in Database Systems* (SIGMOD
//! 2017): the oldest goes first.

use synod_common::deadlock::Scheme;
use synod_common::id::TxnId;
use synod_common::message::data::Access;
use synod_common::time::{Now, Timestamp};

use crate::lock::{Asker, Turn};
use crate::shard::Shard;

/// Who holds nothing lets those go first who hold something, for this part of the lock
/// time-out: half of the time that clients wait for a lock unless they are told otherwise.
const HEAD_START: u32 = 10;

/// For whom locks are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    /// The transaction.
    pub txn: TxnId,
    /// When it began.
    pub age: Timestamp,
    /// Whether it holds locks at other shards.
    pub holds_elsewhere: bool,
}

impl From<&Access> for Who {
    fn from(access: &Access) -> Who {
        let Access { txn, standing, holds_elsewhere, .. } = *access;
        Who { txn, age: standing.age, holds_elsewhere }
    }
}

impl Shard {
    /// Who asks, and what his turn is.
    pub(crate) fn asker(&self, now: Now, who: Who) -> Asker {
        let Who { txn, age, holds_elsewhere } = who;
        // What it said first counts, as when victims are chosen.
        let age = self.txns.get(&txn).map_or(age, |known| known.standing.age);
        let turn = match self.handling.scheme {
            Scheme::Graph | Scheme::Probes if holds_elsewhere || self.locks.held_by(txn) > 0 => {
                now.mono.0
            }
            Scheme::Graph | Scheme::Probes => {
                (now.mono + self.settings.lock_timeout / HEAD_START).0
            }
            Scheme::WoundWait => age.0,
            Scheme::WaitDie => now.mono.0,
        };
        Asker { txn, age, turn: Turn(turn) }
    }
}
