//! Against plain sockets: servers that say back what they hear, and clients.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Server;
use crate::links::{Counts, Links, Party, Rule};
use crate::node::NodeName;
use crate::ports;

const C1: NodeName = NodeName::Coordinator(1);
const C2: NodeName = NodeName::Coordinator(2);
const PATIENCE: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);

/// Two servers and a client, as bare sockets.
struct World {
    links: Links,
    c1: End,
    c2: End,
    client: End,
}

struct End {
    socket: UdpSocket,
    /// Where others reach it; of a client, itself.
    front: SocketAddr,
}

impl End {
    /// At a port that no client is given while the server is dead.
    fn server(front: &UdpSocket) -> End {
        End::new(ports::front().unwrap(), front.local_addr().unwrap())
    }

    fn client() -> End {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        End::new(socket, address)
    }

    fn new(socket: UdpSocket, front: SocketAddr) -> End {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        End { socket, front }
    }

    fn send(&self, to: SocketAddr, number: u32) {
        self.socket.send_to(&number.to_be_bytes(), to).unwrap();
    }

    /// The next number, and from where it comes.
    fn receive(&self) -> (u32, SocketAddr) {
        let mut bytes = [0; 64];
        let (length, from) = self.socket.recv_from(&mut bytes).expect("it arrives");
        (u32::from_be_bytes(bytes[..length].try_into().unwrap()), from)
    }

    fn receive_numbers(&self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.receive().0).collect()
    }
}

fn world() -> World {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let front = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (f1, f2) = (front(), front());
    let (c1, c2, client) = (End::server(&f1), End::server(&f2), End::client());
    let real = |end: &End| end.socket.local_addr().unwrap();
    let servers = vec![
        Server { name: C1, real: real(&c1), front: f1 },
        Server { name: C2, real: real(&c2), front: f2 },
    ];
    let links = runtime.block_on(Links::through_a_proxy(servers, 1)).unwrap();
    World { links, c1, c2, client }
}

impl World {
    fn set(&self, from: impl Into<Party>, to: impl Into<Party>, rule: Rule) {
        self.links.set(from.into(), to.into(), rule).unwrap();
    }

