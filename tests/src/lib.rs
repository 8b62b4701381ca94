//! What crosses crates: a simulator for the cores, and what must hold in it.
//!
//! ```text
//!          seed ──▶ sim: one thread, virtual time, faults
//!                    │  runs the real cores, logs and messages
//!                    ├──▶ ledger    what is durable where
//!                    ├──▶ history   what the clients saw
//!                    ▼
//!                 invariants: one statement per file, at every event or at the end
//! ```
//!
//! * `synod-sim core --protocol 3pc --schedules 1000000`: the [`core`] of a commit protocol
//!   alone, without servers, a thousand times as fast; [`paxos`] is that of Paxos Commit,
//!   [`two_phase`] that of two-phase commit.
//! * `synod-sim core --protocol 3pc --exhaustive`: all schedules of a very small one.
//! * `synod-sim group --schedules 1000000`: likewise, the [`group`] of coordinators.
//!
//! [`explore`] runs such schedules by the million, [`exhaust`] searches all there are.
//!
//! * `synod-sim diagrams --write docs`: draws the state [`diagrams`] of the protocols, as the
//!   simulator sees them, into their pages; `--check docs` fails if they show others.
//!
//! Beside it stands the [`stage`]: the same cores and the client library without
//! faults, one step at a time, for scripts that tell what a user sees.
//!
//! Three ways to use the simulator:
//!
//! * `cargo test -p synod-tests`: some seeds, and the mutants that show at once.
//! * `synod-sim run --seeds 0..1000`: many seeds. The last line counts them; a
//!   violation prints the command that repeats it and ends with status 1.
//! * `synod-sim mutants` (build with `--features mutants` for all of them): the
//!   same seeds against servers with one deliberate bug each. It is the test of
//!   the simulator: a mutant that escapes means that the faults miss something.
//!
//! *Deliberately absent*: the drivers, QUIC and real files; they have tests of
//! their own.

pub mod core;
pub mod diagrams;
pub mod executor;
pub mod exhaust;
pub mod explore;
pub mod group;
pub mod invariants;
pub mod parallel;
pub mod paxos;
pub mod sim;
pub mod stage;
pub mod two_phase;
