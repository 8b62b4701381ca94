//! One direction between two parties: a machine without a world.
//!
//! ```text
//!              arrive(now)          leave
//!   datagram ─────┬──── Waits ────────┬────▶ sent
//!                 ├──── Leaves ───────┼────▶
//!                 └──── Dropped       └── dropped, if it was cut meanwhile
//! ```
//!
//! What happens to the n-th datagram depends on the seed, the link, n and the rule, and on
//! nothing else.

use std::time::Duration;

use tokio::time::Instant;

use crate::links::dice::Dice;
use crate::links::party::Party;
use crate::links::rule::{Counts, Rule};

/// What may wait on a link.
const MOST_BYTES: usize = 2 << 20;
/// What a datagram that waits costs besides its bytes.
const OVERHEAD_BYTES: usize = 128;
/// For so long one is held back, so that others overtake it.
const HELD_BACK: Duration = Duration::from_millis(5);
/// So many numbers are set aside for each datagram, used or not.
const DRAWS: u64 = 4;

pub(super) struct Link {
    rule: Rule,
    seed: u64,
    /// How many of those that wait keep their order, and when the last of them leaves.
    in_order: (usize, Instant),
    waiting_bytes: usize,
    /// The latest arrival of those that have left.
    latest: u64,
    counts: Counts,
}

/// What becomes of a datagram.
#[derive(Debug, PartialEq)]
pub(super) enum Fate {
    Dropped,
    /// At once; what became of it goes to [`Link::sent`].
    Leaves(Ticket),
    /// [`Link::leave`] is to be asked at that time.
    Waits(Instant, Ticket),
}

/// A datagram that has arrived, as the link knows it.
#[derive(Debug, PartialEq)]
pub(super) struct Ticket {
    /// Its place among those that arrived, from 1.
    number: u64,
    /// How often it leaves: 1, or 2 if it is doubled.
    pub(super) times: u64,
    ordered: bool,
    bytes: usize,
}

