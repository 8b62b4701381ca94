//! A participant: it votes once, and waits for the decision as long as it takes.
//!
//! | of a transaction | on               | do                                          | then      |
//! |------------------|------------------|---------------------------------------------|-----------|
//! | Active           | PREPARE          | *force* Prepared; propose YES; or           | Prepared  |
//! |                  |                  | propose READ; or                            | ReadVoted |
//! |                  |                  | NO to the leader                            | Never     |
//! | Prepared, ReadVoted | PREPARE       | propose the same again                      | the same  |
//! | Never            | PREPARE          | NO again                                    | Never     |
//! | Lost             | PREPARE          | nothing: it may have voted                  | Lost      |
//! | Prepared         | COMMIT           | *force* Over; ACK                           | Over      |
//! | Prepared, ReadVoted | ABORT, RELEASE | log that                                   | Over      |
//! | Prepared, ReadVoted | ACCEPTED of all acceptors | as if it heard COMMIT          | Over      |
//! | Active           | ABORT            |                                             | Never     |
//! | Prepared, ReadVoted | nothing for long | INQUIRE                                  | the same  |
//! | all but Prepared, Over | a crash    |                                             | Lost      |

use std::hash::{Hash, Hasher};

use synod_common::id::{CoordinatorId, ShardId};
use synod_common::message::commit::Vote;
use synod_common::time::Timestamp;

use super::bug::Bug;
use super::net::{Addressed, Message, member, site};
use super::txn::{MOST, Txn};

/// How far a transaction is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not voted.
    #[default]
    Active,
    /// Voted YES.
    Prepared(Timestamp),
    /// Voted READ.
    ReadVoted(Timestamp),
    /// It will never vote anything but NO.
    Never,
    /// It began before a crash, and nothing is known of it.
    Lost,
    /// Committed, or not.
    Over(bool),
}

/// A participant.
#[derive(Clone, Debug)]
pub struct Participant {
    me: ShardId,
    bug: Option<Bug>,
    /// Whether it runs.
    pub up: bool,
    life: u64,
    /// How far each transaction is.
    pub stages: [Stage; MOST],
    /// The same, as far as it is durable.
    pub disk: [Stage; MOST],
    /// Acceptors that have not told it that they have accepted, in the faster form.
    awaited: [Vec<CoordinatorId>; MOST],
    written: u32,
    flushed: u32,
    held: Vec<Addressed>,
}

/// By what makes a difference: not how often it has written, and what it holds back follows
/// from what it has written.
impl Hash for Participant {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.stages, self.disk, &self.awaited).hash(hasher);
        (self.life, self.is_dirty()).hash(hasher);
        self.held.iter().fold(0_u8, |told, (to, _)| told | 1 << to).hash(hasher);
    }
}

impl Participant {
    /// One before anything happened.
    pub fn new(me: ShardId, bug: Option<Bug>) -> Participant {
        Participant {
            me,
            bug,
            up: true,
            life: 0,
            stages: [Stage::Active; MOST],
            disk: [Stage::Active; MOST],
            awaited: Default::default(),
            written: 0,
            flushed: 0,
            held: Vec::new(),
        }
    }

    /// Whether it has written what is not durable.
    pub fn is_dirty(&self) -> bool {
        self.flushed < self.written
    }

    /// Whether it knows something of this one that a crash may take.
    pub fn may_forget(&self, number: usize) -> bool {
        matches!(self.stages[number], Stage::Active | Stage::ReadVoted(_) | Stage::Never)
    }

    /// Whether it has voted on this one and waits for the decision.
    pub fn is_in_doubt(&self, number: usize) -> bool {
        matches!(self.stages[number], Stage::Prepared(_) | Stage::ReadVoted(_))
    }

    /// Hears a leader. `refuses`: if it is asked to vote, it says NO.
    ///
    /// # Errors
    /// What can not be right.
    pub fn hear(
        &mut self,
        txns: &[Txn],
        (from, message): (usize, Message),
        refuses: bool,
        out: &mut Vec<Addressed>,
    ) -> Result<(), String> {
        match message {
            Message::Prepare(number) => self.vote(number, &txns[number], refuses, out),
            Message::Commit(number) => match self.stages[number] {
                Stage::Prepared(_) => {
                    self.over(number, self.bug != Some(Bug::Canary) || self.me != ShardId(1));
                    self.say(from, Message::Ack(number), out);
                }
                Stage::Over(true) => self.say(from, Message::Ack(number), out),
                Stage::Over(false) | Stage::Active | Stage::ReadVoted(_) => {
                    return Err(format!("I2: {} is to commit {number} unprepared", self.me));
                }
                Stage::Never | Stage::Lost => {
                    return Err(format!("I2: {} is to commit {number}, and can not", self.me));
                }
            },
            Message::Release(number) => match self.stages[number] {
                Stage::Prepared(_) | Stage::ReadVoted(_) => self.over(number, true),
                Stage::Active | Stage::Never => {
                    return Err(format!("I2: {number} is committed without {}", self.me));
                }
                Stage::Lost | Stage::Over(_) => {}
            },
            Message::Abort(number) => match self.stages[number] {
                Stage::Prepared(_) | Stage::ReadVoted(_) => self.over(number, false),
                Stage::Active => self.stages[number] = Stage::Never,
                Stage::Never | Stage::Lost | Stage::Over(_) => {}
            },
            Message::Accepted(number) => self.accepted(number, &txns[number], from, out),
            // These are for members.
            Message::Group(_)
            | Message::Propose(..)
            | Message::No(_)
            | Message::Forward(_)
            | Message::Ack(_)
            | Message::Inquire(_) => {}
        }
        Ok(())
    }

