//! One server of the transaction: it keeps a site as coordinators and shards do, on a disk
//! that forgets in a crash what was not flushed.

use synod_common::commit::{Ballot, Rule, Say, Site, SiteId, Stable, Step, Verdict};
use synod_common::time::Timestamp;

use super::bug::Bug;

/// Votes are given, and the transaction commits, at this timestamp.
pub const AT: Timestamp = Timestamp(7);

/// What servers say to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Vote.
    Prepare,
    /// The vote is YES.
    Yes,
    /// The vote is NO.
    No,
    /// What sites say.
    Site(Say),
}

/// How far a server is, in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// A participant that has not voted.
    Idle,
    /// The coordinator, with a bit for each YES.
    Collecting(u32),
    /// It has voted YES, or all have.
    Site(Box<Site>),
    /// It never votes YES; the coordinator: it has told nobody to pre-commit.
    Never,
    /// It knows the decision.
    Over(Verdict),
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// A participant's YES.
    pub voted: bool,
    /// What the site must not forget.
    pub stable: Stable,
    /// The decision.
    pub decided: Option<Verdict>,
}

/// A message that waits for the disk, or one that leaves.
pub type Addressed = (SiteId, Message);

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter {
    pub from: SiteId,
    pub to: SiteId,
    pub message: Message,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    me: SiteId,
    sites: u16,
    bug: Option<Bug>,
    /// How far it is.
    pub life: Life,
    /// Whether it runs.
    pub up: bool,
    /// What survives a crash for sure.
    pub disk: Disk,
    /// The same with what was written since.
    cache: Disk,
    /// Something was written that is not flushed.
    dirty: bool,
    /// Of that, something that what it says waits for.
    forced: bool,
    held: Vec<Addressed>,
}

impl Node {
    /// A server before anything happened.
    pub fn new(me: SiteId, sites: u16, bug: Option<Bug>) -> Node {
        let is_coordinator = me.0 + 1 == sites;
        Node {
            me,
            sites,
            bug,
            life: if is_coordinator { Life::Collecting(0) } else { Life::Idle },
            up: true,
            disk: Disk::default(),
            cache: Disk::default(),
            dirty: false,
            forced: false,
            held: Vec::new(),
        }
    }

    fn is_coordinator(&self) -> bool {
        self.me.0 + 1 == self.sites
    }

    /// Whether it has written what is not flushed.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether something that it has to say waits for a flush.
    pub fn is_forced(&self) -> bool {
        self.forced
    }

    /// A message arrives. `refuses`: a participant that is asked to vote says NO.
    pub fn hear(
        &mut self,
        from: SiteId,
        message: Message,
        refuses: bool,
        out: &mut Vec<Addressed>,
    ) {
        match message {
            Message::Prepare => self.vote(from, refuses, out),
            Message::Yes => self.count(from, out),
            Message::No => {
                if matches!(self.life, Life::Collecting(_)) {
                    self.abort_all(out);
                }
            }
            Message::Site(say) => self.site_said(from, say, out),
        }
    }

    fn vote(&mut self, from: SiteId, refuses: bool, out: &mut Vec<Addressed>) {
        match &self.life {
            Life::Idle if refuses => self.life = Life::Never,
            Life::Idle => {
                self.cache.stable = Stable::voted(self.rule());
                let site = Site::new(self.me, self.sites, self.cache.stable);
                self.life = Life::Site(Box::new(self.mutated(site)));
                self.cache.voted = true;
                (self.dirty, self.forced) = (true, true);
            }
            Life::Site(_) | Life::Never | Life::Over(_) | Life::Collecting(_) => {}
        }
        let vote = match &self.life {
            Life::Site(_) => Message::Yes,
            Life::Never => Message::No,
            Life::Idle | Life::Over(_) | Life::Collecting(_) => return,
        };
        match self.bug {
            Some(Bug::YesUnforced) => out.push((from, vote)),
            _ => self.say(from, vote, out),
        }
    }

    fn count(&mut self, from: SiteId, out: &mut Vec<Addressed>) {
        let Life::Collecting(yes) = &mut self.life else { return };
        *yes |= 1 << from.0;
        if yes.count_ones() + 1 == u32::from(self.sites) {
            let (site, step) = Site::coordinator(self.sites, self.rule(), AT);
            self.life = Life::Site(Box::new(self.mutated(site)));
            self.take(step, out);
        }
    }

    fn rule(&self) -> Rule {
        match self.bug {
            Some(Bug::Classical) => Rule::TimeOut,
            Some(Bug::Canary | Bug::YesUnforced) | None => Rule::Quorum,
            #[cfg(feature = "mutants")]
            Some(Bug::Site(_)) => Rule::Quorum,
        }
    }

    fn mutated(&self, site: Site) -> Site {
        #[cfg(feature = "mutants")]
        let site = match self.bug {
            Some(Bug::Site(mutant)) => site.mutated(Some(mutant)),
            Some(Bug::Canary | Bug::Classical | Bug::YesUnforced) | None => site,
        };
        site
    }

