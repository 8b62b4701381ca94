//! Which coordinator leads, and what happens when another one does.
//!
//! A group of coordinators is as one, but only the one that leads can answer. The others
//! say so, and where it is. A leader that dies says nothing; so every coordinator is asked
//! to tell of a leader of a later epoch than the one that is known, as soon as there is one.
//!
//! ```text
//!   ask ────▶ who leads, as far as we know ───▶ its reply
//!               │ "not me, but c2"   │ unreachable
//!               ▼                    ▼
//!              c2                 the next one           each of them once, then a pause
//!
//!   follow ─▶ all: "tell me of a later epoch than e3" ··· "c2 leads e4"
//!               │
//!               ▼
//!   what waits for the old leader ends as unreachable, and its sessions are lost
//! ```
//!
//! *Worked example.* c1 of three leads, and dies with a commit in flight. Nothing tells:
//! the connection would be given up after ten seconds. But c2 is elected, and both c2 and
//! c3 answer what they were asked long before. The link to c1 is closed; the commit has no
//! reply, so its outcome is asked for, from c2. The next transaction opens a session there.
//!
//! The numbers of coordinators are this client's own names for their addresses, in the
//! order in which it heard of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use synod_common::error::Reason;
use synod_common::id::{CoordinatorId, Epoch, Peer};
use synod_common::message::client::CoordinatorStatus;
use synod_common::message::{ClientReply, ClientRequest, Message};

use crate::net::{self, Net, Reply};
use crate::{Error, retry};

/// Addresses that are remembered: a group under several names each.
const MOST: usize = 16;

/// The coordinators that a client knows.
pub(crate) struct Coordinators {
    net: Arc<dyn Net>,
    state: Mutex<State>,
}

struct State {
    /// In the order in which they were heard of, with where they are.
    known: Vec<(Peer, String)>,
    /// Whom to ask.
    leader: Peer,
    /// The newest leader whose epoch is known.
    heard: Option<(Epoch, Peer)>,
    /// Nothing is to be sent any more.
    closed: bool,
}

impl Coordinators {
    /// One, of whom the world knows where it is.
    pub(crate) fn one(net: Arc<dyn Net>, id: CoordinatorId) -> Arc<Coordinators> {
        Coordinators::new(net, Peer::Coordinator(id), vec![(Peer::Coordinator(id), String::new())])
    }

    /// Those at these addresses.
    pub(crate) fn at(
        net: Arc<dyn Net>,
        addresses: impl IntoIterator<Item = String>,
    ) -> Arc<Coordinators> {
        let ids = (1..=u16::MAX).map(|id| Peer::Coordinator(CoordinatorId(id)));
        let known: Vec<(Peer, String)> = ids.zip(addresses).collect();
        for (peer, address) in &known {
            net.learn(*peer, address);
        }
        Coordinators::new(net, Peer::Coordinator(CoordinatorId(1)), known)
    }

    fn new(net: Arc<dyn Net>, leader: Peer, known: Vec<(Peer, String)>) -> Arc<Coordinators> {
        let peers: Vec<Peer> = known.iter().map(|(peer, _)| *peer).collect();
        let state = State { known, leader, heard: None, closed: false };
        let coordinators = Arc::new(Coordinators { net, state: Mutex::new(state) });
        if peers.len() > 1 {
            coordinators.follow(peers);
        }
        coordinators
    }

    /// Who leads, as far as is known.
    pub(crate) fn leader(&self) -> Peer {
        self.state.lock().leader
    }

    /// Whether there is a leader of a later epoch.
    pub(crate) fn is_past(&self, epoch: Epoch) -> bool {
        self.state.lock().heard.is_some_and(|(heard, _)| heard > epoch)
    }

    /// A session was granted, so it leads that epoch.
    pub(crate) fn granted(&self, leader: Peer, epoch: Epoch) {
        let mut state = self.state.lock();
        // The answer of one that is deposed may be late.
        if state.heard.is_none_or(|(heard, _)| heard <= epoch) {
            state.heard = Some((epoch, leader));
        }
    }

