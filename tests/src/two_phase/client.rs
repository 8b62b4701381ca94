//! The client: it reads under locks, commits, asks what became of it, and reads snapshots.
//!
//! ```text
//!   begin ──READ──▶ shards ──all values──▶ COMMIT ──▶ told
//!     │ no answer, a refusal                  │ no answer: COMMIT again, or OUTCOME
//!     ▼                                       ▼
//!   given up: never committed               told
//! ```

use bytes::{Bytes, BytesMut};
use synod_common::commit::Protocol;
use synod_common::deadlock::Standing;
use synod_common::error::Reason;
use synod_common::id::{Incarnation, RequestId, SessionId, ShardId, TxnId};
use synod_common::message::bulk::{Keys, Values, WriteSet};
use synod_common::message::client::{Outcome, Part};
use synod_common::message::commit::{Terms, Validation};
use synod_common::message::data::{Access, LockWait, ReadMode};
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};
use synod_common::time::Timestamp;

use super::net::{COORDINATOR, MOST_SHARDS};
use super::settings::KEYS;
use crate::sim::rng::Rng;

/// At most so many transactions.
pub const MOST: usize = 3;
/// At most so many snapshots.
const MOST_SNAPSHOTS: usize = 2;

/// What a transaction does with the two keys of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Nothing.
    Nothing,
    /// Reads the first under a lock.
    Read,
    /// Writes the first.
    Write,
    /// Reads the first under a lock, and writes it.
    Change,
    /// Reads the first under a lock, and writes the second.
    Copy,
    /// Writes the second.
    Other,
}

impl Op {
    /// Whether it reads.
    pub fn reads(self) -> bool {
        matches!(self, Op::Read | Op::Change | Op::Copy)
    }

    /// Which key it writes, if it does.
    pub fn written(self) -> Option<usize> {
        match self {
            Op::Nothing | Op::Read => None,
            Op::Write | Op::Change => Some(0),
            Op::Copy | Op::Other => Some(1),
        }
    }

    /// Whether it writes.
    pub fn writes(self) -> bool {
        self.written().is_some()
    }
}

/// The value of a key: the number of the transaction that wrote it, from 1; 0 before all.
pub type Value = u8;

/// How far a transaction is, for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It waits for what it reads.
    Reading,
    /// It wants to be committed.
    Committing,
    /// It was given up before that.
    GivenUp,
    /// The client was told what became of it.
    Told,
    /// The client has asked when that was forgotten.
    Forgotten,
}

/// A transaction.
#[derive(Clone, Debug, Hash)]
pub struct Txn {
    /// Its name.
    pub id: TxnId,
    /// What it does on each shard.
    pub ops: [Op; MOST_SHARDS],
    /// How far it is.
    pub stage: Stage,
    /// What it has read under locks.
    pub read: [Option<Value>; MOST_SHARDS],
    incarnations: [Option<Incarnation>; MOST_SHARDS],
    /// The newest commit that was told when it began.
    pub after: Timestamp,
}

impl Txn {
    /// The places of the shards that it does something on.
    pub fn shards(&self) -> impl Iterator<Item = usize> {
        (1..=MOST_SHARDS).filter(|shard| self.ops[shard - 1] != Op::Nothing)
    }

    /// On how many shards it writes.
    pub fn writers(&self) -> usize {
        self.ops.iter().filter(|op| op.writes()).count()
    }

    /// Whether its votes alone decide it: all that do something write, and there are several.
    pub fn is_implicit(&self) -> bool {
        let writers = self.writers();
        writers > 1 && self.shards().count() == writers
    }

    fn misses(&self) -> bool {
        (0..MOST_SHARDS).any(|shard| self.ops[shard].reads() && self.read[shard].is_none())
    }
}

/// A snapshot.
#[derive(Clone, Debug, Hash)]
pub struct Snapshot {
    /// As of when; none until the oracle has said so.
    pub at: Option<Timestamp>,
    /// What was read, of both keys of each shard.
    pub read: [Option<[Value; 2]>; MOST_SHARDS],
    /// The newest commit that was told when it began.
    pub after: Timestamp,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A session.
    Session,
    /// What a transaction reads on a shard.
    Read(usize, usize),
    /// What became of a transaction.
    Outcome(usize),
    /// When a snapshot is.
    Timestamp(usize),
    /// What a snapshot reads on a shard.
    Snapshot(usize, usize),
}

