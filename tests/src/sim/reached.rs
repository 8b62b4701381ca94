//! What was reached in a run. What is reached in none of many tests nothing.

use synod_common::message::{CommitMessage, Message};
use synod_common::time::Timestamp;

/// How often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Checkpoints that coordinators began.
    pub checkpoints: u64,
    /// Of those, by a leader whose epoch was not decided.
    pub early: u64,
    /// Of those, by a leader that had accepted something as a site, which was not decided.
    pub accepting: u64,
    /// Coordinators that crashed between the steps of one, or right after the last.
    pub crashes: u64,
    /// Members of a group that never came back.
    pub lost: u64,
    /// Members that lost their disk.
    pub disks: u64,
    /// Those who came back after that.
    pub back: u64,
    /// States of a group that a leader began to send.
    pub states: u64,
    /// Of those, while its epoch was not decided.
    pub needed: u64,
    /// Transactions of Paxos Commit that the leader committed with which they began.
    pub counted: u64,
    /// Those that a participant did, before any leader.
    pub counted_by_shards: u64,
    /// Those that a later one found accepted, and committed.
    pub taken_over: u64,
    /// Those that were given up though an acceptor had all votes.
    pub given_up: u64,
    /// Transactions of two-phase commit that were committed by their votes alone.
    pub by_votes: u64,
    /// Those that the log has aborted though all had voted YES.
    pub set_aside: u64,
    /// Transactions that were left to their only writer, after others had voted READ.
    pub left: u64,
    /// Wishes that such a writer aborts one.
    pub withdrawn: u64,
    /// Votes of Paxos Commit in doubt when some servers went, which are enough without.
    pub left_by_leader: u64,
    /// Those in three phases, of which all coordinators went.
    pub left_to_sites: u64,
    /// Decisions of operators.
    pub resolved: u64,
    /// Those that were wrong.
    pub mixed: u64,
    /// Votes that had to wait for who was gone.
    pub blocked: u64,
    /// Messages that were refused because their epoch is over.
    pub old_epochs: u64,
    /// Messages of coordinators that shards did not obey, because another one leads.
    pub deposed: u64,
    /// Answers of shards that say so.
    pub stale: u64,
}

impl Reached {
    /// Each with its name.
    pub fn all(&self) -> [(&'static str, u64); 25] {
        [
            ("checkpoints of coordinators", self.checkpoints),
            ("in an epoch that was not decided", self.early),
            ("with an acceptance that was not", self.accepting),
            ("crashes in one", self.crashes),
            ("members lost for good", self.lost),
            ("disks lost", self.disks),
            ("members back without", self.back),
            ("states sent", self.states),
            ("so that something could be decided", self.needed),
            ("accepted by a majority", self.counted),
            ("first by a participant", self.counted_by_shards),
            ("taken over", self.taken_over),
            ("given up though accepted", self.given_up),
            ("committed by votes alone", self.by_votes),
            ("aborted in spite of them", self.set_aside),
            ("left to the only writer", self.left),
            ("withdrawn from it", self.withdrawn),
            ("in doubt without their leader", self.left_by_leader),
            ("without any coordinator", self.left_to_sites),
            ("blocked, as nobody has promised otherwise", self.blocked),
            ("decisions of operators", self.resolved),
            ("mixed", self.mixed),
            ("refused of an old epoch", self.old_epochs),
            ("of who leads no more", self.deposed),
            ("told so by a shard", self.stale),
        ]
    }

    /// Adds what another run has reached.
    pub fn add(&mut self, other: &Reached) {
        self.checkpoints += other.checkpoints;
        self.early += other.early;
        self.accepting += other.accepting;
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.disks += other.disks;
        self.back += other.back;
        self.states += other.states;
        self.needed += other.needed;
        self.counted += other.counted;
        self.counted_by_shards += other.counted_by_shards;
        self.taken_over += other.taken_over;
        self.given_up += other.given_up;
        self.by_votes += other.by_votes;
        self.set_aside += other.set_aside;
        self.left += other.left;
        self.withdrawn += other.withdrawn;
        self.left_by_leader += other.left_by_leader;
        self.left_to_sites += other.left_to_sites;
        self.blocked += other.blocked;
        self.resolved += other.resolved;
        self.mixed += other.mixed;
        self.old_epochs += other.old_epochs;
        self.deposed += other.deposed;
        self.stale += other.stale;
    }

    /// A server sends this.
    pub fn sent(&mut self, message: &Message) {
        match message {
            Message::Commit(CommitMessage::CommitOnePhase { after, .. }) => {
                self.left += u64::from(*after > Timestamp::ZERO);
            }
            Message::Commit(CommitMessage::AbortOnePhase { .. }) => self.withdrawn += 1,
            Message::Commit(CommitMessage::Stale { .. }) => self.stale += 1,
            _ => {}
        }
    }
}
