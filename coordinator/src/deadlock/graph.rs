//! The wait-for graph of the whole cluster, and the cycles in it.
//!
//! Vertices are transactions. A transaction may wait at several shards at once, and
//! goes on only when *all* that it waits for is granted (the AND model), so every
//! cycle is a deadlock, and a transaction that merely waits for one is none.
//!
//! The search is a depth-first search in three colours: not seen, on the path, done.
//! Only an arc to a vertex *on the path* closes a cycle; two paths that meet at a
//! vertex that is done are no cycle. It keeps its own stack, as a chain of waits may
//! be longer than ours. When it finds a cycle, it takes the victim out and goes on,
//! so what it returns is enough to free everybody: without the victims there is no
//! cycle left.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::deadlock::{Claim, VictimPolicy};
use synod_common::id::{ShardId, TxnId};
use synod_common::message::deadlock::Wait;

/// Cycles found by one search. The rest is found by the next.
const MAX_CYCLES: usize = 1_000;

/// Who waits for whom, where.
#[derive(Debug, Default)]
pub struct Graph {
    vertices: Vec<Claim>,
    /// By the vertex that they lead from.
    arcs: Vec<Vec<Arc>>,
}

/// A wait for one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arc {
    from: usize,
    to: usize,
    /// The shard.
    pub shard: ShardId,
    /// Which of the waits that it reported.
    pub wait: usize,
    /// For whom.
    pub holder: TxnId,
}

/// A cycle, and who of it must give way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Each leads to the next, the last to the first.
    pub arcs: Vec<Arc>,
    /// The victim.
    pub victim: TxnId,
}

impl Graph {
    /// The graph of what shards reported, but for the transactions `without`.
    pub fn of<'a>(
        reports: impl IntoIterator<Item = (ShardId, &'a [Wait])>,
        without: &BTreeSet<TxnId>,
    ) -> Graph {
        let mut building = Building::default();
        for (shard, waits) in reports {
            for (index, wait) in waits.iter().enumerate() {
                if !without.contains(&wait.waiter.txn) {
                    building.add(shard, index, wait, without);
                }
            }
        }
        building.graph
    }

    /// Cycles such that no cycle is left without their victims, as far as one search
    /// goes.
    pub fn cycles(&self, policy: VictimPolicy) -> Vec<Cycle> {
        let mut search = Search::new(self);
        let mut found = Vec::new();
        for root in 0..self.vertices.len() {
            while let Some(arcs) = search.run(root) {
                let claims = arcs.iter().map(|arc| self.vertices[arc.from]);
                let victim = policy.choose(claims).expect("a cycle has members");
                let gone = arcs.iter().find(|arc| self.vertices[arc.from].txn == victim);
                search.remove(gone.expect("the victim is a member").from);
                found.push(Cycle { arcs, victim });
                if found.len() >= MAX_CYCLES {
                    return found;
                }
            }
        }
        found
    }
}

#[derive(Default)]
struct Building {
    graph: Graph,
    indices: BTreeMap<TxnId, usize>,
    /// The shard whose locks were last added to a vertex.
    counted: Vec<Option<ShardId>>,
}

impl Building {
    fn add(&mut self, shard: ShardId, index: usize, wait: &Wait, without: &BTreeSet<TxnId>) {
        let from = self.vertex(shard, wait.waiter.txn, wait.waiter.locks);
        let vertex = &mut self.graph.vertices[from];
        // What its client said is older than what a commit drew.
        if wait.waiter.age < vertex.age {
            vertex.age = wait.waiter.age;
            vertex.priority = wait.waiter.priority;
        }
        for holder in &wait.holders {
            if holder.txn == wait.waiter.txn || without.contains(&holder.txn) {
                continue;
            }
            let to = self.vertex(shard, holder.txn, holder.locks);
            let arc = Arc { from, to, shard, wait: index, holder: holder.txn };
            self.graph.arcs[from].push(arc);
        }
    }

