//! A transaction, seen from its client.

use std::collections::{BTreeMap, VecDeque};

use synod_common::deadlock::Standing;
use synod_common::error::Reason;
use synod_common::id::{Incarnation, RequestId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::message::bulk::{Keys, Rows, Values, WriteSet};
use synod_common::message::client::{Outcome, Part};
use synod_common::message::commit::{Terms, Validation};
use synod_common::message::data;
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};
use synod_common::time::Timestamp;

use super::super::history::{ReadsAt, Seen, Txn};
use super::super::mutation::Mutation;
use super::super::network::Node;
use super::super::world::{LONG_WAIT_MS, Phase, World};
use super::work::{Access, Work};
use super::{Audit, Outstanding, State};
use crate::invariants::Check;

/// A transaction that is under way.
#[derive(Debug)]
pub struct Active {
    /// Its name.
    pub id: TxnId,
    work: Work,
    waiting: VecDeque<(usize, Access)>,
    outstanding: Outstanding,
    incarnations: BTreeMap<usize, Incarnation>,
    touched: Vec<usize>,
    seen: Seen,
    at_once: bool,
    wait_ms: u32,
    commit: Option<Message>,
}

impl Active {
    /// Whether it waits for this reply.
    pub fn expects(&self, request: RequestId) -> bool {
        self.outstanding.contains_key(&request)
    }

    /// Whether it waits for a reply of this server.
    pub fn waits_for(&self, server: usize) -> bool {
        self.outstanding.values().any(|(at, _)| *at == server)
    }
}

impl World {
    pub(super) fn begin_txn(&mut self, client: usize) {
        let work = self.draw_work();
        self.begin(client, work);
    }

    pub(super) fn begin_scan(&mut self, client: usize) {
        self.begin(client, Work::Scan);
    }

    fn begin(&mut self, client: usize, work: Work) {
        let state = &mut self.clients[client];
        let Some(session) = state.session else { return };
        state.sequence += 1;
        let id = TxnId { session, sequence: state.sequence };
        let txn = Txn {
            client,
            begun: self.time,
            seen: Seen::default(),
            writes: BTreeMap::new(),
            asked: false,
            full_scan: matches!(work, Work::Scan),
            reads_at: ReadsAt::Commit,
            answered: None,
            told: None,
        };
        assert!(self.history.txns.insert(id, txn).is_none(), "{id} was named twice");
        let mut waiting = VecDeque::from(self.accesses(&work));
        if self.rng.chance(3_000) {
            waiting.make_contiguous().reverse();
        }
        let active = Active {
            id,
            work,
            waiting,
            outstanding: Outstanding::new(),
            incarnations: BTreeMap::new(),
            touched: Vec::new(),
            seen: Seen::default(),
            at_once: self.rng.chance(4_000),
            wait_ms: self.lock_wait(),
            commit: None,
        };
        self.go_on(client, active);
    }

    fn lock_wait(&mut self) -> u32 {
        let wait = self.rng.within(20..=300);
        if self.sizes.long_waits { LONG_WAIT_MS as u32 } else { wait as u32 }
    }

    /// Sends the next accesses, or COMMIT if there are none left.
    fn go_on(&mut self, client: usize, mut active: Active) {
        while active.outstanding.is_empty() || active.at_once {
            let Some((server, access)) = active.waiting.pop_front() else { break };
            let message = self.access(&active, server, &access);
            let request = self.ask(client, server, message);
            active.outstanding.insert(request, (server, access));
            if !active.touched.contains(&server) {
                active.touched.push(server);
            }
        }
        if !active.outstanding.is_empty() {
            self.clients[client].state = State::Reading(active);
            // For an answer that was lost; for locks, the shard has less.
            let patience = match self.sizes.long_waits {
                true => self.rng.within(2_000_000..=5_000_000),
                false => self.rng.within(100_000..=500_000),
            };
            return self.wake_client(client, patience);
        }
        if self.phase == Phase::Faulty && self.rng.chance(self.faults.vanish) {
            return self.vanish(client);
        }
        self.commit(client, active);
    }

