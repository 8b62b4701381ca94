//! A coordinator and two participants, and everything that can happen to them.
//!
//! ```text
//!   State { 3 Nodes, what was said, what may still happen, Check }
//!     │  hear: anything that was said, any time, any number of times, or never
//!     │  wait · flush · crash: what was not flushed is lost, or is not
//!     ▼
//!   another State
//! ```
//!
//! *What is said stays said.* Messages are not taken out of the network. So they are lost,
//! late and doubled without limit: a schedule in which one is not heard again has lost it.
//! And what a leader says again is there already. Only what a server says to itself goes
//! with it.
//!
//! *Bounds*, without which there would be no end: so many crashes, and so many elections.
//! Who waits for a decision may have waited long enough at any moment.
//!
//! *What is checked*: in each state what the judge of random schedules checks (I1, I2, I3,
//! I11, I12). And it may be the last one with faults: then all on its way is lost, all
//! sites are there, or all but any one, and those who are there must come to know the
//! decision (I25); however many elections that takes.
//!
//! *What is left out*, because each schedule with it has one without it that comes to the
//! same:
//!
//! * A server that is down. It is back at once, and hears nothing for as long.
//! * A crash of one who has not voted, or has decided durably: the former aborts, as if it
//!   had waited; the latter has nothing to lose.
//! * A flush that nothing waits for: a crash loses what was written, or does not.
//! * What is not durable when there are no crashes left. Who says something later than it
//!   might is one whose message is late.
//! * A message that makes no difference any more, whenever it is heard: `is_dead`.
//! * The order of messages, and how many are the same. Nor does the order of answers count
//!   among three sites: the second one makes a quorum, and ends what the leader asked.
//!
//! *Deliberately absent*: more participants, whose states are too many to wait for.

use synod_common::commit::{Say, SiteId, Verdict};

use super::bug::Bug;
use super::check::Check;
use super::node::{Addressed, Letter, Life, Message, Node};
use crate::exhaust;

/// The participants, and the coordinator.
const SITES: u16 = 3;

/// Times that those who wait may lead, after the faults, until all know.
const PATIENCE: usize = 20;

/// How far the search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Crashes, of all sites together.
    pub crashes: u32,
    /// Elections, of all sites together.
    pub elections: u32,
}

/// Something that may happen.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A message arrives.
    Hear(Letter),
    /// A participant that is asked to vote says NO.
    Refuse(Letter),
    /// A site has waited long enough.
    Wait(SiteId),
    /// What a site has written becomes durable.
    Flush(SiteId),
    /// A site crashes, and what it has not flushed is gone.
    Crash(SiteId),
    /// A site crashes; what it has not flushed is durable, and nobody has heard of it.
    CrashFlushed(SiteId),
}

/// Everything there is at one moment.
#[derive(Clone, Debug, Hash)]
pub struct State {
    nodes: Vec<Node>,
    /// Sorted, and no two the same.
    said: Vec<Letter>,
    /// What may still happen.
    left: Bounds,
    check: Check,
}

impl State {
    /// The coordinator has asked both participants to vote.
    pub fn new(bounds: Bounds, bug: Option<Bug>) -> State {
        let from = SiteId(SITES - 1);
        let ask = |to| Letter { from, to, message: Message::Prepare };
        State {
            nodes: (0..SITES).map(|site| Node::new(SiteId(site), SITES, bug)).collect(),
            said: (0..SITES - 1).map(|to| ask(SiteId(to))).collect(),
            left: bounds,
            check: Check::new(SITES),
        }
    }

    fn node(&mut self, site: SiteId) -> &mut Node {
        &mut self.nodes[usize::from(site.0)]
    }

    fn hear(&mut self, letter: Letter, refuses: bool) -> Result<(), String> {
        let Letter { from, to, message } = letter;
        let mut out = Vec::new();
        self.node(to).hear(from, message, refuses, &mut out);
        self.happened(to, out)
    }

    fn wait(&mut self, site: SiteId) -> Result<(), String> {
        let mut out = Vec::new();
        self.node(site).waited(&mut out);
        self.happened(site, out)
    }

    fn flush(&mut self, site: SiteId) -> Result<(), String> {
        let mut out = Vec::new();
        self.node(site).flush(&mut out);
        let stable = self.node(site).disk.stable;
        self.check.durable(site, stable)?;
        self.happened(site, out)
    }

    fn crash(&mut self, site: SiteId, survives: bool) -> Result<(), String> {
        self.node(site).crash(survives);
        self.check.crashed(site);
        self.said.retain(|letter| letter.from != site || letter.to != site);
        let stable = self.node(site).disk.stable;
        self.check.durable(site, stable)?;
        self.node(site).restart();
        self.check.node(site, &self.nodes)
    }

    /// A site has done something, and says this.
    fn happened(&mut self, site: SiteId, out: Vec<Addressed>) -> Result<(), String> {
        self.node(site).sort();
        for (to, message) in out {
            if let Message::Site(Say::Elect { ballot } | Say::Pre { ballot, .. }) = message {
                self.check.leads(ballot)?;
            }
            let letter = Letter { from: site, to, message };
            if let Err(place) = self.said.binary_search(&letter) {
                self.said.insert(place, letter);
            }
        }
        self.check.node(site, &self.nodes)
    }

