//! What must hold in every schedule, and what must have been reached in some.

use synod_common::id::{CoordinatorId, Epoch};
use synod_coordinator::group::Replica;

use super::node::{Node, Record, Slot};

/// How often what was reached. A run of many schedules that never reached one of these
/// says nothing about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Members that became leader.
    pub elections: u64,
    /// Of those, while another one believed that it led.
    pub deposed: u64,
    /// Leaders that stopped by themselves.
    pub stopped: u64,
    /// Entries that were decided.
    pub committed: u64,
    /// Of those, by a later leader than the one that wrote them.
    pub inherited: u64,
    /// Durable entries that gave way to those of a later leader.
    pub dropped: u64,
    /// Crashes that lost something that was written.
    pub lost: u64,
    /// Rounds that were confirmed.
    pub confirmed: u64,
    /// Rounds that a leader began when there was a later one.
    pub late: u64,
    /// Schedules that ended with a leader which kept only the end of its log.
    pub forgotten: u64,
    /// Disks that were lost.
    pub disks: u64,
    /// Members that came back after that.
    pub back: u64,
    /// States that took the place of a log.
    pub states: u64,
}

impl Seen {
    /// Each with its name.
    pub fn all(&self) -> [(&'static str, u64); 13] {
        [
            ("elections", self.elections),
            ("elections beside a leader", self.deposed),
            ("leaders that stopped", self.stopped),
            ("entries decided", self.committed),
            ("entries decided by a later leader", self.inherited),
            ("entries dropped", self.dropped),
            ("crashes that lost something", self.lost),
            ("rounds confirmed", self.confirmed),
            ("rounds too late", self.late),
            ("ends with a short log", self.forgotten),
            ("disks lost", self.disks),
            ("members back without", self.back),
            ("states taken", self.states),
        ]
    }
}

/// What is known of one member in one of its lives.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What it called decided, all of it compared.
    committed: u64,
    /// The last round that it knows to be confirmed.
    confirmed: u64,
    /// The first round that began when a later leader was there.
    late: Option<u64>,
}

/// The judge of one schedule, who sees everything.
#[derive(Debug, Default)]
pub struct Check {
    /// What is decided, from index 1.
    decided: Vec<Slot>,
    /// In which epoch it was.
    when: Vec<Epoch>,
    /// Who led what, and in which of its lives.
    led: Vec<(Epoch, CoordinatorId, u32)>,
    latest: Epoch,
    known: Vec<Known>,
    /// What this schedule has reached.
    pub seen: Seen,
}

impl Check {
    /// Before anything happened.
    pub fn new(members: u16) -> Check {
        Check { known: vec![Known::default(); usize::from(members)], ..Check::default() }
    }

    /// A member has begun another life.
    pub fn restarted(&mut self, i: usize, node: &Node) -> Result<(), String> {
        let committed = node.replica.as_ref().map_or(0, Replica::committed);
        self.known[i] = Known { committed, ..Known::default() };
        if committed > self.decided.len() as u64 {
            return Err(format!("c{} begins behind what is decided", i + 1));
        }
        Ok(())
    }

    /// Something happened at a member.
    pub fn node(&mut self, i: usize, nodes: &[Node]) -> Result<(), String> {
        let Some(replica) = &nodes[i].replica else { return Ok(()) };
        let (before, now) = (self.known[i].committed, replica.committed());
        if now < before {
            return Err(format!("c{} called {before} decided, and now {now}", i + 1));
        }
        for index in before + 1..=now {
            let Some(entry) = replica.log().get(index) else {
                return Err(format!("c{} calls {index} decided, and does not have it", i + 1));
            };
            let slot = Slot::from(entry);
            match self.decided(index) {
                Some(other) if other != slot => {
                    let me = i + 1;
                    return Err(format!("{index} is decided as {other:?}, by c{me} as {slot:?}"));
                }
                Some(_) => {}
                None => self.decide(i, replica, index, slot, nodes)?,
            }
        }
        let known = &mut self.known[i];
        known.committed = now;
        if replica.leads() && replica.confirmed() > known.confirmed {
            known.confirmed = replica.confirmed();
            self.seen.confirmed += 1;
            if known.late.is_some_and(|late| late <= known.confirmed) {
                let (me, round, latest) = (i + 1, known.confirmed, self.latest);
                return Err(format!("c{me} led no more when round {round} began, but {latest}"));
            }
        }
        Ok(())
    }

    fn decided(&self, index: u64) -> Option<Slot> {
        self.decided.get(usize::try_from(index.checked_sub(1)?).ok()?).copied()
    }

    /// All that is decided up to here.
    pub fn all_decided(&self, upto: u64) -> &[Slot] {
        &self.decided[..upto as usize]
    }

