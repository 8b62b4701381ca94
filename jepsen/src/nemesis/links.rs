//! Links that are cut, slow, or spoil what they carry.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use synod_cluster::{Counts, Links, Partition, Party, Rule, Shape};

use super::{Ground, Nemesis};

/// The rules of one nemesis, by who sends and who receives.
pub(super) type Rules = BTreeMap<(Party, Party), Rule>;

/// Links that obey rules.
pub struct Spoiled {
    text: String,
    number: u64,
    before: BTreeMap<(Party, Party), Counts>,
}

/// What the nemesis wants of links, and that in words; none if the cluster is too small.
pub(super) fn draw(nemesis: Nemesis, links: &Links, dice: &mut Rng) -> Option<(Rules, String)> {
    let parties = links.parties();
    let cut = |shapes: &[Shape], dice: &mut Rng| {
        // Not every cluster has enough servers for each.
        let seed = dice.u64(..);
        let drawn = shapes.iter().filter_map(|shape| shape.draw(&parties, seed));
        let Partition { cut, text } = dice.choice(drawn.collect::<Vec<_>>())?;
        let rule = Rule { cut: true, ..Rule::default() };
        Some((cut.into_iter().map(|link| (link, rule)).collect(), text))
    };
    // For cuts, too: so a seed makes the partitions that it always made.
    let share = f64::from(dice.u32(5..40)) / 100.0;
    let percent = format!("{:.0} %", share * 100.0);
    let plain = Rule::default();
    let (rule, text) = match nemesis {
        Nemesis::Partition => return cut(&[Shape::Alone, Shape::Halves, Shape::Clients], dice),
        Nemesis::OneWay => return cut(&[Shape::OneWay, Shape::Mute, Shape::Deaf], dice),
        Nemesis::Bridge => return cut(&[Shape::Bridge, Shape::Ring], dice),
        Nemesis::Slow => {
            let delay = Duration::from_millis(dice.u64(5..150));
            (Rule { delay, jitter: delay / 4, ..plain }, format!("{delay:?} more"))
        }
        Nemesis::Lossy => (Rule { loss: share, ..plain }, format!("{percent} lost")),
        Nemesis::Duplicate => (Rule { duplicate: share, ..plain }, format!("{percent} twice")),
        Nemesis::Reorder => (Rule { reorder: share, ..plain }, format!("{percent} overtaken")),
        _ => unreachable!("{nemesis} leaves links alone"),
    };
    // All links, or those of one party.
    let one = (dice.u8(..3) > 0).then(|| parties[dice.usize(..parties.len())]);
    let is_hit = |(from, to): (Party, Party)| one.is_none_or(|one| from == one || to == one);
    let all = parties.iter().flat_map(|&from| parties.iter().map(move |&to| (from, to)));
    let hit = all.filter(|&(from, to)| from != to).filter(|&link| is_hit(link));
    let whose = one.map_or_else(|| "all links".to_owned(), |one| format!("links of {one}"));
    Some((hit.map(|link| (link, rule)).collect(), format!("{whose}: {text}")))
}

impl Spoiled {
    /// Adds these rules to those that there are.
    pub(super) fn install(ground: &mut Ground, rules: Rules, text: String) -> Result<Spoiled> {
        let before = ground.links()?.all_counts()?;
        ground.layer += 1;
        let number = ground.layer;
        ground.layers.insert(number, rules);
        ground.lay()?;
        Ok(Spoiled { text, number, before })
    }

    pub(super) fn target(&self) -> String {
        self.text.clone()
    }

    /// Takes them away. What was done to datagrams meanwhile, on the links that had them.
    pub(super) fn heal(self, ground: &mut Ground) -> Result<String> {
        let rules = ground.layers.remove(&self.number).context("its rules are gone")?;
        ground.lay()?;
        let after = ground.links()?.all_counts()?;
        let sum = |what: fn(&Counts) -> u64| -> u64 {
            // Some counts of the kernel's are of 32 bits, and begin anew after so many.
            let new = |link| what(&after[link]).saturating_sub(what(&self.before[link]));
            rules.keys().map(new).sum()
        };
        let counted = [
            ("dropped", sum(|counts| counts.dropped)),
            ("delayed", sum(|counts| counts.delayed)),
            ("duplicated", sum(|counts| counts.duplicated)),
            ("reordered", sum(|counts| counts.reordered)),
        ];
        let counted = counted.iter().filter(|(_, count)| *count > 0);
        let counted: Vec<String> = counted.map(|(what, n)| format!("{n} {what}")).collect();
        let arrived = sum(|counts| counts.arrived);
        Ok(match counted.is_empty() {
            true => format!("of {arrived} datagrams, none was hit"),
            false => format!("of {arrived} datagrams, {}", counted.join(", ")),
        })
    }
}

/// What several nemeses want of one link: all of it.
pub(super) fn both(one: Rule, other: Rule) -> Rule {
    Rule {
        cut: one.cut || other.cut,
        loss: one.loss.max(other.loss),
        duplicate: one.duplicate.max(other.duplicate),
        delay: one.delay + other.delay,
        jitter: one.jitter.max(other.jitter),
        reorder: one.reorder.max(other.reorder),
    }
}
