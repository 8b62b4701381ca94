//! Links to the servers that a node asks for while it runs.
//!
//! The configuration names whom a server must know to begin with: a shard, its
//! coordinator. Of the others it learns from them, and asks for links to those
//! that it wants.
//!
//! ```text
//!   node ─ out.neighbours ─▶ host ─ watch: the newest set ─▶ keep_neighbours
//!                                                  a task each ─▶ keep_dialing ─▶ link
//! ```
//!
//! A set that nobody has looked at yet is replaced by the next, so however often
//! a node asks, nothing piles up. Between two sets only the difference moves:
//!
//! | in the set before | in the set now | its link |
//! | --- | --- | --- |
//! | no | yes | is made, again and again |
//! | yes | yes, at the same address | stays |
//! | yes | yes, at another address | is closed and made there |
//! | yes | no | is closed |
//!
//! *Deliberately absent*: who asks whom. Two servers that dialed each other would
//! take each other's links away for ever; the cores agree on one of the two.

use std::collections::{BTreeMap, BTreeSet};

use super::endpoint::Endpoint;
use super::handle::HostHandle;
use super::server::{AbortOnDrop, Dial, keep_dialing};
use crate::id::Peer;
use crate::node::Neighbour;

/// Keeps links to the neighbours that the node of this host wants, until it is
/// dropped. Leaves alone those `named`: who is dialed anyway, and the server itself.
pub(super) async fn keep_neighbours(endpoint: Endpoint, handle: HostHandle, named: BTreeSet<Peer>) {
    let mut newest = handle.0.neighbours.subscribe();
    let mut kept = Neighbours::default();
    loop {
        let mut wanted = newest.borrow_and_update().clone();
        wanted.retain(|neighbour| !named.contains(&neighbour.peer));
        kept.set(wanted, |Neighbour { peer, address }| {
            let mut task = AbortOnDrop::default();
            let dial = Dial { target: address, peer };
            task.add(&tokio::spawn(keep_dialing(endpoint.clone(), handle.clone(), dial)));
            task
        });
        // The handle has the other end, so this is never closed.
        if newest.changed().await.is_err() {
            return;
        }
    }
}

/// One `T` for each neighbour, dropped when it is not wanted any more.
struct Neighbours<T>(BTreeMap<Peer, (String, T)>);

impl<T> Default for Neighbours<T> {
    fn default() -> Neighbours<T> {
        Neighbours(BTreeMap::new())
    }
}

impl<T> Neighbours<T> {
    /// From now on these. A peer that is there twice counts once, at the address
    /// that comes last. What ends does so before anything begins.
    fn set(&mut self, wanted: Vec<Neighbour>, mut begin: impl FnMut(Neighbour) -> T) {
        let wanted: BTreeMap<Peer, String> =
            wanted.into_iter().map(|neighbour| (neighbour.peer, neighbour.address)).collect();
        self.0.retain(|peer, (address, _)| wanted.get(peer) == Some(address));
        for (peer, address) in wanted {
            self.0.entry(peer).or_insert_with(|| {
                let begun = begin(Neighbour { peer, address: address.clone() });
                (address, begun)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::id::ShardId;

    #[derive(Clone, Debug, PartialEq)]
    enum Did {
        Began(Neighbour),
        Ended(Neighbour),
    }

    struct Task(Neighbour, Rc<RefCell<Vec<Did>>>);

    impl Drop for Task {
        fn drop(&mut self) {
            self.1.borrow_mut().push(Did::Ended(self.0.clone()));
        }
    }

    /// Two shards, each of them absent or at one of two addresses.
    fn sets() -> Vec<Vec<Neighbour>> {
        let shard = |id, address: &str| Neighbour {
            peer: Peer::Shard(ShardId(id)),
            address: address.to_owned(),
        };
        let places = |id| [vec![], vec![shard(id, "a:1")], vec![shard(id, "b:2")]];
        places(1).iter().flat_map(|one| places(2).map(|two| [one.clone(), two].concat())).collect()
    }

    #[test]
    fn from_any_set_to_any_other_only_the_difference_moves() {
        for before in sets() {
            for now in sets() {
                let did = Rc::new(RefCell::new(Vec::new()));
                let begin = |neighbour: Neighbour| {
                    did.borrow_mut().push(Did::Began(neighbour.clone()));
                    Task(neighbour, did.clone())
                };
                let mut neighbours = Neighbours::default();
                neighbours.set(before.clone(), begin);
                did.borrow_mut().clear();
                neighbours.set(now.clone(), begin);
                let left = before.iter().filter(|one| !now.contains(one)).cloned();
                let new = now.iter().filter(|one| !before.contains(one)).cloned();
                let difference: Vec<_> = left.map(Did::Ended).chain(new.map(Did::Began)).collect();
                assert_eq!(*did.borrow(), difference, "from {before:?} to {now:?}");
                let kept: Vec<_> = neighbours.0.values().map(|(_, task)| task.0.clone()).collect();
                assert_eq!(kept, now, "from {before:?}");
            }
        }
    }

    #[test]
    fn a_peer_at_two_addresses_counts_at_the_last() {
        let [a, b] = ["a:1", "b:2"]
            .map(|at| Neighbour { peer: Peer::Shard(ShardId(1)), address: at.to_owned() });
        let mut neighbours = Neighbours::default();
        neighbours.set(vec![a, b.clone()], |neighbour| neighbour);
        assert_eq!(neighbours.0.into_values().collect::<Vec<_>>(), [(b.address.clone(), b)]);
    }
}
