//! What whoever breaks links holds in the hand.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::namespaces::Network;
use super::party::{Ends, Party, all_ends};
use super::proxy::{Proxy, Server};
use super::rule::{Counts, Rule};
use crate::node::NodeName;

/// The links of a cluster, each in two directions. They live as long as this does.
pub struct Links {
    rules: Mutex<BTreeMap<Ends, Rule>>,
    carrier: Carrier,
}

/// What carries datagrams, and obeys.
enum Carrier {
    Proxy(Proxy),
    Namespaces(Network),
}

impl Links {
    /// Starts to carry datagrams between sockets. All servers must be named differently.
    pub(crate) async fn through_a_proxy(servers: Vec<Server>, seed: u64) -> Result<Links> {
        let rules = no_rules(servers.iter().map(|server| server.name));
        let carrier = Carrier::Proxy(Proxy::start(servers, seed).await?);
        Ok(Links { rules: Mutex::new(rules), carrier })
    }

    /// Those of a network that is there.
    pub(crate) fn through(network: Network, names: &[NodeName]) -> Links {
        let rules = Mutex::new(no_rules(names.iter().copied()));
        Links { rules, carrier: Carrier::Namespaces(network) }
    }

    /// Who is at their ends.
    pub fn parties(&self) -> Vec<Party> {
        let mut parties: Vec<Party> = self.rules.lock().keys().map(|(from, _)| *from).collect();
        parties.dedup();
        parties
    }

    /// From now on, what `from` sends to `to` obeys this rule. What was on its way comes when
    /// it would have come, but for a cut, which drops it.
    ///
    /// # Errors
    /// If there is no such link, or no such rule: shares are of 0 to 1, times at most a
    /// minute; between network namespaces, links can only be cut. If the system refuses.
    pub fn set(&self, from: Party, to: Party, rule: Rule) -> Result<()> {
        self.change(|rules| {
            *one_of(rules, from, to)? = rule;
            Ok(())
        })
    }

    /// From now on, links obey these rules, and those that are not named obey none. A link
    /// whose rule stays the same is left alone.
    ///
    /// # Errors
    /// As [`set`](Self::set); then none is changed.
    pub fn set_all(&self, wanted: &BTreeMap<(Party, Party), Rule>) -> Result<()> {
        self.change(|rules| {
            rules.values_mut().for_each(|rule| *rule = Rule::default());
            for (&(from, to), rule) in wanted {
                *one_of(rules, from, to)? = *rule;
            }
            Ok(())
        })
    }

    /// Cuts these, whatever else their rules say, and no others.
    ///
    /// # Errors
    /// If one of them does not exist; then none is cut. If the system refuses.
    pub fn cut<'a>(&self, cut: impl IntoIterator<Item = &'a (Party, Party)>) -> Result<()> {
        self.change(|rules| {
            for &(from, to) in cut {
                one_of(rules, from, to)?.cut = true;
            }
            Ok(())
        })
    }

    /// From now on, everything passes as it came.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn heal(&self) -> Result<()> {
        self.set_all(&BTreeMap::new())
    }

    /// The rule of a link.
    ///
    /// # Errors
    /// If there is no such link.
    pub fn rule(&self, from: Party, to: Party) -> Result<Rule> {
        one_of(&mut self.rules.lock(), from, to).copied()
    }

    /// What a link has done.
    ///
    /// # Errors
    /// If there is no such link, or the system does not tell.
    pub fn counts(&self, from: Party, to: Party) -> Result<Counts> {
        self.rule(from, to)?;
        let counts = self.all_counts()?;
        Ok(*counts.get(&(from, to)).context("a link that is not counted")?)
    }

    /// What all links have done, by who sends and who receives.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn all_counts(&self) -> Result<BTreeMap<(Party, Party), Counts>> {
        match &self.carrier {
            Carrier::Proxy(proxy) => Ok(proxy.counts()),
            Carrier::Namespaces(network) => network.counts(),
        }
    }

    /// Carries out what differs from what was.
    fn change(&self, how: impl FnOnce(&mut BTreeMap<Ends, Rule>) -> Result<()>) -> Result<()> {
        let mut rules = self.rules.lock();
        let mut wanted = rules.clone();
        how(&mut wanted)?;
        wanted.values().try_for_each(|rule| self.carrier.check(rule))?;
        let changed = wanted.iter().filter(|(ends, rule)| rules[ends] != **rule);
        let changed = changed.map(|(ends, rule)| (*ends, *rule));
        match &self.carrier {
            Carrier::Proxy(proxy) => proxy.set(&changed.collect::<Vec<_>>()),
            Carrier::Namespaces(network) => {
                let cut = changed.map(|(ends, rule)| (ends, rule.cut));
                network.set(&cut.collect::<Vec<_>>())?;
            }
        }
        *rules = wanted;
        Ok(())
    }
}

impl Carrier {
    /// Whether links can obey.
    fn check(&self, rule: &Rule) -> Result<()> {
        rule.check()?;
        let is_plain_or_cut = *rule == Rule { cut: rule.cut, ..Rule::default() };
        match self {
            Carrier::Proxy(_) => Ok(()),
            Carrier::Namespaces(_) if is_plain_or_cut => Ok(()),
            Carrier::Namespaces(_) => {
                anyhow::bail!("between network namespaces, links can only be cut")
            }
        }
    }
}

fn no_rules(names: impl IntoIterator<Item = NodeName>) -> BTreeMap<Ends, Rule> {
    all_ends(names).into_iter().map(|ends| (ends, Rule::default())).collect()
}

fn one_of(rules: &mut BTreeMap<Ends, Rule>, from: Party, to: Party) -> Result<&mut Rule> {
    rules.get_mut(&(from, to)).with_context(|| format!("there is no link from {from} to {to}"))
}
