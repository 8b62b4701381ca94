//! Probes: each shard chases the waits of its transactions through the others.
//!
//! ```text
//!   s1: t1 waits for t2   ──probe "t1 ▶ t2"──────▶   s2: t2 waits for t3
//!                                                         │ probe "t1 ▶ t2 ▶ t3"
//!        BREAK the victim ◀── CONFIRM all of it ──   s3: t3 waits for t1   a cycle
//! ```
//!
//! | when                                    | do                                      |
//! |-----------------------------------------|-----------------------------------------|
//! | a wait is old enough, and a younger one is in its way | follow it in this shard; ask the others about all whom it leads to; the next time after twice as long |
//! | a probe about one who does not wait here | nothing                                |
//! | a probe about one who waits here, first of its round | follow it in this shard; ask the others about all whom it leads to |
//! | following leads to where the probe began | CONFIRM the whole way, see `common/src/deadlock/confirm.rs` |
//!
//! *Nobody is missed.* A cycle has a member who is its oldest; the one in its way is
//! younger, so it sends probes, again and again. While the cycle stands, each member
//! waits for the next, and the shard where it does passes the probe on, once per round.
//! A wait that was another one when a probe of this round came by is followed in the
//! next round.
//!
//! *Nobody is invented*: what a probe has found is only suspected, until all shards say
//! at one moment that it stands.
//!
//! Only its client knows where a transaction waits, so a question goes to all shards.
//!
//! *Deliberately absent*: chains of more than [`MAX_PATH`] waits; the time-out of the
//! waits ends those.
//!
//! Source: Chandy, Misra, Haas, *Distributed deadlock detection* (ACM TOCS 1983), §3,
//! the AND model. Departures: rounds in place of clearing `dependent` when a wait ends;
//! the way is carried along; and the confirmation, as aborts make phantoms.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use synod_common::deadlock::{Answered, Claim, Confirmations, Member, Step};
use synod_common::id::{Peer, ShardId, TxnId};
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::List;
use synod_common::message::deadlock::{Link, Probe};
use synod_common::node::Output;
use synod_common::time::Mono;

use super::{NO_REPLY, REPORT_BYTES};
use crate::lock::Ticket;
use crate::mutant::mutated;
use crate::shard::Shard;

/// Waits in a chain that is followed.
const MAX_PATH: usize = 1_000;
/// Chains that are passed on at a time. What is left out comes in a later round.
const MAX_PROBES: u32 = 4_000;
/// Waits of others that are remembered as followed, and all that they lead to. While
/// there are more, probes of further ones are not followed.
const MAX_FOLLOWED: usize = 100_000;
const MAX_KNOWN: usize = 1_000_000;
/// For so long.
const REMEMBERED: Duration = Duration::from_secs(2);
/// How often what is over is forgotten.
const TIDY: Duration = Duration::from_millis(100);
/// The longest time between two rounds of a wait.
const MAX_PAUSE: Duration = Duration::from_millis(128);

/// What is known of chains.
#[derive(Clone, Debug, Default)]
pub(super) struct Probing {
    /// The waits here that have been looked into.
    rounds: BTreeMap<Ticket, Round>,
    /// The waits elsewhere that were followed here.
    followed: BTreeMap<(ShardId, u64), Followed>,
    /// How many transactions all of them know.
    known: usize,
    tidied: Mono,
    /// Cycles that others are asked about.
    confirmations: Confirmations,
}

/// How often a wait has been looked into.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: u32,
    next: Mono,
}

/// A round of a wait elsewhere, as far as it came by.
#[derive(Clone, Debug)]
struct Followed {
    round: u32,
    /// `dependent` in the paper: whom it leads to, and who was asked about.
    known: BTreeSet<TxnId>,
    heard: Mono,
}

impl Probing {
    pub(super) fn begin(&mut self, life: u64) {
        self.confirmations.begin(life);
    }
}

/// Chains to be passed on.
#[derive(Default)]
struct Onward {
    list: List<Probe>,
    count: u32,
}

impl Onward {
    fn push(&mut self, probe: &Probe) {
        self.list.push(probe);
        self.count += 1;
    }

    fn is_full(&self) -> bool {
        self.count >= MAX_PROBES || self.list.len() >= REPORT_BYTES
    }
}

impl Shard {
    /// Looks into the waits for which it is time. Returns how many questions that
    /// made.
    pub(super) fn send_probes(&mut self, now: Mono, out: &mut Output) -> u32 {
        self.forget_probes(now);
        let mut onward = Onward::default();
        let old = self.waits.values().take_while(|wait| self.is_old(now, wait.since));
        let old: Vec<(TxnId, Ticket)> =
            old.flat_map(|wait| wait.tickets.iter().map(|ticket| (wait.txn, *ticket))).collect();
        for (txn, ticket) in old {
            let round = self.deadlocks.probing.rounds.get(&ticket).copied();
            if onward.is_full() || round.is_some_and(|round| round.next > now) {
                continue;
            }
            let number = round.map_or(1, |round| round.number + 1);
            let pause = self.settings.report_after.saturating_mul(1 << number.min(16));
            let next = now + pause.min(MAX_PAUSE);
            self.deadlocks.probing.rounds.insert(ticket, Round { number, next });
            self.begin_probe(txn, ticket, number, &mut onward);
        }
        let count = onward.count;
        self.ask_others(onward, out);
        count
    }

