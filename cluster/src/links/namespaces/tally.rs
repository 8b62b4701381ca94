//! What links have done, from what `tc` tells of their classes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::plan::Plan;
use crate::links::party::Ends;
use crate::links::rule::{Counts, Rule};

/// All links.
pub(super) struct Tally(BTreeMap<Ends, Entry>);

struct Entry {
    class: u16,
    rule: Rule,
    /// Since it was looked last, a rule dropped, or delayed.
    drops: bool,
    delays: bool,
    last: Shown,
    counts: Counts,
}

/// What the kernel has counted of a class since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    sent: u64,
    dropped: u64,
    waiting: u64,
}

impl Tally {
    pub(super) fn new(plan: &Plan, ends: impl IntoIterator<Item = Ends>) -> Tally {
        let entry = |ends| Entry {
            class: plan.class(ends),
            rule: Rule::default(),
            drops: false,
            delays: false,
            last: Shown::default(),
            counts: Counts::default(),
        };
        Tally(ends.into_iter().map(|ends| (ends, entry(ends))).collect())
    }

    pub(super) fn rule(&self, ends: Ends) -> Rule {
        self.0[&ends].rule
    }

    /// A link obeys another rule now.
    pub(super) fn set(&mut self, ends: Ends, rule: Rule) {
        let entry = self.0.get_mut(&ends).expect("a link of this network");
        entry.rule = rule;
        entry.note_rule(entry.drops, entry.delays);
    }