impl From<About> for RequestId {
    fn from(about: About) -> RequestId {
        let (kind, number, shard) = match about {
            About::Session => (1, 0, 0),
            About::Read(number, shard) => (2, number, shard),
            About::Outcome(number) => (3, number, 0),
            About::Timestamp(number) => (4, number, 0),
            About::Snapshot(number, shard) => (5, number, shard),
        };
        RequestId(kind << 16 | (number as u64) << 8 | shard as u64)
    }
}

impl About {
    /// What was asked under this number.
    pub fn of(request: RequestId) -> Option<About> {
        let (number, shard) = ((request.0 >> 8 & 0xff) as usize, (request.0 & 0xff) as usize);
        match request.0 >> 16 {
            1 => Some(About::Session),
            2 => Some(About::Read(number, shard)),
            3 => Some(About::Outcome(number)),
            4 => Some(About::Timestamp(number)),
            5 => Some(About::Snapshot(number, shard)),
            _ => None,
        }
    }
}

/// A request: to whom, about what.
pub type Asked = (usize, About, Message);

/// The client of a schedule.
#[derive(Clone, Debug, Default, Hash)]
pub struct Client {
    /// Its session, if it has one.
    pub session: Option<SessionId>,
    /// Its transactions.
    pub txns: Vec<Txn>,
    /// Its snapshots.
    pub snapshots: Vec<Snapshot>,
    /// The newest commit that it was told.
    pub newest: Timestamp,
}

const OLDEST: Standing = Standing { age: Timestamp(1), priority: 100 };
const TERMS: Terms =
    Terms { validation: Validation::Locked, standing: OLDEST, protocol: Protocol::TwoPhase };

impl Client {
    /// The transaction of this name, by its number.
    pub fn number(&self, txn: TxnId) -> Option<usize> {
        let number = txn.sequence.checked_sub(1)? as usize;
        (self.txns.get(number)?.id == txn).then_some(number)
    }

    /// Asks for a session.
    pub fn open(out: &mut Vec<Asked>) {
        out.push((COORDINATOR, About::Session, ClientRequest::OpenSession.into()));
    }

    /// Begins one more transaction.
    pub fn begin(&mut self, ops: [Op; MOST_SHARDS], out: &mut Vec<Asked>) {
        if self.session.is_none() {
            return Client::open(out);
        }
        let number = self.txns.len();
        if number == MOST {
            return;
        }
        self.add(ops);
        if self.txns[number].misses() {
            self.read(number, out);
        } else {
            self.commit(number, out);
        }
    }

    /// Wants a transaction committed for which nothing was read.
    pub fn commit_unread(&mut self, ops: [Op; MOST_SHARDS], out: &mut Vec<Asked>) {
        let number = self.txns.len();
        self.add(ops);
        self.commit(number, out);
    }

    fn add(&mut self, ops: [Op; MOST_SHARDS]) {
        let Some(session) = self.session else { return };
        self.txns.push(Txn {
            id: TxnId { session, sequence: self.txns.len() as u64 + 1 },
            ops,
            stage: Stage::Reading,
            read: [None; MOST_SHARDS],
            incarnations: [None; MOST_SHARDS],
            after: self.newest,
        });
    }

    fn read(&mut self, number: usize, out: &mut Vec<Asked>) {
        let txn = &self.txns[number];
        let reads = txn.ops.iter().filter(|op| op.reads()).count();
        for shard in (1..=MOST_SHARDS).filter(|shard| txn.ops[shard - 1].reads()) {
            let access = Access {
                txn: txn.id,
                standing: OLDEST,
                holds_elsewhere: reads > 1,
                incarnation: None,
                map_epoch: 1,
                wait: LockWait::Millis(30),
                snapshot: None,
                returns: 0,
            };
            let mode = match txn.ops[shard - 1] {
                Op::Change => ReadMode::Update,
                Op::Nothing | Op::Read | Op::Write | Op::Copy | Op::Other => ReadMode::Shared,
            };
            let keys = Keys::one(KEYS[shard - 1][0]);
            let request = DataRequest::Read { access, mode, keys };
            out.push((shard, About::Read(number, shard), request.into()));
        }
    }

