//! Which links to cut, for the usual shapes of partitions.
//!
//! ```text
//!   halves             bridge             ring
//!   c1  s2 │ c2        c1 │    │ c2       c1 ─ c2 ─ c3
//!      c3  │  s1          │ c3 │           │         │
//!   client │           s1 │    │ s2       c5 ─────── c4
//! ```
//!
//! Each is a pure function; [`Shape::draw`] chooses by a seed who is where.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::dice::Dice;
use super::party::Party;
use crate::node::NodeName;

/// Directed links to cut, from and to whom, and the same for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From whom to whom nothing gets.
    pub cut: BTreeSet<(Party, Party)>,
    /// Such as `c2, s1 | c1, s2, client`.
    pub text: String,
}

impl Partition {
    /// Two sides that do not reach each other, in either direction; who is between them
    /// reaches both.
    pub fn split(left: &[Party], right: &[Party], between: &[Party]) -> Partition {
        let mut cut = BTreeSet::new();
        for &l in left {
            for &r in right {
                assert!(l != r, "{l} is on both sides");
                cut.extend([(l, r), (r, l)]);
            }
        }
        let mut text = format!("{} | {}", list(left), list(right));
        if !between.is_empty() {
            text.push_str(&format!("; both reach {}", list(between)));
        }
        Partition { cut, text }
    }

    /// Nothing gets from one to the other; the other direction is open.
    pub fn one_way(from: Party, to: Party) -> Partition {
        Partition { cut: [(from, to)].into(), text: format!("{to} does not hear {from}") }
    }

    /// Nobody hears one of them, who hears all.
    pub fn mute(one: Party, parties: &[Party]) -> Partition {
        let others = parties.iter().filter(|&&other| other != one);
        let cut = others.map(|&other| (one, other)).collect();
        Partition { cut, text: format!("nobody hears {one}") }
    }

    /// One of them hears nobody, but is heard.
    pub fn deaf(one: Party, parties: &[Party]) -> Partition {
        let others = parties.iter().filter(|&&other| other != one);
        let cut = others.map(|&other| (other, one)).collect();
        Partition { cut, text: format!("{one} hears nobody") }
    }

    /// Each of them reaches only its two neighbours in this order. Of five, that is a majority
    /// for each, and another one.
    pub fn ring(order: &[Party]) -> Partition {
        let count = order.len();
        let mut cut = BTreeSet::new();
        let mut texts = Vec::new();
        for (at, &one) in order.iter().enumerate() {
            let far = (2..count.saturating_sub(1)).map(|distance| order[(at + distance) % count]);
            cut.extend(far.map(|other| (one, other)));
            texts.push(one.to_string());
        }
        texts.extend(texts.first().cloned());
        Partition { cut, text: format!("ring {}", texts.join(" - ")) }
    }
}

/// The parties in order, as they print.
fn list(parties: &[Party]) -> String {
    let sorted: BTreeSet<Party> = parties.iter().copied().collect();
    let names: Vec<String> = sorted.iter().map(Party::to_string).collect();
    names.join(", ")
}

