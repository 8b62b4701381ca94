//! One schedule: who is delivered, flushed, crashed and cut off, in which order.

use synod_common::commit::{Say, SiteId};

use super::bug::Bug;
use super::check::{Check, Seen};
use super::node::{Addressed, Letter, Life, Message, Node};
use crate::explore::{Reached, Schedule};
use crate::sim::rng::Rng;

/// Rounds after the faults within which everybody must know.
const ROUNDS: usize = 200;

/// How often what happens in a schedule, as weights.
#[derive(Debug)]
struct Weights {
    deliver: u64,
    lose: u64,
    double: u64,
    flush: u64,
    crash: u64,
    restart: u64,
    wait: u64,
    cut: u64,
    /// A crash in the moment of a write, or of a message, in 1 of 10,000.
    aimed: u32,
    /// The newest message is the next to arrive, likewise: so that old ones come late.
    newest: u32,
    /// A participant that votes NO, likewise.
    refuse: u32,
}

impl Weights {
    fn draw(rng: &mut Rng) -> Weights {
        // Calm schedules, and wild ones.
        let wild = rng.chance(5_000);
        let mut some = |most: u64| match (wild, rng.chance(4_000)) {
            (true, _) => rng.within(0..=most),
            (false, true) => 0,
            (false, false) => rng.skewed(most),
        };
        let (lose, double, crash, wait, cut) = (some(10), some(10), some(15), some(40), some(6));
        Weights {
            deliver: 60,
            lose,
            double,
            flush: rng.within(5..=60),
            crash,
            restart: rng.within(2..=30),
            wait,
            cut,
            aimed: rng.within(0..=2_000) as u32,
            newest: rng.pick(&[0, 0, 5_000, 8_000]),
            refuse: rng.pick(&[0, 0, 0, 500, 2_000]),
        }
    }

    fn total(&self) -> u64 {
        let Weights { deliver, lose, double, flush, crash, restart, wait, cut, .. } = self;
        deliver + lose + double + flush + crash + restart + wait + cut
    }
}

/// Who can not reach whom.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Everybody can reach everybody.
    None,
    /// Not one side the other; a bit for each site.
    Sides(u32),
    /// Not these two each other.
    Link(SiteId, SiteId),
}

/// Everything there is in one schedule.
pub struct World {
    rng: Rng,
    nodes: Vec<Node>,
    bag: Vec<Letter>,
    cut: Cut,
    weights: Weights,
    out: Vec<Addressed>,
    check: Check,
    /// What it has reached.
    seen: Seen,
    /// What happened.
    events: u64,
    /// The same in words, if somebody wants to read it.
    lines: Option<Vec<String>>,
    /// How servers went on, if somebody wants to draw it.
    turns: Option<Vec<Turn>>,
}

/// A server went on.
#[derive(Clone, Debug)]
pub struct Turn {
    /// How far it was.
    pub from: Life,
    /// How far it is.
    pub to: Life,
    /// What it has heard; nothing if it has waited long enough.
    pub heard: Option<Message>,
}

impl Schedule for World {
    type Bug = Bug;

    fn new(seed: u64, bug: Option<Bug>, traced: bool) -> World {
        let mut rng = Rng::new(seed);
        let sites = rng.pick(&[2, 3, 3, 3, 4, 4, 5]);
        let weights = Weights::draw(&mut rng);
        let mut world = World {
            nodes: (0..sites).map(|site| Node::new(SiteId(site), sites, bug)).collect(),
            bag: Vec::new(),
            cut: Cut::None,
            weights,
            out: Vec::new(),
            check: Check::new(sites),
            seen: Seen::default(),
            events: 0,
            lines: traced.then(Vec::new),
            turns: None,
            rng,
        };
        let from = SiteId(sites - 1);
        for to in (0..sites - 1).map(SiteId) {
            world.bag.push(Letter { from, to, message: Message::Prepare });
        }
        world
    }

    fn run(&mut self) -> Result<(), String> {
        let steps = self.rng.within(10..=120);
        for _ in 0..steps {
            self.step()?;
        }
        self.heal();
        for _ in 0..ROUNDS {
            self.settle()?;
            let Some(site) = self.undecided() else { break };
            self.wait(site)?;
        }
        self.check.count(&self.nodes, &mut self.seen);
        self.check.end(&self.nodes)
    }

    fn events(&self) -> u64 {
        self.events
    }

    fn reached(&self) -> Reached {
        self.seen.all().to_vec()
    }

    fn lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

impl World {
    /// How servers go on in a schedule, but for crashes.
    ///
    /// # Errors
    /// What is violated.
    pub fn turns(seed: u64) -> Result<Vec<Turn>, String> {
        let mut world = World { turns: Some(Vec::new()), ..World::new(seed, None, false) };
        world.run()?;
        Ok(world.turns.unwrap_or_default())
    }

