//! Links that a node asks for: made, kept, moved and closed as it says.
#![cfg(feature = "driver")]

mod net;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use net::{C1, Certs, PATIENCE, S1, Server, Setup, join, read};
use synod_common::driver::endpoint::Settings;
use synod_common::driver::handle::LocalClient;
use synod_common::driver::server::Dial;
use synod_common::driver::tls::{Identity, Role};
use synod_common::id::{Peer, RequestId, ShardId};
use synod_common::node::{Event, Neighbour, Output};
use synod_common::time::Now;

const S2: Peer = Peer::Shard(ShardId(2));
const S3: Peer = Peer::Shard(ShardId(3));

/// Who saw what of whom.
type Seen = (&'static str, &'static str, Peer);

/// A few servers that tell what happens to them.
struct Town {
    certs: Certs,
    events: Sender<Seen>,
    seen: Receiver<Seen>,
}

impl Town {
    fn new() -> Town {
        let (events, seen) = mpsc::channel();
        Town { certs: Certs::new(), events, seen }
    }

    /// A server that only tells what it sees of other servers.
    fn server(&self, role: Role, name: &'static str, port: u16) -> Server {
        let events = self.events.clone();
        let node = move |_: Now, event: Event, _: &mut Output| tell(&events, name, &event);
        Server::start(self.identity(role, name), Setup { port, ..Setup::default() }, node)
    }

    /// Of one server there is one certificate, however often it is started.
    fn identity(&self, role: Role, name: &str) -> Identity {
        Identity::load(&self.certs.dir, name).unwrap_or_else(|_| self.certs.issue(role, name))
    }

    /// Shard 3, which does what the test says.
    fn asker(&self, setup: Setup) -> Asker {
        let events = self.events.clone();
        let (orders, ordered) = mpsc::channel();
        let node = move |_: Now, event: Event, out: &mut Output| {
            tell(&events, "s3", &event);
            let Event::Message { from: Peer::Client(_), .. } = event else { return };
            match ordered.try_recv().unwrap() {
                Order::Keep(neighbours) => out.keep_links(neighbours),
                Order::Greet(peer, times) => {
                    for _ in 0..times {
                        out.send(peer, RequestId(0), join());
                    }
                    events.send(("s3", "greets", peer)).unwrap();
                }
            }
        };
        let server = Server::start(self.identity(Role::Shard, "s3"), setup, node);
        let nudge = server.handle.connect_client(|_, _| ());
        Asker { nudge, orders, server }
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).unwrap()
    }

    /// These are the next events, in any order.
    #[track_caller]
    fn expect<const N: usize>(&self, expected: [Seen; N]) {
        let mut next = [(); N].map(|()| self.next());
        next.sort_unstable();
        assert_eq!(next, expected);
    }
}

fn tell(events: &Sender<Seen>, who: &'static str, event: &Event) {
    let (what, peer) = match event {
        Event::Connected(peer) => ("up", *peer),
        Event::Disconnected(peer) => ("down", *peer),
        Event::Message { from, .. } => ("message", *from),
        _ => return,
    };
    if !matches!(peer, Peer::Client(_)) {
        events.send((who, what, peer)).unwrap();
    }
}

enum Order {
    Keep(Vec<Neighbour>),
    Greet(Peer, usize),
}

struct Asker {
    nudge: LocalClient,
    orders: Sender<Order>,
    server: Server,
}

impl Asker {
    fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
        self.nudge.send(RequestId(1), read(b"go on")).unwrap();
    }

    fn keep<const N: usize>(&self, neighbours: [(Peer, SocketAddr); N]) {
        let neighbours = neighbours.map(|(peer, at)| Neighbour { peer, address: at.to_string() });
        self.order(Order::Keep(neighbours.to_vec()));
    }

    fn greet(&self, peer: Peer) {
        self.order(Order::Greet(peer, 1));
    }
}

#[test]
fn links_come_and_go_as_the_node_asks() {
    let town = Town::new();
    let (s1, s2) = (town.server(Role::Shard, "s1", 0), town.server(Role::Shard, "s2", 0));
    let asker = town.asker(Setup::default());
    asker.keep([(S1, s1.addr)]);
    town.expect([("s1", "up", S3), ("s3", "up", S1)]);
    asker.greet(S1);
    town.expect([("s1", "message", S3), ("s3", "greets", S1)]);
    // Another takes its place.
    asker.keep([(S2, s2.addr)]);
    town.expect([("s1", "down", S3), ("s2", "up", S3), ("s3", "down", S1), ("s3", "up", S2)]);
    asker.keep([]);
    town.expect([("s2", "down", S3), ("s3", "down", S2)]);
}