/// A kind of partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// One does not hear another one.
    OneWay,
    /// Nobody hears one server.
    Mute,
    /// One server hears nobody.
    Deaf,
    /// One server is cut off from all others.
    Alone,
    /// Two halves; the clients are in one of them, or reach both.
    Halves,
    /// Two halves that both reach one server between them, as clients do.
    Bridge,
    /// Each of five coordinators reaches two others, and each another two. All else is open.
    Ring,
    /// Clients do not reach one server, which reaches all others.
    Clients,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 8] = [
        Shape::OneWay,
        Shape::Mute,
        Shape::Deaf,
        Shape::Alone,
        Shape::Halves,
        Shape::Bridge,
        Shape::Ring,
        Shape::Clients,
    ];

    /// Its name, such as `one-way`.
    pub fn name(self) -> &'static str {
        match self {
            Shape::OneWay => "one-way",
            Shape::Mute => "mute",
            Shape::Deaf => "deaf",
            Shape::Alone => "alone",
            Shape::Halves => "halves",
            Shape::Bridge => "bridge",
            Shape::Ring => "ring",
            Shape::Clients => "clients",
        }
    }

    /// A partition of this shape, for these parties; who is where is drawn from the seed.
    /// `None` if they are too few for it, or are not all there: a ring takes five
    /// coordinators, a bridge three servers, and so on.
    pub fn draw(self, parties: &[Party], seed: u64) -> Option<Partition> {
        let mut dice = Dice::new(seed, 0);
        let mut all: Vec<Party> =
            BTreeSet::from_iter(parties.iter().copied()).into_iter().collect();
        dice.shuffle(&mut all);
        let mut servers: Vec<Party> =
            all.iter().copied().filter(|one| *one != Party::Client).collect();
        let clients: &[Party] = if servers.len() < all.len() { &[Party::Client] } else { &[] };
        let victim = *servers.first()?;
        if all.len() < 2 {
            return None;
        }
        let others: Vec<Party> = all.iter().copied().filter(|one| *one != victim).collect();
        match self {
            Shape::OneWay => Some(Partition::one_way(all[0], all[1])),
            Shape::Mute => Some(Partition::mute(victim, &all)),
            Shape::Deaf => Some(Partition::deaf(victim, &all)),
            Shape::Alone => Some(Partition::split(&[victim], &others, &[])),
            Shape::Halves if servers.len() >= 2 => {
                let (left, right) = servers.split_at(servers.len() / 2);
                let (left, right) = (left.to_vec(), right.to_vec());
                Some(match dice.below(3) {
                    0 => Partition::split(&[&left, clients].concat(), &right, &[]),
                    1 => Partition::split(&left, &[&right, clients].concat(), &[]),
                    _ => Partition::split(&left, &right, clients),
                })
            }
            Shape::Bridge if servers.len() >= 3 => {
                let (left, right) = servers[1..].split_at((servers.len() - 1) / 2);
                Some(Partition::split(left, right, &[&[victim], clients].concat()))
            }
            Shape::Ring => {
                let is_coordinator =
                    |one: &Party| matches!(one, Party::Node(NodeName::Coordinator(_)));
                servers.retain(is_coordinator);
                (servers.len() == 5).then(|| Partition::ring(&servers))
            }
            Shape::Clients if !clients.is_empty() => {
                Some(Partition::split(&[victim], clients, &servers[1..]))
            }
            Shape::Halves | Shape::Bridge | Shape::Clients => None,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let known = Shape::ALL.into_iter().find(|shape| shape.name() == text);
        known.ok_or_else(|| {
            let names = Shape::ALL.map(Shape::name).join(", ");
            format!("there is no partition '{text}'; there are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(n: u16) -> Party {
        NodeName::Coordinator(n).into()
    }

    fn s(n: u16) -> Party {
        NodeName::Shard(n).into()
    }

    const CLIENT: Party = Party::Client;

    /// A cluster with a client.
    fn parties(coordinators: u16, shards: u16) -> Vec<Party> {
        (1..=coordinators).map(c).chain((1..=shards).map(s)).chain([CLIENT]).collect()
    }

    /// Whom one of them hears.
    fn heard(one: Party, parties: &[Party], partition: &Partition) -> BTreeSet<Party> {
        let others = parties.iter().copied().filter(|&other| other != one);
        others.filter(|&other| !partition.cut.contains(&(other, one))).collect()
    }

    #[test]
    fn two_sides_do_not_reach_each_other() {
        let partition = Partition::split(&[s(1), c(2)], &[CLIENT, s(2), c(1)], &[]);
        assert_eq!(partition.text, "c2, s1 | c1, s2, client");
        assert_eq!(partition.cut.len(), 12);
        assert!(partition.cut.contains(&(c(1), s(1))) && partition.cut.contains(&(s(1), c(1))));
        assert!(!partition.cut.contains(&(c(1), s(2))));
    }

    #[test]
    fn who_is_between_reaches_both() {
        let partition = Partition::split(&[c(1)], &[c(2)], &[CLIENT, c(3)]);
        assert_eq!(partition.text, "c1 | c2; both reach c3, client");
        assert_eq!(partition.cut, [(c(1), c(2)), (c(2), c(1))].into());
    }

    #[test]
    fn one_direction_is_cut() {
        let all = parties(2, 0);
        let one_way = Partition::one_way(c(1), CLIENT);
        assert_eq!(one_way.cut, [(c(1), CLIENT)].into());
        assert_eq!(one_way.text, "client does not hear c1");
        let mute = Partition::mute(c(1), &all);
        assert_eq!(mute.cut, [(c(1), c(2)), (c(1), CLIENT)].into());
        assert_eq!(mute.text, "nobody hears c1");
        let deaf = Partition::deaf(c(1), &all);
        assert_eq!(deaf.cut, [(c(2), c(1)), (CLIENT, c(1))].into());
        assert_eq!(deaf.text, "c1 hears nobody");
    }

    #[test]
    fn in_a_ring_each_reaches_another_majority() {
        let members = [c(1), c(3), c(5), c(2), c(4)];
        let ring = Partition::ring(&members);
        assert_eq!(ring.text, "ring c1 - c3 - c5 - c2 - c4 - c1");
        assert_eq!(heard(c(1), &members, &ring), [c(3), c(4)].into());
        assert_eq!(heard(c(5), &members, &ring), [c(2), c(3)].into());
        assert!(ring.cut.iter().all(|&(from, to)| ring.cut.contains(&(to, from))));
        assert_eq!(ring.cut.len(), 10);
    }

    /// What each shape promises, whoever is drawn.
    #[test]
    fn shapes_are_what_they_are_called() {
        let all = parties(5, 1);
        let mut different = BTreeSet::new();
        for (shape, seed) in
            Shape::ALL.into_iter().flat_map(|shape| (0..1000).map(move |i| (shape, i)))
        {
            let drawn = shape.draw(&all, seed).unwrap();
            assert_eq!(shape.draw(&all, seed).unwrap(), drawn);
            assert!(drawn.cut.iter().all(|(from, to)| from != to));
            let hears = |one| heard(one, &all, &drawn).len();
            let both_ways = drawn.cut.iter().all(|&(from, to)| drawn.cut.contains(&(to, from)));
            let is_client = |ends: &(Party, Party)| ends.0 == CLIENT || ends.1 == CLIENT;
            let client_ends = drawn.cut.iter().filter(|ends| is_client(ends)).count();
            match shape {
                Shape::OneWay => assert_eq!(drawn.cut.len(), 1),
                Shape::Mute => assert!(all.iter().filter(|one| hears(**one) == 5).count() == 6),
                Shape::Deaf => assert!(all.iter().filter(|one| hears(**one) == 0).count() == 1),
                Shape::Alone => assert!(both_ways && drawn.cut.len() == 12),
                Shape::Halves => assert!(both_ways && [0, 6].contains(&client_ends)),
                Shape::Bridge => assert!(both_ways && drawn.cut.len() == 12 && client_ends == 0),
                Shape::Ring => assert!(both_ways && drawn.cut.len() == 10 && client_ends == 0),
                Shape::Clients => assert!(both_ways && drawn.cut.len() == 2 && client_ends == 2),
            }
            different.insert((shape, drawn.cut));
        }
        let count = |shape| different.iter().filter(|(one, _)| *one == shape).count();
        // All pairs, all victims, all rings of five.
        assert_eq!(count(Shape::OneWay), 42);
        assert_eq!([Shape::Mute, Shape::Deaf, Shape::Alone, Shape::Clients].map(count), [6; 4]);
        assert_eq!(count(Shape::Ring), 12);
        assert!(count(Shape::Halves) > 20 && count(Shape::Bridge) > 20);
    }

    #[test]
    fn too_few_make_no_shape() {
        let drawn = |shape: Shape, parties: &[Party]| shape.draw(parties, 1).is_some();
        let shapes = |parties: &[Party]| {
            let shapes = Shape::ALL.into_iter().filter(|shape| drawn(*shape, parties));
            shapes.collect::<Vec<_>>()
        };
        assert_eq!(shapes(&[]), []);
        assert_eq!(shapes(&[CLIENT]), []);
        assert_eq!(shapes(&[c(1)]), []);
        let any = [Shape::OneWay, Shape::Mute, Shape::Deaf, Shape::Alone];
        assert_eq!(shapes(&[c(1), CLIENT]), [&any[..], &[Shape::Clients]].concat());
        assert_eq!(shapes(&[c(1), s(1)]), [&any[..], &[Shape::Halves]].concat());
        assert_eq!(
            shapes(&[c(1), s(1), s(2)]),
            [&any[..], &[Shape::Halves, Shape::Bridge]].concat()
        );
        assert!(drawn(Shape::Ring, &parties(5, 0)));
        assert!(!drawn(Shape::Ring, &parties(3, 2)));
    }

    #[test]
    fn shapes_have_names() {
        for shape in Shape::ALL {
            assert_eq!(shape.to_string().parse(), Ok(shape));
        }
        let error = "star".parse::<Shape>().unwrap_err();
        assert!(error.starts_with("there is no partition 'star'; there are one-way, mute, "));
    }
}
