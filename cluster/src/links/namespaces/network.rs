//! A network that is there until it is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::counts::counts;
use super::plan::{MOST_SERVERS, NETWORKS, Plan};
use super::system;
use crate::links::party::{Ends, Party};
use crate::links::rule::Counts;
use crate::node::NodeName;
use crate::ports::{self, Place};

/// Addresses are its own, so the ports are the same for all.
const QUIC: u16 = 7400;
const ADMIN: u16 = 7480;

/// Namespaces, one for each server, and the cables and the bridge between them.
pub(crate) struct Network {
    plan: Plan,
}

impl Network {
    /// Makes them. All servers must be named differently.
    pub(crate) fn new(servers: &[NodeName]) -> Result<Network> {
        anyhow::ensure!(servers.len() <= MOST_SERVERS, "at most {MOST_SERVERS} servers");
        anyhow::ensure!(cfg!(target_os = "linux"), "only Linux has network namespaces");
        anyhow::ensure!(system::is_root(), "network namespaces take root");
        let plan = claim(ports::seed() as u16 % NETWORKS, servers)?;
        // From here on, what was made is taken away again whatever happens.
        let network = Network { plan };
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
        system::tc(&hub, &self.plan.classes())?;
        Ok(())
    }

    /// Where a server listens.
    pub(crate) fn place(&self, server: NodeName) -> Place {
        let at = |port| SocketAddr::from((self.plan.address(server.into()), port));
        let (listen, admin) = (at(QUIC), at(ADMIN));
        let namespace = Some(self.plan.namespace_of(server));
        Place { listen, told: listen, admin, namespace }
    }

    /// These links change: from now on, they are cut, or no longer. If the system refuses one
    /// of them, all stay as they were.
    pub(in crate::links) fn set(&self, changed: &[(Ends, bool)]) -> Result<()> {
        let hub = self.plan.name();
        let line = |(ends, is_cut): &(Ends, bool)| self.plan.replaces(*ends, *is_cut);
        let back = |(ends, is_cut): &(Ends, bool)| self.plan.replaces(*ends, !is_cut);
        let set = system::tc(&hub, &changed.iter().map(line).collect::<String>());
        if set.is_err() {
            // Those before the one that was refused obey, and nobody knows of it.
            system::tc_all(&hub, &changed.iter().map(back).collect::<String>());
        }
        set.map(drop).context("links do not obey")
    }

    pub(in crate::links) fn counts(&self) -> Result<BTreeMap<Ends, Counts>> {
        counts(&self.plan, &system::tc(&self.plan.name(), &self.plan.shows())?)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = system::remove(&self.plan.removes()) {
            eprintln!("not all of {} could be taken away: {error:#}", self.plan.name());
        }
    }
}

/// Makes sure that there can be links of the kernel's, by making some, and cutting one.
///
/// # Errors
/// What is missing: Linux, root, `ip`, `tc`, or what the kernel has to have.
pub fn probe() -> Result<()> {
    let server = NodeName::Shard(1);
    let network = Network::new(&[server])?;
    network.set(&[((Party::Client, server.into()), true)])?;
    network.counts().map(drop)
}

/// A number that nobody has, from this one on, by the namespace of its hub, which is made.
fn claim(start: u16, servers: &[NodeName]) -> Result<Plan> {
    for number in (start..NETWORKS).chain(0..start) {
        let plan = Plan::new(number, servers);
        // Whoever has an interface of that name may have its namespaces where we see none, as
        // in a container that shares this network and no files.
        let is_there = Path::new("/sys/class/net").join(plan.name()).exists();
        if !is_there && system::claim(&plan.name())? {
            return Ok(plan);
        }
    }
    anyhow::bail!(
        "all {NETWORKS} networks are taken, if only by what runs that were killed have left: \
         see 'ip netns'"
    )
}

