//! The world as the client library sees it on a stage: what it asks for waits in
//! one queue until the stage takes it out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use synod_client::net::{BoxFuture, Net, Reply};
use synod_common::id::{Peer, RequestId};
use synod_common::message::Message;
use synod_common::time::Mono;
use tokio::sync::oneshot;

/// What the library asks for.
pub enum Ask {
    /// A message, with where its reply goes if there will be one.
    Send(Peer, RequestId, Box<Message>, Option<oneshot::Sender<Message>>),
    /// Wake me at that time.
    Sleep(Mono, oneshot::Sender<()>),
    /// Run this on the side.
    Spawn(BoxFuture<()>),
}

/// A queue of what is asked for, and the time.
#[derive(Default)]
pub struct StageNet {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: Mono,
    requests: u64,
    asked: VecDeque<Ask>,
}

impl StageNet {
    /// The next thing that was asked for.
    pub fn next(&self) -> Option<Ask> {
        self.state.lock().asked.pop_front()
    }

    /// Time passes.
    pub fn set_time(&self, now: Mono) {
        self.state.lock().now = now;
    }

    fn push(&self, ask: impl FnOnce(&mut State) -> Ask) {
        let mut state = self.state.lock();
        let ask = ask(&mut state);
        state.asked.push_back(ask);
    }
}

impl Net for StageNet {
    fn request(&self, to: Peer, message: Message) -> Reply {
        let (sender, reply) = Reply::channel();
        self.push(|state| {
            state.requests += 1;
            Ask::Send(to, RequestId(state.requests), Box::new(message), Some(sender))
        });
        reply
    }

    fn tell(&self, to: Peer, message: Message) {
        self.push(|_| Ask::Send(to, RequestId(0), Box::new(message), None));
    }

    fn learn(&self, _peer: Peer, _address: &str) {}

    fn sleep(&self, time: Duration) -> BoxFuture<()> {
        let (sender, receiver) = oneshot::channel();
        self.push(|state| Ask::Sleep(state.now + time, sender));
        Box::pin(async move {
            // Without a stage, nobody wakes anybody.
            let _ = receiver.await;
        })
    }

    fn now(&self) -> Mono {
        self.state.lock().now
    }

    fn random(&self) -> u64 {
        // Jitter has no place in a script.
        0
    }

    fn spawn(&self, future: BoxFuture<()>) {
        self.push(|_| Ask::Spawn(future));
    }
}

/// The library's world, shared.
pub type SharedNet = Arc<StageNet>;
