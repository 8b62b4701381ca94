//! Takes datagrams at the fronts and carries them where they belong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::link::{Fate, Link};
use super::pacer::{Pacer, Waiting, Way};
use super::socket::{Batch, Scratch, Socket};
use super::thread::Table;
use crate::links::party::Party;
use crate::node::NodeName;

/// Senders that a front knows at once. Of more, the one goes that was silent the longest.
const MOST_UPSTREAMS: usize = 256;
/// One on whose path nothing came for this long is forgotten. QUIC gives up long before.
const IDLE: Duration = Duration::from_secs(60);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_secs(10);

/// A server, to be reached through its front only.
pub(crate) struct Server {
    pub(crate) name: NodeName,
    /// Where it listens, and sends from.
    pub(crate) real: SocketAddr,
    /// Bound to the address that others are given.
    pub(crate) front: UdpSocket,
}

/// What all fronts share.
struct Common {
    table: Arc<Table>,
    by_address: BTreeMap<SocketAddr, Party>,
    pacer: Pacer,
    scratch: RefCell<Scratch>,
}

struct Front {
    common: Rc<Common>,
    socket: Rc<Socket>,
    party: Party,
    real: SocketAddr,
    upstreams: RefCell<BTreeMap<SocketAddr, Upstream>>,
}

/// The path of one sender to the server behind a front, and back.
struct Upstream {
    way: Way,
    used: Rc<Cell<Instant>>,
    /// Receives what comes back.
    task: AbortHandle,
}

/// Carries datagrams until it is told to stop. Must be called on a local runtime.
pub(super) async fn run(
    table: Arc<Table>,
    servers: Vec<Server>,
    started: oneshot::Sender<io::Result<()>>,
    stop: oneshot::Receiver<()>,
) {
    let common = Common::new(table, &servers);
    let fronts: io::Result<Vec<Rc<Front>>> =
        servers.into_iter().map(|server| Front::new(&common, server)).collect();
    let fronts = match fronts {
        Ok(fronts) => fronts,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    for front in &fronts {
        tokio::task::spawn_local(Rc::clone(front).serve());
    }
    let paced = Rc::clone(&common);
    tokio::task::spawn_local(async move { paced.pacer.run().await });
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            fronts.iter().for_each(|front| front.sweep(Instant::now()));
        }
    });
    let _ = started.send(Ok(()));
    // An error means that the handle is gone, which is the same.
    let _ = stop.await;
}

impl Front {
    fn new(common: &Rc<Common>, server: Server) -> io::Result<Rc<Front>> {
        Ok(Rc::new(Front {
            common: Rc::clone(common),
            socket: Rc::new(Socket::new(server.front)?),
            party: server.name.into(),
            real: server.real,
            upstreams: RefCell::default(),
        }))
    }

    /// Carries what comes to the server.
    async fn serve(self: Rc<Self>) {
        loop {
            self.socket
                .receive(&self.common.scratch, |batch| {
                    // Without a socket for it, it is lost, as by a system without room.
                    let _ = self.forward(&batch);
                })
                .await;
        }
    }

    fn forward(self: &Rc<Self>, batch: &Batch) -> io::Result<()> {
        let mut upstreams = self.upstreams.borrow_mut();
        if !upstreams.contains_key(&batch.from) {
            if upstreams.len() >= MOST_UPSTREAMS {
                let oldest = upstreams.iter().min_by_key(|(_, one)| one.used.get());
                let oldest = *oldest.expect("there are many").0;
                upstreams.remove(&oldest);
            }
            upstreams.insert(batch.from, self.upstream(batch.from)?);
        }
        let upstream = &upstreams[&batch.from];
        upstream.used.set(Instant::now());
        self.common.carry(&upstream.way, batch);
        Ok(())
    }