    fn access(&mut self, active: &Active, server: usize, access: &Access) -> DataRequest {
        let known = active.incarnations.get(&server).copied();
        let header = data::Access {
            txn: active.id,
            standing: standing(active.id),
            holds_elsewhere: active.incarnations.keys().any(|other| *other != server),
            incarnation: known.filter(|_| !self.is(Mutation::LastStayCounts)),
            map_epoch: self.router.epoch(),
            snapshot: None,
            wait: data::LockWait::Millis(active.wait_ms),
            returns: 0,
        };
        match access {
            Access::Keys(keys, mode) => {
                let mut bulk = Keys::default();
                keys.iter().for_each(|key| bulk.push(key));
                DataRequest::Read { access: header, mode: *mode, keys: bulk.finish() }
            }
            Access::Range(range, reverse) => {
                let limit = if self.rng.chance(5_000) { 0 } else { self.rng.within(1..=6) as u32 };
                let (range, reverse) = (range.clone(), *reverse);
                let mode = data::ReadMode::Shared;
                DataRequest::Scan { access: header, range, limit, reverse, mode }
            }
        }
    }

    /// An access was answered.
    pub(super) fn access_answered(
        &mut self,
        client: usize,
        mut active: Active,
        request: RequestId,
        message: &Message,
    ) -> Check {
        let Some((server, access)) = active.outstanding.remove(&request) else { return Ok(()) };
        let incarnation = match message {
            Message::DataReply(
                DataReply::Values { incarnation, .. } | DataReply::Rows { incarnation, .. },
            ) => *incarnation,
            _ => None,
        };
        let Some(incarnation) = incarnation else {
            self.give_up(client, &active);
            return Ok(());
        };
        if self.is(Mutation::LastStayCounts) {
            active.incarnations.insert(server, incarnation);
        }
        if *active.incarnations.entry(server).or_insert(incarnation) != incarnation {
            self.give_up(client, &active);
            return Ok(());
        }
        if let Some(next) = take_in(&mut active.seen, server, &access, message)? {
            active.waiting.push_front((server, next));
        }
        self.go_on(client, active);
        Ok(())
    }

    /// Ends a transaction whose COMMIT was not sent.
    pub(super) fn give_up(&mut self, client: usize, active: &Active) {
        for &server in &active.touched {
            self.ask(client, server, DataRequest::Abort { txn: active.id });
        }
        self.rest(client);
    }

    fn commit(&mut self, client: usize, mut active: Active) {
        let Some(writes) = self.writes(active.id, &active.work, &active.seen) else {
            return self.give_up(client, &active);
        };
        let mut sets: BTreeMap<usize, WriteSet> = BTreeMap::new();
        for server in active.incarnations.keys() {
            sets.entry(*server).or_default();
        }
        for (key, deeds) in &writes {
            let server = usize::from(self.router.shard_of(key).0);
            let set = sets.entry(server).or_default();
            deeds.iter().for_each(|deed| set.push(key, deed.as_write()));
        }
        if let Some(txn) = self.history.txns.get_mut(&active.id) {
            txn.seen = active.seen.clone();
            txn.writes = writes;
            txn.asked = true;
        }
        let mut parts = Vec::new();
        let mut bytes = Vec::new();
        for (server, set) in sets {
            let set = set.finish();
            parts.push(Part {
                shard: synod_common::id::ShardId(server as u16),
                incarnation: active.incarnations.get(&server).copied(),
                read_bytes: 0,
                write_bytes: set.len() as u32,
            });
            bytes.extend_from_slice(&set);
        }
        let message = ClientRequest::Commit {
            txn: active.id,
            terms: Terms {
                validation: Validation::Locked,
                standing: standing(active.id),
                protocol: self.sizes.protocols.of_txn(active.id.sequence),
            },
            parts,
            writes: bytes.into(),
        };
        active.commit = Some(message.clone().into());
        let request = self.ask_leader(client, message);
        self.clients[client].asked.insert(request, active.id);
        self.clients[client].state = State::Committing(request, active);
        if self.phase == Phase::Faulty && self.rng.chance(self.faults.vanish) {
            return self.vanish(client);
        }
        let patience = self.rng.within(30_000..=600_000);
        self.wake_client(client, patience);
    }

    /// The answer to COMMIT did not come: asks for the outcome, or commits again.
    pub(super) fn ask_outcome(&mut self, client: usize, active: Active) {
        let again = active.commit.clone().filter(|_| self.rng.chance(2_500));
        let message = again.unwrap_or_else(|| ClientRequest::Outcome { txn: active.id }.into());
        let request = self.ask_leader(client, message);
        self.clients[client].asked.insert(request, active.id);
        self.clients[client].state = State::Asking(Some(request), active);
        let patience = self.rng.within(20_000..=200_000);
        self.wake_client(client, patience);
    }

