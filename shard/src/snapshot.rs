//! Snapshot reads: the state as of a timestamp, without locks.
//!
//! Serving a read at `T` raises the floor to `T`, so that nothing commits at or
//! below `T` here any more. What could still do so has voted already: a reader
//! waits for prepared writers of what it reads with `m <= T`, and for no others.
//! A timestamp at or above every window that is known here may not have been
//! issued; the coordinator is asked before the read is served or refused.

use bytes::Bytes;
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::key::KeyRange;
use synod_common::limits::{self, Limit};
use synod_common::message::bulk::Keys;
use synod_common::message::{CommitMessage, DataReply};
use synod_common::node::Output;
use synod_common::time::{Now, Timestamp};

use crate::access::values;
use crate::mutant::mutated;
use crate::shard::{Shard, Timer};

/// Keys pruned in one go.
const PRUNE_BUDGET: usize = 2_000;

/// A snapshot read, waiting or not.
#[derive(Clone, Debug)]
pub struct SnapshotRequest {
    /// Who asked.
    pub from: Peer,
    /// Under which request.
    pub request: RequestId,
    /// As of when.
    pub at: Timestamp,
    /// Epoch of the map that the client used.
    pub map_epoch: u32,
    /// What is to be read.
    pub what: What,
}

/// What a snapshot reads.
#[derive(Clone, Debug)]
pub enum What {
    /// These keys.
    Keys(Bytes),
    /// A page of a range.
    Range {
        /// From where to where.
        range: KeyRange,
        /// At most so many rows.
        limit: usize,
        /// From the end to the start.
        reverse: bool,
    },
}

impl Shard {
    /// Serves a snapshot read, parks it, or refuses it.
    pub(crate) fn snapshot(&mut self, now: Now, request: SnapshotRequest, out: &mut Output) {
        if let Err(reason) = self.check_snapshot(&request) {
            return out.send(request.from, request.request, DataReply::Refused(reason));
        }
        if request.at >= self.window {
            self.parked += 1;
            // Only an answer to a question asked from now on says that this is the
            // future: the timestamp may have been drawn after an earlier answer.
            self.ahead.push((self.last_ask + 1, request));
            return self.ask_window(now, out);
        }
        if !mutated!(self, SnapshotLeavesFloor) {
            self.floor = self.floor.max(request.at);
        }
        if let Some(writer) = self.writer_in_the_way(&request) {
            self.parked += 1;
            self.snapshot_waits.entry(writer).or_default().push(request);
            return;
        }
        self.answer_snapshot(&request, out);
    }

    /// Asks where the window ends, again and again while a read waits for it.
    pub(crate) fn ask_window(&mut self, now: Now, out: &mut Output) {
        if !self.ahead.is_empty() {
            let to = self.coordinator();
            self.last_ask += 1;
            out.send(to, RequestId(self.last_ask), CommitMessage::AskWindow);
            self.timers.set(Timer::AskWindow, now.mono + self.settings.inquire_after);
        }
    }

    fn check_snapshot(&self, request: &SnapshotRequest) -> Result<(), Reason> {
        self.check_serving(request.map_epoch)?;
        if request.at <= self.safe_point {
            return Err(Reason::SnapshotTooOld(self.safe_point.next()));
        }
        if self.parked >= self.settings.max_waits {
            return Err(Reason::Overloaded);
        }
        if let What::Keys(keys) = &request.what {
            for (i, key) in Keys::read(keys).enumerate() {
                if !self.owns(key?) {
                    return Err(Reason::StaleMap);
                }
                if i >= limits::TXN_KEYS {
                    return Err(Reason::TooLarge(Limit::TxnKeys));
                }
            }
        }
        Ok(())
    }

