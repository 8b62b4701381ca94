//! A coordinator, two shards and one transaction, and everything that can happen to them.
//!
//! ```text
//!   State { a World: 3 servers, a client, what is on its way, Check; what may still happen }
//!     │  begin: one of five shapes · hear: anything that is on its way, or never
//!     │  wait, ask, commit again · flush · crash: what was not flushed is lost, or is not
//!     ▼
//!   another State
//! ```
//!
//! The servers are those of random schedules, with the real cores. A state is what a core says
//! of itself, its log, and what it holds back; of all that a hash is kept.
//!
//! *Bounds*, without which there would be no end: so many crashes, and so many times that
//! somebody has waited for long. A wait counts only if something comes of it.
//!
//! *What is checked*: in each state what the judge of random schedules checks. And it may be
//! the last one with faults: then all on its way is lost, and without further faults all must
//! drain (I24), and be as the client was told.
//!
//! *What is left out*:
//!
//! * A message that arrives twice. What makes servers say a thing twice is a wait.
//! * A server that is down: it is back at once, linked with all, and has joined. What servers
//!   say about joining, and about marks that nobody waits for, arrives at once and in order.
//! * A flush that nobody waits for: a crash loses what was written, or does not.
//! * What is not durable when there are no crashes left. Who says something later than it
//!   might is one whose message is late.
//! * The order of messages on their way.
//!
//! *Deliberately absent*: two transactions. What is between those is for random schedules.

use std::hash::{Hash, Hasher};

use synod_common::message::{CommitMessage, Message};
use synod_common::node;
use xxhash_rust::xxh3::xxh3_128;

use super::bug::Bug;
use super::client::{Op, Stage};
use super::net::{Letter, MOST_SHARDS};
use super::server::Server;
use super::settings::Shape;
use super::weights::Weights;
use super::world::World;
use crate::exhaust;
use crate::sim::rng::Rng;

const SHARDS: usize = 2;

/// How far the search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Crashes, of all servers together.
    pub crashes: u32,
    /// Times that a server, or the client, has waited long.
    pub wakes: u32,
}

/// What the transaction does.
const SHAPES: [[Op; SHARDS]; 5] = [
    [Op::Write, Op::Write],
    [Op::Write, Op::Read],
    [Op::Read, Op::Read],
    [Op::Write, Op::Nothing],
    [Op::Read, Op::Nothing],
];

/// Something that may happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// The client wants its transaction committed.
    Begin([Op; MOST_SHARDS]),
    /// A message arrives.
    Hear(Box<Letter>),
    /// A server has waited long enough.
    Wait(usize),
    /// The client has, and sends its COMMIT again.
    Again,
    /// The client has, and asks what became of it.
    Ask,
    /// What a server has written becomes durable.
    Flush(usize),
    /// A server crashes, and what it has not flushed is gone. It is back at once.
    Crash(usize),
    /// A server crashes; what it has not flushed is durable, and nobody has heard of it.
    CrashFlushed(usize),
}

/// Everything there is at one moment.
#[derive(Clone)]
pub struct State {
    world: World,
    /// What makes a difference of each server.
    servers: [u128; SHARDS + 1],
    /// Likewise, of each message on its way, in order.
    letters: Vec<u128>,
    /// What may still happen.
    left: Bounds,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.servers.hash(state);
        self.letters.hash(state);
        self.left.hash(state);
        self.world.client.hash(state);
        self.world.check.hash(state);
    }
}

fn digest(letter: &Letter) -> u128 {
    xxh3_128(format!("{letter:?}").as_bytes())
}

/// Whether it only serves to find each other, and to agree on marks that nobody waits for.
fn is_of_joining(letter: &Letter) -> bool {
    use CommitMessage as C;
    matches!(
        letter.message,
        Message::Commit(
            C::Join { .. }
                | C::OnePhaseOutcomes { .. }
                | C::Voted { .. }
                | C::Call { .. }
                | C::Welcome { .. }
                | C::Window { .. }
                | C::SafePoint { .. }
                | C::VotesOver { .. }
                | C::Settled { .. }
        )
    )
}

impl State {
    /// The servers have started, and the client has a session.
    pub fn new(bounds: Bounds, bug: Option<Bug>) -> State {
        let mut world =
            World::empty(Rng::new(0), Shape { shards: SHARDS, narrow: false, forgets: false }, bug);
        world.start();
        world.weights = Weights::none();
        let mut state =
            State { world, servers: [0; SHARDS + 1], letters: Vec::new(), left: bounds };
        state.reduce().expect("nothing is wrong yet");
        state
    }