impl Link {
    pub(super) fn new(seed: u64, from: Party, to: Party, now: Instant) -> Link {
        let seed = Dice::new(seed, from.number() << 32 | to.number()).draw();
        Link {
            rule: Rule::default(),
            seed,
            in_order: (0, now),
            waiting_bytes: 0,
            latest: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn rule_mut(&mut self) -> &mut Rule {
        &mut self.rule
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes so many datagrams at once if nothing is to be done with them. What became of
    /// them goes to [`sent`](Self::sent).
    pub(super) fn arrive_plainly(&mut self, datagrams: u64) -> Option<Ticket> {
        if self.in_order.0 > 0 || self.rule != Rule::default() {
            return None;
        }
        self.counts.arrived += datagrams;
        let number = self.counts.arrived;
        Some(Ticket { number, times: datagrams, ordered: true, bytes: 0 })
    }

    /// Decides about the next datagram.
    pub(super) fn arrive(&mut self, now: Instant, bytes: usize) -> Fate {
        let mut dice = Dice::new(self.seed, self.counts.arrived * DRAWS);
        self.counts.arrived += 1;
        let number = self.counts.arrived;
        let rule = self.rule;
        let lost = dice.chance(rule.loss);
        let times = 1 + u64::from(dice.chance(rule.duplicate));
        let held_back = dice.chance(rule.reorder);
        let jitter = rule.jitter.mul_f64(dice.share());
        if rule.cut || lost {
            self.counts.dropped += 1;
            return Fate::Dropped;
        }
        let ordered = !held_back && rule.jitter.is_zero();
        let mut until = now + rule.delay + jitter;
        if held_back {
            until += HELD_BACK;
        }
        if ordered && self.in_order.0 > 0 {
            until = until.max(self.in_order.1);
        }
        let overtakes_nobody = !ordered || self.in_order.0 == 0;
        if until <= now && overtakes_nobody {
            self.counts.duplicated += times - 1;
            return Fate::Leaves(Ticket { number, times, ordered, bytes: 0 });
        }
        let bytes = bytes + OVERHEAD_BYTES;
        if self.waiting_bytes + bytes > MOST_BYTES {
            self.counts.overflowed += 1;
            return Fate::Dropped;
        }
        self.counts.delayed += 1;
        self.counts.duplicated += times - 1;
        self.counts.waiting += times;
        self.waiting_bytes += bytes;
        if ordered {
            self.in_order = (self.in_order.0 + 1, until);
        }
        Fate::Waits(until, Ticket { number, times, ordered, bytes })
    }

    /// The time of one that waited has come. Whether it may leave; then what became of it
    /// goes to [`sent`](Self::sent).
    pub(super) fn leave(&mut self, ticket: &Ticket) -> bool {
        self.counts.waiting -= ticket.times;
        self.waiting_bytes -= ticket.bytes;
        if ticket.ordered {
            self.in_order.0 -= 1;
        }
        if self.rule.cut {
            self.counts.dropped += ticket.times;
        }
        !self.rule.cut
    }

    /// Whether the system took what was to leave.
    pub(super) fn sent(&mut self, ticket: &Ticket, taken: bool) {
        if !taken {
            self.counts.overflowed += ticket.times;
            return;
        }
        self.counts.passed += ticket.times;
        if ticket.number < self.latest {
            self.counts.reordered += 1;
        }
        self.latest = self.latest.max(ticket.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeName;

    const MS: Duration = Duration::from_millis(1);

    fn link(seed: u64, rule: Rule) -> (Link, Instant) {
        let now = Instant::now();
        let c1 = Party::Node(NodeName::Coordinator(1));
        let mut link = Link::new(seed, c1, Party::Client, now);
        *link.rule_mut() = rule;
        (link, now)
    }

    /// Lets so many arrive, one each millisecond, and leave in time; their numbers in the
    /// order in which they left.
    fn run(link: &mut Link, begin: Instant, count: u32) -> Vec<u64> {
        let mut waiting: Vec<(Instant, Ticket)> = Vec::new();
        let mut left = Vec::new();
        let mut let_go = |link: &mut Link, ticket: Ticket| {
            link.sent(&ticket, true);
            left.extend(vec![ticket.number; ticket.times as usize]);
        };
        for i in 0..count + 1000 {
            let now = begin + i * MS;
            waiting.sort_by_key(|(until, ticket)| (*until, ticket.number));
            while waiting.first().is_some_and(|(until, _)| *until <= now) {
                let (_, ticket) = waiting.remove(0);
                if link.leave(&ticket) {
                    let_go(link, ticket);
                }
            }
            if i < count {
                match link.arrive(now, 100) {
                    Fate::Dropped => {}
                    Fate::Leaves(ticket) => let_go(link, ticket),
                    Fate::Waits(until, ticket) => waiting.push((until, ticket)),
                }
            }
        }
        assert!(waiting.is_empty());
        let Counts { arrived, passed, dropped, overflowed, duplicated, waiting, .. } = link.counts;
        assert_eq!(arrived + duplicated, passed + dropped + overflowed + waiting);
        assert_eq!((waiting, link.waiting_bytes, link.in_order.0), (0, 0, 0));
        left
    }

    #[test]
    fn everything_passes_without_a_rule() {
        let (mut link, now) = link(1, Rule::default());
        assert_eq!(run(&mut link, now, 100), (1..=100).collect::<Vec<_>>());
        let counts = Counts { arrived: 100, passed: 100, ..Counts::default() };
        assert_eq!(link.counts(), counts);
    }

    #[test]
    fn loss_and_doubling_take_their_share() {
        let rule = Rule { loss: 0.3, duplicate: 0.5, ..Rule::default() };
        let (mut link, now) = link(1, rule);
        run(&mut link, now, 10_000);
        assert!((2800..3200).contains(&link.counts.dropped), "{:?}", link.counts);
        assert!((3300..3700).contains(&link.counts.duplicated), "{:?}", link.counts);
        assert_eq!(link.counts.reordered, 0);
    }

    #[test]
    fn no_loss_loses_nothing_and_all_loses_all() {
        for (loss, left) in [(0.0, 1000), (1.0, 0)] {
            let (mut link, now) = link(1, Rule { loss, ..Rule::default() });
            assert_eq!(run(&mut link, now, 1000).len(), left);
        }
    }

    #[test]
    fn a_delay_keeps_the_order_also_when_it_ends() {
        let (mut link, now) = link(1, Rule { delay: 50 * MS, ..Rule::default() });
        let Fate::Waits(until, first) = link.arrive(now, 1) else { panic!("it left") };
        assert_eq!(until, now + 50 * MS);
        *link.rule_mut() = Rule::default();
        // It would overtake the first one.
        assert!(link.arrive_plainly(1).is_none());
        let Fate::Waits(until, second) = link.arrive(now + MS, 1) else { panic!("it left") };
        assert_eq!(until, now + 50 * MS);
        // As late as a timer may be.
        let Fate::Waits(_, third) = link.arrive(now + 60 * MS, 1) else { panic!("it left") };
        for ticket in [first, second, third] {
            assert!(link.leave(&ticket));
            link.sent(&ticket, true);
        }
        assert!(link.arrive_plainly(1).is_some());
        assert_eq!((link.counts.reordered, link.counts.delayed), (0, 3));
    }

    #[test]
    fn jitter_and_reorder_change_the_order() {
        let jitter = Rule { jitter: 20 * MS, ..Rule::default() };
        let reorder = Rule { reorder: 0.1, ..Rule::default() };
        for rule in [jitter, reorder] {
            let (mut link, now) = link(1, rule);
            let left = run(&mut link, now, 1000);
            let mut latest = 0;
            let mut behind = 0;
            for number in left {
                behind += u64::from(number < latest);
                latest = latest.max(number);
            }
            assert!(behind > 50, "{behind}");
            assert_eq!(link.counts.reordered, behind);
        }
    }

    #[test]
    fn a_cut_drops_what_is_on_its_way() {
        let (mut link, now) = link(1, Rule { delay: MS, duplicate: 1.0, ..Rule::default() });
        let Fate::Waits(_, ticket) = link.arrive(now, 1) else { panic!("it left") };
        link.rule_mut().cut = true;
        assert!(!link.leave(&ticket));
        assert_eq!(link.arrive(now, 1), Fate::Dropped);
        let counts = Counts { arrived: 2, duplicated: 1, delayed: 1, dropped: 3, ..link.counts };
        assert_eq!(link.counts(), counts);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut link, now) = link(1, Rule { delay: MS, ..Rule::default() });
        while matches!(link.arrive(now, 1000), Fate::Waits(..)) {}
        assert!(link.waiting_bytes <= MOST_BYTES);
        assert!(link.waiting_bytes > MOST_BYTES - 2000);
        assert_eq!(link.counts.overflowed, 1);
    }

    #[test]
    fn the_same_seed_draws_the_same_for_the_same_datagram() {
        let rule = Rule { loss: 0.5, ..Rule::default() };
        let fates = |seed, plain: u64, rest: u64| {
            let (mut link, now) = link(seed, Rule::default());
            assert!(plain == 0 || link.arrive_plainly(plain).is_some());
            *link.rule_mut() = rule;
            let fates = (0..rest).map(|_| link.arrive(now, 1) == Fate::Dropped);
            fates.collect::<Vec<_>>()
        };
        let all = fates(7, 0, 200);
        assert_eq!(fates(7, 0, 200), all);
        // What came before under another rule changes nothing.
        assert_eq!(fates(7, 60, 140), all[60..]);
        assert_ne!(fates(8, 0, 200), all);
    }

    #[test]
    fn each_link_and_each_datagram_has_draws_of_its_own() {
        let now = Instant::now();
        let [c1, c2] = [1, 2].map(|n| Party::Node(NodeName::Coordinator(n)));
        let mut all = std::collections::BTreeSet::new();
        for (from, to) in [(c1, c2), (c2, c1), (c1, Party::Client), (Party::Client, c1)] {
            let mut link = Link::new(1, from, to, now);
            *link.rule_mut() = Rule { jitter: Duration::from_secs(1), ..Rule::default() };
            let fates = (0..100).map(|_| match link.arrive(now, 1) {
                Fate::Waits(until, _) => until,
                fate => panic!("{fate:?}"),
            });
            all.extend(fates);
        }
        assert_eq!(all.len(), 400);

        // That one is doubled says nothing about whether the next one is lost.
        let (mut link, now) = link(1, Rule { loss: 0.5, duplicate: 0.5, ..Rule::default() });
        let fates: Vec<_> = (0..1000).map(|_| link.arrive(now, 1)).collect();
        let doubled = |fate: &Fate| matches!(fate, Fate::Leaves(Ticket { times: 2, .. }));
        let behind = fates.windows(2).filter(|two| doubled(&two[0])).map(|two| &two[1]);
        let (lost, not): (Vec<_>, Vec<_>) = behind.partition(|fate| **fate == Fate::Dropped);
        assert!(lost.len() > 80 && not.len() > 80, "{} and {}", lost.len(), not.len());
    }
}