    fn begin_probe(&self, txn: TxnId, ticket: Ticket, round: u32, onward: &mut Onward) {
        let links = self.links(txn, ticket);
        let own = self.seniority(txn);
        if !links.iter().any(|link| own < self.seniority(link.holder.txn)) {
            return;
        }
        let mut known = BTreeSet::from([txn]);
        // A cycle within the shard is no business of probes.
        _ = self.follow(txn, &[], links, &mut known, |path| {
            onward.push(&Probe { round, path });
            !onward.is_full()
        });
    }

    /// Other shards ask about transactions.
    pub(super) fn follow_probes(&mut self, now: Mono, probes: &[u8], out: &mut Output) {
        let mut onward = Onward::default();
        for probe in List::<Probe>::read(probes).map_while(Result::ok) {
            self.follow_probe(now, probe, &mut onward, out);
            if onward.is_full() {
                break;
            }
        }
        self.ask_others(onward, out);
    }

    fn follow_probe(&mut self, now: Mono, probe: Probe, onward: &mut Onward, out: &mut Output) {
        let Probe { round, path } = probe;
        let (Some(first), Some(last)) = (path.first(), path.last()) else { return };
        let (began, about) = (first.waiter.txn, last.holder.txn);
        // From outside: what does not hang together is no chain.
        if !path.windows(2).all(|pair| pair[0].holder.txn == pair[1].waiter.txn) {
            return;
        }
        // Who is in it twice is in a cycle of its own, which its own probes find.
        let is_new = path.iter().all(|link| link.waiter.txn != about);
        if !is_new || path.len() >= MAX_PATH || !self.locks.is_waiting(about) {
            return;
        }
        let key = (first.shard, first.wait);
        let Some(mut known) = self.deadlocks.probing.take_known(now, key, round) else { return };
        if known.insert(about) {
            let links = self.links_of(about);
            let cycle = self.follow(began, &path, links, &mut known, |path| {
                onward.push(&Probe { round, path });
                !onward.is_full()
            });
            self.deadlocks.probing.put_known(key, known);
            if let Some(cycle) = cycle {
                self.suspect(now, cycle, out);
            }
        } else {
            self.deadlocks.probing.put_known(key, known);
        }
    }

    /// Follows waits within this shard, nearest first. Shows the way to everybody who
    /// was not known, while `show` says to go on. Returns the way back to `began`.
    fn follow(
        &self,
        began: TxnId,
        base: &[Link],
        links: Vec<Link>,
        known: &mut BTreeSet<TxnId>,
        mut show: impl FnMut(Vec<Link>) -> bool,
    ) -> Option<Vec<Link>> {
        let mut reached: Vec<(Option<usize>, Link)> = Vec::new();
        let mut ahead: VecDeque<(Option<usize>, Link)> =
            links.into_iter().map(|link| (None, link)).collect();
        let way = |reached: &[(Option<usize>, Link)], from: Option<usize>, last: Link| {
            let mut steps = vec![last];
            let mut at = from;
            while let Some(index) = at {
                steps.push(reached[index].1.clone());
                at = reached[index].0;
            }
            base.iter().cloned().chain(steps.into_iter().rev()).collect::<Vec<Link>>()
        };
        while let Some((from, link)) = ahead.pop_front() {
            let next = link.holder.txn;
            if next == began {
                return Some(way(&reached, from, link));
            }
            if !known.insert(next) {
                continue;
            }
            if !show(way(&reached, from, link.clone())) {
                return None;
            }
            reached.push((from, link));
            let here = Some(reached.len() - 1);
            ahead.extend(self.links_of(next).into_iter().map(|link| (here, link)));
        }
        None
    }

    /// Everything that a transaction waits for here.
    fn links_of(&self, txn: TxnId) -> Vec<Link> {
        let waits = self.txns.get(&txn).into_iter().flat_map(|participant| &participant.waits);
        let tickets = waits.filter_map(|id| self.waits.get(id)).flat_map(|wait| &wait.tickets);
        tickets.flat_map(|ticket| self.links(txn, *ticket)).collect()
    }

    /// What one request waits for.
    fn links(&self, txn: TxnId, ticket: Ticket) -> Vec<Link> {
        let Some((_, target, mode)) = self.locks.request_of(ticket) else { return Vec::new() };
        let (target, mode) = (target.shown(), mode.to_string());
        let waiter = self.claim(txn);
        let link = |holder| Link {
            shard: self.settings.id,
            wait: self.wait_number(ticket),
            waiter,
            target: target.clone(),
            mode: mode.clone(),
            holder: self.holder(txn, holder),
        };
        self.locks.in_the_way(ticket).into_iter().map(link).collect()
    }

