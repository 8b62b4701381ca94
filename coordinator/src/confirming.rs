//! What waits until it is sure that this coordinator still leads its group.
//!
//! ```text
//!   request ─▶ gathering ─ a round begins ─▶ asked ─ a majority has confirmed ─▶ handled
//! ```
//!
//! Another one may lead already without this one having heard of it. Then it must hand out
//! no timestamp: transactions were perhaps answered that have larger ones. A round of
//! questions that begins after a request came, and that a majority answers, shows that
//! nobody else led before; one round serves all that gathered for it.
//!
//! What waits for a record of the group's log needs no round, for the record is one.

use std::collections::VecDeque;

use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::{ClientReply, ClientRequest, CommitMessage};
use synod_common::node::Output;
use synod_common::time::Now;

use crate::coordinator::{Coordinator, MAX_PARKED};
use crate::mutant::mutated;

/// What waits, in the order in which it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confirming {
    gathering: VecDeque<Waiting>,
    asked: VecDeque<Waiting>,
}

/// Something that waits.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    /// A client's request.
    Client((Peer, RequestId), ClientRequest),
    /// A shard that restarted wants to join, under this nonce and with so many commits told.
    Join(ShardId, u64, u32),
    /// A shard asks where the window ends: whoever has another one must not say.
    Window(ShardId, RequestId),
    /// A transaction that is decided without the group's log: by its only writer, or by votes.
    /// Others vote meanwhile.
    Commit(TxnId),
}

impl Coordinator {
    /// Whether a request is only answered by one who is sure that it leads.
    pub(crate) fn must_confirm(&self, request: &ClientRequest) -> bool {
        let alone = self.leads_surely();
        match request {
            ClientRequest::Timestamp | ClientRequest::OpenSession => !alone,
            // Its participant decides, at a timestamp that comes from here.
            ClientRequest::Commit { parts, .. } => parts.len() == 1 && !alone,
            ClientRequest::Heartbeat { .. }
            | ClientRequest::CloseSession { .. }
            | ClientRequest::Outcome { .. }
            | ClientRequest::Status
            | ClientRequest::Deadlocks
            | ClientRequest::Pinned { .. }
            | ClientRequest::Commits { .. }
            | ClientRequest::CommitOf { .. }
            | ClientRequest::Follow { .. } => false,
        }
    }

    /// Whether it needs no round to be sure that it leads.
    fn leads_surely(&self) -> bool {
        self.is_alone() || mutated!(self, LeadsUnconfirmed)
    }

    /// Whether there is nobody else who could lead.
    pub(crate) fn is_alone(&self) -> bool {
        self.settings.group.len() <= 1
    }

    /// Lets a client's request wait.
    pub(crate) fn confirm_first(
        &mut self,
        from: (Peer, RequestId),
        request: ClientRequest,
        out: &mut Output,
    ) {
        if self.confirming.gathering.len() < MAX_PARKED {
            self.confirming.gathering.push_back(Waiting::Client(from, request));
        } else {
            out.send(from.0, from.1, ClientReply::Refused(Reason::Overloaded));
        }
    }

    /// Lets a shard that restarted wait: the floor that it gets must be the leader's.
    pub(crate) fn join_confirmed(&mut self, shard: ShardId, nonce: u64, remembered: u32) {
        let same =
            |waiting: &Waiting| matches!(waiting, Waiting::Join(other, ..) if *other == shard);
        self.confirming.gathering.retain(|waiting| !same(waiting));
        self.confirming.gathering.push_back(Waiting::Join(shard, nonce, remembered));
    }

    /// Whether a transaction may be decided without the group's log at once. If not, it waits
    /// for a round; none, if it can not.
    pub(crate) fn confirm_leading(&mut self, txn: TxnId) -> Option<bool> {
        if self.leads_surely() {
            return Some(true);
        }
        let has_room = self.confirming.gathering.len() < MAX_PARKED;
        has_room.then(|| {
            self.confirming.gathering.push_back(Waiting::Commit(txn));
            false
        })
    }

    /// A shard asks where the window ends. It asks again if nobody answers.
    pub(crate) fn window_asked(&mut self, shard: ShardId, request: RequestId, out: &mut Output) {
        if self.leads_surely() {
            self.tell_window(shard, request, out);
        } else if self.confirming.gathering.len() < MAX_PARKED {
            self.confirming.gathering.push_back(Waiting::Window(shard, request));
        }
    }

    fn tell_window(&self, shard: ShardId, request: RequestId, out: &mut Output) {
        let hi = self.oracle.hi();
        out.send(Peer::Shard(shard), request, CommitMessage::Window { hi });
    }

    /// Whether somebody waits for a round; if so, it begins now.
    pub(crate) fn begins_round(&mut self) -> bool {
        assert!(self.confirming.asked.is_empty(), "one round at a time");
        std::mem::swap(&mut self.confirming.gathering, &mut self.confirming.asked);
        !self.confirming.asked.is_empty()
    }

    /// This one led when the round began.
    pub(crate) fn confirmed(&mut self, now: Now, out: &mut Output) {
        for waiting in std::mem::take(&mut self.confirming.asked) {
            match waiting {
                Waiting::Client(from, request) => self.admit_request(now, from, request, out),
                Waiting::Join(shard, nonce, remembered) => {
                    self.join(now, shard, (nonce, remembered), true, out);
                }
                Waiting::Window(shard, request) => self.tell_window(shard, request, out),
                Waiting::Commit(txn) => self.leading_confirmed(now, txn, out),
            }
        }
        self.after(now, out);
    }
}
