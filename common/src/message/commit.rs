//! Between a coordinator and a shard: joining, voting, deciding, asking.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::commit::{Protocol, Verdict};
use crate::deadlock::{Handling, Standing};
use crate::error::Reason;
use crate::id::{ClusterId, CoordinatorId, Epoch, Incarnation, ShardId, TxnId};
use crate::route::Placement;
use crate::time::Timestamp;

/// A message of the commit protocols. Lost ones are made good by timers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CommitMessage {
    /// Shard: here I am; sent when the link comes up, until welcomed.
    Join {
        /// The cluster that my data belongs to.
        cluster: ClusterId,
        /// I have promised to begin no commit of an older epoch; all that I
        /// committed in one phase before that is told, and all that I know of votes in
        /// two-phase commit.
        epoch: Epoch,
        /// Whether I restarted and must not serve before I am welcomed.
        boot: bool,
        /// Names this attempt to join; repeated in the welcome.
        nonce: u64,
        /// How many transactions I told under this nonce.
        remembered: u32,
    },
    /// Shard: one-phase transactions that I remember; sent before `Join`. A
    /// [`List`](super::bulk::List) of [`OnePhaseOutcome`](super::bulk::OnePhaseOutcome).
    OnePhaseOutcomes {
        /// The attempt to join that they belong to.
        nonce: u64,
        /// The outcomes.
        #[serde(skip)]
        outcomes: Bytes,
    },
    /// Coordinator: you belong to us.
    Welcome {
        /// The attempt to join that this answers.
        nonce: u64,
        /// My epoch. Transactions of older ones will not be committed.
        epoch: Epoch,
        /// End of the window that was closed for this welcome: later timestamps
        /// lie above it. Your floor starts here.
        floor: Timestamp,
        /// The shard map.
        placement: Placement,
        /// How the whole cluster deals with deadlocks.
        handling: Handling,
    },
    /// Coordinator: vote on this transaction.
    Prepare {
        /// Its name.
        txn: TxnId,
        /// Drawn from the oracle when the commit began.
        h: Timestamp,
        /// End of the oracle's durable window.
        hi: Timestamp,
        /// The incarnation the client was given, if it read here.
        incarnation: Option<Incarnation>,
        /// Every transaction with a smaller `h` is over.
        low_water: Timestamp,
        /// All shards that take part; without the last agent, if there is one.
        participants: Vec<ShardId>,
        /// Who accepts the votes in Paxos Commit; in other protocols only I count them.
        acceptors: Vec<CoordinatorId>,
        /// Whether it is committed by the votes alone, once all are YES.
        implicit: bool,
        /// What holds for it on every shard.
        terms: Terms,
        /// How many bytes of the bulk are what was read here without locks.
        read_bytes: u32,
        /// That, then the writes for this shard.
        #[serde(skip)]
        writes: Bytes,
    },
    /// Shard: my vote, as it was first given.
    Vote {
        /// On which transaction.
        txn: TxnId,
        /// The vote.
        vote: Vote,
    },
    /// Coordinator: commit this by yourself; you are the only participant, or the only one
    /// that writes, and all others have voted READ.
    CommitOnePhase {
        /// Its name.
        txn: TxnId,
        /// Drawn from the oracle when the commit began.
        h: Timestamp,
        /// End of the oracle's durable window.
        hi: Timestamp,
        /// The largest timestamp that others have voted: at that one or later.
        after: Timestamp,
        /// The incarnation the client was given, if it read here.
        incarnation: Option<Incarnation>,
        /// Every transaction with a smaller `h` is over.
        low_water: Timestamp,
        /// What holds for it.
        terms: Terms,
        /// How many bytes of the bulk are what was read here without locks.
        read_bytes: u32,
        /// That, then the writes.
        #[serde(skip)]
        writes: Bytes,
    },
    /// Shard: what became of a one-phase transaction.
    OnePhaseDone {
        /// Its name.
        txn: TxnId,
        /// Its fate: `Yes` and `Read` are committed at that timestamp.
        vote: Vote,
    },
    /// Coordinator: what became of this one-phase transaction? If you do not
    /// know it, abort it.
    InquireOnePhase {
        /// Its name.
        txn: TxnId,
        /// The timestamp under which it was sent.
        h: Timestamp,
    },
    /// Coordinator: abort this one-phase transaction, unless you have committed it, and say
    /// what became of it.
    AbortOnePhase {
        /// Its name.
        txn: TxnId,
        /// The timestamp under which it was sent.
        h: Timestamp,
        /// Why.
        reason: Reason,
    },
    /// Coordinator: the decision, for one that voted YES or has not voted.
    Decide {
        /// On which transaction.
        txn: TxnId,
        /// The decision.
        decision: Decision,
    },
    /// Coordinator: it committed at `at`, and the oracle is past that: drop the
    /// locks of a READ voter, install a one-phase commit.
    Release {
        /// Its name.
        txn: TxnId,
        /// Its commit timestamp.
        at: Timestamp,
    },
    /// Shard: these commits are durable here, you may forget them.
    Ack {
        /// Of which transactions.
        txns: Vec<TxnId>,
    },
    /// Shard: I voted and heard nothing since. What was decided?
    Inquire {
        /// On which transaction.
        txn: TxnId,
    },
    /// Shard: a snapshot lies above every window that I know. Where does yours end?
    /// The answer repeats the request id.
    AskWindow,
    /// Coordinator: where the oracle's window ends; no timestamp at or above it
    /// was issued when this was sent.
    Window {
        /// End of the window.
        hi: Timestamp,
    },
    /// Coordinator: join me in this epoch. The answer to a `Join` that names
    /// another one.
    Call {
        /// My epoch.
        epoch: Epoch,
    },
    /// Coordinator: nobody reads at or below this any more.
    SafePoint {
        /// The safe point.
        at: Timestamp,
    },
    /// Coordinator: how far three-phase commits are settled: aborted, or acknowledged by
    /// all their sites.
    Settled {
        /// My epoch.
        epoch: Epoch,
        /// Counts these within the epoch.
        number: u64,
        /// All that began to commit before this are decided.
        below: Timestamp,
        /// Those of them that are not settled; a [`List`](super::bulk::List) of
        /// [`TxnId`].
        #[serde(skip)]
        open: Bytes,
    },
    /// Shard: I do not obey you, but the leader of this epoch. The answer to what a coordinator
    /// says that leads no later one; it is not answered.
    Stale {
        /// The epoch.
        epoch: Epoch,
    },
    /// Shard: transactions of older epochs that votes alone decide, and that I have in doubt, or
    /// have committed and the coordinator may have no record of; sent before `Join`.
    Voted {
        /// The attempt to join that they belong to.
        nonce: u64,
        /// A [`List`](super::bulk::List) of [`Voted`].
        #[serde(skip)]
        txns: Bytes,
    },
    /// Coordinator: all that votes alone decide and that began before this is decided, durably,
    /// in my log. Who remembers a commit of that kind may forget it.
    VotesOver {
        /// The mark.
        below: Timestamp,
    },
}