    fn act(&mut self, event: Event) -> Result<bool, String> {
        let world = &mut self.world;
        // The same event, the same outcome; but no server starts twice with the same seed.
        world.rng = Rng::new(u64::from(self.left.crashes));
        match event {
            Event::Begin(ops) => world.ask(|world, out| world.client.commit_unread(ops, out)),
            Event::Hear(letter) => {
                let place = world.net.letters().iter().position(|other| {
                    (other.from, other.to, other.request)
                        == (letter.from, letter.to, letter.request)
                        && other.message == letter.message
                });
                if let Some(place) = place {
                    world.net.letters().swap_remove(place);
                }
                world.arrive(*letter)?;
            }
            Event::Wait(site) => return self.wait(site),
            Event::Again => world.ask(|world, out| world.client.commit(0, out)),
            Event::Ask => world.ask(|world, out| world.client.ask(0, out)),
            Event::Flush(site) => world.flush(site, 0)?,
            Event::Crash(site) => {
                world.crash_after(site, 0)?;
                world.restart(site)?;
            }
            Event::CrashFlushed(site) => {
                world.crash_after(site, world.servers[site].log.dirty())?;
                world.restart(site)?;
            }
        }
        Ok(true)
    }

    /// Who has nothing to say has not waited.
    fn wait(&mut self, site: usize) -> Result<bool, String> {
        let world = &mut self.world;
        let server = &mut world.servers[site];
        let Some(due) = server.out.wake else { return Ok(false) };
        server.clock = server.clock.max(due);
        let (letters, written) = (world.net.len(), server.log.last());
        world.happens(site, node::Event::Wake)?;
        Ok(world.net.len() > letters || world.servers[site].log.last() > written)
    }

    /// Leaves out what makes no difference.
    fn reduce(&mut self) -> Result<(), String> {
        let world = &mut self.world;
        while let Some(letter) = world.net.take_if(is_of_joining) {
            world.arrive(letter)?;
        }
        let dirty = |server: &Server| server.log.dirty() > 0;
        while let Some(site) =
            world.servers.iter().position(dirty).filter(|_| self.left.crashes == 0)
        {
            world.flush(site, 0)?;
            while let Some(letter) = world.net.take_if(is_of_joining) {
                world.arrive(letter)?;
            }
        }
        for (place, server) in self.servers.iter_mut().zip(&mut world.servers) {
            if std::mem::take(&mut server.touched) {
                *place = server.digest();
            }
        }
        world.net.letters().sort_by_cached_key(digest);
        self.letters = world.net.letters().iter().map(digest).collect();
        Ok(())
    }
}

impl exhaust::State for State {
    type Event = Event;

    fn events(&self) -> Vec<Event> {
        let client = &self.world.client;
        let Some(txn) = client.txns.first() else {
            let shapes = SHAPES.map(|[first, second]| [first, second, Op::Nothing]);
            return shapes.map(Event::Begin).to_vec();
        };
        let mut letters = self.world.net.clone();
        let mut events: Vec<Event> =
            letters.letters().drain(..).map(|letter| Event::Hear(Box::new(letter))).collect();
        if self.left.wakes > 0 {
            events.extend((0..=SHARDS).map(Event::Wait));
            if txn.stage == Stage::Committing {
                events.extend([Event::Again, Event::Ask]);
            }
        }
        for (site, server) in self.world.servers.iter().enumerate() {
            let dirty = server.log.dirty() > 0;
            if server.log.is_forced() {
                events.push(Event::Flush(site));
            }
            if self.left.crashes > 0 {
                events.push(Event::Crash(site));
                if dirty {
                    events.push(Event::CrashFlushed(site));
                }
            }
        }
        events
    }

    fn happen(&mut self, event: Event) -> Result<bool, String> {
        match event {
            Event::Crash(_) | Event::CrashFlushed(_) => self.left.crashes -= 1,
            Event::Wait(_) | Event::Again | Event::Ask => self.left.wakes -= 1,
            Event::Begin(_) | Event::Hear(_) | Event::Flush(_) => {}
        }
        let happened = self.act(event)?;
        self.reduce()?;
        Ok(happened)
    }

    fn calm(&self) -> State {
        let mut calm = self.clone();
        calm.left = Bounds { crashes: 0, wakes: 0 };
        calm.world.net.letters().clear();
        calm.letters.clear();
        calm
    }

    fn ends(&self) -> Result<(), String> {
        self.world.clone().heal()
    }
}