    fn site_said(&mut self, from: SiteId, say: Say, out: &mut Vec<Addressed>) {
        let asks = matches!(say, Say::Elect { .. } | Say::Pre { .. });
        match &mut self.life {
            Life::Site(site) => {
                let step = site.hear(from, say);
                self.take(step, out);
            }
            // It makes sure that it never votes YES.
            Life::Idle if asks => {
                self.life = Life::Never;
                self.tell(from, Verdict::Abort, out);
            }
            Life::Collecting(_) if asks => self.abort_all(out),
            Life::Never if asks => self.tell(from, Verdict::Abort, out),
            Life::Over(verdict) if asks => {
                let verdict = *verdict;
                self.tell(from, verdict, out);
            }
            Life::Idle | Life::Collecting(_) | Life::Never | Life::Over(_) => {}
        }
    }

    fn tell(&mut self, to: SiteId, verdict: Verdict, out: &mut Vec<Addressed>) {
        out.push((to, Message::Site(Say::Decided { verdict })));
    }

    /// The coordinator aborts: nobody has pre-committed.
    fn abort_all(&mut self, out: &mut Vec<Addressed>) {
        self.life = Life::Never;
        for to in (0..self.sites - 1).map(SiteId) {
            self.tell(to, Verdict::Abort, out);
        }
    }

    /// It has waited long enough.
    pub fn waited(&mut self, out: &mut Vec<Addressed>) {
        match &mut self.life {
            Life::Site(site) => {
                let step = site.waited();
                self.take(step, out);
            }
            Life::Collecting(_) => self.abort_all(out),
            Life::Idle => self.life = Life::Never,
            Life::Never | Life::Over(_) => {}
        }
    }

    fn take(&mut self, step: Step, out: &mut Vec<Addressed>) {
        let Life::Site(site) = &self.life else { return };
        if step.force {
            self.cache.stable = site.stable();
            (self.dirty, self.forced) = (true, true);
        }
        for (to, say) in step.messages {
            self.say(to, Message::Site(say), out);
        }
        if let Some(verdict) = step.decided {
            let verdict = match self.bug {
                Some(Bug::Canary) if self.me == SiteId(0) => match verdict {
                    Verdict::Commit(_) => Verdict::Abort,
                    Verdict::Abort => Verdict::Commit(AT),
                },
                _ => verdict,
            };
            self.life = Life::Over(verdict);
            self.cache.decided = Some(verdict);
            self.dirty = true;
        }
    }

    fn say(&mut self, to: SiteId, message: Message, out: &mut Vec<Addressed>) {
        let waiting = if self.forced { &mut self.held } else { out };
        waiting.push((to, message));
    }

    /// All that was written is durable; what waited for it leaves.
    pub fn flush(&mut self, out: &mut Vec<Addressed>) {
        self.disk = self.cache;
        (self.dirty, self.forced) = (false, false);
        out.append(&mut self.held);
    }

    /// It crashes. `survives`: what was not flushed had reached the disk all the same.
    pub fn crash(&mut self, survives: bool) {
        if survives {
            self.disk = self.cache;
        }
        self.cache = self.disk;
        (self.dirty, self.forced) = (false, false);
        self.held.clear();
        self.up = false;
    }

    /// Forgets in which order, and how often, it will say what waits for the disk.
    pub fn sort(&mut self) {
        self.held.sort_unstable();
        self.held.dedup();
    }

    /// The ballot with which it leads.
    pub fn leads(&self) -> Option<Ballot> {
        match &self.life {
            Life::Site(site) => site.leads(),
            Life::Idle | Life::Collecting(_) | Life::Never | Life::Over(_) => None,
        }
    }

    /// Whether it runs, and waits for a decision.
    pub fn is_undecided(&self) -> bool {
        match self.life {
            Life::Site(_) | Life::Collecting(_) => self.up,
            Life::Idle | Life::Never | Life::Over(_) => false,
        }
    }

    /// Whether a crash may take it back to what it has left behind, and not only have it
    /// abort or fall silent.
    pub fn may_forget(&self) -> bool {
        match self.life {
            Life::Site(_) => true,
            Life::Over(_) => self.disk.decided.is_none(),
            Life::Idle | Life::Collecting(_) | Life::Never => false,
        }
    }

    /// The decision, if nothing that happens to this server changes that it knows it.
    pub fn ended(&self) -> Option<Verdict> {
        match self.life {
            Life::Never => Some(Verdict::Abort),
            Life::Over(_) => self.disk.decided,
            Life::Idle | Life::Collecting(_) | Life::Site(_) => None,
        }
    }

    /// It is back, with what its disk says.
    pub fn restart(&mut self) {
        self.up = true;
        let Disk { voted, stable, decided } = self.disk;
        let is_site = if self.is_coordinator() { stable != Stable::default() } else { voted };
        self.life = match decided {
            Some(verdict) => Life::Over(verdict),
            None if is_site => {
                Life::Site(Box::new(self.mutated(Site::new(self.me, self.sites, stable))))
            }
            // Its locks are gone, or its votes.
            None => Life::Never,
        };
    }
}
