//! The simulator: the second driver of the cores.
//!
//! A [`world::World`] holds one coordinator or a group of three or five, some shards and
//! some clients: in half of the seeds some of them use the client library ([`client::Program`]), the
//! others speak the messages themselves and so can misbehave. It runs
//! the cores that the servers run, through the same contract, over the same log
//! code and the same message encoding. Time is virtual, chance comes from one
//! seed, and nothing else differs between two runs: the seed is the bug report.
//!
//! ```text
//!   queue by (time, number)
//!     │ pop
//!     ▼                     records ──▶ disk: append, delay, sync ──▶ Durable
//!   feed(core, event) ──▶   held    ──▶ until durable ─┐
//!     ▲                     sends   ───────────────────┴▶ network: delay, lose,
//!     │                     wake    ──▶ queue              copy, reorder, ghosts
//!     └─────────── Deliver, Connected, Lost, Crash, Restart ◀────────┘
//! ```
//!
//! # A run
//!
//! 1. *Setup*: one client makes the accounts; nothing goes wrong.
//! 2. *Faulty*: three to six seconds of virtual time in which servers crash and
//!    restart (aimed at the moments of the commit protocol, often for no time at
//!    all, also while they recover), power goes in the middle of a write, links
//!    drop, block one way or both, lose, delay and copy, clocks jump and drift,
//!    clients vanish and commit twice. Leaders of a group stand still, or are cut off
//!    from the others but from nobody else ([`ambush`]: while they write a checkpoint).
//!    Some of its members never come back, or lose their disk and rejoin ([`loss`]). In some
//!    seeds an operator decides what is in doubt ([`operator`]).
//! 3. *Half*, in some seeds: nothing goes wrong any more, but some servers are gone, perhaps
//!    all coordinators ([`half`]). Whoever may rely on the others is not blocked.
//! 4. *Healing*: nothing goes wrong any more, and everybody must come to an end.
//! 5. *Audit*: every outcome is asked for once more, all accounts are read under
//!    locks and in a snapshot. When the leases have lapsed nothing may be left.
//!
//! Then the history is checked as a whole; see [`crate::invariants`].
//!
//! # Reading a failing seed
//!
//! ```text
//!   $ synod-sim run --seed 43 --trace | less
//!     251.938 s2 got … CommitOnePhase { txn: … sequence: 14 …       it commits here,
//!     252.091 s2 log … OnePhase { txn: … sequence: 14 …             not yet durable
//!     255.530 c1 CRASH for 2627 us
//!     263.064 s2 → c1 … Join { … boot: false, … remembered: 0 …     and is not told
//!     292.183 s2 → c1 … OnePhaseDone { txn: … sequence: 14 …        nobody waits for it
//!   I4: told that t1.3.14 is aborted (no commit of it is known); it is committed
//! ```
//!
//! Begin at the end: the violation names a transaction. Follow its sequence number
//! through the lines (`got` is an arrival, `→` a message leaving, `log` a record
//! written), and look which crash or lost link stands between cause and effect.
//! This one was real, and shortened here: joining told only what was durable. The
//! seed has another story since; a seed repeats a run of the same code only.
//!
//! # Deliberately absent
//!
//! * Damage on the disk, full disks and failing syncs: the log has its own tests.
//! * Concurrency within a server: a core has none; loom checks what is around it.

pub mod ambush;
pub mod audit;
pub mod client;
pub mod clock;
pub mod crash;
pub mod deed;
pub mod delivery;
pub mod disk;
pub mod faults;
pub mod group;
pub mod half;
pub mod history;
pub mod ledger;
pub mod loss;
pub mod mutation;
pub mod network;
pub mod operator;
pub mod reached;
pub mod rng;
pub mod run;
pub mod server;
pub mod sizes;
pub mod trace;
pub mod world;