/// A transaction that votes alone decide, and that a shard has voted YES on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voted {
    /// Its name.
    pub txn: TxnId,
    /// When its commit began.
    pub h: Timestamp,
    /// All shards that take part.
    pub participants: Vec<ShardId>,
    /// What the shard knows of it.
    pub knows: Knows,
}

/// What a shard knows of a transaction that it has voted YES on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Knows {
    /// No outcome; it voted this timestamp.
    InDoubt(Timestamp),
    /// It is committed, at this timestamp.
    Committed(Timestamp),
}

/// What a client says of its transaction to all participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What to make sure of before voting.
    pub validation: Validation,
    /// Why to spare it, should it have to wait for what it writes.
    pub standing: Standing,
    /// How it is to be committed, if it writes on several shards.
    pub protocol: Protocol,
}

/// What a participant makes sure of before it votes, besides holding its locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validation {
    /// Nothing: whatever must not have changed is locked.
    Locked,
    /// First committer wins: what is written has no version above this snapshot.
    Writes(Timestamp),
    /// What was read at this snapshot is locked now, if that is possible at once,
    /// and has no version above it.
    Reads(Timestamp),
}

/// A participant's answer to PREPARE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vote {
    /// Prepared durably, at this timestamp or later.
    Yes(Timestamp),
    /// Nothing to write; its locks are kept for a commit at this timestamp or later.
    Read(Timestamp),
    /// It will not commit here.
    No(Reason),
}

/// The fate of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Committed at this timestamp.
    Commit(Timestamp),
    /// Aborted.
    Abort,
    /// The coordinator has no record of it, or lets a READ voter go before there is one.
    /// Whoever voted YES may conclude that it is aborted; whoever voted READ only that it
    /// commits below the end of the window it has voted in, if it does.
    Forgotten,
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Decision {
        match verdict {
            Verdict::Commit(at) => Decision::Commit(at),
            Verdict::Abort => Decision::Abort,
        }
    }
}

