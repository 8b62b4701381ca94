//! What waits until it may leave.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use parking_lot::Mutex;
use quinn_udp::EcnCodepoint;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::link::{Link, Ticket};
use super::socket::Socket;

/// How a datagram leaves.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) link: Arc<Mutex<Link>>,
    pub(super) socket: Rc<Socket>,
    pub(super) to: SocketAddr,
}

/// A datagram that waits. Each link bounds how many of its do.
pub(super) struct Waiting {
    pub(super) way: Way,
    pub(super) ticket: Ticket,
    pub(super) bytes: Vec<u8>,
    pub(super) ecn: Option<EcnCodepoint>,
}

/// All that wait, by the time at which they leave; of the same time in the order in which
/// they came.
#[derive(Default)]
pub(super) struct Pacer {
    queue: RefCell<Queue>,
    sooner: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<(Instant, u64), Waiting>,
    count: u64,
}

impl Pacer {
    pub(super) fn push(&self, until: Instant, waiting: Waiting) {
        let mut queue = self.queue.borrow_mut();
        queue.count += 1;
        let place = (until, queue.count);
        queue.waiting.insert(place, waiting);
        if queue.waiting.first_key_value().is_some_and(|(first, _)| *first == place) {
            self.sooner.notify_one();
        }
    }

    /// Lets everything leave in time, for ever.
    pub(super) async fn run(&self) {
        loop {
            let first = self.queue.borrow().waiting.keys().next().copied();
            let Some((until, _)) = first else {
                self.sooner.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => self.release(Instant::now()),
                () = self.sooner.notified() => {}
            }
        }
    }

    fn release(&self, now: Instant) {
        let mut queue = self.queue.borrow_mut();
        while let Some(first) = queue.waiting.first_entry()
            && first.key().0 <= now
        {
            let Waiting { way, ticket, bytes, ecn } = first.remove();
            let mut link = way.link.lock();
            if link.leave(&ticket) {
                way.send(&mut link, &ticket, &bytes, ecn);
            }
        }
    }
}

impl Way {
    /// Sends it as often as the link says.
    pub(super) fn send(
        &self,
        link: &mut Link,
        ticket: &Ticket,
        bytes: &[u8],
        ecn: Option<EcnCodepoint>,
    ) {
        let taken = (0..ticket.times).all(|_| self.socket.send(self.to, bytes, ecn));
        link.sent(ticket, taken);
    }
}