    /// A path for a new sender.
    fn upstream(self: &Rc<Self>, sender: SocketAddr) -> io::Result<Upstream> {
        let from = *self.common.by_address.get(&sender).unwrap_or(&Party::Client);
        let link = |from, to| self.common.table.link(from, to).map(Arc::clone);
        let (Some(there), Some(back)) = (link(from, self.party), link(self.party, from)) else {
            return Err(io::Error::other("a server that sends to its own front"));
        };
        let socket = Rc::new(Socket::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)?);
        let way = Way { link: there, socket: Rc::clone(&socket), to: self.real };
        let back = Way { link: back, socket: Rc::clone(&self.socket), to: sender };
        let used = Rc::new(Cell::new(Instant::now()));
        let task = self.answers(socket, back, Rc::clone(&used));
        let task = tokio::task::spawn_local(task).abort_handle();
        Ok(Upstream { way, used, task })
    }

    /// Carries back what the server says to one sender.
    fn answers(
        self: &Rc<Self>,
        socket: Rc<Socket>,
        back: Way,
        used: Rc<Cell<Instant>>,
    ) -> impl Future<Output = ()> + 'static {
        let (common, real) = (Rc::clone(&self.common), self.real);
        async move {
            loop {
                socket
                    .receive(&common.scratch, |batch| {
                        // Nobody else has any business here.
                        if batch.from == real {
                            used.set(Instant::now());
                            common.carry(&back, &batch);
                        }
                    })
                    .await;
            }
        }
    }

    /// Forgets who has long been silent.
    fn sweep(&self, now: Instant) {
        let mut upstreams = self.upstreams.borrow_mut();
        upstreams.retain(|_, one| now.saturating_duration_since(one.used.get()) < IDLE);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Common {
    fn new(table: Arc<Table>, servers: &[Server]) -> Rc<Common> {
        let by_address = servers.iter().map(|one| (one.real, one.name.into())).collect();
        let (pacer, scratch) = (Pacer::default(), Scratch::new());
        Rc::new(Common { table, by_address, pacer, scratch })
    }

    /// Lets the link decide, and does so. The link stays locked until the system has what
    /// leaves: once a rule is set, nothing passes by the one before.
    fn carry(&self, way: &Way, batch: &Batch) {
        let link: &mut Link = &mut way.link.lock();
        if let Some(ticket) = link.arrive_plainly(batch.count() as u64) {
            let taken = way.socket.send_batch(way.to, batch);
            return link.sent(&ticket, taken);
        }
        let now = Instant::now();
        for datagram in batch.datagrams() {
            match link.arrive(now, datagram.len()) {
                Fate::Dropped => {}
                Fate::Leaves(ticket) => way.send(link, &ticket, datagram, batch.ecn),
                Fate::Waits(until, ticket) => {
                    let (way, bytes, ecn) = (way.clone(), datagram.to_vec(), batch.ecn);
                    self.pacer.push(until, Waiting { way, ticket, bytes, ecn });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// Whether a front has paths for senders at these ports.
    fn knows(front: &Front, ports: impl IntoIterator<Item = u16>) -> Vec<bool> {
        let upstreams = front.upstreams.borrow();
        let known = |port| upstreams.contains_key(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        ports.into_iter().map(known).collect()
    }

    #[test]
    fn paths_are_bounded_and_go_when_they_are_not_used() {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let (server, front) = (socket(), socket());
            let name = NodeName::Coordinator(1);
            let servers = [Server { name, real: server.local_addr().unwrap(), front }];
            let common = Common::new(Arc::new(Table::new(&servers, 1)), &servers);
            let [server] = servers;
            let front = Front::new(&common, server).unwrap();
            let forward = |port: u16| {
                let from = (Ipv4Addr::LOCALHOST, port).into();
                front.forward(&Batch { from, bytes: b"x", ecn: None, size: 1 }).unwrap();
            };
            let most = MOST_UPSTREAMS as u16;
            (1..=most).for_each(forward);
            forward(1);
            assert_eq!(knows(&front, [1, 2, most]), [true; 3]);
            // The second was silent the longest.
            forward(most + 1);
            assert_eq!(knows(&front, [1, 2, most, most + 1]), [true, false, true, true]);
            assert_eq!(front.upstreams.borrow().len(), MOST_UPSTREAMS);

            let now = Instant::now();
            front.upstreams.borrow()[&(Ipv4Addr::LOCALHOST, 1).into()].used.set(now + SWEEP);
            front.sweep(now);
            assert_eq!(front.upstreams.borrow().len(), MOST_UPSTREAMS);
            front.sweep(now + IDLE);
            assert_eq!(knows(&front, [1, 3]), [true, false]);
            assert_eq!(front.upstreams.borrow().len(), 1);
        });
    }
}
