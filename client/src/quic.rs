//! The client over QUIC: one link per server, made when it is first needed and
//! made anew when it broke.
//!
//! Requests that come while a link is being made wait for it, within bounds.
//! When a link breaks, every request without a reply is answered
//! [`Unreachable`](crate::net::Unreachable): it may have been carried out.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use synod_common::driver::close::{CloseCode, CloseReason, ConnectError};
use synod_common::driver::endpoint::{Endpoint, Expect, Settings};
use synod_common::driver::link::{Link, Sink};
use synod_common::driver::tls::{Identity, Role};
use synod_common::id::{Peer, RequestId, ShardId};
use synod_common::message::Message;
use synod_common::time::Mono;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::net::{BoxFuture, Net, Reply};
use crate::{Client, Error};

/// How long a server that is gone is waited for at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// As long where a link is still being made: to a server that does not answer, taking leave
/// would take as long as that.
const SHORT_FAREWELL: Duration = Duration::from_millis(50);

/// Requests that may wait for one link to be made.
const MAX_WAITING: usize = 100_000;

/// A client's certificate and key, and the authority it trusts.
#[derive(Clone)]
pub struct Credentials(Identity);

impl Credentials {
    /// Loads `NAME.pem`, `NAME.key` and `ca.pem` from a folder.
    ///
    /// # Errors
    /// [`Error::Denied`] if they are missing, unreadable or expired; says which.
    pub fn load(dir: &Path, name: &str) -> Result<Credentials, Error> {
        let loaded = Identity::load(dir, name);
        loaded.map(Credentials).map_err(|error| Error::Denied(error.to_string()))
    }
}

impl Client {
    /// Connects to a cluster at `synod://HOST:PORT[,HOST:PORT…]`, the addresses
    /// of its coordinators. Must be called within a tokio runtime, which then
    /// carries the connections.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a bad URL, [`Error::Unavailable`] or
    /// [`Error::Denied`] if there is no cluster, or not for us.
    pub async fn connect(url: &str, credentials: Credentials) -> Result<Client, Error> {
        let client = Client::to_servers(url, &[], credentials)?;
        client.shared.session_at_once().await?;
        Ok(client)
    }

    /// As [`Client::connect`], to look at servers one by one: nothing is asked yet, so
    /// the coordinator may be gone. Of the shards only these can be reached, until there
    /// is a session or [`Client::learn_shards`] tells of more.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a bad address.
    pub fn to_servers(
        url: &str,
        shards: &[(ShardId, String)],
        credentials: Credentials,
    ) -> Result<Client, Error> {
        let addresses = parse_url(url)?;
        let net = QuicNet::new(credentials.0)?;
        for (shard, address) in shards {
            if !address.rsplit_once(':').is_some_and(is_host_and_port) {
                let bad = format!("'{address}' is no address of {shard}; give it as HOST:PORT");
                return Err(Error::Misuse(bad));
            }
            net.learn(Peer::Shard(*shard), address);
        }
        Ok(Client::over_group(Arc::new(net), addresses))
    }
}

fn parse_url(url: &str) -> Result<Vec<String>, Error> {
    let bad = || {
        Error::Misuse(format!(
            "'{url}' is no address of a cluster; one looks like synod://127.0.0.1:7400"
        ))
    };
    let list = url.strip_prefix("synod://").ok_or_else(bad)?;
    let addresses: Vec<String> = list.trim_end_matches('/').split(',').map(str::to_owned).collect();
    let port = |address: &String| address.rsplit_once(':').is_some_and(is_host_and_port);
    if addresses.iter().all(port) { Ok(addresses) } else { Err(bad()) }
}