    /// Leaves out what makes no difference.
    fn reduce(&mut self) -> Result<(), String> {
        for site in (0..SITES).map(SiteId) {
            if self.left.crashes == 0 && self.node(site).is_dirty() {
                self.flush(site)?;
            }
        }
        let alive = |letter: &Letter| !self.is_dead(*letter);
        self.said = self.said.iter().copied().filter(alive).collect();
        Ok(())
    }

    /// Whether it makes no difference any more who hears this.
    fn is_dead(&self, letter: Letter) -> bool {
        let Letter { from, to, message } = letter;
        let (speaker, hearer) = (&self.nodes[usize::from(from.0)], &self.nodes[usize::from(to.0)]);
        let last = &self.nodes[usize::from(SITES - 1)];
        let counts = matches!(last.life, Life::Collecting(_));
        let say = match message {
            Message::Prepare => return !counts && !matches!(hearer.life, Life::Idle),
            Message::Yes | Message::No => return !counts,
            Message::Site(say) => say,
        };
        match say {
            Say::Elect { ballot } | Say::Pre { ballot, .. } => match hearer.ended() {
                // It has been answered, or nobody listens.
                Some(verdict) => speaker.ended().is_some() || self.was_told(from, to, verdict),
                // It would be refused, and nobody listens.
                None => speaker.ended().is_some() && hearer.disk.stable.elected > ballot,
            },
            // Nobody leads twice with the same ballot.
            Say::State { ballot, .. } | Say::Accepted { ballot } => hearer.leads() != Some(ballot),
            // Nobody forgets what it has let lead.
            Say::Refused { elected, .. } => {
                hearer.ended().is_some() || hearer.disk.stable.elected >= elected
            }
            Say::Decided { .. } | Say::Forgotten => hearer.ended().is_some(),
        }
    }

    fn was_told(&self, to: SiteId, from: SiteId, verdict: Verdict) -> bool {
        let message = Message::Site(Say::Decided { verdict });
        self.said.binary_search(&Letter { from, to, message }).is_ok()
    }

    /// Without faults and without this site, those who are there decide.
    fn ends_without(mut self, away: Option<SiteId>) -> Result<(), String> {
        for site in (0..SITES).map(SiteId) {
            if Some(site) == away {
                self.node(site).crash(false);
            }
        }
        for _ in 0..PATIENCE {
            self.settle()?;
            let Some(site) = self.nodes.iter().position(Node::is_undecided) else { break };
            self.wait(SiteId(site as u16))?;
        }
        self.check.end(&self.nodes)
    }

    /// Lets all happen that happens by itself.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            for site in (0..SITES).map(SiteId) {
                if self.node(site).is_dirty() {
                    self.flush(site)?;
                }
            }
            let letters = std::mem::take(&mut self.said);
            if letters.is_empty() {
                return Ok(());
            }
            for letter in letters {
                if self.node(letter.to).up {
                    self.hear(letter, false)?;
                }
            }
        }
    }
}

impl exhaust::State for State {
    type Event = Event;

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for letter in self.said.iter().copied() {
            events.push(Event::Hear(letter));
            if letter.message == Message::Prepare {
                events.push(Event::Refuse(letter));
            }
        }
        for (site, node) in (0..).map(SiteId).zip(&self.nodes) {
            events.push(Event::Wait(site));
            if node.is_forced() {
                events.push(Event::Flush(site));
            }
            if self.left.crashes > 0 && node.may_forget() {
                events.push(Event::Crash(site));
                if node.is_dirty() {
                    events.push(Event::CrashFlushed(site));
                }
            }
        }
        events
    }

    fn happen(&mut self, event: Event) -> Result<bool, String> {
        match event {
            Event::Hear(letter) => self.hear(letter, false)?,
            Event::Refuse(letter) => self.hear(letter, true)?,
            Event::Wait(site) => {
                let before = self.node(site).leads();
                self.wait(site)?;
                if self.node(site).leads() > before {
                    let Some(left) = self.left.elections.checked_sub(1) else { return Ok(false) };
                    self.left.elections = left;
                }
            }
            Event::Flush(site) => self.flush(site)?,
            Event::Crash(site) | Event::CrashFlushed(site) => {
                self.left.crashes -= 1;
                self.crash(site, matches!(event, Event::CrashFlushed(_)))?;
            }
        }
        self.reduce()?;
        Ok(true)
    }

    fn calm(&self) -> State {
        let left = Bounds { crashes: 0, elections: 0 };
        let mut calm = State { left, ..self.clone() };
        calm.said.retain(|letter| letter.from == letter.to);
        calm
    }

    fn ends(&self) -> Result<(), String> {
        let everybody = std::iter::once(None);
        let all_but_one = (0..SITES).map(|site| Some(SiteId(site)));
        everybody.chain(all_but_one).try_for_each(|away| self.clone().ends_without(away))
    }
}
