//! An operator who does not wait: in some seeds he decides what is in doubt on shards.
//!
//! ```text
//!   s1  prepared ──────────── resolve: commit ─ in force ──────── outcome ─▶ mixed, or not
//!   s2  prepared ─ resolve: abort ─ crash ─ in doubt again ────── outcome
//!   c1  ...................................................... decides as if he was not there
//! ```
//!
//! He takes one shard, or all at which he finds the transaction, and means mostly the same for
//! all of them. Some shards crash right then. The simulated transport says who he is. What he may do to the others is in
//! [`crate::invariants::heuristic`].

use std::collections::BTreeMap;

use synod_common::id::{ClientId, Peer, RequestId, TxnId};
use synod_common::message::txns::ShardStage;
use synod_common::message::{DataReply, DataRequest, Message};
use synod_common::node::{Event, Send};
use synod_shard::Shard;

use super::mutation::Mutation;
use super::rng::Rng;
use super::server::Core;
use super::world::{Happening, Phase, World};
use crate::invariants::{Check, heuristic};

/// No client has so high a number.
const OPERATOR: Peer = Peer::Client(ClientId(u64::MAX));

/// What he is about.
#[derive(Debug)]
pub struct Operator {
    rng: Rng,
    /// So long it takes him to look again, at most, in microseconds; zero if there is none.
    pause: u64,
    /// What he has asked for, and not been answered.
    asked: BTreeMap<RequestId, (usize, TxnId)>,
    requests: u64,
    /// When he began: the accounts were made before that, and are let be.
    began: u64,
    /// What he was told is in force: where, and of which transaction.
    pub(super) told: Vec<(usize, TxnId)>,
}

impl Operator {
    /// Whether there is one is drawn apart, so that seeds without are what they were.
    pub fn draw(seed: u64, mutation: Option<Mutation>) -> Operator {
        let mut rng = Rng::new(seed.rotate_left(32) ^ 0x09e7);
        let is_there = match mutation {
            None => rng.chance(2_000),
            Some(mutation) => mutation.is_of_operators(),
        };
        let pause = if is_there { rng.pick(&[5_000, 50_000, 400_000]) } else { 0 };
        Operator { rng, pause, asked: BTreeMap::new(), requests: 0, began: 0, told: Vec::new() }
    }
}

impl World {
    /// The faults begin; he looks around.
    pub(super) fn begin_operating(&mut self) {
        if self.operator.pause > 0 {
            self.operator.began = self.time;
            self.after(self.operator.pause, Happening::Operate);
        }
    }

    /// Decides something, if anything is in doubt.
    pub(super) fn operate(&mut self) -> Check {
        if !matches!(self.phase, Phase::Faulty | Phase::Half) {
            return Ok(());
        }
        let again = self.operator.rng.within(1..=2 * self.operator.pause);
        self.after(again, Happening::Operate);
        let mut open: Vec<(usize, TxnId)> =
            self.shards().flat_map(|at| self.in_doubt_on(at).map(move |txn| (at, txn))).collect();
        if open.is_empty() {
            return Ok(());
        }
        let (first, txn) = self.operator.rng.pick(&open);
        let everywhere = self.operator.rng.chance(5_000);
        open.retain(|(at, known)| *known == txn && (everywhere || *at == first));
        for (at, txn) in open {
            self.resolve(at, txn)?;
        }
        Ok(())
    }

    fn in_doubt_on(&self, at: usize) -> impl Iterator<Item = TxnId> + use<'_> {
        let shard = self.servers[at].core.as_ref().and_then(Core::shard);
        let stages = shard.into_iter().flat_map(Shard::stages);
        let in_doubt = stages.filter(|(_, stage): &(TxnId, ShardStage)| stage.is_in_doubt());
        let of_setup = |txn: &TxnId| {
            self.history.txns.get(txn).is_some_and(|known| known.begun < self.operator.began)
        };
        in_doubt.map(|(txn, _)| txn).filter(move |txn| !of_setup(txn))
    }

    fn resolve(&mut self, at: usize, txn: TxnId) -> Check {
        let operator = &mut self.operator;
        let session = txn.session.number.rotate_left(32) ^ txn.sequence;
        let mut commit = Rng::new(session).chance(5_000);
        commit ^= operator.rng.chance(2_000);
        operator.requests += 1;
        let request = RequestId(operator.requests);
        operator.asked.insert(request, (at, txn));
        let (by, why) = (Some("ops".to_owned()), "it takes too long".to_owned());
        let message = DataRequest::Resolve { txn, commit, by, why, force: true }.into();
        self.trace.line(self.time, format_args!("an operator resolves {txn} on s{at}: {commit}"));
        if self.operator.rng.chance(2_000) {
            let (soon, life) = (self.operator.rng.skewed(2_000), self.servers[at].life);
            self.after(soon, Happening::Crash(at, life, 0));
        }
        self.feed(at, Event::Message { from: OPERATOR, request, message })
    }

    /// A shard answers somebody; perhaps him. Of who has voted READ nothing was decided.
    pub(super) fn answers_operator(&mut self, from: usize, send: &Send) -> Check {
        if send.to != OPERATOR {
            return Ok(());
        }
        let Some((at, txn)) = self.operator.asked.remove(&send.request) else { return Ok(()) };
        let facts = &self.ledger.servers[from];
        let is_done = matches!(send.message, Message::DataReply(DataReply::Done));
        if at != from || !is_done || !facts.prepared.contains_key(&txn) {
            return Ok(());
        }
        self.operator.told.push((at, txn));
        match self.checks_messages() {
            true => heuristic::check_told(facts, at, txn),
            false => Ok(()),
        }
    }

    /// What every shard makes known of his decisions in the end.
    pub(super) fn audit_operator(&mut self) -> Check {
        for at in self.shards() {
            let told = self.operator.told.iter().filter(|(on, _)| *on == at).map(|(_, txn)| *txn);
            let told: Vec<TxnId> = told.collect();
            let now = self.servers[at].clock.now(self.time);
            let Some(shard) = self.servers[at].core.as_ref().and_then(Core::shard) else {
                continue;
            };
            let found = heuristic::audit(&self.ledger, at, shard, now, &told)?;
            self.reached.resolved += found.all;
            self.reached.mixed += found.mixed;
        }
        Ok(())
    }
}
