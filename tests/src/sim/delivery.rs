//! Messages and links at work.

use bytes::BytesMut;
use synod_common::id::{ClientId, Peer, RequestId};
use synod_common::message::{ClientReply, Message, codec};
use synod_common::node::{Event, Send};

use super::network::{Node, copies};
use super::server::{index, peer};
use super::world::{Happening, Phase, Short, World};
use crate::invariants::{Check, deadlocks, force, promise};

impl World {
    /// A server sends.
    pub fn send(&mut self, from: usize, send: Send) -> Check {
        let send = self.mutate_send(from, send)?;
        self.answers_operator(from, &send)?;
        self.handed_out.check(&send.message)?;
        if self.checks_messages() {
            force::check(&mut self.ledger, from, &send.message)?;
        }
        if let (Message::Deadlock(message), Some(to)) = (&send.message, index(send.to)) {
            let servers = &self.servers;
            let shard = |at: usize| servers.get(at)?.core.as_ref()?.shard();
            deadlocks::check(&mut self.deadlocks, (from, to), message, shard)?;
        }
        let target = match send.to {
            Peer::Client(id) => self.servers[from].connections.get(&id.0).map(|i| Node::Client(*i)),
            server => index(server).map(Node::Server),
        };
        let Some(target) = target else { return Ok(()) };
        self.sends_state(from, &send.message);
        self.reached.sent(&send.message);
        if let Message::ClientReply(ClientReply::Outcome(outcome)) = &send.message
            && let Node::Client(client) = target
            && let Some(txn) = self.clients[client].asked.get(&send.request)
        {
            let may_forget = self.may_forget();
            promise::check(&mut self.history, &self.ledger, *txn, outcome, may_forget)?;
        }
        // A crash aimed at this message: of who sends it or who shall get it,
        // before it leaves, with it, or a little later.
        if self.faults.strikes(&send.message, &mut self.rng) {
            let victim = match target {
                Node::Server(to) if self.rng.chance(5_000) => to,
                _ => from,
            };
            let down = self.down_time();
            let life = self.servers[victim].life;
            match self.rng.below(4) {
                0 => self.crash(victim, down)?,
                1 => self.after(0, Happening::Crash(victim, life, down)),
                _ => {
                    let soon = self.rng.below(1_500);
                    self.after(soon, Happening::Crash(victim, life, down));
                }
            }
            if !self.servers[from].is_up() {
                return Ok(());
            }
        }
        self.transmit(Node::Server(from), target, send.request, &send.message);
        Ok(())
    }

    /// Puts a message on its way, as bytes and back.
    pub fn transmit(&mut self, from: Node, to: Node, request: RequestId, message: &Message) {
        let link = self.links.iter().position(|l| l.ends == [from, to] || l.ends == [to, from]);
        let Some(link) = link else { return };
        let end = self.links[link].end_of(to);
        if !self.links[link].up || !self.links[link].knows[1 - end] {
            return;
        }
        let mut bytes = BytesMut::new();
        codec::encode(request, message, &mut bytes).expect("our messages fit into a frame");
        self.trace.mix(&[4, self.time, link as u64, end as u64]);
        self.trace.mix_bytes(&bytes);
        let decoded = codec::decode(&mut bytes).expect("our frames can be read");
        let (id, decoded) = decoded.expect("a frame is whole");
        assert!(id == request && decoded == *message, "a frame changed on its way");
        self.trace.line(self.time, format_args!("{from} → {to} {request:?} {}", Short(message)));
        if self.links[link].blocked[1 - end] {
            return;
        }
        let epoch = self.links[link].epoch;
        let far = match (from, to) {
            (Node::Server(_), Node::Server(_)) => self.sizes.far,
            _ => 0,
        };
        let copies = copies(&self.faults, &mut self.rng);
        if self.links[link].lossless && copies.iter().all(|(_, ghost)| *ghost) {
            self.cut(link);
        }
        for (delay, ghost) in copies {
            let epoch = (!ghost).then_some(epoch);
            let message = message.clone();
            self.after(far + delay, Happening::Deliver { link, end, epoch, request, message });
        }
    }

    /// A message arrives.
    pub fn deliver(
        &mut self,
        link: usize,
        end: usize,
        epoch: Option<u64>,
        request: RequestId,
        message: Message,
    ) -> Check {
        let state = &self.links[link];
        if !state.up || !state.knows[end] || epoch.is_some_and(|epoch| epoch != state.epoch) {
            return Ok(());
        }
        let other = state.ends[1 - end];
        let connection = ClientId(state.connection);
        self.trace.mix(&[5, self.time, link as u64, end as u64]);
        match state.ends[end] {
            Node::Client(client) => self.client_message(client, other, request, &message),
            Node::Server(to) => {
                let from = match other {
                    Node::Client(_) => Peer::Client(connection),
                    Node::Server(from) => peer(from),
                };
                if !message.may_come_from(from) {
                    return Err(format!("{from} may not send {message:?}"));
                }
                let ghost = if epoch.is_none() { " ghost" } else { "" };
                let name = peer(to);
                self.trace.line(
                    self.time,
                    format_args!("{name} got{ghost} {request:?} {} of {other}", Short(&message)),
                );
                let life = self.servers[to].life;
                let Some(message) = self.mutate_arrival(to, from, other, request, message)? else {
                    return Ok(());
                };
                if self.servers[to].life != life {
                    return Ok(());
                }
                self.feed(to, Event::Message { from, request, message })
            }
        }
    }