    /// A server was so far, and has heard this, or nothing.
    fn turned(&mut self, site: SiteId, from: Option<Life>, heard: Option<Message>) {
        let to = &self.nodes[usize::from(site.0)].life;
        if let (Some(turns), Some(from)) = (&mut self.turns, from) {
            turns.push(Turn { from, to: to.clone(), heard });
        }
    }

    /// How far a server is, if somebody wants to draw it.
    fn drawn(&mut self, site: SiteId) -> Option<Life> {
        self.turns.is_some().then(|| self.node(site).life.clone())
    }

    fn step(&mut self) -> Result<(), String> {
        let mut chosen = self.rng.below(self.weights.total());
        let mut is = |weight: u64| {
            let hit = chosen < weight;
            chosen = chosen.wrapping_sub(weight);
            hit
        };
        let weights = &self.weights;
        if is(weights.deliver) {
            self.deliver()
        } else if is(weights.lose) {
            self.lose();
            Ok(())
        } else if is(weights.double) {
            self.double();
            Ok(())
        } else if is(weights.flush) {
            let site = self.anybody();
            self.flush(site)
        } else if is(weights.crash) {
            let site = self.anybody();
            self.crash(site);
            Ok(())
        } else if is(weights.restart) {
            let site = self.anybody();
            self.restart(site)
        } else if is(weights.wait) {
            let site = self.anybody();
            self.wait(site)
        } else {
            self.cut();
            Ok(())
        }
    }

    /// Cuts the sites into two sides, or the link between two of them; or mends all.
    fn cut(&mut self) {
        self.cut = match self.cut {
            Cut::None if self.rng.chance(5_000) => {
                Cut::Sides(self.rng.below(1 << self.nodes.len()) as u32)
            }
            Cut::None => Cut::Link(self.anybody(), self.anybody()),
            Cut::Sides(_) | Cut::Link(..) => Cut::None,
        };
        self.line(|world| format!("the cut is {:?}", world.cut));
    }

    fn anybody(&mut self) -> SiteId {
        SiteId(self.rng.below(self.nodes.len() as u64) as u16)
    }

    fn node(&mut self, site: SiteId) -> &mut Node {
        &mut self.nodes[usize::from(site.0)]
    }

    fn line(&mut self, line: impl FnOnce(&World) -> String) {
        self.events += 1;
        if self.lines.is_some() {
            let line = line(self);
            self.lines.get_or_insert_default().push(line);
        }
    }

    fn is_cut(&self, one: SiteId, other: SiteId) -> bool {
        match self.cut {
            Cut::None => false,
            Cut::Sides(side) => side >> one.0 & 1 != side >> other.0 & 1,
            Cut::Link(a, b) => a != b && ([a, b] == [one, other] || [b, a] == [one, other]),
        }
    }

    fn take_letter(&mut self) -> Option<Letter> {
        if self.bag.is_empty() {
            return None;
        }
        if self.rng.chance(self.weights.newest) {
            return self.bag.pop();
        }
        let i = self.rng.below(self.bag.len() as u64) as usize;
        Some(self.bag.swap_remove(i))
    }

    fn lose(&mut self) {
        match self.take_letter() {
            // What a server says to itself is lost only with it.
            Some(letter) if letter.from == letter.to => self.bag.push(letter),
            Some(letter) => self.line(|_| format!("lost: {letter:?}")),
            None => {}
        }
    }

    fn double(&mut self) {
        if self.bag.len() < 64
            && let Some(letter) = self.take_letter()
        {
            self.bag.extend([letter, letter]);
            self.line(|_| format!("doubled: {letter:?}"));
        }
    }

    fn deliver(&mut self) -> Result<(), String> {
        let Some(letter) = self.take_letter() else { return Ok(()) };
        let Letter { from, to, message } = letter;
        if self.is_cut(from, to) {
            // Not as the newest, or nothing else would arrive.
            self.bag.insert(0, letter);
            return Ok(());
        }
        if !self.node(to).up {
            return Ok(());
        }
        self.line(|_| format!("{to} hears of {from}: {message:?}"));
        let refuses = message == Message::Prepare && self.rng.chance(self.weights.refuse);
        let mut out = std::mem::take(&mut self.out);
        let before = self.drawn(to);
        self.node(to).hear(from, message, refuses, &mut out);
        self.turned(to, before, Some(message));
        self.happened(to, out)
    }

