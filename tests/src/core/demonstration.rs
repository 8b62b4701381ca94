//! A partition, step by step, under one rule or the other.
//!
//! ```text
//!   all vote YES ─▶ c1 pre-commits ─▶ {c1, s1} ✕ {s2} ─▶ each side waits long enough
//!                                                            │
//!                    by quorums: s2 waits until it is told ◀─┴─▶ by time-outs: both are sure
//! ```
//!
//! The events are fixed. What they make of the servers is not: these keep the machine as
//! those of the explorer do.

use synod_common::commit::{Phase, Rule, SiteId, Verdict};

use super::bug::Bug;
use super::node::{Letter, Life, Message, Node};

const SITES: u16 = 3;
const S1: SiteId = SiteId(0);
const S2: SiteId = SiteId(1);
const C1: SiteId = SiteId(2);
/// In the order in which they are shown.
const NAMES: [(SiteId, &str); 3] = [(C1, "c1"), (S1, "s1"), (S2, "s2")];

const COMMITTED: &str = "COMMITTED";
const ABORTED: &str = "ABORTED";

/// Something that happens.
#[derive(Clone, Copy)]
enum Event {
    /// What is on its way arrives, and what that makes them write becomes durable.
    Arrive,
    /// Nobody reaches `s2` any more, nor `s2` anybody.
    Part,
    /// Everybody reaches everybody again.
    Mend,
    /// A site has waited long enough; then all happens that happens by itself.
    Wait(SiteId),
}

const EVENTS: [(&str, Event); 9] = [
    ("s1 and s2 vote YES", Event::Arrive),
    ("c1 pre-commits, and asks them to", Event::Arrive),
    ("the network parts: nobody reaches s2", Event::Part),
    ("s1 hears it; s2 does not", Event::Arrive),
    ("c1 has waited for s2 long enough", Event::Wait(C1)),
    ("s2 has waited for c1 long enough, and leads", Event::Wait(S2)),
    ("s2 has waited for answers long enough", Event::Wait(S2)),
    ("the network is whole again", Event::Mend),
    ("s2, if it waits still, asks the others", Event::Wait(S2)),
];

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demonstration {
    /// What happened, in words, line by line.
    pub lines: Vec<String>,
    /// Whether some committed and others aborted.
    pub contradiction: bool,
}

/// Plays it.
pub fn demonstrate(rule: Rule) -> Demonstration {
    let mut stage = Stage::new(rule);
    let row = |words: &str, [c1, s1, s2]: [&str; 3]| format!("{words:44} {c1:14} {s1:14} {s2}");
    let mut lines = vec![row("", NAMES.map(|(_, name)| name))];
    for (words, event) in EVENTS {
        stage.happen(event);
        lines.push(row(words, NAMES.map(|(site, _)| stage.state(site))));
    }
    let ends = NAMES.map(|(site, _)| stage.state(site));
    let contradiction = ends.contains(&COMMITTED) && ends.contains(&ABORTED);
    lines.push(match contradiction {
        true => "a contradiction: some have committed, and others aborted".to_owned(),
        false => "no contradiction".to_owned(),
    });
    Demonstration { lines, contradiction }
}

/// The servers, and what is between them.
struct Stage {
    nodes: Vec<Node>,
    letters: Vec<Letter>,
    parted: bool,
}

impl Stage {
    fn new(rule: Rule) -> Stage {
        let bug = match rule {
            Rule::Quorum => None,
            Rule::TimeOut => Some(Bug::Classical),
        };
        let ask = |to| Letter { from: C1, to, message: Message::Prepare };
        Stage {
            nodes: (0..SITES).map(|site| Node::new(SiteId(site), SITES, bug)).collect(),
            letters: vec![ask(S1), ask(S2)],
            parted: false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Part => self.parted = true,
            Event::Mend => self.parted = false,
            Event::Wait(site) => {
                self.settle();
                let mut said = Vec::new();
                self.node(site).waited(&mut said);
                self.post(site, said);
                self.settle();
            }
        }
    }

    fn node(&mut self, site: SiteId) -> &mut Node {
        &mut self.nodes[usize::from(site.0)]
    }

    /// What can not arrive is lost.
    fn arrive(&mut self) {
        for Letter { from, to, message } in std::mem::take(&mut self.letters) {
            if self.parted && (from == S2) != (to == S2) {
                continue;
            }
            let mut said = Vec::new();
            self.node(to).hear(from, message, false, &mut said);
            self.post(to, said);
        }
        self.flush();
    }

    fn flush(&mut self) {
        for site in (0..SITES).map(SiteId) {
            let mut said = Vec::new();
            self.node(site).flush(&mut said);
            self.post(site, said);
        }
    }

    fn post(&mut self, from: SiteId, said: Vec<(SiteId, Message)>) {
        self.letters.extend(said.into_iter().map(|(to, message)| Letter { from, to, message }));
    }

    fn settle(&mut self) {
        self.flush();
        while !self.letters.is_empty() {
            self.arrive();
        }
    }

    /// How far a server is, in a word.
    fn state(&self, site: SiteId) -> &'static str {
        match &self.nodes[usize::from(site.0)].life {
            Life::Idle => "-",
            Life::Collecting(_) => "collects votes",
            Life::Site(site) => match site.stable().phase {
                Phase::Waiting => "waiting",
                Phase::Pre(Verdict::Commit(_)) => "pre-committed",
                Phase::Pre(Verdict::Abort) => "pre-aborted",
                Phase::Decided(Verdict::Commit(_)) => COMMITTED,
                Phase::Decided(Verdict::Abort) => ABORTED,
            },
            Life::Over(Verdict::Commit(_)) => COMMITTED,
            Life::Never | Life::Over(Verdict::Abort) => ABORTED,
        }
    }
}