    /// How much of what is decided a member has durably: it lacks none of it, ever.
    pub fn safe(&self, node: &Node) -> u64 {
        let same =
            |index: &u64| self.decided(*index).is_some_and(|it| node.disk.get(*index) == Some(it));
        let most = (self.decided.len() as u64).min(node.durable());
        (node.disk.base + 1..=most).take_while(same).last().unwrap_or(node.disk.base)
    }

    /// An entry is called decided for the first time.
    fn decide(
        &mut self,
        i: usize,
        replica: &Replica,
        index: u64,
        slot: Slot,
        nodes: &[Node],
    ) -> Result<(), String> {
        let me = i + 1;
        if !replica.leads() {
            return Err(format!("c{me} calls {index} decided before any leader does"));
        }
        let has = nodes.iter().filter(|node| node.has(index, slot)).count();
        if has <= nodes.len() / 2 {
            return Err(format!("c{me} calls {index} decided, and {has} have it durably"));
        }
        let epoch = replica.promise().epoch;
        for other in nodes.iter().filter_map(|node| node.replica.as_ref()) {
            let later = other.leads() && other.promise().epoch > epoch;
            if later && other.log().get(index).map(Slot::from) != Some(slot) {
                return Err(format!("c{me} calls {index} decided, a later leader lacks it"));
            }
        }
        self.seen.committed += 1;
        self.seen.inherited += u64::from(slot.epoch < epoch);
        self.decided.push(slot);
        self.when.push(epoch);
        Ok(())
    }

    /// A member leads.
    pub fn leads(&mut self, i: usize, epoch: Epoch, nodes: &[Node]) -> Result<(), String> {
        let (node, me) = (&nodes[i], CoordinatorId(i as u16 + 1));
        let Some(replica) = &node.replica else { return Ok(()) };
        let alone = nodes.len() == 1;
        for &(other_epoch, other, life) in &self.led {
            // Alone, its first entry is its promise: if it lost that, it lost all of it.
            if other_epoch == epoch && !(alone && node.disk.end().epoch < epoch) {
                return Err(format!("{me} leads {epoch}, which {other} led in its life {life}"));
            }
        }
        let promised = nodes.iter().filter(|node| node.has_promised(epoch)).count();
        if !alone && promised <= nodes.len() / 2 {
            return Err(format!("{me} leads {epoch} by {promised} durable promises"));
        }
        for index in self.known[i].committed + 1..=self.decided.len() as u64 {
            // One that was elected long ago may hear of it late.
            let before = self.when[index as usize - 1] < epoch;
            if before && replica.log().get(index).map(Slot::from) != self.decided(index) {
                return Err(format!("{me} leads {epoch} without {index}, which is decided"));
            }
        }
        let beside = nodes.iter().filter(|node| node.leads()).count() > 1;
        self.seen.elections += 1;
        self.seen.deposed += u64::from(beside);
        self.led.push((epoch, me, node.life));
        self.latest = self.latest.max(epoch);
        let known = &mut self.known[i];
        (known.confirmed, known.late) = (0, None);
        Ok(())
    }

    /// A leader begins a round.
    pub fn asks(&mut self, i: usize, epoch: Epoch, round: u64) {
        if epoch < self.latest {
            self.seen.late += 1;
            self.known[i].late.get_or_insert(round);
        }
    }

    /// A member is about to write that its log ends with this index.
    pub fn cuts(&mut self, i: usize, node: &Node, index: u64) -> Result<(), String> {
        let epoch = node.replica.as_ref().map_or(Epoch::default(), |it| it.promise().epoch);
        for dropped in index + 1..=node.durable() {
            self.seen.dropped += 1;
            let same = self.decided(dropped).is_some_and(|it| node.disk.get(dropped) == Some(it));
            // Who did not count when it was decided may still follow an older leader.
            if same && self.when[dropped as usize - 1] <= epoch {
                return Err(format!("c{} drops {dropped}, which is decided", i + 1));
            }
        }
        Ok(())
    }

    /// A record is about to become durable.
    pub fn durable(&mut self, i: usize, node: &Node, record: Record) -> Result<(), String> {
        let me = i + 1;
        match record {
            Record::Promise(promise) => {
                let before = node.disk.promise;
                let other = promise.epoch == before.epoch && promise.to != before.to;
                if promise.epoch < before.epoch || other {
                    return Err(format!("c{me} promised {before:?}, and then {promise:?}"));
                }
                self.seen.back += u64::from(node.disk.rejoins && promise.to.is_some());
            }
            Record::Cut(_) => {}
            Record::Entry(slot) => {
                if slot.epoch > node.disk.promise.epoch && node.disk.promise.to.is_some() {
                    return Err(format!("c{me} has {slot:?} without a promise"));
                }
            }
        }
        Ok(())
    }
}