    fn ask_others(&self, onward: Onward, out: &mut Output) {
        if onward.count == 0 || mutated!(self, ProbesStop) {
            return;
        }
        let Some(router) = &self.router else { return };
        let probes: Bytes = onward.list.finish();
        for shard in router.placement().shards.iter().filter(|s| s.id != self.settings.id) {
            let message = DeadlockMessage::Probes { probes: probes.clone() };
            out.send(Peer::Shard(shard.id), NO_REPLY, message);
        }
    }

    /// A cycle, if it stands.
    fn suspect(&mut self, now: Mono, cycle: Vec<Link>, out: &mut Output) {
        let policy = self.handling.victim;
        let Some(victim) = policy.choose(claims(&cycle)) else { return };
        let members: Vec<Member> = cycle.into_iter().map(member).collect();
        let confirmations = &mut self.deadlocks.probing.confirmations;
        if confirmations.is_asked(&members) {
            return;
        }
        for (shard, question) in confirmations.ask(now, members, victim, policy) {
            match question {
                DeadlockMessage::Confirm { candidate, edges } if shard == self.settings.id => {
                    let stands = self.all_stand(&edges);
                    self.confirmed(shard, candidate, stands, out);
                }
                DeadlockMessage::Confirm { candidate, .. } if mutated!(self, ProbesUnconfirmed) => {
                    self.confirmed(shard, candidate, true, out);
                }
                question => out.send(Peer::Shard(shard), NO_REPLY, question),
            }
        }
    }

    /// A shard has answered.
    pub(super) fn confirmed(&mut self, shard: ShardId, id: u64, stands: bool, out: &mut Output) {
        let confirmations = &mut self.deadlocks.probing.confirmations;
        match confirmations.answered(shard, id, stands) {
            Answered::Nothing | Answered::Dissolved(_) => {}
            Answered::Confirmed { orders, .. } => {
                for (shard, order) in orders {
                    let (to, here) = (Peer::Shard(shard), shard == self.settings.id);
                    match order {
                        DeadlockMessage::Break { txn, wait, deadlock, .. } if here => {
                            self.break_wait(to, txn, wait, deadlock, out);
                        }
                        DeadlockMessage::LetGo { edge, deadlock } if here => {
                            self.let_go(&edge, *deadlock, out);
                        }
                        order => out.send(to, NO_REPLY, order),
                    }
                }
            }
        }
    }

    /// The link to another shard is down: it will not answer.
    pub(crate) fn shard_left(&mut self, shard: ShardId) {
        self.deadlocks.probing.confirmations.left(shard);
    }

    fn forget_probes(&mut self, now: Mono) {
        let probing = &mut self.deadlocks.probing;
        if now.since(probing.tidied) < TIDY {
            return;
        }
        probing.tidied = now;
        probing.rounds.retain(|ticket, _| self.tickets.contains_key(ticket));
        probing.followed.retain(|_, followed| now.since(followed.heard) < REMEMBERED);
        probing.known = probing.followed.values().map(|followed| followed.known.len()).sum();
        probing.confirmations.give_up(now);
    }
}

impl Probing {
    /// Whom a round is known to lead to; `None` if it is an old one.
    fn take_known(
        &mut self,
        now: Mono,
        key: (ShardId, u64),
        round: u32,
    ) -> Option<BTreeSet<TxnId>> {
        let is_new = !self.followed.contains_key(&key);
        if self.known >= MAX_KNOWN || is_new && self.followed.len() >= MAX_FOLLOWED {
            return None;
        }
        let new = || Followed { round, known: BTreeSet::new(), heard: now };
        let followed = self.followed.entry(key).or_insert_with(new);
        if round < followed.round {
            return None;
        }
        self.known -= followed.known.len();
        if round > followed.round {
            *followed = new();
        }
        followed.heard = now;
        Some(std::mem::take(&mut followed.known))
    }

    fn put_known(&mut self, key: (ShardId, u64), known: BTreeSet<TxnId>) {
        if let Some(followed) = self.followed.get_mut(&key) {
            self.known += known.len();
            followed.known = known;
        }
    }
}

/// What the members of a cycle have to say; the locks of each are those that it is
/// known to hold on the shards of the cycle.
fn claims(cycle: &[Link]) -> Vec<Claim> {
    let before = cycle.iter().cycle().skip(cycle.len() - 1);
    let claim = |(link, before): (&Link, &Link)| {
        let elsewhere = if before.shard == link.shard { 0 } else { before.holder.locks };
        Claim { locks: link.waiter.locks.saturating_add(elsewhere), ..link.waiter }
    };
    cycle.iter().zip(before).map(claim).collect()
}

fn member(link: Link) -> Member {
    let Link { shard, wait, waiter, target, mode, holder } = link;
    let step = Step { waiter: waiter.txn, target, mode, shard, holder: holder.txn };
    Member { step, wait, returns: holder.returns }
}