    /// Nothing is sent any more unless it is asked for.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Asks who leads; if it does not, or is unreachable, the others, each once. A refusal is an
    /// error.
    ///
    /// # Errors
    /// [`Error::Retry`] with [`Reason::NotLeader`] if none of those that answer leads.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: ClientRequest,
    ) -> Result<(Peer, ClientReply), Error> {
        let mut asked = BTreeSet::new();
        let mut refused = None;
        let mut to = self.leader();
        loop {
            asked.insert(to);
            let error = match self.ask_one(to, request.clone()).await {
                Ok(reply) => match not_leading(&reply) {
                    None => return accepted(reply).map(|reply| (to, reply)),
                    Some(reason) => {
                        self.refused(to, &reason);
                        refused.insert(Error::from_reason(reason, None)).clone()
                    }
                },
                Err(error) => {
                    self.pass_by(to);
                    error
                }
            };
            match self.next(&asked) {
                Some(next) => to = next,
                None => return Err(refused.unwrap_or(error)),
            }
        }
    }

    /// Asks one of them, whether it leads or not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub(crate) async fn ask_one(
        &self,
        to: Peer,
        request: ClientRequest,
    ) -> Result<ClientReply, Error> {
        let reply = self.net.request(to, request.into()).await;
        match reply.map_err(|_| net::unreachable(&*self.net, to))? {
            Message::ClientReply(reply) => Ok(reply),
            _ => Err(Error::protocol()),
        }
    }

    /// It refused something, maybe because it does not lead.
    pub(crate) fn refused(self: &Arc<Self>, by: Peer, reason: &Reason) {
        let Reason::NotLeader(address) = reason else { return };
        let leader = address.as_ref().and_then(|address| self.named(address));
        let mut state = self.state.lock();
        if state.leader == by {
            state.leader = leader.filter(|leader| *leader != by).unwrap_or(state.after(by));
        }
    }

    /// It can not be reached; the next one may know more.
    pub(crate) fn pass_by(&self, unreachable: Peer) {
        let mut state = self.state.lock();
        if state.leader == unreachable {
            state.leader = state.after(unreachable);
        }
    }

    /// The one at an address, which may be new. None if there are too many.
    pub(crate) fn named(self: &Arc<Self>, address: &str) -> Option<Peer> {
        let followed = {
            let mut state = self.state.lock();
            if let Some((peer, _)) = state.known.iter().find(|(_, known)| known == address) {
                return Some(*peer);
            }
            if state.known.len() >= MOST {
                return None;
            }
            let peer = state.unused();
            self.net.learn(peer, address);
            state.known.push((peer, address.to_owned()));
            match state.known.len() {
                // From now on there is somebody else to hear from.
                2 => state.known.iter().map(|(peer, _)| *peer).collect(),
                _ => vec![peer],
            }
        };
        let newest = followed.last().copied();
        self.follow(followed);
        newest
    }

    /// Whom to ask next: who leads, if it was not asked yet, else any of the others.
    fn next(&self, asked: &BTreeSet<Peer>) -> Option<Peer> {
        let mut state = self.state.lock();
        let others = state.known.iter().map(|(peer, _)| *peer);
        let next = std::iter::once(state.leader).chain(others).find(|peer| !asked.contains(peer));
        state.leader = next.unwrap_or(state.leader);
        next
    }

    fn follow(self: &Arc<Self>, peers: Vec<Peer>) {
        for peer in peers {
            self.net.spawn(Box::pin(follow(Arc::downgrade(self), peer)));
        }
    }

    /// There is a leader of this epoch. If that is news, nobody waits for the old one any more.
    fn leads(&self, epoch: Epoch, leader: Peer) {
        let mut state = self.state.lock();
        if state.heard.is_some_and(|(heard, _)| heard >= epoch) {
            return;
        }
        let before = state.heard.replace((epoch, leader)).map(|(_, peer)| peer);
        let asked = std::mem::replace(&mut state.leader, leader);
        drop(state);
        // One that leads again may have been restarted: its old link is dead, too.
        let asked = Some(asked).filter(|asked| *asked != leader);
        for old in BTreeSet::from_iter(before.into_iter().chain(asked)) {
            self.net.forget(old);
        }
    }
}

impl State {
    fn after(&self, peer: Peer) -> Peer {
        let at = self.known.iter().position(|(known, _)| *known == peer).unwrap_or(0);
        self.known.get((at + 1) % self.known.len().max(1)).map_or(peer, |(next, _)| *next)
    }

    /// A name that none of them has.
    fn unused(&self) -> Peer {
        let ids = (1..=u16::MAX).map(|id| Peer::Coordinator(CoordinatorId(id)));
        let mut free = ids.filter(|peer| self.known.iter().all(|(known, _)| known != peer));
        free.next().unwrap_or(self.leader)
    }
}

/// Asks one coordinator for later leaders, again and again, until the client is gone.
async fn follow(coordinators: Weak<Coordinators>, peer: Peer) {
    let mut attempt = 0;
    while let Some((epoch, reply)) = ask_for_later(&coordinators, peer) {
        // While it waits, it must not keep the client alive.
        let answer = reply.await;
        let Some(alive) = coordinators.upgrade() else { return };
        match answer {
            Ok(Message::ClientReply(ClientReply::Leader { epoch: later, address }))
                if later > epoch =>
            {
                attempt = 0;
                let leader = address.map_or(Some(peer), |address| alive.named(&address));
                if let Some(leader) = leader {
                    alive.leads(later, leader);
                    continue;
                }
            }
            Ok(_) | Err(_) => {}
        }
        attempt += 1;
        let pause = alive.net.sleep(retry::pause(attempt, alive.net.random()));
        drop(alive);
        pause.await;
    }
}

fn ask_for_later(coordinators: &Weak<Coordinators>, peer: Peer) -> Option<(Epoch, Reply)> {
    let alive = coordinators.upgrade()?;
    let epoch = {
        let state = alive.state.lock();
        if state.closed {
            return None;
        }
        state.heard.map_or(Epoch(0), |(epoch, _)| epoch)
    };
    Some((epoch, alive.net.request(peer, ClientRequest::Follow { epoch }.into())))
}

/// A refusal is an error.
fn accepted(reply: ClientReply) -> Result<ClientReply, Error> {
    match reply {
        ClientReply::Refused(reason) => Err(Error::from_reason(reason, None)),
        reply => Ok(reply),
    }
}

/// Why it is not who leads that answers, if so.
fn not_leading(reply: &ClientReply) -> Option<Reason> {
    match reply {
        ClientReply::Refused(reason @ Reason::NotLeader(_)) => Some(reason.clone()),
        // Whoever follows answers this all the same.
        ClientReply::Status(status) if status.leader != Some(status.id) => {
            Some(Reason::NotLeader(leader_of(status)))
        }
        _ => None,
    }
}

fn leader_of(status: &CoordinatorStatus) -> Option<String> {
    let mut group = status.group.iter();
    group.find(|member| Some(member.id) == status.leader).map(|member| member.address.clone())
}