    /// Takes what `tc -s class show` says of all links.
    pub(super) fn take(&mut self, text: &str) -> Result<()> {
        let shown = parse(text)?;
        for (ends, entry) in &mut self.0 {
            let shown = shown.get(&entry.class);
            entry.take(*shown.with_context(|| format!("{} → {}: no class", ends.0, ends.1))?);
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> BTreeMap<Ends, Counts> {
        self.0.iter().map(|(ends, entry)| (*ends, entry.counts)).collect()
    }
}

impl Entry {
    fn take(&mut self, shown: Shown) {
        let sent = shown.sent.saturating_sub(self.last.sent);
        let dropped = shown.dropped.saturating_sub(self.last.dropped);
        // What waited when the link was cut went with its leaf, and the kernel does not say so.
        let had = self.last.waiting;
        let gone = if self.drops { had.saturating_sub(sent + dropped + shown.waiting) } else { 0 };
        let counts = &mut self.counts;
        counts.passed += sent;
        match self.drops {
            true => counts.dropped += dropped + gone,
            false => counts.overflowed += dropped,
        }
        if self.delays {
            counts.delayed += sent;
        }
        counts.waiting = shown.waiting;
        counts.arrived = counts.passed + counts.dropped + counts.overflowed + counts.waiting;
        self.last = shown;
        self.note_rule(false, false);
    }

    fn note_rule(&mut self, dropped: bool, delayed: bool) {
        let Rule { cut, loss, delay, jitter, .. } = self.rule;
        self.drops = dropped || cut || loss > 0.0;
        self.delays = delayed || !(cut || delay.is_zero() && jitter.is_zero());
    }
}

/// Classes by their number.
fn parse(text: &str) -> Result<BTreeMap<u16, Shown>> {
    let mut found = BTreeMap::new();
    let mut class = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let not_understood = || format!("tc says '{line}', which is not understood");
        match words[..] {
            ["class", "htb", id, ..] => {
                let minor = id.strip_prefix("1:").and_then(|id| u16::from_str_radix(id, 16).ok());
                class = Some(minor.with_context(not_understood)?);
                found.insert(minor.with_context(not_understood)?, Shown::default());
            }
            ["Sent", _, "bytes", sent, "pkt", "(dropped", dropped, ..] => {
                let shown = class.and_then(|class| found.get_mut(&class));
                let shown = shown.with_context(not_understood)?;
                shown.sent = sent.parse().with_context(not_understood)?;
                let dropped = dropped.trim_end_matches(',');
                shown.dropped = dropped.parse().with_context(not_understood)?;
            }
            ["backlog", _, waiting, "requeues", _] => {
                let shown = class.and_then(|class| found.get_mut(&class));
                let waiting = waiting.strip_suffix('p').with_context(not_understood)?;
                shown.with_context(not_understood)?.waiting =
                    waiting.parse().with_context(not_understood)?;
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::links::party::Party;
    use crate::node::NodeName;

    /// From iproute2 6.1 and Linux 6.18.
    const TEXT: &str = "\
class htb 1:102 root leaf 8004: prio 0 rate 10Gbit ceil 10Gbit burst 10483750b cburst 10483750b 
 Sent 10420 bytes 10 pkt (dropped 15, overlimits 0 requeues 0) 
 backlog 0b 0p requeues 0
 lended: 10 borrowed: 0 giants: 0
 tokens: 131048 ctokens: 131048

class htb 1:201 root leaf 8005: prio 0 rate 10Gbit ceil 10Gbit burst 10483750b cburst 10483750b 
 Sent 1221 bytes 3 pkt (dropped 0, overlimits 0 requeues 0) 
 backlog 14Kb 12p requeues 0
 lended: 3 borrowed: 0 giants: 0
 tokens: 131048 ctokens: 131048

";
    const C1: Party = Party::Node(NodeName::Coordinator(1));
    const TO_CLIENT: Ends = (C1, Party::Client);

    fn tally() -> Tally {
        let plan = Plan::new(1, &[NodeName::Coordinator(1)]);
        Tally::new(&plan, [TO_CLIENT, (Party::Client, C1)])
    }

    fn text(of_c1: &str) -> String {
        format!("class htb 1:201\n{}\nclass htb 1:102\n{of_c1}\n", line(0, 0, 0))
    }

    fn line(sent: u64, dropped: u64, waiting: u64) -> String {
        format!(
            " Sent 9 bytes {sent} pkt (dropped {dropped}, overlimits 0 requeues 0)\n \
             backlog 9b {waiting}p requeues 0"
        )
    }

    /// What it counts after it was shown that.
    fn taken(tally: &mut Tally, sent: u64, dropped: u64, waiting: u64) -> Counts {
        tally.take(&text(&line(sent, dropped, waiting))).unwrap();
        let counts = tally.counts()[&TO_CLIENT];
        let Counts { arrived, passed, dropped, overflowed, waiting, .. } = counts;
        assert_eq!(arrived, passed + dropped + overflowed + waiting);
        counts
    }

    #[test]
    fn what_tc_tells_is_read() {
        let found = parse(TEXT).unwrap();
        let expected = [
            (0x102, Shown { sent: 10, dropped: 15, waiting: 0 }),
            (0x201, Shown { sent: 3, dropped: 0, waiting: 12 }),
        ];
        assert_eq!(found, expected.into());
        let mut tally = tally();
        tally.set(TO_CLIENT, Rule { cut: true, ..Rule::default() });
        tally.take(TEXT).unwrap();
        let counts = tally.counts();
        let cut = Counts { arrived: 25, passed: 10, dropped: 15, ..Counts::default() };
        assert_eq!(counts[&TO_CLIENT], cut);
        let open = Counts { arrived: 15, passed: 3, waiting: 12, ..Counts::default() };
        assert_eq!(counts[&(Party::Client, C1)], open);
    }

    #[test]
    fn what_is_not_understood_is_no_zero() {
        let mut tally = tally();
        let mut refused = |text: &str| tally.take(text).unwrap_err().to_string();
        assert_eq!(refused(""), "c1 → client: no class");
        let odd = TEXT.replace("10 pkt", "many pkt");
        assert!(refused(&odd).starts_with("tc says ' Sent 10420 bytes many pkt"));
        let odd = TEXT.replace("12p", "12");
        assert!(refused(&odd).starts_with("tc says ' backlog 14Kb 12 requeues 0'"));
        let odd = TEXT.replace("1:201", "2:201");
        assert!(refused(&odd).starts_with("tc says 'class htb 2:201"));
    }

    /// Up to the first look after it ended, as drops of a cut come in between.
    #[test]
    fn drops_are_those_of_a_rule_while_there_is_one() {
        let mut tally = tally();
        let cut = Rule { cut: true, ..Rule::default() };
        assert_eq!(taken(&mut tally, 5, 1, 0).overflowed, 1);
        tally.set(TO_CLIENT, cut);
        tally.set(TO_CLIENT, Rule::default());
        let counts = taken(&mut tally, 6, 4, 0);
        assert_eq!((counts.passed, counts.dropped, counts.overflowed), (6, 3, 1));
        let counts = taken(&mut tally, 6, 6, 0);
        assert_eq!((counts.dropped, counts.overflowed), (3, 3));
        tally.set(TO_CLIENT, cut);
        assert_eq!(taken(&mut tally, 6, 9, 0).dropped, 6);
        assert_eq!(taken(&mut tally, 6, 10, 0).dropped, 7);
    }

    #[test]
    fn who_passes_a_slow_link_was_delayed_and_a_cut_takes_who_waits() {
        let mut tally = tally();
        let slow = Rule { delay: Duration::from_millis(9), ..Rule::default() };
        tally.set(TO_CLIENT, slow);
        let counts = taken(&mut tally, 2, 0, 3);
        assert_eq!((counts.arrived, counts.delayed, counts.waiting), (5, 2, 3));
        tally.set(TO_CLIENT, Rule { cut: true, ..slow });
        let counts = taken(&mut tally, 2, 0, 0);
        assert_eq!((counts.arrived, counts.delayed, counts.dropped), (5, 2, 3));
        tally.set(TO_CLIENT, Rule::default());
        assert_eq!(taken(&mut tally, 4, 0, 0).delayed, 2);
    }
}