#[test]
fn asking_again_leaves_a_link_alone() {
    let town = Town::new();
    let (s1, s2) = (town.server(Role::Shard, "s1", 0), town.server(Role::Shard, "s2", 0));
    let asker = town.asker(Setup::default());
    asker.keep([(S1, s1.addr)]);
    town.expect([("s1", "up", S3), ("s3", "up", S1)]);
    asker.keep([(S1, s1.addr)]);
    asker.keep([(S2, s2.addr), (S1, s1.addr)]);
    // When the new link is up, what was asked for has been done.
    town.expect([("s2", "up", S3), ("s3", "up", S2)]);
    asker.greet(S1);
    town.expect([("s1", "message", S3), ("s3", "greets", S1)]);
    asker.keep([(S2, s2.addr)]);
    town.expect([("s1", "down", S3), ("s3", "down", S1)]);
}

#[test]
fn a_neighbour_that_moves_is_found_at_its_new_address() {
    let town = Town::new();
    let (here, there) = (town.server(Role::Shard, "s1", 0), town.server(Role::Shard, "s1", 0));
    let asker = town.asker(Setup::default());
    asker.keep([(S1, here.addr)]);
    town.expect([("s1", "up", S3), ("s3", "up", S1)]);
    asker.keep([(S1, there.addr)]);
    town.expect([("s1", "down", S3), ("s1", "up", S3), ("s3", "down", S1), ("s3", "up", S1)]);
    // Nobody is linked with the old one any more.
    here.stop().unwrap();
    asker.greet(S1);
    town.expect([("s1", "message", S3), ("s3", "greets", S1)]);
}

#[test]
fn a_neighbour_that_is_down_is_connected_when_it_comes_up() {
    let town = Town::new();
    // Nothing answers at this address, but it hears who knocks.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let at = silent.local_addr().unwrap();
    let handshake = Duration::from_millis(500);
    let settings = Settings { handshake, ..Settings::default() };
    let asker = town.asker(Setup { settings, ..Setup::default() });
    asker.keep([(S1, at)]);
    // Each attempt knocks under a name of its own, so the first has failed.
    let mut attempts = BTreeSet::new();
    while attempts.len() < 2 {
        let mut packet = [0; 2_048];
        let length = silent.recv(&mut packet).unwrap();
        assert!(length > 6 && packet[0] & 0x80 != 0, "the long header of a first packet");
        attempts.insert(packet[6..6 + usize::from(packet[5])].to_vec());
    }
    drop(silent);
    let s1 = town.server(Role::Shard, "s1", at.port());
    town.expect([("s1", "up", S3), ("s3", "up", S1)]);
    // Nor is it given up when it goes away.
    s1.stop().unwrap();
    assert_eq!(town.next(), ("s3", "down", S1));
    let _s1 = town.server(Role::Shard, "s1", at.port());
    town.expect([("s1", "up", S3), ("s3", "up", S1)]);
}

#[test]
fn what_the_configuration_dials_is_not_the_nodes_to_move() {
    let town = Town::new();
    let (c1, s1) = (town.server(Role::Coordinator, "c1", 0), town.server(Role::Shard, "s1", 0));
    let dials = vec![Dial { target: c1.addr.to_string(), peer: C1 }];
    let asker = town.asker(Setup { dials, ..Setup::default() });
    town.expect([("c1", "up", S3), ("s3", "up", C1)]);
    // The coordinator at an address where it is too, and the node itself.
    asker.keep([(C1, c1.addr), (S3, asker.server.addr), (S1, s1.addr)]);
    town.expect([("s1", "up", S3), ("s3", "up", S1)]);
    asker.keep([]);
    town.expect([("s1", "down", S3), ("s3", "down", S1)]);
    asker.greet(C1);
    town.expect([("c1", "message", S3), ("s3", "greets", C1)]);
}

#[test]
fn the_links_end_with_their_server_and_what_was_sent_arrives() {
    let town = Town::new();
    let s1 = town.server(Role::Shard, "s1", 0);
    let asker = town.asker(Setup::default());
    asker.keep([(S1, s1.addr)]);
    town.expect([("s1", "up", S3), ("s3", "up", S1)]);
    // More than leaves at once.
    asker.order(Order::Greet(S1, 2_000));
    assert_eq!(town.next(), ("s3", "greets", S1));
    asker.server.stop().unwrap();
    let seen: Vec<_> = std::iter::repeat_with(|| town.next())
        .take_while(|seen| *seen != ("s1", "down", S3))
        .collect();
    assert_eq!(seen, vec![("s1", "message", S3); 2_000]);
}
