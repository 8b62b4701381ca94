//! State diagrams of the protocols, made by looking: seeds of the simulator run, and each stage
//! of each machine is compared before and after each event of its server.
//!
//! ```text
//!   Event ──▶ Cause ──────────────────────────────┐
//!     │                                           ▼
//!     ▼          stages before ─┐     (machine, from, to, cause) ──▶ ```mermaid in docs/*.md
//!   handle ────▶ stages after  ─┴─ differ? ───────▲
//! ```
//!
//! So a diagram shows what happens, and not what somebody has thought would happen. What stays
//! the same, and what is forgotten in a crash, is no transition; what is found after one is:
//! it comes from nowhere, with the cause *start*.
//!
//! The site of three-phase commit is drawn twice: as part of a transaction on a shard, and alone,
//! from schedules without servers, in which more happens to it.
//!
//! What is seen of a transaction before it is known how it is committed belongs to all ways.
//!
//! Seeds are fixed, so the diagrams of a program are always the same; `synod-sim diagrams
//! --write docs` writes them into the pages, and CI compares them. What is seen in very few
//! seeds comes and goes with every change of the program: it is not drawn, and not missed
//! either.

mod cause;
mod machine;
mod page;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use synod_common::commit::Protocol;
use synod_common::id::TxnId;
use synod_common::node::{Event, Output};
use synod_common::time::Now;
use synod_coordinator::Member;

use crate::sim::server::Core;
use crate::sim::world::World;
use cause::Cause;
pub use machine::DIAGRAMS;
use machine::{Diagram, Machine, Subject, Way};
pub use page::{check, show, write};

/// No stage: before the first one, and behind the last.
const NOWHERE: &str = "[*]";
/// What is seen in so many seeds is drawn.
const DRAWN: u32 = 3;
/// What is seen in so many must be in the pages. What is there must be seen in one.
const MISSED: u32 = 2 * DRAWN;

/// A machine went from one stage to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Transition {
    machine: Machine,
    from: String,
    to: String,
    cause: String,
}

/// Looks at a server, if it is to.
#[derive(Debug, Default)]
pub struct Watch(Option<Box<Seen>>);

/// What was seen of a server.
#[derive(Debug, Default)]
struct Seen {
    stages: BTreeMap<Subject, String>,
    /// Whether it is a coordinator that leads.
    leads: bool,
    protocols: BTreeMap<TxnId, Protocol>,
    transitions: BTreeSet<(Option<TxnId>, Transition)>,
}

impl Watch {
    /// One that looks.
    pub fn on() -> Watch {
        Watch(Some(Box::default()))
    }

    /// Has a core handle an event.
    pub fn handle(&mut self, core: &mut Core, now: Now, event: Event, out: &mut Output) {
        let Some(seen) = &mut self.0 else { return core.handle(now, event, out) };
        if matches!(event, Event::Start { .. }) {
            (seen.leads, seen.stages) = (false, BTreeMap::new());
        }
        let cause = Cause::of(&event);
        let stopped = out.restart;
        core.handle(now, event, out);
        if !stopped {
            seen.after(core, &cause, out.restart);
        }
    }
}

impl Seen {
    /// One that starts anew is no member for a while, and has forgotten the rest.
    fn after(&mut self, core: &Core, cause: &Cause, starts_anew: bool) {
        let mut after = machine::stages(core);
        if starts_anew {
            after = self.stages.clone();
            after.remove(&(Machine::Member, None));
        }
        let commits = core.coordinator().and_then(Member::stages);
        let begins = !self.leads && commits.is_some();
        self.leads = commits.is_some();
        for commit in commits.into_iter().flatten() {
            self.protocols.entry(commit.txn).or_insert(commit.protocol);
        }
        let before = std::mem::replace(&mut self.stages, after);
        let was = |subject: &Subject| before.get(subject);
        let new = self.stages.iter().filter(|(subject, stage)| was(subject) != Some(stage));
        let gone = before.keys().filter(|subject| !self.stages.contains_key(subject));
        let changes = new.map(|(subject, stage)| (subject, stage.as_str()));
        for (&subject, to) in changes.chain(gone.map(|subject| (subject, NOWHERE))) {
            let (machine, txn) = subject;
            let from = was(&subject).map_or(NOWHERE, String::as_str).to_owned();
            let cause = match machine {
                Machine::Coordinator if begins => "new epoch",
                _ => cause.seen_by(subject, &from, to),
            };
            let (to, cause) = (to.to_owned(), cause.to_owned());
            self.transitions.insert((txn, Transition { machine, from, to, cause }));
        }
    }
}