    fn vote(&mut self, number: usize, txn: &Txn, refuses: bool, out: &mut Vec<Addressed>) {
        // Each time that it is asked anew it would say another one.
        let at = Timestamp(txn.h.0 * 1_000 + self.life * 10 + u64::from(self.me.0));
        if txn.faster && self.stages[number] == Stage::Active {
            self.awaited[number].clone_from(&txn.acceptors);
        }
        let stage = &mut self.stages[number];
        match *stage {
            Stage::Lost if self.bug == Some(Bug::VotesAgain) => *stage = Stage::ReadVoted(at),
            Stage::Lost if self.bug == Some(Bug::RefusesLater) => {
                return out.push((site(txn.leader), Message::No(number)));
            }
            Stage::Active if refuses => *stage = Stage::Never,
            Stage::Active if txn.reads(self.me) => *stage = Stage::ReadVoted(at),
            Stage::Active => {
                *stage = Stage::Prepared(at);
                self.written += 1;
            }
            Stage::Prepared(_)
            | Stage::ReadVoted(_)
            | Stage::Never
            | Stage::Lost
            | Stage::Over(_) => {}
        }
        let vote = match self.stages[number] {
            Stage::Prepared(voted) if voted != at && self.bug == Some(Bug::RepeatsWithoutM) => {
                Vote::Yes(txn.h)
            }
            Stage::Prepared(at) => Vote::Yes(at),
            Stage::ReadVoted(at) => Vote::Read(at),
            Stage::Never => return out.push((site(txn.leader), Message::No(number))),
            Stage::Active | Stage::Lost | Stage::Over(_) => return,
        };
        for acceptor in &txn.acceptors {
            let propose = Message::Propose(number, vote.clone());
            match self.bug {
                Some(Bug::ProposesUnforced) => out.push((site(*acceptor), propose)),
                _ => self.say(site(*acceptor), propose, out),
            }
        }
    }

    /// An acceptor has accepted the votes of all.
    fn accepted(&mut self, number: usize, txn: &Txn, from: usize, out: &mut Vec<Addressed>) {
        let awaited = &mut self.awaited[number];
        let before = awaited.len();
        awaited.retain(|awaited| *awaited != member(from));
        let all = awaited.is_empty() || self.bug == Some(Bug::AcceptedByOne);
        if before == awaited.len() || !all {
            return;
        }
        match self.stages[number] {
            Stage::Prepared(_) => {
                self.over(number, true);
                self.say(site(txn.leader), Message::Ack(number), out);
            }
            Stage::ReadVoted(_) => self.over(number, true),
            Stage::Active | Stage::Never | Stage::Lost | Stage::Over(_) => {}
        }
    }

    fn over(&mut self, number: usize, committed: bool) {
        self.stages[number] = Stage::Over(committed);
        self.written += 1;
    }

    /// It has heard nothing for long.
    pub fn waited(&self, members: usize, out: &mut Vec<Addressed>) {
        for number in (0..MOST).filter(|number| self.is_in_doubt(*number)) {
            out.extend((0..members).map(|member| (member, Message::Inquire(number))));
        }
    }

    fn say(&mut self, to: usize, message: Message, out: &mut Vec<Addressed>) {
        match self.is_dirty() {
            true => self.held.push((to, message)),
            false => out.push((to, message)),
        }
    }

    /// All that was written is durable; what waited for it leaves.
    pub fn flush(&mut self, out: &mut Vec<Addressed>) {
        self.flushed = self.written;
        self.disk = self.stages;
        out.append(&mut self.held);
    }

    /// It crashes. `survives`: what was not flushed had reached the disk all the same.
    pub fn crash(&mut self, survives: bool) {
        if survives {
            self.disk = self.stages;
        }
        self.flushed = self.written;
        self.held.clear();
        self.up = false;
    }

    /// It is back. Of what has begun it knows what its disk says.
    pub fn restart(&mut self, begun: usize) {
        (self.up, self.life) = (true, self.life + 1);
        self.awaited = Default::default();
        for (number, stage) in self.stages.iter_mut().enumerate() {
            *stage = match self.disk[number] {
                known @ (Stage::Prepared(_) | Stage::Over(_)) => known,
                _ if number < begun => Stage::Lost,
                _ => Stage::Active,
            };
        }
    }
}
