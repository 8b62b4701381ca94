//! Against all assignments where these are few, against itself where they are many.

use super::closure::{Closure, MOST_WORK};
use super::*;

/// Numbers that look random (Steele et al. 2014); the seed is the bug report.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u32
    }

    fn shuffled(&mut self, len: u32) -> Vec<u32> {
        let mut list: Vec<u32> = (0..len).collect();
        for place in (1..len).rev() {
            list.swap(place as usize, self.below(place + 1) as usize);
        }
        list
    }

    /// Any edge; from a node to itself now and then.
    fn edge(&mut self, nodes: u32) -> Edge {
        loop {
            let (from, to) = (self.below(nodes), self.below(nodes));
            if from != to || self.below(20) == 0 {
                return (from, to);
            }
        }
    }
}

/// Any edges, and choices whose sides have up to so many.
fn any(random: &mut Random, nodes: u32, edges: u32, choices: u32, most: u32) -> Polygraph {
    let mut polygraph = Polygraph { nodes, ..Polygraph::default() };
    let hidden = random.shuffled(nodes);
    for _ in 0..edges {
        let (from, to) = random.edge(nodes);
        let turn = hidden[from as usize] > hidden[to as usize] && random.below(16) > 0;
        polygraph.edges.push(if turn { (to, from) } else { (from, to) });
    }
    for _ in 0..choices {
        let mut side = || -> Vec<Edge> {
            let len = if random.below(30) == 0 { 0 } else { 1 + random.below(most) };
            (0..len).map(|_| random.edge(nodes)).collect()
        };
        polygraph.choices.push([&side(), &side()]);
    }
    polygraph
}

/// The choices of a key's writers, of transactions that ran one after the other: each reads
/// and writes some keys. What is numbered by time is known to `seen` places.
fn history(random: &mut Random, nodes: u32, keys: u32, seen: u32, wrong: u32) -> Polygraph {
    let mut polygraph = Polygraph { nodes, ..Polygraph::default() };
    let mut writers: Vec<Vec<(u32, Vec<u32>)>> = vec![Vec::new(); keys as usize];
    for txn in 0..nodes {
        for _ in 0..2 {
            let writers = &mut writers[random.below(keys) as usize];
            if let Some(last) = writers.len().checked_sub(1) {
                let stale = wrong > 0 && random.below(wrong) == 0 && last > 0;
                let (writer, readers) = &mut writers[last - usize::from(stale)];
                if *writer != txn && !readers.contains(&txn) {
                    readers.push(txn);
                    polygraph.edges.push((*writer, txn));
                }
            }
        }
        let writers = &mut writers[random.below(keys) as usize];
        if writers.last().is_none_or(|(writer, _)| *writer != txn) {
            writers.push((txn, Vec::new()));
        }
        if txn >= seen {
            polygraph.edges.push((txn - seen, txn));
        }
    }
    for writers in writers {
        for (place, (second, second_readers)) in writers.iter().enumerate() {
            for (first, first_readers) in &writers[..place] {
                let side = |before: u32, readers: &[u32], after: u32| -> Vec<Edge> {
                    let readers = readers.iter().copied().filter(|reader| *reader != after);
                    std::iter::once(before).chain(readers).map(|from| (from, after)).collect()
                };
                let sides =
                    [side(*first, first_readers, *second), side(*second, second_readers, *first)];
                let turn = usize::from(random.below(2) == 0);
                polygraph.choices.push([&sides[turn], &sides[1 - turn]]);
            }
        }
    }
    polygraph
}

/// The same with other numbers of nodes, and choices in another order, with their sides
/// turned: what is guessed first is another.
fn disguised(polygraph: &Polygraph, random: &mut Random) -> Polygraph {
    let names = random.shuffled(polygraph.nodes);
    let name = |edge: &Edge| (names[edge.0 as usize], names[edge.1 as usize]);
    let mut other = Polygraph { nodes: polygraph.nodes, ..Polygraph::default() };
    other.edges = polygraph.edges.iter().map(name).collect();
    for choice in random.shuffled(polygraph.choices.len() as u32) {
        let side = |second| -> Vec<Edge> {
            polygraph.choices.side(choice, second).iter().map(name).collect()
        };
        let turn = random.below(2) == 0;
        other.choices.push([&side(turn), &side(!turn)]);
    }
    other
}

