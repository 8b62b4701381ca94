//! The configuration files of servers.

use std::collections::BTreeMap;

use crate::local::ClusterOptions;
use crate::node::NodeName;
use crate::ports::Place;

/// The configuration file of a server. Paths in it are relative to its folder.
pub(crate) fn config_text(
    name: NodeName,
    cluster: &str,
    places: &BTreeMap<NodeName, Place>,
    options: &ClusterOptions,
) -> String {
    let [of_coordinators, of_shards] = &options.lines;
    let own = &places[&name];
    let mut text = format!(
        "cluster = \"{cluster}\"\nlisten = \"{}\"\nadmin = \"{}\"\n\
         data = \"{name}\"\ncerts = \"certs\"\n",
        own.listen, own.admin
    );
    let coordinators = addresses(places, |name| matches!(name, NodeName::Coordinator(_)));
    match name {
        NodeName::Coordinator(n) => {
            let shards = addresses(places, |name| matches!(name, NodeName::Shard(_)));
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
pub(crate) fn url_of(places: &BTreeMap<NodeName, Place>) -> String {
    let coordinators = addresses(places, |name| matches!(name, NodeName::Coordinator(_)));
    format!("synod://{}", coordinators.join(","))
}

fn addresses(places: &BTreeMap<NodeName, Place>, which: fn(&NodeName) -> bool) -> Vec<String> {
    let found = places.iter().filter(|(name, _)| which(name));
    found.map(|(_, place)| place.told.to_string()).collect()
}
