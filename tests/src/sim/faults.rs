//! What goes wrong in a run, and how often: drawn from the seed.
//!
//! Random crashes alone miss the recovery bugs, so most crashes here are *aimed*:
//! they strike in the moment in which a server writes a record of the commit
//! protocol or sends or gets one of its messages, before or after, and often the
//! restart takes no time at all.

use synod_common::commit::Say;
use synod_common::message::commit::Vote;
use synod_common::message::{CommitMessage, DeadlockMessage, Message, PeerMessage, SiteMessage};

use super::rng::Rng;

/// Kinds of faults with their frequencies, in 1 of 10,000 unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A message is lost.
    pub loss: u32,
    /// A message comes twice.
    pub duplicates: u32,
    /// A message is delayed by up to 80 ms.
    pub slow: u32,
    /// A late second copy, over another link and past restarts.
    pub ghosts: u32,
    /// A crash at a message or a record of the commit protocol.
    pub aimed: u32,
    /// Whether one of several kinds of aimed crashes is much more frequent.
    pub aim: Option<Aim>,
    /// A restart is cut short by another crash.
    pub recovery: u32,
    /// A power cut in the middle of what the log does next, per batch.
    pub power: u32,
    /// Time between two random faults, in microseconds; zero for none.
    pub every: u64,
    /// Whether clocks are wrong.
    pub clocks: bool,
    /// A client vanishes, per transaction.
    pub vanish: u32,
}

/// A moment in the commit protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// PREPARE or COMMIT in one phase.
    Prepare,
    /// A vote, or the answer in one phase.
    Vote,
    /// A decision.
    Decide,
    /// An acknowledgement.
    Ack,
    /// Joining.
    Join,
    /// An inquiry.
    Inquire,
    /// Making sure of a deadlock.
    Deadlock,
    /// Sites of a transaction electing a leader.
    Elect,
    /// Sites accepting what it proposes.
    Accept,
}

impl Faults {
    /// None.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Those of a seed.
    pub fn draw(rng: &mut Rng) -> Faults {
        let level = |rng: &mut Rng, most: u64| {
            if rng.chance(3_000) { 0 } else { rng.skewed(most) as u32 }
        };
        let aims = [
            Aim::Prepare,
            Aim::Vote,
            Aim::Decide,
            Aim::Ack,
            Aim::Join,
            Aim::Inquire,
            Aim::Deadlock,
            Aim::Elect,
            Aim::Accept,
        ];
        Faults {
            loss: level(rng, 300),
            duplicates: level(rng, 500),
            slow: level(rng, 1_500),
            ghosts: level(rng, 400),
            aimed: level(rng, 200),
            aim: rng.chance(6_000).then(|| rng.pick(&aims)),
            recovery: level(rng, 5_000),
            power: level(rng, 60),
            every: if rng.chance(1_500) { 0 } else { rng.within(50_000..=1_000_000) },
            clocks: rng.chance(7_000),
            vanish: level(rng, 1_000),
        }
    }

    /// Whether a server crashes at this message.
    pub fn strikes(&self, message: &Message, rng: &mut Rng) -> bool {
        let Some(aim) = aim_of(message) else { return false };
        let factor = if self.aim == Some(aim) { 5 } else { 1 };
        rng.chance(self.aimed * factor)
    }
}

fn aim_of(message: &Message) -> Option<Aim> {
    let message = match message {
        Message::Commit(message) => message,
        Message::Deadlock(
            DeadlockMessage::Confirm { .. }
            | DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Break { .. }
            | DeadlockMessage::LetGo { .. },
        ) => return Some(Aim::Deadlock),
        Message::Site(SiteMessage { say, .. }) => {
            return match say {
                Say::Elect { .. } | Say::State { .. } | Say::Refused { .. } => Some(Aim::Elect),
                Say::Pre { .. } | Say::Accepted { .. } => Some(Aim::Accept),
                Say::Decided { .. } | Say::Forgotten => Some(Aim::Decide),
            };
        }
        Message::Peer(PeerMessage::Inquire { .. }) => return Some(Aim::Inquire),
        Message::Peer(PeerMessage::Decided { .. }) => return Some(Aim::Decide),
        _ => return None,
    };
    match message {
        CommitMessage::Prepare { .. } | CommitMessage::CommitOnePhase { .. } => Some(Aim::Prepare),
        CommitMessage::Vote { vote: Vote::Yes(_) | Vote::Read(_), .. }
        | CommitMessage::OnePhaseDone { .. } => Some(Aim::Vote),
        CommitMessage::Decide { .. } | CommitMessage::Release { .. } => Some(Aim::Decide),
        CommitMessage::Ack { .. } => Some(Aim::Ack),
        CommitMessage::Join { .. }
        | CommitMessage::OnePhaseOutcomes { .. }
        | CommitMessage::Voted { .. }
        | CommitMessage::Call { .. }
        | CommitMessage::Welcome { .. } => Some(Aim::Join),
        CommitMessage::Inquire { .. }
        | CommitMessage::InquireOnePhase { .. }
        | CommitMessage::AbortOnePhase { .. } => Some(Aim::Inquire),
        CommitMessage::Vote { vote: Vote::No(_), .. }
        | CommitMessage::AskWindow
        | CommitMessage::Window { .. }
        | CommitMessage::SafePoint { .. }
        | CommitMessage::VotesOver { .. }
        | CommitMessage::Settled { .. }
        | CommitMessage::Stale { .. } => None,
    }
}