/// Only these choices.
fn only(polygraph: &Polygraph, choices: &[u32]) -> Polygraph {
    let mut part = polygraph.clone();
    part.choices = Choices::default();
    for choice in choices {
        let side = |second| polygraph.choices.side(*choice, second);
        part.choices.push([side(false), side(true)]);
    }
    part
}

/// Whether some sides leave no cycle, by trying all: of at most 64 nodes.
fn tried(polygraph: &Polygraph) -> bool {
    (0..1_u64 << polygraph.choices.len()).any(|sides| {
        let mut reached = vec![0_u64; polygraph.nodes as usize];
        let mut add = |edges: &[Edge]| {
            for (from, to) in edges {
                reached[*from as usize] |= 1 << to;
            }
        };
        add(&polygraph.edges);
        for choice in 0..polygraph.choices.len() as u32 {
            add(polygraph.choices.side(choice, sides >> choice & 1 == 1));
        }
        // Takes away, again and again, what leads to nothing that is left.
        let mut left = (1_u64 << polygraph.nodes) - 1;
        loop {
            let ends = |node: &u32| left >> node & 1 == 1 && reached[*node as usize] & left == 0;
            let Some(node) = (0..polygraph.nodes).find(ends) else { break };
            left &= !(1 << node);
        }
        left == 0
    })
}

/// What is found, with an answer that holds: by itself, or because of few choices.
fn found(polygraph: &Polygraph, work: u64) -> Option<Vec<u32>> {
    match solve_with(polygraph, Closure::new(work), &mut Budget::unlimited()) {
        Answer::Acyclic { order, sides } => {
            assert_eq!(sides.len(), polygraph.choices.len());
            let mut places = order.clone();
            places.sort_unstable();
            assert_eq!(
                places,
                (0..polygraph.nodes).collect::<Vec<_>>(),
                "each place is taken once"
            );
            check(polygraph, &order, &sides);
            None
        }
        Answer::Cyclic { because } => Some(because),
        Answer::Spent => panic!("no budget ends"),
    }
}

/// How often it was acyclic, and how often not.
#[derive(Default)]
struct Verdicts([u32; 2]);

impl Verdicts {
    fn compare(&mut self, polygraph: &Polygraph, seed: u64) {
        let acyclic = tried(polygraph);
        self.0[usize::from(acyclic)] += 1;
        for work in [MOST_WORK, 0] {
            match found(polygraph, work) {
                None => assert!(acyclic, "seed {seed}, work {work}: {polygraph:?}"),
                Some(because) => {
                    assert!(!acyclic, "seed {seed}, work {work}: {polygraph:?}");
                    let part = only(polygraph, &because);
                    assert!(!tried(&part), "seed {seed}, work {work}: {because:?}, {polygraph:?}");
                }
            }
        }
    }

    fn are_both_often(&self) {
        let [cyclic, acyclic] = self.0;
        assert!(cyclic.min(acyclic) * 5 > cyclic.max(acyclic), "{cyclic} and {acyclic}");
    }
}

#[test]
fn small_ones_are_as_trying_all_finds() {
    let mut verdicts = Verdicts::default();
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let nodes = 2 + random.below(7);
        let edges = random.below(nodes);
        let choices = random.below(13);
        let most = 1 + random.below(3);
        verdicts.compare(&any(&mut random, nodes, edges, choices, most), seed);
    }
    verdicts.are_both_often();
}

#[test]
fn small_histories_are_as_trying_all_finds() {
    let mut verdicts = Verdicts::default();
    let mut seed = 0;
    while verdicts.0.iter().sum::<u32>() < 2_000 {
        seed += 1;
        let mut random = Random(seed);
        let nodes = 4 + random.below(6);
        let keys = 1 + random.below(3);
        let seen = 2 + random.below(nodes);
        let polygraph = history(&mut random, nodes, keys, seen, 2);
        if (1..=12).contains(&polygraph.choices.len()) {
            let polygraph = disguised(&polygraph, &mut random);
            verdicts.compare(&polygraph, seed);
        }
    }
    verdicts.are_both_often();
}