    /// Of a link, once so many have arrived there.
    fn counts(&self, from: impl Into<Party>, to: impl Into<Party>, arrived: u64) -> Counts {
        let (from, to) = (from.into(), to.into());
        let begin = Instant::now();
        loop {
            let counts = self.links.counts(from, to).unwrap();
            let Counts { passed, dropped, overflowed, duplicated, waiting, .. } = counts;
            assert_eq!(counts.arrived + duplicated, passed + dropped + overflowed + waiting);
            if counts.arrived == arrived {
                return counts;
            }
            assert!(begin.elapsed() < PATIENCE, "{counts:?}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn datagrams_go_there_and_back() {
    let World { links, c1, c2, client } = &world();
    for number in 0..1000 {
        client.send(c1.front, number);
        let (heard, from) = c1.receive();
        assert_eq!(heard, number);
        // The client learns nothing but the front.
        c1.send(from, heard + 1);
        assert_eq!(client.receive(), (number + 1, c1.front));
    }
    c2.send(c1.front, 7);
    let (heard, from) = c1.receive();
    c1.send(from, heard);
    // Whoever is dialed answers from its front.
    assert_eq!(c2.receive(), (7, c1.front));
    let all = links.all_counts().unwrap();
    let passed: Vec<_> = all.iter().filter(|(_, n)| n.passed > 0).collect();
    let expected = |n| Counts { arrived: n, passed: n, ..Counts::default() };
    let (p1, p2) = (Party::Node(C1), Party::Node(C2));
    assert_eq!(
        passed,
        [
            (&(p1, p2), &expected(1)),
            (&(p1, Party::Client), &expected(1000)),
            (&(p2, p1), &expected(1)),
            (&(Party::Client, p1), &expected(1000)),
        ]
    );
    assert_eq!(links.parties(), [p1, p2, Party::Client]);
    assert_eq!(all.len(), 6);
}

#[test]
fn a_cut_in_one_direction_leaves_the_other_one() {
    let world = world();
    let World { links, c1, c2, .. } = &world;
    // A path for each, whoever dialed.
    c1.send(c2.front, 1);
    let (_, to_c1) = c2.receive();
    c2.send(c1.front, 2);
    let (_, to_c2) = c1.receive();
    links.cut(&[(C1.into(), C2.into())]).unwrap();
    c1.send(c2.front, 3);
    c1.send(to_c2, 4);
    assert_eq!(world.counts(C1, C2, 3).dropped, 2);
    c2.send(c1.front, 5);
    c2.send(to_c1, 6);
    let mut heard = c1.receive_numbers(2);
    heard.sort_unstable();
    assert_eq!(heard, [5, 6]);
    links.heal().unwrap();
    c1.send(c2.front, 7);
    assert_eq!(c2.receive().0, 7);
    let counts = Counts { arrived: 4, passed: 2, dropped: 2, ..Counts::default() };
    assert_eq!(world.counts(C1, C2, 4), counts);
    assert_eq!(world.counts(C2, C1, 3).dropped, 0);
}

#[test]
fn what_is_lost_is_lost_and_all_else_arrives_in_order() {
    let world = world();
    let World { links, c1, client, .. } = &world;
    world.set(Party::Client, C1, Rule { loss: 0.5, ..Rule::default() });
    (0..200).for_each(|number| client.send(c1.front, number));
    let counts = world.counts(Party::Client, C1, 200);
    assert!((50..150).contains(&counts.dropped), "{counts:?}");
    let heard = c1.receive_numbers(counts.passed as usize);
    assert!(heard.is_sorted(), "{heard:?}");
    for (loss, passed) in [(1.0, 0), (0.0, 100)] {
        let before = links.counts(Party::Client, C1.into()).unwrap();
        world.set(Party::Client, C1, Rule { loss, ..Rule::default() });
        (0..100).for_each(|number| client.send(c1.front, number));
        let after = world.counts(Party::Client, C1, before.arrived + 100);
        assert_eq!(after.passed - before.passed, passed);
    }
}

#[test]
fn what_is_doubled_arrives_twice() {
    let world = world();
    let World { c1, client, .. } = &world;
    world.set(Party::Client, C1, Rule { duplicate: 1.0, ..Rule::default() });
    (0..50).for_each(|number| client.send(c1.front, number));
    let twice: Vec<u32> = (0..100).map(|i| i / 2).collect();
    assert_eq!(c1.receive_numbers(100), twice);
    let counts = world.counts(Party::Client, C1, 50);
    assert_eq!((counts.passed, counts.duplicated), (100, 50));
}

#[test]
fn a_delay_keeps_the_order() {
    let world = world();
    let World { links, c1, client, .. } = &world;
    let begin = Instant::now();
    world.set(Party::Client, C1, Rule { delay: 50 * MS, ..Rule::default() });
    (0..100).for_each(|number| client.send(c1.front, number));
    world.counts(Party::Client, C1, 100);
    // What comes now must not overtake them.
    links.heal().unwrap();
    (100..150).for_each(|number| client.send(c1.front, number));
    assert_eq!(c1.receive_numbers(150), (0..150).collect::<Vec<_>>());
    assert!(begin.elapsed() >= 50 * MS);
    let counts = world.counts(Party::Client, C1, 150);
    assert!(counts.delayed >= 100, "{counts:?}");
    assert_eq!((counts.reordered, counts.waiting), (0, 0));
}

#[test]
fn who_waits_long_holds_up_nobody_else() {
    let world = world();
    let World { c1, c2, client, .. } = &world;
    world.set(Party::Client, C1, Rule { delay: 2 * PATIENCE, ..Rule::default() });
    world.set(Party::Client, C2, Rule { delay: MS, ..Rule::default() });
    client.send(c1.front, 1);
    assert_eq!(world.counts(Party::Client, C1, 1).waiting, 1);
    for number in 2..4 {
        client.send(c2.front, number);
        assert_eq!(c2.receive().0, number);
    }
    assert_eq!(world.counts(Party::Client, C1, 1).waiting, 1);
}

#[test]
fn who_is_held_back_is_overtaken() {
    let world = world();
    let World { c1, client, .. } = &world;
    world.set(Party::Client, C1, Rule { reorder: 1.0, delay: 500 * MS, ..Rule::default() });
    client.send(c1.front, 1);
    world.counts(Party::Client, C1, 1);
    world.set(Party::Client, C1, Rule::default());
    client.send(c1.front, 2);
    assert_eq!(c1.receive_numbers(2), [2, 1]);
    assert_eq!(world.counts(Party::Client, C1, 2).reordered, 1);
}

#[test]
fn a_server_that_is_dead_for_a_while_is_found_again() {
    let World { links, c1, client, .. } = world();
    let (front, address) = (c1.front, c1.socket.local_addr().unwrap());
    client.send(front, 1);
    assert_eq!(c1.receive().0, 1);
    drop(c1);
    (0..10).for_each(|_| client.send(front, 2));
    let begin = Instant::now();
    while links.counts(Party::Client, C1.into()).unwrap().arrived < 11 {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    let c1 = End::new(UdpSocket::bind(address).unwrap(), front);
    client.send(front, 3);
    let (heard, from) = c1.receive();
    c1.send(from, heard);
    assert_eq!(client.receive(), (3, front));
}

/// As many clients as there may be paths, and more, each with a path of its own.
#[test]
fn many_clients_come_and_go() {
    let World { c1, .. } = &world();
    for number in 0..600 {
        let client = End::client();
        client.send(c1.front, number);
        let (heard, from) = c1.receive();
        c1.send(from, heard);
        assert_eq!(client.receive().0, number);
    }
}

#[test]
fn a_cut_leaves_the_rest_of_a_rule_and_healing_nothing() {
    let World { links, .. } = &world();
    let (c1, c2) = (C1.into(), C2.into());
    let rule = Rule { loss: 0.5, ..Rule::default() };
    links.set(c1, c2, rule).unwrap();
    links.cut(&[(c1, c2)]).unwrap();
    assert_eq!(links.rule(c1, c2).unwrap(), Rule { cut: true, ..rule });
    links.heal().unwrap();
    assert_eq!(links.rule(c1, c2).unwrap(), Rule::default());
}

#[test]
fn there_are_no_other_links_and_rules() {
    let World { links, .. } = world();
    let (c1, s1) = (C1.into(), NodeName::Shard(1).into());
    let error = |result: anyhow::Result<()>| result.unwrap_err().to_string();
    let rule = Rule::default();
    assert_eq!(error(links.set(c1, s1, rule)), "there is no link from c1 to s1");
    assert_eq!(error(links.set(c1, c1, rule)), "there is no link from c1 to c1");
    assert_eq!(
        error(links.cut(&[(c1, Party::Client), (s1, c1)])),
        "there is no link from s1 to c1"
    );
    assert_eq!(links.rule(c1, Party::Client).unwrap(), rule, "half of it was cut");
    let rule = Rule { loss: 1.5, ..rule };
    assert_eq!(error(links.set(c1, Party::Client, rule)), "loss is of 0 to 1, not 1.5");
    let rule = Rule { delay: Duration::from_secs(61), ..Rule::default() };
    assert_eq!(error(links.set(c1, Party::Client, rule)), "delay is at most 60s, not 61s");
}