fn is_host_and_port((host, port): (&str, &str)) -> bool {
    !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// The world over QUIC.
struct QuicNet {
    state: Arc<State>,
    runtime: Handle,
    origin: Instant,
    random: (RandomState, AtomicU64),
}

struct State {
    endpoint: Endpoint,
    routes: Mutex<BTreeMap<Peer, Route>>,
    /// The client is gone: no link is wanted any more.
    closed: AtomicBool,
}

/// The way to one server.
#[derive(Default)]
struct Route {
    address: Option<String>,
    link: Way,
    trouble: Option<Error>,
}

#[derive(Default)]
enum Way {
    #[default]
    None,
    /// Being made; these wait for it.
    Dialing(Vec<Waiting>),
    Up(Link, Arc<Pending>),
}

type Waiting = (Option<oneshot::Sender<Message>>, Message);

/// Requests without a reply on one link.
#[derive(Default)]
struct Pending(Mutex<PendingReplies>);

#[derive(Default)]
struct PendingReplies {
    last: u64,
    replies: BTreeMap<RequestId, oneshot::Sender<Message>>,
    closed: bool,
}

impl QuicNet {
    fn new(identity: Identity) -> Result<QuicNet, Error> {
        let runtime = Handle::try_current()
            .map_err(|_| Error::Misuse("connect must be called within a tokio runtime".into()))?;
        let endpoint = Endpoint::client(identity, Settings::default())
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        let state =
            Arc::new(State { endpoint, routes: Mutex::default(), closed: AtomicBool::new(false) });
        let random = (RandomState::new(), AtomicU64::new(0));
        Ok(QuicNet { state, runtime, origin: Instant::now(), random })
    }

    fn pass(&self, to: Peer, reply: Option<oneshot::Sender<Message>>, message: Message) {
        let mut routes = self.state.routes.lock();
        let route = routes.entry(to).or_default();
        match &mut route.link {
            Way::Up(link, pending) => pending.send(link, reply, &message),
            Way::Dialing(waiting) if waiting.len() < MAX_WAITING => waiting.push((reply, message)),
            // Dropping the reply answers the request.
            Way::Dialing(_) => {}
            Way::None => {
                route.link = Way::Dialing(vec![(reply, message)]);
                self.runtime.spawn(Arc::clone(&self.state).dial(to));
            }
        }
    }
}

impl State {
    fn is_dialing(&self) -> bool {
        let routes = self.routes.lock();
        routes.values().any(|route| matches!(route.link, Way::Dialing(_)))
    }

    /// Takes out the links that are up, for good.
    fn take_links(&self) -> Vec<Link> {
        let mut routes = self.routes.lock();
        self.closed.store(true, Ordering::Relaxed);
        let ways = routes.values_mut().map(|route| std::mem::take(&mut route.link));
        ways.filter_map(|way| match way {
            Way::Up(link, _) => Some(link),
            Way::None | Way::Dialing(_) => None,
        })
        .collect()
    }

    /// Makes the link to a server and sends what waits for it.
    async fn dial(self: Arc<Self>, to: Peer) {
        let address = self.routes.lock().entry(to).or_default().address.clone();
        let expect = match to {
            Peer::Coordinator(_) => Some(Expect::any(Role::Coordinator)),
            Peer::Shard(_) | Peer::Client(_) => Expect::node(to),
        };
        let trouble = match (address, expect) {
            (Some(address), Some(expect)) => {
                let pending = Arc::new(Pending::default());
                let (state, answers) = (Arc::clone(&self), Arc::clone(&pending));
                let sink = ClientSink { state, to, pending: answers };
                match self.endpoint.dial(&address, &expect, sink).await {
                    Ok(link) => return self.up(to, &link, &pending),
                    Err(error) => from_connect(&error),
                }
            }
            _ => Error::Unavailable(format!("no address of {to} is known")),
        };
        let mut routes = self.routes.lock();
        let route = routes.entry(to).or_default();
        route.link = Way::None;
        route.trouble = Some(trouble);
    }

    fn up(&self, to: Peer, link: &Link, pending: &Arc<Pending>) {
        let mut routes = self.routes.lock();
        let route = routes.entry(to).or_default();
        route.trouble = None;
        let way = if self.closed.load(Ordering::Relaxed) {
            link.close(CloseCode::Done);
            Way::None
        } else if pending.0.lock().closed {
            Way::None
        } else {
            Way::Up(link.clone(), Arc::clone(pending))
        };
        if let Way::Dialing(waiting) = std::mem::replace(&mut route.link, way) {
            for (reply, message) in waiting {
                pending.send(link, reply, &message);
            }
        }
    }
}

fn from_connect(error: &ConnectError) -> Error {
    match error {
        ConnectError::PeerNotTrusted { .. }
        | ConnectError::PeerExpired { .. }
        | ConnectError::WrongNode { .. }
        | ConnectError::NotTrusted { .. }
        | ConnectError::Expired { .. }
        | ConnectError::WrongProtocol { .. } => Error::Denied(error.to_string()),
        ConnectError::Address { .. }
        | ConnectError::NoAnswer { .. }
        | ConnectError::Refused { .. }
        | ConnectError::Other { .. } => Error::Unavailable(error.to_string()),
    }
}

impl Pending {
    fn send(&self, link: &Link, reply: Option<oneshot::Sender<Message>>, message: &Message) {
        let request = match reply {
            None => RequestId(0),
            Some(reply) => {
                let mut pending = self.0.lock();
                if pending.closed {
                    return;
                }
                pending.last += 1;
                let request = RequestId(pending.last);
                pending.replies.insert(request, reply);
                request
            }
        };
        if link.send(request, message).is_err() {
            self.0.lock().replies.remove(&request);
        }
    }

    /// Nothing is answered any more: dropping what is returned says so to all that wait.
    fn close(&self) -> BTreeMap<RequestId, oneshot::Sender<Message>> {
        let mut pending = self.0.lock();
        pending.closed = true;
        std::mem::take(&mut pending.replies)
    }
}

/// Takes what a server answers.
struct ClientSink {
    state: Arc<State>,
    to: Peer,
    pending: Arc<Pending>,
}

impl Sink for ClientSink {
    async fn deliver(
        &mut self,
        messages: &mut Vec<(RequestId, Message)>,
        _bytes: usize,
    ) -> Result<(), CloseCode> {
        let mut pending = self.pending.0.lock();
        for (request, message) in messages.drain(..) {
            if let Some(reply) = pending.replies.remove(&request) {
                let _ = reply.send(message);
            }
        }
        Ok(())
    }

    fn closed(&mut self, reason: CloseReason) {
        let unanswered = self.pending.close();
        let mut routes = self.state.routes.lock();
        let route = routes.entry(self.to).or_default();
        let ours = matches!(&route.link, Way::Up(_, up) if Arc::ptr_eq(up, &self.pending));
        if ours {
            route.link = Way::None;
            route.trouble = Some(Error::Unavailable(format!("{}: {reason}", self.to)));
        }
        drop(routes);
        drop(unanswered);
    }
}

impl Net for QuicNet {
    fn request(&self, to: Peer, message: Message) -> Reply {
        let (sender, reply) = Reply::channel();
        self.pass(to, Some(sender), message);
        reply
    }

    fn tell(&self, to: Peer, message: Message) {
        self.pass(to, None, message);
    }

    fn learn(&self, peer: Peer, address: &str) {
        self.state.routes.lock().entry(peer).or_default().address = Some(address.to_owned());
    }

    fn forget(&self, peer: Peer) {
        let mut routes = self.state.routes.lock();
        let Some(route) = routes.get_mut(&peer) else { return };
        if let Way::Dialing(waiting) = &mut route.link {
            let unanswered = std::mem::take(waiting);
            drop(routes);
            // Dropping the replies answers the requests.
            drop(unanswered);
        } else if let Way::Up(link, pending) = std::mem::take(&mut route.link) {
            drop(routes);
            link.close(CloseCode::Done);
            drop(pending.close());
        }
    }

    fn trouble(&self, peer: Peer) -> Option<Error> {
        self.state.routes.lock().get(&peer).and_then(|route| route.trouble.clone())
    }

    fn close(&self) -> BoxFuture<()> {
        let state = Arc::clone(&self.state);
        let farewell = if state.is_dialing() { SHORT_FAREWELL } else { FAREWELL };
        let links = state.take_links();
        Box::pin(async move {
            for link in &links {
                link.close(CloseCode::Done);
            }
            for link in links {
                let _ = tokio::time::timeout(FAREWELL, link.closed()).await;
            }
            let _ = tokio::time::timeout(farewell, state.endpoint.close(CloseCode::Done)).await;
        })
    }

    fn sleep(&self, time: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> Mono {
        Mono(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn random(&self) -> u64 {
        let (state, count) = &self.random;
        state.hash_one(count.fetch_add(1, Ordering::Relaxed))
    }

    fn spawn(&self, future: BoxFuture<()>) {
        self.runtime.spawn(future);
    }
}

impl Drop for QuicNet {
    fn drop(&mut self) {
        for link in self.state.take_links() {
            link.close(CloseCode::Done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        assert_eq!(parse_url("synod://a:1,b:2").unwrap(), ["a:1", "b:2"]);
        for bad in ["", "a:1", "http://a:1", "synod://", "synod://a", "synod://a:0", "synod://a:x"]
        {
            assert!(matches!(parse_url(bad), Err(Error::Misuse(_))), "{bad}");
        }
    }
}