/// Where guesses are often wrong: whatever is guessed first, the verdict is the same, and
/// what is named as the cause is one.
#[test]
fn hard_ones_do_not_depend_on_what_is_guessed() {
    let mut verdicts = [0, 0];
    for seed in 0..120 {
        let mut random = Random(seed);
        let nodes = 24 + random.below(41);
        let choices = nodes + random.below(nodes);
        let polygraph = any(&mut random, nodes, nodes / 3, choices, 3);
        let first = found(&polygraph, MOST_WORK);
        verdicts[usize::from(first.is_none())] += 1;
        for work in [MOST_WORK, 0] {
            for _ in 0..4 {
                let other = found(&disguised(&polygraph, &mut random), work);
                assert_eq!(first.is_none(), other.is_none(), "seed {seed}, work {work}");
            }
        }
        if let Some(because) = first {
            assert!(found(&only(&polygraph, &because), 0).is_some(), "seed {seed}: {because:?}");
        }
    }
    assert!(verdicts.iter().all(|count| *count >= 30), "{verdicts:?}");
}

/// So long that clauses are dropped, and that it goes by activity and by rank again.
#[test]
fn long_searches_come_to_an_end() {
    for seed in 0..4 {
        let mut random = Random(seed);
        let polygraph = any(&mut random, 100, 33, 155, 3);
        let first = found(&polygraph, MOST_WORK);
        let other = found(&disguised(&polygraph, &mut random), 0);
        assert_eq!(first.is_none(), other.is_none(), "seed {seed}");
    }
}

#[test]
fn histories_are_judged_alike_whatever_is_known_of_time() {
    let mut cyclic = 0;
    for seed in 0..12 {
        let mut random = Random(seed);
        let (seen, wrong) = ([20, 200, 2_000][seed as usize % 3], 400 * u32::from(seed % 2 == 1));
        let polygraph = history(&mut random, 1_000, 50, seen, wrong);
        let first = found(&polygraph, MOST_WORK);
        for work in [MOST_WORK, 0] {
            let other = found(&disguised(&polygraph, &mut random), work);
            assert_eq!(first.is_none(), other.is_none(), "seed {seed}, work {work}");
        }
        assert!(wrong > 0 || first.is_none(), "seed {seed}: it was made in an order");
        if let Some(because) = first {
            cyclic += 1;
            assert!(because.len() < 50, "seed {seed}: because of {}", because.len());
            assert!(found(&only(&polygraph, &because), 0).is_some(), "seed {seed}: {because:?}");
        }
    }
    assert!(cyclic >= 3, "{cyclic} were cyclic");
}

#[test]
fn what_is_certain_needs_no_choices() {
    let mut polygraph = Polygraph { nodes: 3, edges: vec![(0, 1), (1, 2)], ..Polygraph::default() };
    assert_eq!(found(&polygraph, MOST_WORK), None);
    polygraph.choices.push([&[(2, 0)], &[(0, 2)]]);
    assert_eq!(found(&polygraph, MOST_WORK), None);
    polygraph.choices.push([&[(2, 0)], &[(2, 1)]]);
    assert_eq!(found(&polygraph, MOST_WORK), Some(vec![1]));
    polygraph.edges.push((2, 0));
    assert_eq!(found(&polygraph, MOST_WORK), Some(vec![]));
    assert_eq!(found(&Polygraph::default(), MOST_WORK), None);
}

/// Each edge of a side can be there, but not all together.
#[test]
fn edges_of_a_side_are_taken_together() {
    for work in [MOST_WORK, 0] {
        for (other, because) in [((1, 0), None), ((2, 1), Some(vec![0]))] {
            let edges = vec![(1, 2), (3, 0)];
            let mut polygraph = Polygraph { nodes: 4, edges, ..Polygraph::default() };
            polygraph.choices.push([&[(0, 1), (2, 3)], &[other]]);
            assert_eq!(found(&polygraph, work), because, "{other:?}, work {work}");
        }
    }
}

#[test]
fn a_budget_ends_it() {
    let polygraph = history(&mut Random(1), 5_000, 100, 10_000, 0);
    let mut budget = Budget::new(Some(std::time::Duration::ZERO), None);
    assert_eq!(solve(&polygraph, &mut budget), Answer::Spent);
}

#[test]
#[should_panic(expected = "edges are between nodes that there are")]
fn nodes_that_are_not_there_are_a_mistake() {
    let polygraph = Polygraph { nodes: 2, edges: vec![(0, 2)], ..Polygraph::default() };
    solve(&polygraph, &mut Budget::unlimited());
}