    /// A prepared writer that may commit at or below the snapshot.
    fn writer_in_the_way(&self, request: &SnapshotRequest) -> Option<TxnId> {
        if self.intents.is_empty() || mutated!(self, ReaderIgnoresPrepared) {
            return None;
        }
        let in_the_way = |(m, txn): (Timestamp, TxnId)| {
            let stage = &self.txns.get(&txn)?.stage;
            if mutated!(self, OnlyDurableCounts) && !stage.is_durable(self.durable) {
                return None;
            }
            (m <= request.at).then_some(txn)
        };
        match &request.what {
            What::Keys(keys) => Keys::read(keys)
                .map_while(Result::ok)
                .find_map(|key| self.intents.of(key).find_map(in_the_way)),
            What::Range { range, .. } => self.intents.within(range).find_map(in_the_way),
        }
    }

    fn answer_snapshot(&self, request: &SnapshotRequest, out: &mut Output) {
        assert!(request.at > self.safe_point, "{} is read, which may be gone", request.at);
        let reply = match &request.what {
            What::Keys(keys) => {
                let read = |key: &[u8]| self.versions.at(key, request.at)?.value;
                match values(keys, read) {
                    Ok(values) => DataReply::Values { incarnation: None, values },
                    Err(limit) => DataReply::Refused(Reason::TooLarge(limit)),
                }
            }
            What::Range { range, limit, reverse } => {
                let (rows, resume) = self.page(range, request.at, *reverse, *limit);
                DataReply::Rows { incarnation: None, resume, rows }
            }
        };
        out.send(request.from, request.request, reply);
    }

    /// Serves what waited for writers that are decided now.
    pub(crate) fn wake_snapshots(&mut self, now: Now, out: &mut Output) {
        while let Some(request) = self.woken.pop() {
            self.parked -= 1;
            if mutated!(self, ReaderWaitsOnce) {
                self.answer_snapshot(&request, out);
                continue;
            }
            self.snapshot(now, request, out);
        }
    }

    /// The oracle's window ends at `hi` or later. Unless it answers a question, a
    /// later window may already be in use.
    pub(crate) fn window_is(
        &mut self,
        now: Now,
        answered: RequestId,
        hi: Timestamp,
        out: &mut Output,
    ) {
        self.window = self.window.max(hi);
        for (ask, request) in std::mem::take(&mut self.ahead) {
            if request.at < self.window {
                self.parked -= 1;
                self.snapshot(now, request, out);
            } else if (ask..=self.last_ask).contains(&answered.0) {
                self.parked -= 1;
                let refused = DataReply::Refused(Reason::SnapshotInFuture);
                out.send(request.from, request.request, refused);
            } else {
                self.ahead.push((ask, request));
            }
        }
    }

    /// Drops the parked reads of a client that is gone.
    pub(crate) fn drop_snapshots(&mut self, client: Peer) {
        self.ahead.retain(|(_, request)| request.from != client);
        for readers in self.snapshot_waits.values_mut() {
            readers.retain(|request| request.from != client);
        }
        let waiting: usize = self.snapshot_waits.values().map(Vec::len).sum();
        self.parked = self.ahead.len() + self.woken.len() + waiting;
    }

    /// The coordinator says that nobody reads at or below this any more.
    pub(crate) fn safe_point_is(&mut self, at: Timestamp) {
        self.published = self.published.max(at);
        self.prune();
    }

    /// Moves the safe point as far as the coordinator allows, and drops versions
    /// below it. It stays below every prepared writer, so nothing that may still
    /// commit is at or below it; and it raises the floor, so nothing that begins to
    /// is either.
    pub(crate) fn prune(&mut self) {
        let mut point = self.published;
        if let Some((m, _)) = self.writers.first()
            && !mutated!(self, PruneAbovePrepared)
        {
            point = point.min(Timestamp(m.0.saturating_sub(1)));
        }
        self.safe_point = self.safe_point.max(point);
        self.floor = self.floor.max(self.safe_point);
        self.versions.prune(self.safe_point, PRUNE_BUDGET);
    }
}
