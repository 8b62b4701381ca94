//! The world as the client library sees it.
//!
//! Whatever a program asks of it waits in one queue, in order, until the simulator
//! takes it out; a call changes nothing else. So the library needs no access to
//! the world while it runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use synod_client::net::{BoxFuture, Net, Reply};
use synod_common::id::{Peer, RequestId};
use synod_common::message::Message;
use synod_common::time::Mono;
use tokio::sync::oneshot;

use super::super::super::rng::Rng;
use super::super::super::sizes::Protocols;
use super::super::super::world::Phase;
use super::notes::Note;

/// What a program asks of the world.
pub enum Action {
    /// A message, with where its reply goes if there will be one.
    Send(Peer, RequestId, Message, Option<oneshot::Sender<Message>>),
    /// What waits for a reply of this server waits no longer.
    Forget(Peer),
    /// Wake me after so many microseconds.
    Sleep(u64, oneshot::Sender<()>),
    /// Run this on the side.
    Spawn(BoxFuture<()>),
    /// For the history.
    Note(Note),
}

/// The world as one program sees it.
pub struct SimNet {
    state: Mutex<State>,
}

struct State {
    view: View,
    rng: Rng,
    requests: u64,
    actions: VecDeque<Action>,
}

/// What the simulator shows of itself.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Virtual time.
    pub time: u64,
    /// How far the run is.
    pub phase: Phase,
    /// Whether programs are to finish.
    pub hurry: bool,
    /// How often programs vanish.
    pub vanish: u32,
    /// Whether locks are waited for longer than deadlocks may last.
    pub long_waits: bool,
    /// How transactions are committed.
    pub protocols: Protocols,
    /// How many coordinators there are.
    pub coordinators: usize,
}

impl SimNet {
    /// A world whose requests have larger numbers than this one.
    pub fn new(view: View, rng: Rng, requests: u64) -> Arc<SimNet> {
        let state = State { view, rng, requests, actions: VecDeque::new() };
        Arc::new(SimNet { state: Mutex::new(state) })
    }

    /// What the simulator shows of itself.
    pub fn view(&self) -> View {
        self.state.lock().view
    }

    /// Shows it.
    pub fn show(&self, view: View) {
        self.state.lock().view = view;
    }

    /// Adds to the history.
    pub fn note(&self, note: Note) {
        self.push(Action::Note(note));
    }

    /// The next thing that was asked for.
    pub fn next_action(&self) -> Option<Action> {
        self.state.lock().actions.pop_front()
    }

    /// The number of the newest request.
    pub fn requests(&self) -> u64 {
        self.state.lock().requests
    }

    fn push(&self, action: Action) {
        self.state.lock().actions.push_back(action);
    }

    fn number(&self) -> RequestId {
        let mut state = self.state.lock();
        state.requests += 1;
        RequestId(state.requests)
    }
}

impl Net for SimNet {
    fn request(&self, to: Peer, message: Message) -> Reply {
        let (sender, reply) = Reply::channel();
        self.push(Action::Send(to, self.number(), message, Some(sender)));
        reply
    }

    fn tell(&self, to: Peer, message: Message) {
        self.push(Action::Send(to, RequestId(0), message, None));
    }

    fn learn(&self, _peer: Peer, _address: &str) {}

    fn forget(&self, peer: Peer) {
        self.push(Action::Forget(peer));
    }

    fn sleep(&self, time: Duration) -> BoxFuture<()> {
        let (sender, receiver) = oneshot::channel();
        self.push(Action::Sleep(time.as_micros() as u64, sender));
        Box::pin(async move {
            let _ = receiver.await;
        })
    }

    fn now(&self) -> Mono {
        Mono(self.view().time)
    }

    fn random(&self) -> u64 {
        self.state.lock().rng.bits()
    }

    fn spawn(&self, future: BoxFuture<()>) {
        self.push(Action::Spawn(future));
    }
}
