//! Two-phase commit, presumed abort: the participant's side.
//!
//! | in state  | on                | do                                                   | next      |
//! |-----------|-------------------|------------------------------------------------------|-----------|
//! | Active    | ABORT, also the client's; it lapses; deadlock | drop the locks         | –         |
//! | –, Active | PREPARE           | lock what is written                                 | Preparing |
//! | Preparing | locks held, writes| *force* Prepared; then YES(m)                        | Prepared  |
//! | Preparing | locks held, none  | READ(m)                                              | ReadVoted |
//! | Preparing | deadlock, time-out, ABORT | NO; drop the locks                           | –         |
//! | –, Active, Preparing | its locks were lost, m ≥ hi, what it read has changed | NO; drop the locks | – |
//! | Prepared  | COMMIT(ts)        | log Committed, install, floor, drop the locks; ACK once durable | – |
//! | Prepared  | ABORT, FORGOTTEN  | log Aborted (not forced), drop the locks             | –         |
//! | ReadVoted | RELEASE(ts), a peer's COMMIT(ts) | floor to `ts`, drop the locks                        | –         |
//! | ReadVoted | ABORT             | drop the locks                                       | –         |
//! | ReadVoted | FORGOTTEN         | floor to `hi`, drop the locks                        | –         |
//! | ReadVoted | nobody to ask, for long | as FORGOTTEN                                   | –         |
//! | –         | COMMIT            | ACK once all that was logged is durable              | –         |
//! | –         | ABORT, RELEASE    | nothing                                              | –         |
//! | –         | restart, Prepared and no outcome in the log | take the locks again; INQUIRE | Prepared |
//! | voted     | silence           | INQUIRE, for ever; the others, too, see `cooperate`  | the same  |

use synod_common::commit::Verdict;
use synod_common::error::Reason;
use synod_common::id::TxnId;
use synod_common::message::commit::Decision;
use synod_common::node::Output;
use synod_common::time::Timestamp;

use super::Stage;
use crate::mutant::mutated;
use crate::over::End;
use crate::record::{Prepared, Record};
use crate::shard::{Shard, Timer};

impl Shard {
    /// The coordinator has decided.
    pub(crate) fn decide(&mut self, txn: TxnId, decision: Decision, out: &mut Output) {
        if self.is_resolved(txn) {
            return self.resolved_ends(txn, decision, out);
        }
        match (self.txns.get(&txn).map(|participant| &participant.stage), decision) {
            (Some(Stage::Prepared { .. }), Decision::Commit(at)) => self.commit(txn, at, out),
            (Some(Stage::Prepared { .. }), Decision::Abort | Decision::Forgotten) => {
                out.append(&Record::Aborted { txn });
                self.stats.aborted += 1;
                self.decided.insert(txn, Decision::Abort);
                self.end_vote(txn);
            }
            (Some(Stage::ReadVoted { hi, .. }), Decision::Forgotten) => {
                if !mutated!(self, ForgottenLeavesFloor) {
                    self.floor = self.floor.max(*hi);
                }
                self.end_vote(txn);
            }
            (Some(Stage::ReadVoted { .. }), Decision::Abort) => {
                self.decided.insert(txn, Decision::Abort);
                self.end_vote(txn);
            }
            (Some(Stage::ReadVoted { .. }), Decision::Commit(at)) => self.release(txn, at, out),
            (Some(Stage::Active | Stage::Preparing(_)), Decision::Abort | Decision::Forgotten) => {
                self.abort(txn, &Reason::Presumed, out);
            }
            // Committed and forgotten here; the record may not be durable yet. A
            // late request of the client may have made it known again.
            (None | Some(Stage::Active | Stage::Preparing(_)), Decision::Commit(_)) => {
                if self.txns.contains_key(&txn) {
                    self.abort(txn, &Reason::LocksLost, out);
                }
                self.owe_ack(txn, out.last_lsn(), out);
            }
            (Some(Stage::OnePhase { .. }) | None, _) => {}
        }
    }

    fn commit(&mut self, txn: TxnId, at: Timestamp, out: &mut Output) {
        let Some(Stage::Prepared { lsn, record, site, .. }) = self.txns.get(&txn).map(|t| &t.stage)
        else {
            return;
        };
        let (is_site, end) = (site.is_some(), self.end_of(record, at));
        assert!(*lsn <= self.durable, "{txn} was committed before this shard voted");
        assert!(record.m <= at, "{txn} voted {} and was committed at {at}", record.m);
        let writes = record.writes.clone();
        let h = record.h;
        let lsn = out.append(&Record::Committed { txn, at });
        self.owe_ack(txn, lsn, out);
        self.stats.in_doubt -= 1;
        self.timers.stop(Timer::Inquire(txn));
        self.over.insert(txn, h, end);
        if is_site {
            self.settled.insert(txn, h, Verdict::Commit(at));
        }
        self.decided.insert(txn, Decision::Commit(at));
        self.install(txn, at, &writes);
    }

    /// How a commit is remembered that others have prepared, too: if votes have decided it, this
    /// may be the only trace of it.
    pub(crate) fn end_of(&self, record: &Prepared, at: Timestamp) -> End {
        match record.implicit && !mutated!(self, CommitsForgotten) {
            true => End::Voted(at, record.participants.as_slice().into()),
            false => End::Decided,
        }
    }

    /// It committed at `at`, and the oracle is past that.
    pub(crate) fn release(&mut self, txn: TxnId, at: Timestamp, out: &mut Output) {
        match self.txns.get(&txn).map(|participant| &participant.stage) {
            Some(Stage::ReadVoted { .. }) => {
                self.floor = self.floor.max(at);
                self.stats.committed += 1;
                self.decided.insert(txn, Decision::Commit(at));
                self.end_vote(txn);
            }
            Some(Stage::Prepared { .. }) => self.decide(txn, Decision::Commit(at), out),
            Some(Stage::OnePhase { .. }) => self.release_one_phase(txn, at),
            Some(Stage::Active | Stage::Preparing(_)) | None => {}
        }
    }

    /// A voter is done without installing anything.
    fn end_vote(&mut self, txn: TxnId) {
        self.timers.stop(Timer::Inquire(txn));
        let (h, is_site) = match self.txns.get(&txn).map(|participant| &participant.stage) {
            Some(Stage::Prepared { record, site, .. }) => {
                self.stats.in_doubt -= 1;
                (record.h, site.is_some())
            }
            Some(Stage::ReadVoted { h, m, .. }) => {
                self.readers.remove(&(*m, txn));
                (*h, false)
            }
            Some(Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. }) | None => return,
        };
        if is_site {
            self.settled.insert(txn, h, Verdict::Abort);
        }
        self.over.insert(txn, h, End::Decided);
        self.forget(txn);
    }
}