    /// An outcome, or none.
    pub(super) fn outcome_heard(
        &mut self,
        client: usize,
        active: Active,
        message: &Message,
    ) -> Check {
        match message {
            Message::ClientReply(ClientReply::Outcome(Outcome::Committed(_))) => {
                self.answered(active.id);
                self.finished(client, &active);
            }
            Message::ClientReply(ClientReply::Outcome(Outcome::Unknown)) => {
                self.finished(client, &active);
            }
            Message::ClientReply(ClientReply::Outcome(Outcome::Aborted(reason))) => {
                if matches!(reason, Reason::SessionLost | Reason::StaleEpoch) {
                    self.clients[client].session = None;
                }
                self.finished(client, &active);
            }
            _ => {
                self.clients[client].state = State::Asking(None, active);
                let pause = self.rng.within(1_000..=30_000);
                self.wake_client(client, pause);
            }
        }
        Ok(())
    }

    fn answered(&mut self, id: TxnId) {
        let now = self.time;
        if let Some(txn) = self.history.txns.get_mut(&id) {
            txn.answered.get_or_insert(now);
        }
    }

    fn finished(&mut self, client: usize, active: &Active) {
        let committed = self.history.txns.get(&active.id).is_some_and(|t| t.answered.is_some());
        if committed && matches!(active.work, Work::Setup) && self.phase == Phase::Setup {
            self.begin_faults();
        }
        if committed && matches!(active.work, Work::Scan) {
            self.audited(client, Audit::Scan);
        }
        self.clients[client].past.push(active.id);
        if self.phase == Phase::Faulty && self.rng.chance(300) {
            // A confused client commits once more.
            if let Some(message) = active.commit.clone() {
                let request = self.clients[client].request();
                self.clients[client].asked.insert(request, active.id);
                let leader = Node::Server(self.clients[client].coordinator);
                self.transmit(Node::Client(client), leader, request, &message);
            }
        }
        self.rest(client);
    }

    /// The first of the outcomes to be asked for in the end, or none yet.
    pub(super) fn outcome_audited(&mut self, client: usize, message: &Message) {
        if let Message::ClientReply(ClientReply::Outcome(outcome)) = message
            && *outcome != Outcome::Undecided
        {
            self.clients[client].unresolved.pop_front();
        }
    }
}

/// Takes in what an access brought; returns the access that goes on behind it.
pub(super) fn take_in(
    seen: &mut Seen,
    server: usize,
    access: &Access,
    message: &Message,
) -> Result<Option<Access>, String> {
    match (access, message) {
        (Access::Keys(keys, _), Message::DataReply(DataReply::Values { values, .. })) => {
            let values: Vec<_> = Values::read(values).map_while(Result::ok).collect();
            if values.len() != keys.len() {
                return Err(format!("{} values for {} keys", values.len(), keys.len()));
            }
            for (key, value) in keys.iter().zip(values) {
                let value = value.map(bytes::Bytes::copy_from_slice);
                seen.keys.insert(key.clone(), value);
            }
            Ok(None)
        }
        (
            Access::Range(range, reverse),
            Message::DataReply(DataReply::Rows { rows, resume, .. }),
        ) => {
            let rows: BTreeMap<Key, bytes::Bytes> = Rows::read(rows)
                .map_while(Result::ok)
                .map(|(key, value)| (Key::from(key), bytes::Bytes::copy_from_slice(value)))
                .collect();
            let (page, rest) = match (resume, reverse) {
                (None, _) => (range.clone(), None),
                (Some(at), false) => (
                    KeyRange { start: range.start.clone(), end: Some(at.clone()) },
                    Some(KeyRange { start: at.clone(), end: range.end.clone() }),
                ),
                (Some(at), true) => (
                    KeyRange { start: at.clone(), end: range.end.clone() },
                    Some(KeyRange { start: range.start.clone(), end: Some(at.clone()) }),
                ),
            };
            if let Some(key) = rows.keys().find(|key| !page.contains(key)) {
                return Err(format!("{key} is no row of {page:?}"));
            }
            seen.ranges.push((page, server, rows));
            Ok(rest.map(|rest| Access::Range(rest, *reverse)))
        }
        _ => Err(format!("{message:?} answers nothing")),
    }
}

/// Younger ones have later names; priorities are all over the place.
fn standing(txn: TxnId) -> Standing {
    Standing { age: Timestamp(txn.sequence), priority: (txn.sequence % 4) as u8 }
}
