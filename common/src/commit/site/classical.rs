//! The classical rule of three-phase commit: who is silent for long enough is taken for
//! dead, and nobody asks for a quorum.
//!
//! ```text
//!   {c1, s1}: pre-committed  ✕  {s2}: waiting       the network parts
//!       │ s2 is silent            │ c1, s1 are silent
//!       ▼                         ▼
//!    committed                 aborted              both are sure
//! ```
//!
//! What differs from the table of `common/src/commit/site.rs`:
//!
//! | in phase  | on                                  | do                         | next |
//! |-----------|-------------------------------------|----------------------------|------|
//! | electing  | STATE(b) of all, one pre-committed  | *force* Pre(commit), attempt := b; PRE(b, commit) to all | proposing |
//! | electing  | STATE(b) of all, none pre-committed | DECIDED(abort) to all      | decided: abort |
//! | proposing | ACCEPTED(b) of all                  | DECIDED(commit) to all     | decided: commit |
//! | leading   | it has waited long enough           | as if all had answered who have not | as above |
//!
//! So who hears nobody decides alone: if it is waiting, to abort; if it has pre-committed,
//! to commit.
//!
//! *When it is safe*: if every message arrives within the time that is waited, who fails
//! stays away, and no link is ever cut. Then who is silent is dead, and those who are not
//! have all pre-committed before anybody commits.
//!
//! *When it is not*: else. Who is only slow, or on the other side of a cut, takes the others
//! for dead, as they do him.
//!
//! Source: Skeen, *Nonblocking Commit Protocols* (SIGMOD 1981), with its termination
//! protocol. Departures: ballots say who leads, and what is stale is refused; who comes back
//! takes part as if he had been slow.

use super::{Leading, Site, Step, Task};

impl Site {
    /// Leads, or goes on as the leader without those who have not answered.
    pub(super) fn without_the_silent(&mut self) -> Step {
        let Some(Leading { ballot, task }) =
            self.leading.clone().filter(|leading| leading.ballot >= self.seen)
        else {
            return self.again();
        };
        let mut step = Step::default();
        match task {
            Task::Electing(states) if states.iter().any(|(site, ..)| *site == self.me) => {
                self.conclude(ballot, &states, &mut step);
            }
            Task::Proposing(verdict, accepted) if accepted.contains(&self.me) => {
                self.decide_for_all(verdict, &mut step);
            }
            // Its own answer is not durable.
            Task::Electing(_) | Task::Proposing(..) => {}
        }
        step
    }
}
