//! The configuration files of servers.

use std::collections::BTreeMap;

use crate::local::ClusterOptions;
use crate::node::NodeName;
use crate::ports::Ports;

/// The configuration file of a server. Paths in it are relative to its folder.
pub(crate) fn config_text(
    name: NodeName,
    cluster: &str,
    ports: &BTreeMap<NodeName, Ports>,
    options: &ClusterOptions,
) -> String {
    let [of_coordinators, of_shards] = &options.lines;
    let own = ports[&name];
    let mut text = format!(
        "cluster = \"{cluster}\"\nlisten = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\n\
         data = \"{name}\"\ncerts = \"certs\"\n",
        own.quic, own.admin
    );
    let coordinators = addresses(ports, |name| matches!(name, NodeName::Coordinator(_)));
    match name {
        NodeName::Coordinator(n) => {
            let shards = addresses(ports, |name| matches!(name, NodeName::Shard(_)));
            text.push_str(&format!("id = {n}\nshards = {shards:?}\n"));
            if coordinators.len() > 1 {
                text.push_str(&format!("group = {coordinators:?}\n"));
            }
            let ClusterOptions { deadlocks, unsafe_classical_3pc, .. } = options;
            text.push_str(&format!(
                "deadlock_handling = \"{deadlocks}\"\n\
                 unsafe_classical_3pc = {unsafe_classical_3pc}\n"
            ));
            further(&mut text, of_coordinators);
        }
        NodeName::Shard(n) => {
            text.push_str(&format!("id = {n}\ncoordinators = {coordinators:?}\n"));
            further(&mut text, of_shards);
        }
    }
    text
}

fn further(text: &mut String, lines: &[String]) {
    text.extend(lines.iter().flat_map(|line| [line, "\n"]));
}

/// The address for clients.
pub(crate) fn url_of(ports: &BTreeMap<NodeName, Ports>) -> String {
    let coordinators = addresses(ports, |name| matches!(name, NodeName::Coordinator(_)));
    format!("synod://{}", coordinators.join(","))
}

fn addresses(ports: &BTreeMap<NodeName, Ports>, which: fn(&NodeName) -> bool) -> Vec<String> {
    let found = ports.iter().filter(|(name, _)| which(name));
    found.map(|(_, ports)| format!("127.0.0.1:{}", ports.told)).collect()
}