    fn wait(&mut self, site: SiteId) -> Result<(), String> {
        if !self.node(site).up {
            return Ok(());
        }
        self.line(|_| format!("{site} has waited"));
        let mut out = std::mem::take(&mut self.out);
        let before = self.drawn(site);
        self.node(site).waited(&mut out);
        self.turned(site, before, None);
        self.happened(site, out)
    }

    /// A server has done something; a crash may be aimed at it.
    fn happened(&mut self, site: SiteId, mut out: Vec<Addressed>) -> Result<(), String> {
        let spoke = !out.is_empty();
        self.post(site, &mut out)?;
        self.out = out;
        self.check.node(site, &self.nodes)?;
        let dirty = self.node(site).is_dirty();
        if !(dirty || spoke) || !self.rng.chance(self.weights.aimed) {
            return Ok(());
        }
        if dirty && self.rng.chance(5_000) {
            self.flush_unheard(site)?;
        }
        self.crash(site);
        // Often it is back before anybody notices.
        if self.rng.chance(5_000) { self.restart(site) } else { Ok(()) }
    }

    fn post(&mut self, from: SiteId, out: &mut Vec<Addressed>) -> Result<(), String> {
        for (to, message) in out.drain(..) {
            if let Message::Site(Say::Elect { ballot } | Say::Pre { ballot, .. }) = message {
                self.check.leads(ballot)?;
            }
            self.bag.push(Letter { from, to, message });
        }
        Ok(())
    }

    fn flush(&mut self, site: SiteId) -> Result<(), String> {
        let mut out = std::mem::take(&mut self.out);
        if self.node(site).up && self.node(site).is_dirty() {
            self.node(site).flush(&mut out);
            let stable = self.node(site).disk.stable;
            self.line(|_| format!("{site} has flushed {stable:?}"));
            self.check.durable(site, stable)?;
        }
        self.post(site, &mut out)?;
        self.out = out;
        Ok(())
    }

    /// It is durable, and nobody ever hears of it.
    fn flush_unheard(&mut self, site: SiteId) -> Result<(), String> {
        let mut unheard = Vec::new();
        self.node(site).flush(&mut unheard);
        let stable = self.node(site).disk.stable;
        self.check.durable(site, stable)
    }

    fn crash(&mut self, site: SiteId) {
        if self.node(site).up {
            let dirty = self.node(site).is_dirty();
            let survives = dirty && self.rng.chance(2_500);
            self.seen.lost += u64::from(dirty && !survives);
            self.node(site).crash(survives);
            self.check.crashed(site);
            self.bag.retain(|letter| letter.from != site || letter.to != site);
            self.line(|_| format!("{site} crashes; what was not flushed survives: {survives}"));
        }
    }

    fn restart(&mut self, site: SiteId) -> Result<(), String> {
        if self.node(site).up {
            return Ok(());
        }
        self.node(site).restart();
        self.line(|_| format!("{site} is back"));
        let stable = self.node(site).disk.stable;
        self.check.durable(site, stable)?;
        self.check.node(site, &self.nodes)
    }

    /// No more faults. Who is back may be all, or a quorum without the coordinator.
    fn heal(&mut self) {
        self.cut = Cut::None;
        let count = self.nodes.len();
        let mut back: u32 = (1 << count) - 1;
        if self.rng.chance(4_000) {
            back = self.rng.below(1 << (count - 1)) as u32;
        }
        let casting = back & 1;
        if 2 * back.count_ones() + casting <= count as u32 {
            back = (1 << count) - 1;
        }
        let without = back >> (count - 1) == 0;
        self.seen.orphaned += u64::from(without);
        self.seen.halves += u64::from(without && 2 * back.count_ones() == count as u32);
        for i in 0..count {
            let site = SiteId(i as u16);
            if back >> i & 1 == 0 {
                self.crash(site);
            } else if !self.nodes[i].up {
                self.nodes[i].restart();
            }
        }
        self.line(|_| format!("the faults are over; there are {back:b}"));
    }

    /// Lets all happen that happens by itself.
    fn settle(&mut self) -> Result<(), String> {
        self.weights.aimed = 0;
        loop {
            for i in 0..self.nodes.len() {
                self.flush(SiteId(i as u16))?;
            }
            if self.bag.is_empty() {
                return Ok(());
            }
            while !self.bag.is_empty() {
                self.deliver()?;
            }
        }
    }

    /// One that waits for a decision, a random one.
    fn undecided(&mut self) -> Option<SiteId> {
        let count = self.nodes.iter().filter(|node| node.is_undecided()).count();
        if count == 0 {
            return None;
        }
        let chosen = self.rng.below(count as u64) as usize;
        let mut all = (0..).map(SiteId).zip(&self.nodes).filter(|(_, node)| node.is_undecided());
        all.nth(chosen).map(|(site, _)| site)
    }
}