    /// Wants it committed.
    pub fn commit(&mut self, number: usize, out: &mut Vec<Asked>) {
        let txn = &mut self.txns[number];
        txn.stage = Stage::Committing;
        let mut parts = Vec::with_capacity(MOST_SHARDS);
        let mut writes = BytesMut::new();
        for shard in txn.shards() {
            let before = writes.len();
            if let Some(key) = txn.ops[shard - 1].written() {
                let mut set = WriteSet::default();
                set.push(KEYS[shard - 1][key], Some(&[number as u8 + 1][..]));
                writes.extend_from_slice(&set.finish());
            }
            parts.push(Part {
                shard: ShardId(shard as u16),
                incarnation: txn.incarnations[shard - 1],
                read_bytes: 0,
                write_bytes: (writes.len() - before) as u32,
            });
        }
        let writes = writes.freeze();
        let request = ClientRequest::Commit { txn: txn.id, terms: TERMS, parts, writes };
        out.push((COORDINATOR, About::Outcome(number), request.into()));
    }

    /// Never commits it.
    fn give_up(&mut self, number: usize, out: &mut Vec<Asked>) {
        let txn = &mut self.txns[number];
        txn.stage = Stage::GivenUp;
        for shard in txn.shards() {
            let request = DataRequest::Abort { txn: txn.id };
            out.push((shard, About::Read(number, shard), request.into()));
        }
    }

    /// Asks what became of it.
    pub fn ask(&mut self, number: usize, out: &mut Vec<Asked>) {
        let request = ClientRequest::Outcome { txn: self.txns[number].id };
        out.push((COORDINATOR, About::Outcome(number), request.into()));
    }

    /// Begins one more snapshot.
    pub fn look(&mut self, out: &mut Vec<Asked>) {
        if self.snapshots.len() < MOST_SNAPSHOTS {
            self.look_once_more(out);
        }
    }

    /// Begins the last one.
    pub fn look_once_more(&mut self, out: &mut Vec<Asked>) {
        let about = About::Timestamp(self.snapshots.len());
        let after = self.newest;
        self.snapshots.push(Snapshot { at: None, read: [None; MOST_SHARDS], after });
        out.push((COORDINATOR, about, ClientRequest::Timestamp.into()));
    }

    /// An operator decides one of its transactions on a shard.
    pub fn resolve(&self, rng: &mut Rng, shards: usize, out: &mut Vec<Asked>) {
        if self.txns.is_empty() {
            return;
        }
        let txn = self.txns[rng.below(self.txns.len() as u64) as usize].id;
        let shard = rng.within(1..=shards as u64) as usize;
        let (by, why) = (Some("operator".to_owned()), String::new());
        let (commit, force) = (rng.chance(5_000), true);
        let request = DataRequest::Resolve { txn, commit, by, why, force };
        out.push((shard, About::Session, request.into()));
    }

    /// It has waited for one of its transactions for long.
    pub fn waited(&mut self, rng: &mut Rng, out: &mut Vec<Asked>) {
        if self.txns.is_empty() {
            return;
        }
        let number = rng.below(self.txns.len() as u64) as usize;
        match self.txns[number].stage {
            Stage::Reading => self.give_up(number, out),
            Stage::Committing if rng.chance(5_000) => self.commit(number, out),
            Stage::Committing => self.ask(number, out),
            // What was told once must not change.
            Stage::Told | Stage::Forgotten | Stage::GivenUp => self.ask(number, out),
        }
    }