    fn vertex(&mut self, shard: ShardId, txn: TxnId, locks: u32) -> usize {
        let graph = &mut self.graph;
        let index = *self.indices.entry(txn).or_insert_with(|| {
            let age = synod_common::time::Timestamp::MAX;
            let priority = synod_common::deadlock::DEFAULT_PRIORITY;
            graph.vertices.push(Claim { txn, age, priority, locks: 0 });
            graph.arcs.push(Vec::new());
            self.counted.push(None);
            graph.vertices.len() - 1
        });
        if self.counted[index] != Some(shard) {
            self.counted[index] = Some(shard);
            let sum = &mut graph.vertices[index].locks;
            *sum = sum.saturating_add(locks);
        }
        index
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    /// Not seen, or seen and to be seen again.
    White,
    /// On the path, at this place.
    Grey(usize),
    /// No cycle can be reached from it; or it is a victim.
    Black,
}

struct Search<'a> {
    graph: &'a Graph,
    colours: Vec<Colour>,
    /// Vertices, each with how many of its arcs were followed.
    path: Vec<(usize, usize)>,
}

impl Search<'_> {
    fn new(graph: &Graph) -> Search<'_> {
        let colours = vec![Colour::White; graph.vertices.len()];
        Search { graph, colours, path: Vec::new() }
    }

    /// Goes on until it finds a cycle; none if there is no further one to be reached
    /// from `root`.
    fn run(&mut self, root: usize) -> Option<Vec<Arc>> {
        if self.path.is_empty() {
            if self.colours[root] != Colour::White {
                return None;
            }
            self.enter(root);
        }
        while let Some((vertex, followed)) = self.path.last_mut() {
            let vertex = *vertex;
            let Some(arc) = self.graph.arcs[vertex].get(*followed) else {
                self.colours[vertex] = Colour::Black;
                self.path.pop();
                continue;
            };
            *followed += 1;
            match self.colours[arc.to] {
                Colour::White => self.enter(arc.to),
                Colour::Grey(place) => return Some(self.shortened(place)),
                Colour::Black => {}
            }
        }
        None
    }

    fn enter(&mut self, vertex: usize) {
        self.colours[vertex] = Colour::Grey(self.path.len());
        self.path.push((vertex, 0));
    }

    /// The cycle from a place of the path to its end and back, without detours: it
    /// takes the longest step ahead, and closes as soon as it can. Whoever is passed
    /// over only stands in a queue, and to abort him would free nobody.
    fn shortened(&self, start: usize) -> Vec<Arc> {
        let mut taken: Vec<Arc> = Vec::new();
        let mut chosen = BTreeMap::from([(start, 0)]);
        let mut here = start;
        loop {
            let arcs = &self.graph.arcs[self.path[here].0];
            let ahead = arcs.iter().filter_map(|arc| match self.colours[arc.to] {
                Colour::Grey(place) if place >= start => Some((place, arc)),
                Colour::Grey(_) | Colour::White | Colour::Black => None,
            });
            let mut back: Option<(usize, Arc)> = None;
            let mut far: Option<(usize, Arc)> = None;
            for (place, arc) in ahead {
                match chosen.get(&place) {
                    Some(&at) if back.is_none_or(|(best, _)| at > best) => back = Some((at, *arc)),
                    None if place > here && far.is_none_or(|(best, _)| place > best) => {
                        far = Some((place, *arc));
                    }
                    Some(_) | None => {}
                }
            }
            if let Some((at, arc)) = back {
                taken.push(arc);
                return taken.split_off(at);
            }
            let (place, arc) = far.expect("the path itself leads on");
            taken.push(arc);
            chosen.insert(place, taken.len());
            here = place;
        }
    }

    /// Takes a vertex of the path out. Who comes behind it must be seen again.
    fn remove(&mut self, vertex: usize) {
        let Colour::Grey(place) = self.colours[vertex] else { return };
        for (behind, _) in self.path.drain(place..) {
            self.colours[behind] = Colour::White;
        }
        self.colours[vertex] = Colour::Black;
    }
}
