//! Names, addresses and commands of a network: text without a world.

use std::net::Ipv4Addr;

use crate::links::party::{Ends, Party, all_ends};
use crate::node::NodeName;

/// There are so many networks, of 254 addresses each.
pub(super) const NETWORKS: u16 = 512;
/// In one of them there is room for so many servers, and for clients.
pub(super) const MOST_SERVERS: usize = 253;

/// The leaf of a class that lets everything pass: there is room for more than ever wait.
const OPEN: &str = "pfifo limit 10000";
/// And of one that drops everything, as there is room for none.
const CUT: &str = "pfifo limit 0";

/// A network that is there or is to be made.
pub(super) struct Plan {
    number: u16,
    servers: Vec<NodeName>,
}

impl Plan {
    pub(super) fn new(number: u16, servers: &[NodeName]) -> Plan {
        assert!(number < NETWORKS && servers.len() <= MOST_SERVERS);
        Plan { number, servers: servers.to_vec() }
    }

    /// Of the hub, and of the interface here. An interface may have 15 letters.
    pub(super) fn name(&self) -> String {
        format!("synod-{}", self.number)
    }

    /// Of the namespace of a server.
    pub(super) fn namespace_of(&self, server: NodeName) -> String {
        format!("{}-{server}", self.name())
    }