    /// A link goes down; its ends notice later.
    pub fn cut(&mut self, link: usize) {
        let state = &mut self.links[link];
        let epoch = state.epoch;
        let knows = state.knows;
        if state.up {
            state.up = false;
            self.trace.line(self.time, format_args!("link {link} down"));
        }
        if knows == [false; 2] {
            self.dial(link);
        }
        for (end, knows) in knows.into_iter().enumerate() {
            if knows {
                let delay = self.rng.skewed(60_000);
                self.after(delay, Happening::Lost(link, end, epoch));
            }
        }
    }

    /// An end notices that its link is gone.
    pub fn lost(&mut self, link: usize, end: usize, epoch: u64) -> Check {
        let state = &mut self.links[link];
        if state.up || state.epoch != epoch || !state.knows[end] {
            return Ok(());
        }
        state.knows[end] = false;
        let (node, other) = (state.ends[end], state.ends[1 - end]);
        let connection = state.connection;
        if state.knows == [false; 2] {
            self.dial(link);
        }
        match node {
            Node::Client(client) => self.client_lost(client, other),
            Node::Server(server) => {
                let gone = match other {
                    Node::Client(_) => {
                        self.servers[server].connections.remove(&connection);
                        Peer::Client(ClientId(connection))
                    }
                    Node::Server(other) => peer(other),
                };
                self.feed(server, Event::Disconnected(gone))
            }
        }
    }

    /// Dials a link soon.
    pub fn dial(&mut self, link: usize) {
        if !self.links[link].dialling {
            self.links[link].dialling = true;
            let most = if self.phase == Phase::Setup { 500 } else { 100_000 };
            let delay = 100 + self.rng.skewed(most);
            self.after(delay, Happening::Dial(link));
        }
    }

    /// A link was dialled.
    pub fn dialled(&mut self, link: usize) -> Check {
        let state = &mut self.links[link];
        state.dialling = false;
        if state.up || state.knows != [false; 2] {
            return Ok(());
        }
        let ends = state.ends;
        let down = |node: &Node| match node {
            Node::Server(server) => !self.servers[*server].is_up(),
            Node::Client(client) => self.clients[*client].is_gone(),
        };
        if state.blocked != [false; 2] || ends.iter().any(down) {
            self.dial(link);
            return Ok(());
        }
        let state = &mut self.links[link];
        state.epoch += 1;
        state.up = true;
        state.knows = [true; 2];
        let [from, to] = ends;
        let Node::Server(server) = to else { return Ok(()) };
        let dialler = match from {
            Node::Client(client) => {
                self.servers[server].accepted += 1;
                let connection = self.servers[server].accepted;
                self.links[link].connection = connection;
                self.servers[server].connections.insert(connection, client);
                Peer::Client(ClientId(connection))
            }
            Node::Server(shard) => peer(shard),
        };
        self.trace.line(self.time, format_args!("link {link} up, {from} to {to} as {dialler}"));
        self.feed(server, Event::Connected(dialler))?;
        match from {
            Node::Server(shard) => self.feed(shard, Event::Connected(peer(server))),
            Node::Client(_) => Ok(()),
        }
    }

    /// Cuts a link in one direction or both, or a server off from all.
    pub fn block(&mut self) {
        let directions = self.rng.pick(&[[true, false], [false, true], [true, true]]);
        let time = self.rng.skewed(1_500_000);
        let lone = self.rng.below(self.servers.len() as u64) as usize;
        let all = self.rng.chance(4_000);
        let one = self.rng.below(self.links.len() as u64) as usize;
        for link in 0..self.links.len() {
            let hit =
                if all { self.links[link].ends.contains(&Node::Server(lone)) } else { link == one };
            if hit {
                self.links[link].blocked = directions;
                self.after(time, Happening::Unblock(link));
            }
        }
    }

    /// A blocked link is open again; its connection may not have outlived that.
    pub fn unblock(&mut self, link: usize) {
        self.links[link].blocked = [false; 2];
        if self.rng.chance(7_000) || self.links[link].lossless {
            self.cut(link);
        }
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Node::Server(server) => peer(*server).fmt(f),
            Node::Client(client) => write!(f, "client{client}"),
        }
    }
}