    /// It does nothing new any more, and wants to know all that is open.
    pub fn finish(&mut self, shards: usize, out: &mut Vec<Asked>) {
        for number in 0..self.txns.len() {
            match self.txns[number].stage {
                Stage::Reading => self.give_up(number, out),
                Stage::Committing | Stage::GivenUp => self.ask(number, out),
                Stage::Told | Stage::Forgotten => {}
            }
        }
        let mut sessions: Vec<SessionId> = self.txns.iter().map(|txn| txn.id.session).collect();
        sessions.dedup();
        for session in sessions {
            for shard in 1..=shards {
                let request = DataRequest::Heartbeat { session, oldest: MOST as u64 + 1 };
                out.push((shard, About::Session, request.into()));
            }
        }
    }

    /// Whether it knows what became of all that it wanted committed, if that is to be known.
    pub fn knows_all(&self) -> bool {
        self.txns.iter().all(|txn| matches!(txn.stage, Stage::Told | Stage::Forgotten))
    }

    /// A reply came.
    ///
    /// # Errors
    /// If it contradicts an earlier one.
    pub fn hear(
        &mut self,
        shards: usize,
        about: About,
        message: &Message,
        out: &mut Vec<Asked>,
    ) -> Result<(), String> {
        match (about, message) {
            (About::Session, Message::ClientReply(ClientReply::SessionOpened { session, .. })) => {
                self.session = self.session.max(Some(*session));
            }
            (About::Read(number, shard), Message::DataReply(reply)) => {
                self.has_read(number, shard, reply, out);
            }
            (About::Outcome(number), Message::ClientReply(ClientReply::Outcome(outcome))) => {
                self.told(number, outcome);
            }
            (About::Timestamp(number), Message::ClientReply(ClientReply::Timestamp(at))) => {
                self.look_at(number, shards, *at, out);
            }
            (
                About::Snapshot(number, shard),
                Message::DataReply(DataReply::Values { values, .. }),
            ) => {
                let now = read(values);
                let before = self.snapshots[number].read[shard - 1].get_or_insert(now);
                if *before != now {
                    return Err(format!("I22: a snapshot reads {before:?}, {now:?} on s{shard}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn has_read(&mut self, number: usize, shard: usize, reply: &DataReply, out: &mut Vec<Asked>) {
        let txn = &mut self.txns[number];
        if txn.stage != Stage::Reading {
            return;
        }
        match reply {
            DataReply::Values { incarnation, values } => {
                // Of two only one can be the shard's.
                if txn.read[shard - 1].is_none() {
                    txn.read[shard - 1] = Some(read(values)[0]);
                    txn.incarnations[shard - 1] = *incarnation;
                }
                if !txn.misses() {
                    self.commit(number, out);
                }
            }
            _ => self.give_up(number, out),
        }
    }

    fn told(&mut self, number: usize, outcome: &Outcome) {
        let txn = &mut self.txns[number];
        match outcome {
            Outcome::Committed(at) => {
                txn.stage = Stage::Told;
                self.newest = self.newest.max(*at);
            }
            Outcome::Aborted(_) => txn.stage = Stage::Told,
            Outcome::Unknown if txn.stage != Stage::Told => txn.stage = Stage::Forgotten,
            Outcome::Undecided | Outcome::Unknown => {}
        }
        // After a restart of the coordinator there is a session to be opened.
        if matches!(outcome, Outcome::Aborted(Reason::SessionLost | Reason::Presumed)) {
            self.session.take_if(|session| *session == txn.id.session);
        }
    }

    fn look_at(&mut self, number: usize, shards: usize, at: Timestamp, out: &mut Vec<Asked>) {
        if self.snapshots[number].at.is_some() {
            return;
        }
        self.snapshots[number].at = Some(at);
        for shard in 1..=shards {
            let mut keys = Keys::default();
            KEYS[shard - 1].iter().for_each(|key| keys.push(key));
            let keys = keys.finish();
            let request = DataRequest::SnapshotRead { at, map_epoch: 1, keys };
            out.push((shard, About::Snapshot(number, shard), request.into()));
        }
    }
}

/// Of one key, or of both.
fn read(values: &Bytes) -> [Value; 2] {
    let mut read = [0; 2];
    for (place, value) in read.iter_mut().zip(Values::read(values).map_while(Result::ok)) {
        *place = value.and_then(|value| value.first()).copied().unwrap_or(0);
    }
    read
}