    pub(super) fn address(&self, party: Party) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(198, 18 + high, low, self.place(party))
    }

    /// The last byte of an address.
    fn place(&self, party: Party) -> u8 {
        let place = match party {
            Party::Client => 1,
            Party::Node(name) => {
                let at = self.servers.iter().position(|server| *server == name);
                2 + at.expect("a server of this network")
            }
        };
        u8::try_from(place).expect("there are not more servers than addresses")
    }

    /// The part of its class's number after the colon.
    pub(super) fn class(&self, (from, to): Ends) -> u16 {
        u16::from_be_bytes([self.place(to), self.place(from)])
    }

    /// Of all links.
    pub(super) fn ends(&self) -> Vec<Ends> {
        all_ends(self.servers.iter().copied())
    }

    fn parties(&self) -> impl Iterator<Item = Party> + '_ {
        self.servers.iter().map(|server| Party::from(*server)).chain([Party::Client])
    }

    /// For `ip`, here: namespaces, the cables between them, and ours.
    pub(super) fn cables(&self) -> String {
        let hub = self.name();
        let mut text = String::new();
        for server in &self.servers {
            let namespace = self.namespace_of(*server);
            text += &format!(
                "netns add {namespace}\n\
                 link add name {server} netns {hub} type veth peer name eth0 netns {namespace}\n"
            );
        }
        let (client, address) = (Party::Client, self.address(Party::Client));
        text += &format!(
            "link add name {client} netns {hub} type veth peer name {hub}\n\
             address add {address}/24 dev {hub}\n\
             link set dev {hub} gso_max_segs 1 up\n"
        );
        text
    }

    /// For `ip` in the hub.
    pub(super) fn bridge(&self) -> String {
        let mut text = "link add name bridge type bridge\nlink set dev bridge up\n".to_owned();
        for port in self.parties() {
            text += &format!("link set dev {port} master bridge up\n");
        }
        text
    }

    /// For `ip` in the namespace of a server.
    pub(super) fn end(&self, server: NodeName) -> String {
        let address = self.address(server.into());
        format!(
            "link set dev lo up\n\
             address add {address}/24 dev eth0\n\
             link set dev eth0 gso_max_segs 1 up\n"
        )
    }

    /// For `tc` in the hub: a class for each link. What belongs to none passes at once.
    pub(super) fn classes(&self) -> String {
        let mut text = String::new();
        for to in self.parties() {
            text += &format!("qdisc add dev {to} root handle 1: htb\n");
            for from in self.parties().filter(|from| *from != to) {
                text += &self.class_of((from, to));
            }
        }
        text
    }

    /// It is never the bottleneck. Told no quantum, the kernel complains.
    fn class_of(&self, ends: Ends) -> String {
        let (class, (from, to)) = (self.class(ends), ends);
        let (sender, receiver) = (self.address(from), self.address(to));
        format!(
            "class add dev {to} parent 1: classid 1:{class:x} htb rate 10gbit burst 10m \
             cburst 10m quantum 60000\n\
             qdisc add dev {to} parent 1:{class:x} {OPEN}\n\
             filter add dev {to} parent 1: protocol ip prio 1 u32 match ip src {sender}/32 \
             match ip dst {receiver}/32 match ip protocol 17 0xff flowid 1:{class:x}\n"
        )
    }

    /// For `tc` in the hub: a link is cut, or no longer.
    pub(super) fn replaces(&self, ends: Ends, is_cut: bool) -> String {
        let (class, to) = (self.class(ends), ends.1);
        let leaf = if is_cut { CUT } else { OPEN };
        format!("qdisc replace dev {to} parent 1:{class:x} {leaf}\n")
    }

    /// For `tc` in the hub, which then tells what all links have done.
    pub(super) fn shows(&self) -> String {
        self.parties().map(|port| format!("class show dev {port}\n")).collect()
    }

    /// For `ip`, here: takes all away.
    pub(super) fn removes(&self) -> String {
        let hub = self.name();
        // By itself, our cable would go some time after its other end. That one is ours for sure.
        let client = Party::Client;
        let mut text =
            format!("netns exec {hub} ip link delete dev {client}\nnetns delete {hub}\n");
        for server in &self.servers {
            text += &format!("netns delete {}\n", self.namespace_of(*server));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C1: NodeName = NodeName::Coordinator(1);
    const S1: NodeName = NodeName::Shard(1);

    #[test]
    fn a_network_is_made_by_these_commands() {
        let plan = Plan::new(417, &[C1, S1]);
        assert_eq!(
            plan.cables(),
            "netns add synod-417-c1\n\
             link add name c1 netns synod-417 type veth peer name eth0 netns synod-417-c1\n\
             netns add synod-417-s1\n\
             link add name s1 netns synod-417 type veth peer name eth0 netns synod-417-s1\n\
             link add name client netns synod-417 type veth peer name synod-417\n\
             address add 198.19.161.1/24 dev synod-417\n\
             link set dev synod-417 gso_max_segs 1 up\n"
        );
        assert_eq!(
            plan.bridge(),
            "link add name bridge type bridge\n\
             link set dev bridge up\n\
             link set dev c1 master bridge up\n\
             link set dev s1 master bridge up\n\
             link set dev client master bridge up\n"
        );
        assert_eq!(
            plan.end(S1),
            "link set dev lo up\n\
             address add 198.19.161.3/24 dev eth0\n\
             link set dev eth0 gso_max_segs 1 up\n"
        );
        let classes = plan.classes();
        assert_eq!(classes.matches(" root handle 1: htb").count(), 3);
        assert_eq!(classes.matches("class add").count(), 6);
        let of_one = "class add dev s1 parent 1: classid 1:302 htb rate 10gbit burst 10m \
                      cburst 10m quantum 60000\n\
                      qdisc add dev s1 parent 1:302 pfifo limit 10000\n\
                      filter add dev s1 parent 1: protocol ip prio 1 u32 match ip src \
                      198.19.161.2/32 match ip dst 198.19.161.3/32 match ip protocol 17 0xff \
                      flowid 1:302\n";
        assert!(classes.contains(of_one), "{classes}");
        assert_eq!(
            plan.removes(),
            "netns exec synod-417 ip link delete dev client\n\
             netns delete synod-417\n\
             netns delete synod-417-c1\n\
             netns delete synod-417-s1\n"
        );
    }

    #[test]
    fn a_cut_is_one_line() {
        let plan = Plan::new(0, &[C1, S1]);
        let line = |is_cut| plan.replaces((C1.into(), Party::Client), is_cut);
        assert_eq!(line(true), "qdisc replace dev client parent 1:102 pfifo limit 0\n");
        assert_eq!(line(false), "qdisc replace dev client parent 1:102 pfifo limit 10000\n");
        assert_eq!(plan.shows(), "class show dev c1\nclass show dev s1\nclass show dev client\n");
    }

    /// Whatever the number, and however many there are.
    #[test]
    fn addresses_are_of_the_range_for_tests_and_names_are_short() {
        let servers: Vec<NodeName> = (1..=253).map(NodeName::Shard).collect();
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..NETWORKS {
            let plan = Plan::new(number, &servers);
            assert!(plan.name().len() <= 15);
            for party in plan.parties() {
                let address = plan.address(party);
                let [a, b, _, d] = address.octets();
                assert!(a == 198 && (b == 18 || b == 19) && (1..=254).contains(&d), "{address}");
                assert!(seen.insert(address), "{address} is there twice");
            }
        }
    }
}