impl CommitMessage {
    /// Whether shards send this; otherwise coordinators do.
    pub fn is_from_shard(&self) -> bool {
        match self {
            CommitMessage::Join { .. }
            | CommitMessage::OnePhaseOutcomes { .. }
            | CommitMessage::Vote { .. }
            | CommitMessage::OnePhaseDone { .. }
            | CommitMessage::Ack { .. }
            | CommitMessage::Inquire { .. }
            | CommitMessage::AskWindow
            | CommitMessage::Voted { .. }
            | CommitMessage::Stale { .. } => true,
            CommitMessage::Welcome { .. }
            | CommitMessage::VotesOver { .. }
            | CommitMessage::Prepare { .. }
            | CommitMessage::CommitOnePhase { .. }
            | CommitMessage::InquireOnePhase { .. }
            | CommitMessage::AbortOnePhase { .. }
            | CommitMessage::Decide { .. }
            | CommitMessage::Release { .. }
            | CommitMessage::Window { .. }
            | CommitMessage::Call { .. }
            | CommitMessage::SafePoint { .. }
            | CommitMessage::Settled { .. } => false,
        }
    }

    /// The transaction that it is about, if it is about one only.
    pub fn txn(&self) -> Option<TxnId> {
        match self {
            CommitMessage::Prepare { txn, .. }
            | CommitMessage::Vote { txn, .. }
            | CommitMessage::CommitOnePhase { txn, .. }
            | CommitMessage::OnePhaseDone { txn, .. }
            | CommitMessage::InquireOnePhase { txn, .. }
            | CommitMessage::AbortOnePhase { txn, .. }
            | CommitMessage::Decide { txn, .. }
            | CommitMessage::Release { txn, .. }
            | CommitMessage::Inquire { txn } => Some(*txn),
            CommitMessage::Join { .. }
            | CommitMessage::OnePhaseOutcomes { .. }
            | CommitMessage::Voted { .. }
            | CommitMessage::VotesOver { .. }
            | CommitMessage::Welcome { .. }
            | CommitMessage::Ack { .. }
            | CommitMessage::AskWindow
            | CommitMessage::Window { .. }
            | CommitMessage::Call { .. }
            | CommitMessage::SafePoint { .. }
            | CommitMessage::Settled { .. }
            | CommitMessage::Stale { .. } => None,
        }
    }

    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            CommitMessage::OnePhaseOutcomes { outcomes, .. } => Some(outcomes),
            CommitMessage::Voted { txns, .. } => Some(txns),
            CommitMessage::Settled { open, .. } => Some(open),
            CommitMessage::Prepare { writes, .. }
            | CommitMessage::CommitOnePhase { writes, .. } => Some(writes),
            CommitMessage::Join { .. }
            | CommitMessage::Welcome { .. }
            | CommitMessage::Vote { .. }
            | CommitMessage::OnePhaseDone { .. }
            | CommitMessage::InquireOnePhase { .. }
            | CommitMessage::AbortOnePhase { .. }
            | CommitMessage::Decide { .. }
            | CommitMessage::Release { .. }
            | CommitMessage::Ack { .. }
            | CommitMessage::Inquire { .. }
            | CommitMessage::AskWindow
            | CommitMessage::Window { .. }
            | CommitMessage::Call { .. }
            | CommitMessage::VotesOver { .. }
            | CommitMessage::SafePoint { .. }
            | CommitMessage::Stale { .. } => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            CommitMessage::OnePhaseOutcomes { outcomes, .. } => Some(outcomes),
            CommitMessage::Voted { txns, .. } => Some(txns),
            CommitMessage::Settled { open, .. } => Some(open),
            CommitMessage::Prepare { writes, .. }
            | CommitMessage::CommitOnePhase { writes, .. } => Some(writes),
            CommitMessage::Join { .. }
            | CommitMessage::Welcome { .. }
            | CommitMessage::Vote { .. }
            | CommitMessage::OnePhaseDone { .. }
            | CommitMessage::InquireOnePhase { .. }
            | CommitMessage::AbortOnePhase { .. }
            | CommitMessage::Decide { .. }
            | CommitMessage::Release { .. }
            | CommitMessage::Ack { .. }
            | CommitMessage::Inquire { .. }
            | CommitMessage::AskWindow
            | CommitMessage::Window { .. }
            | CommitMessage::Call { .. }
            | CommitMessage::VotesOver { .. }
            | CommitMessage::SafePoint { .. }
            | CommitMessage::Stale { .. } => None,
        }
    }
}