/// In how many seeds each transition was seen, diagram by diagram.
#[derive(Debug, Default)]
pub struct Transitions(BTreeMap<(usize, Transition), u32>);

impl Transitions {
    fn of(seed: u64) -> Transitions {
        let mut world = World::new(seed, None, false);
        world.servers.iter_mut().for_each(|server| server.watch = Watch::on());
        if let Err(violation) = world.run() {
            panic!("seed {seed}: {violation}");
        }
        let watches = world.servers.iter_mut().filter_map(|server| server.watch.0.take());
        let all: Vec<Box<Seen>> = watches.collect();
        let mut ways: BTreeMap<TxnId, Protocol> = BTreeMap::new();
        for (txn, protocol) in all.iter().flat_map(|seen| &seen.protocols) {
            // Who finds it in a log may not know how it got there.
            ways.entry(*txn)
                .and_modify(|known| *known = (*known).max(*protocol))
                .or_insert(*protocol);
        }
        let mut transitions = Transitions::default();
        let in_group = world.sizes.coordinators > 1;
        for (txn, transition) in all.into_iter().flat_map(|seen| seen.transitions) {
            if transition.machine == Machine::Member && !in_group {
                continue;
            }
            let way = txn.and_then(|txn| ways.get(&txn)).map(|protocol| Way::from(*protocol));
            let shows = |diagram: &Diagram| {
                let all = way.is_none() || diagram.way.is_none() || way == diagram.way;
                diagram.machine == transition.machine && all
            };
            transitions.insert(&transition, shows);
        }
        transitions
    }

    /// Of so many seeds.
    ///
    /// # Panics
    /// If one of them violates anything.
    pub fn of_seeds(seeds: u64, threads: usize) -> Transitions {
        let next = AtomicU64::new(0);
        let work = || {
            let mut seen = Transitions::default();
            loop {
                match next.fetch_add(1, Ordering::Relaxed) {
                    seed if seed < seeds => seen.add(Transitions::of(seed)),
                    _ => return seen,
                }
            }
        };
        let mut all = Transitions::default();
        (0..site::SCHEDULES).for_each(|seed| all.add(Transitions::of_sites(seed)));
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                all.add(worker.join().expect("no seed violates anything"));
            }
        });
        all
    }

    /// It was seen in one seed, and is in these diagrams.
    fn insert(&mut self, transition: &Transition, is_in: impl Fn(&Diagram) -> bool) {
        for (index, _) in DIAGRAMS.iter().enumerate().filter(|(_, diagram)| is_in(diagram)) {
            self.0.insert((index, transition.clone()), 1);
        }
    }

    /// Of the sites in one schedule.
    fn of_sites(seed: u64) -> Transitions {
        let mut transitions = Transitions::default();
        for transition in site::transitions(seed) {
            transitions.insert(&transition, |diagram| diagram.machine == Machine::Site);
        }
        transitions
    }

    fn add(&mut self, other: Transitions) {
        for (transition, seeds) in other.0 {
            *self.0.entry(transition).or_default() += seeds;
        }
    }

    /// The arrows of a diagram, and in how many seeds they were seen.
    fn of_diagram(&self, index: usize) -> impl Iterator<Item = (Arrow<'_>, u32)> {
        let seen = self.0.iter().filter(move |((at, _), _)| *at == index);
        seen.map(|((_, Transition { from, to, cause, .. }), seeds)| {
            (Arrow { from, to, cause }, *seeds)
        })
    }
}

/// What is drawn of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    cause: &'a str,
}
