//! A network that is there until it is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::leaf::leaf;
use super::plan::{MOST_SERVERS, NETWORKS, Plan};
use super::system;
use super::tally::Tally;
use crate::links::party::{Ends, all_ends};
use crate::links::rule::{Counts, Rule};
use crate::node::NodeName;
use crate::ports::{self, Place};

/// Addresses are its own, so the ports are the same for all.
const QUIC: u16 = 7400;
const ADMIN: u16 = 7480;

/// Namespaces, one for each server, and the cables and the bridge between them.
pub(crate) struct Network {
    plan: Plan,
    tally: Mutex<Tally>,
}

impl Network {
    /// Makes them. All servers must be named differently.
    pub(crate) fn new(servers: &[NodeName]) -> Result<Network> {
        anyhow::ensure!(servers.len() <= MOST_SERVERS, "at most {MOST_SERVERS} servers");
        super::probe(&Rule::default()).context("no links in network namespaces")?;
        let plan = claim(servers)?;
        let tally = Mutex::new(Tally::new(&plan, all_ends(servers.iter().copied())));
        // From here on, what was made is taken away again whatever happens.
        let network = Network { plan, tally };
        network.build(servers).context("the network can not be made")?;
        Ok(network)
    }

    fn build(&self, servers: &[NodeName]) -> Result<()> {
        let hub = self.plan.name();
        system::ip(None, &self.plan.cables())?;
        system::ip(Some(&hub), &self.plan.bridge())?;
        for server in servers {
            system::ip(Some(&self.plan.namespace_of(*server)), &self.plan.end(*server))?;
        }
        let plain = Rule::default();
        system::tc(&hub, &self.plan.classes(&leaf(&plain, &plain)))?;
        Ok(())
    }

    /// Where a server listens.
    pub(crate) fn place(&self, server: NodeName) -> Place {
        let at = |port| SocketAddr::from((self.plan.address(server.into()), port));
        let (listen, admin) = (at(QUIC), at(ADMIN));
        let namespace = Some(self.plan.namespace_of(server));
        Place { listen, told: listen, admin, namespace }
    }

    /// From now on, these links obey these rules.
    pub(in crate::links) fn set(&self, changed: &[(Ends, Rule)]) -> Result<()> {
        let mut tally = self.tally.lock();
        let line = |(ends, rule): &(Ends, Rule)| {
            self.plan.replaces(*ends, &leaf(&tally.rule(*ends), rule))
        };
        let script: String = changed.iter().map(line).collect();
        if !script.is_empty() {
            system::tc(&self.plan.name(), &script).context("links do not obey")?;
        }
        for (ends, rule) in changed {
            tally.set(*ends, *rule);
        }
        Ok(())
    }

    pub(in crate::links) fn counts(&self) -> Result<BTreeMap<Ends, Counts>> {
        let mut tally = self.tally.lock();
        tally.take(&system::tc(&self.plan.name(), &self.plan.shows())?)?;
        Ok(tally.counts())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = system::ip_all(&self.plan.removes()) {
            eprintln!("not all of {} could be taken away: {error:#}", self.plan.name());
        }
    }
}

/// A number that nobody has, by the namespace of its hub, which is made.
fn claim(servers: &[NodeName]) -> Result<Plan> {
    let start = ports::seed() as u16 % NETWORKS;
    for number in (start..NETWORKS).chain(0..start) {
        let plan = Plan::new(number, servers);
        if system::claim(&plan.name())? {
            return Ok(plan);
        }
    }
    anyhow::bail!(
        "all {NETWORKS} networks are taken, if only by what runs that were killed have left: \
         see 'ip netns'"
    )
}