/// These take root and more, which not everybody has, so that without it nothing fails; but it
/// is said.
#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::links::{Links, Rule};

    const C1: NodeName = NodeName::Coordinator(1);
    const S1: NodeName = NodeName::Shard(1);

    fn may() -> bool {
        let probed = probe();
        if let Err(error) = &probed {
            // Not by a macro, whose text is shown of tests that fail only.
            let text = format!("SKIPPED, namespaces were not tested: {error:#}\n");
            std::io::stderr().write_all(text.as_bytes()).unwrap();
        }
        probed.is_ok()
    }

    /// Namespaces and interfaces of that network.
    fn left_of(hub: &str) -> Vec<String> {
        let names = |folder: &str| {
            let entries = std::fs::read_dir(folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let is_of_it = |name: &String| name == hub || name.starts_with(&format!("{hub}-"));
            names.filter(is_of_it).collect::<Vec<_>>()
        };
        [names("/run/netns"), names("/sys/class/net")].concat()
    }

    #[test]
    fn what_was_made_goes_if_the_rest_can_not_be_made() {
        if !may() {
            return;
        }
        // The second is refused, as the first is there.
        let said = format!("{:#}", Network::new(&[S1, S1]).err().unwrap());
        assert!(said.starts_with("the network can not be made: ip netns add synod-"), "{said}");
        assert!(said.ends_with("File exists"), "{said}");
        let hub = said.split_whitespace().find_map(|word| word.strip_suffix("-s1:")).unwrap();
        assert_eq!(left_of(hub), [""; 0]);
    }

    #[test]
    fn what_is_not_there_need_not_go() {
        if !may() {
            return;
        }
        let network = Network::new(&[C1, S1]).unwrap();
        let hub = network.plan.name();
        assert_eq!(left_of(&hub).len(), 4, "{:?}", left_of(&hub));
        for _ in 0..2 {
            system::remove(&network.plan.removes()).unwrap();
            assert_eq!(left_of(&hub), [""; 0]);
        }
    }

    #[test]
    fn an_interface_that_is_there_is_left_to_whoever_made_it() {
        if !may() {
            return;
        }
        // A number that nobody else has, whose namespace goes and whose interface stays.
        let (number, hub) = (0..NETWORKS)
            .map(|number| (number, Plan::new(number, &[]).name()))
            .find(|(_, hub)| left_of(hub).is_empty() && system::claim(hub).unwrap())
            .unwrap();
        system::ip(None, &format!("link add name {hub} type veth peer name {hub}-x\n")).unwrap();
        system::remove(&format!("netns delete {hub}\n")).unwrap();
        let other = claim(number, &[]).map(|plan| Network { plan });
        let other = other.map(|network| network.plan.name());
        let stayed = left_of(&hub).len();
        system::remove(&format!("link delete dev {hub}\n")).unwrap();
        assert_ne!(other.unwrap(), hub);
        assert_eq!(stayed, 2);
    }

    #[test]
    fn links_can_only_be_cut() {
        if !may() {
            return;
        }
        let links = Links::through(Network::new(&[S1]).unwrap(), &[S1]);
        let set = |rule| links.set(Party::Client, S1.into(), rule);
        let slow = Rule { delay: Duration::from_millis(1), ..Rule::default() };
        for rule in [slow, Rule { cut: true, ..slow }] {
            let said = set(rule).unwrap_err().to_string();
            assert_eq!(said, "between network namespaces, links can only be cut");
        }
        set(Rule { cut: true, ..Rule::default() }).unwrap();
        set(Rule::default()).unwrap();
    }

    /// Else nobody would know that some are cut, and heal them.
    #[test]
    fn all_links_stay_as_they_were_if_one_does_not_obey() {
        if !may() {
            return;
        }
        let network = Network::new(&[C1, S1]).unwrap();
        let hub = network.plan.name();
        let are_cut = || {
            let shown = system::tc(&hub, "qdisc show dev c1\n").unwrap();
            shown.matches(" limit 0p").count()
        };
        let [whole, broken] = [C1, S1].map(|to| (Party::Client, Party::from(to)));
        network.set(&[(whole, true)]).unwrap();
        assert_eq!(are_cut(), 1);
        network.set(&[(whole, false)]).unwrap();
        assert_eq!(are_cut(), 0);
        system::tc(&hub, "qdisc delete dev s1 root\n").unwrap();
        let said = format!("{:#}", network.set(&[(whole, true), (broken, true)]).unwrap_err());
        let refused = "links do not obey: tc qdisc replace dev s1 parent 1:301 pfifo limit 0: ";
        assert!(said.starts_with(refused), "{said}");
        assert_eq!(are_cut(), 0);
        // Nor is what is not counted taken for zero.
        assert_eq!(network.counts().unwrap_err().to_string(), "c1 → s1: no class");
    }
}
