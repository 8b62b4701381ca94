//! Who waits for whom, as vertices and arrows.

use std::collections::{BTreeMap, BTreeSet};

use synod_client::{LockRow, ShardId, Timestamp, TxnId};

/// The wait-for graph.
#[derive(Debug, Default)]
pub struct WaitGraph {
    /// The transactions, in order.
    pub txns: Vec<Vertex>,
    /// The waits.
    pub arrows: Vec<Arrow>,
}

/// A transaction.
#[derive(Debug)]
pub struct Vertex {
    /// Its name.
    pub txn: TxnId,
    /// When its work began; zero if no shard said so.
    pub age: Timestamp,
}

/// A wait for another transaction.
#[derive(Debug)]
pub struct Arrow {
    /// Who waits, by index.
    pub from: usize,
    /// For whom.
    pub to: usize,
    /// For what, such as `X on key a, s1`.
    pub what: String,
    /// For how long.
    pub waited_ms: u64,
    /// Whether it is part of a cycle.
    pub deadlock: bool,
}

impl WaitGraph {
    /// Of what shards told.
    pub fn of(rows: &[(ShardId, LockRow)]) -> WaitGraph {
        let mut ages: BTreeMap<TxnId, Timestamp> = BTreeMap::new();
        for (_, row) in rows {
            for waiter in &row.waiters {
                for txn in &waiter.behind {
                    ages.entry(*txn).or_default();
                }
                ages.insert(waiter.txn, waiter.age);
            }
        }
        for (_, row) in rows {
            for holder in &row.holders {
                if let Some(age) = ages.get_mut(&holder.txn) {
                    *age = holder.age;
                }
            }
        }
        let index: BTreeMap<TxnId, usize> = ages.keys().copied().zip(0..).collect();
        let mut graph = WaitGraph {
            txns: ages.into_iter().map(|(txn, age)| Vertex { txn, age }).collect(),
            arrows: Vec::new(),
        };
        for (shard, row) in rows {
            for waiter in &row.waiters {
                let what = format!("{} on {}, {shard}", waiter.mode, row.target);
                for txn in &waiter.behind {
                    graph.arrows.push(Arrow {
                        from: index[&waiter.txn],
                        to: index[txn],
                        what: what.clone(),
                        waited_ms: u64::from(waiter.waited_ms),
                        deadlock: false,
                    });
                }
            }
        }
        graph.mark_cycles();
        graph
    }

    /// The arrows that lead to a vertex.
    pub fn into(&self, vertex: usize) -> impl Iterator<Item = &Arrow> {
        self.arrows.iter().filter(move |arrow| arrow.to == vertex)
    }

    /// Those that wait for nobody.
    pub fn roots(&self) -> BTreeSet<usize> {
        let waiting: BTreeSet<usize> = self.arrows.iter().map(|arrow| arrow.from).collect();
        (0..self.txns.len()).filter(|vertex| !waiting.contains(vertex)).collect()
    }

    /// An arrow is part of a cycle if its start can be reached from its end. First what
    /// can be in none is taken away, which is almost everything.
    fn mark_cycles(&mut self) {
        let mut live: BTreeSet<usize> = (0..self.arrows.len()).collect();
        loop {
            let from: BTreeSet<usize> = live.iter().map(|i| self.arrows[*i].from).collect();
            let to: BTreeSet<usize> = live.iter().map(|i| self.arrows[*i].to).collect();
            let before = live.len();
            live.retain(|i| {
                from.contains(&self.arrows[*i].to) && to.contains(&self.arrows[*i].from)
            });
            if live.len() == before {
                break;
            }
        }
        let mut ways: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for i in &live {
            ways.entry(self.arrows[*i].from).or_default().push(self.arrows[*i].to);
        }
        for i in live {
            let (start, goal) = (self.arrows[i].to, self.arrows[i].from);
            let mut reached = BTreeSet::from([start]);
            let mut open = vec![start];
            while let Some(vertex) = open.pop() {
                let next = ways.get(&vertex).into_iter().flatten();
                open.extend(next.copied().filter(|vertex| reached.insert(*vertex)));
            }
            self.arrows[i].deadlock = reached.contains(&goal);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use synod_client::{Key, LockHolder, LockWaiter, SessionId, Target};
    use synod_common::id::Epoch;

    use super::*;

    pub fn txn(sequence: u64) -> TxnId {
        TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence }
    }

    /// A key that one holds and others wait for, each behind some.
    pub fn row(key: &str, holder: u64, waiters: &[(u64, &[u64])]) -> LockRow {
        let age = Timestamp(1 << 16);
        let mode = || "X".to_owned();
        let waiter = |(n, behind): &(u64, &[u64])| LockWaiter {
            txn: txn(*n),
            mode: mode(),
            age,
            waited_ms: 30 + *n as u32,
            behind: behind.iter().map(|n| txn(*n)).collect(),
        };
        LockRow {
            target: Target::key(&Key::from(key)),
            holders: vec![LockHolder { txn: txn(holder), mode: mode(), age, prepared: false }],
            waiters: waiters.iter().map(waiter).collect(),
            more: 0,
        }
    }

    /// 1 and 2 wait for each other, 3 for 1; 5 and 6 for 4.
    pub fn example() -> WaitGraph {
        WaitGraph::of(&[
            (ShardId(1), row("acct/alice", 1, &[(2, &[1]), (3, &[1, 2])])),
            (ShardId(2), row("acct/bob", 2, &[(1, &[2])])),
            (ShardId(2), row("stock/<7&8>", 4, &[(5, &[4]), (6, &[4, 5])])),
        ])
    }

    #[test]
    fn only_arrows_of_cycles_are_marked() {
        let graph = example();
        let marked = graph.arrows.iter().filter(|arrow| arrow.deadlock);
        let marked: Vec<_> = marked.map(|arrow| (arrow.from + 1, arrow.to + 1)).collect();
        assert_eq!(marked, [(2, 1), (1, 2)]);
        assert_eq!(graph.roots(), [3].into());
        assert_eq!(graph.arrows.len(), 7);
    }
}
