//! One UDP socket with QUIC on it: accepts links, makes links.
//!
//! Everything that a peer can make grow is bounded here: streams, windows,
//! handshakes, connections. quinn's defaults are made for web servers and allow
//! far more. Moving a connection to another address is off; 0-RTT and session
//! tickets are off in [`tls`](super::tls).

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, Connection, IdleTimeout, Incoming, TransportConfig, VarInt};
use tokio::time::timeout;

use super::close::{Attempt, CloseCode, ConnectError};
use super::limit::{Slot, Slots};
use super::link::{Lane, Link, Sink};
use super::reset;
use super::stats::Stats;
use super::tls::{Identity, PeerNames, Role};
use crate::id::Peer;
use crate::limits;
use crate::message::codec;

/// A packet of its own for an acknowledgement only behind so many packets, or when the
/// first of them is so old: most leave with the answer, which is soon.
const ACK_EVERY: u32 = 20;
const ACK_DELAY: Duration = Duration::from_millis(5);

/// Bounds and times of an endpoint. The defaults suit a cluster in one place.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name and version of the protocol, as ALPN.
    pub protocol: Vec<u8>,
    /// Connections that may be open, those in handshake included.
    pub connections: usize,
    /// Connections that one identity may have open.
    pub connections_each: usize,
    /// Handshakes in progress from which on a peer must prove its address first.
    pub retry_from: usize,
    /// How long a handshake may take, and how long a dialer waits for an answer.
    pub handshake: Duration,
    /// A connection on which nothing is heard for this long is gone.
    pub idle: Duration,
    /// How often something is sent on a connection that is silent.
    pub keep_alive: Duration,
    /// The same as `idle`, between servers: what waits there for one that is gone holds
    /// locks. A quarter of it is how often something is sent.
    pub server_idle: Duration,
    /// How long a frame may take to arrive, from its first byte.
    pub frame_time: Duration,
    /// How long a peer may leave unread what was sent, once its window is full.
    pub stall: Duration,
    /// What may be received and not yet read, in bytes, per connection.
    pub window: u32,
    /// What may wait to be sent, in bytes, per link. Not below a frame's size.
    pub send_bytes: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            protocol: codec::ALPN.to_vec(),
            connections: 1_024,
            connections_each: 128,
            retry_from: 64,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            keep_alive: Duration::from_secs(2),
            server_idle: Duration::from_secs(3),
            frame_time: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            window: 8 << 20,
            send_bytes: 4 * limits::FRAME_BYTES,
        }
    }
}

impl Settings {
    fn transport(&self, streams: u32) -> Arc<TransportConfig> {
        let mut transport = TransportConfig::default();
        let mut acks = AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY)).max_ack_delay(Some(ACK_DELAY));
        let idle = u32::try_from(self.idle.as_millis()).unwrap_or(u32::MAX);
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
            .keep_alive_interval(Some(self.keep_alive))
            .stream_receive_window(VarInt::from_u32(self.window))
            .receive_window(VarInt::from_u32(self.window))
            .send_window(u64::from(self.window))
            .send_fairness(false)
            .initial_mtu(1_452)
            // A lost first packet is sent again after three times this.
            .initial_rtt(Duration::from_millis(100))
            .ack_frequency_config(Some(acks))
            .allow_spin(false);
        Arc::new(transport)
    }
}

/// An endpoint could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error("{0} is in use by another process; stop it, or choose another port")]
    InUse(SocketAddr),
    /// The system does not let us.
    #[error("can not listen on {addr}: {error}")]
    Io {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The identity can not be used.
    #[error("can not use the certificate: {0}")]
    Tls(String),
}

/// Whom a dialer expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    role: Role,
    name: Option<String>,
}

impl Expect {
    /// This server; `None` for a client, which can not be dialed.
    pub fn node(peer: Peer) -> Option<Expect> {
        let role = match peer {
            Peer::Shard(_) => Role::Shard,
            Peer::Coordinator(_) => Role::Coordinator,
            Peer::Client(_) => return None,
        };
        Some(Expect { role, name: Some(peer.to_string()) })
    }

    /// Any server of this role.
    pub fn any(role: Role) -> Expect {
        Expect { role, name: None }
    }

    fn dns_name(&self) -> String {
        match &self.name {
            Some(name) => self.role.dns_name_of(name),
            None => self.role.dns_name(),
        }
    }

    fn text(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.role),
            None => format!("a {}", self.role),
        }
    }
}

/// A socket with QUIC on it. Clones share it.
#[derive(Clone)]
pub struct Endpoint {
    quinn: quinn::Endpoint,
    client: quinn::ClientConfig,
    identity: Arc<Identity>,
    settings: Arc<Settings>,
    slots: Arc<Slots>,
    stats: Arc<Stats>,
}

/// A peer that was let in.
pub(super) struct Accepted {
    pub lane: Lane,
    pub slot: Slot,
}

impl Endpoint {
    /// An endpoint that accepts links on `addr`, and can dial.
    ///
    /// # Errors
    /// If the address is taken or the identity can not be used. Panics outside
    /// of a tokio runtime.
    pub fn bind(
        addr: SocketAddr,
        identity: Identity,
        settings: Settings,
    ) -> Result<Endpoint, BindError> {
        let tls_error = |e: &dyn std::fmt::Display| BindError::Tls(e.to_string());
        let mut tls = identity.server_config().map_err(|e| tls_error(&e))?;
        tls.alpn_protocols = vec![settings.protocol.clone()];
        let crypto = QuicServerConfig::try_from(tls).map_err(|e| tls_error(&e))?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        server
            .transport_config(settings.transport(1))
            .migration(false)
            .max_incoming(settings.connections)
            .incoming_buffer_size(16 << 10)
            .incoming_buffer_size_total(4 << 20);
        Endpoint::new(addr, Some(server), identity, settings)
    }

    /// An endpoint that only dials.
    ///
    /// # Errors
    /// If no socket can be had or the identity can not be used.
    pub fn client(identity: Identity, settings: Settings) -> Result<Endpoint, BindError> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        match Endpoint::new(any, None, identity.clone(), settings.clone()) {
            // A machine without IPv6.
            Err(BindError::Io { .. }) => {
                let any = SocketAddr::from(([0, 0, 0, 0], 0));
                Endpoint::new(any, None, identity, settings)
            }
            bound => bound,
        }
    }

    fn new(
        addr: SocketAddr,
        server: Option<quinn::ServerConfig>,
        identity: Identity,
        settings: Settings,
    ) -> Result<Endpoint, BindError> {
        let tls_error = |e: &dyn std::fmt::Display| BindError::Tls(e.to_string());
        let mut tls = identity.client_config().map_err(|e| tls_error(&e))?;
        tls.alpn_protocols = vec![settings.protocol.clone()];
        let crypto = QuicClientConfig::try_from(tls).map_err(|e| tls_error(&e))?;
        let mut client = quinn::ClientConfig::new(Arc::new(crypto));
        // Servers dial nobody but servers.
        let dialed = match server {
            Some(_) => {
                let (idle, keep_alive) = (settings.server_idle, settings.server_idle / 4);
                Settings { idle, keep_alive, ..settings.clone() }
            }
            None => settings.clone(),
        };
        client.transport_config(dialed.transport(0));
        let io_error = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(addr),
            _ => BindError::Io { addr, error },
        };
        let socket = UdpSocket::bind(addr).map_err(io_error)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let config = reset::endpoint_config(identity.secret());
        let quinn = quinn::Endpoint::new(config, server, socket, runtime).map_err(io_error)?;
        Ok(Endpoint {
            quinn,
            client,
            identity: Arc::new(identity),
            slots: Slots::new(settings.connections, settings.connections_each),
            settings: Arc::new(settings),
            stats: Arc::default(),
        })
    }

    /// Counts into these from now on.
    #[must_use]
    pub fn with_stats(mut self, stats: Arc<Stats>) -> Endpoint {
        self.stats = stats;
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quinn.local_addr()
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its bounds and times.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Connections that were accepted and are open.
    pub fn accepted(&self) -> usize {
        self.slots.taken()
    }

    /// Waits for a peer that wants in; `None` when the endpoint is closed.
    pub(super) async fn incoming(&self) -> Option<(Incoming, Slot)> {
        loop {
            let incoming = self.quinn.accept().await?;
            let crowded = self.slots.handshakes() >= self.settings.retry_from;
            if crowded && !incoming.remote_address_validated() && incoming.may_retry() {
                // Refused or not: this packet is done with, and nothing is kept.
                let _ = incoming.retry();
                continue;
            }
            match self.slots.take() {
                Some(slot) => return Some((incoming, slot)),
                None => {
                    Stats::add(&self.stats.refused, 1);
                    incoming.refuse();
                }
            }
        }
    }

    /// Lets a peer in, or says in the log why not.
    pub(super) async fn admit(&self, incoming: Incoming, slot: Slot) -> Option<Accepted> {
        let from = incoming.remote_address();
        let admitted = timeout(self.settings.handshake, self.handshake(incoming, slot)).await;
        let why = match admitted {
            Ok(Ok(accepted)) => return Some(accepted),
            Ok(Err(why)) => why,
            Err(_) => "the handshake took too long".to_owned(),
        };
        Stats::add(&self.stats.refused, 1);
        tracing::info!(%from, why, "connection refused");
        None
    }

    async fn handshake(&self, incoming: Incoming, mut slot: Slot) -> Result<Accepted, String> {
        let connecting = incoming.accept().map_err(|e| e.to_string())?;
        let connection = connecting.await.map_err(|e| e.to_string())?;
        let refuse = |code: CloseCode| {
            code.close(&connection);
            code.to_string()
        };
        let peer = peer_names(&connection).ok_or_else(|| refuse(CloseCode::WrongIdentity))?;
        if !slot.identify(&peer) {
            return Err(refuse(CloseCode::TooMany));
        }
        let (mut send, mut receive) = connection.accept_bi().await.map_err(|e| e.to_string())?;
        let mut preamble = [0; PREAMBLE];
        receive.read_exact(&mut preamble).await.map_err(|e| e.to_string())?;
        if preamble[..5] != *b"SYND\x01" {
            return Err(refuse(CloseCode::Malformed));
        }
        if preamble != preamble_of(&peer) {
            return Err(refuse(CloseCode::WrongIdentity));
        }
        send.write_all(&[LANE]).await.map_err(|e| e.to_string())?;
        Ok(Accepted { lane: Lane { connection, peer, send, receive }, slot })
    }

    /// Starts a link on what was let in.
    pub(super) fn start<S: Sink>(&self, lane: Lane, sink: impl FnOnce(&Link) -> S) -> Link {
        Link::start(lane, &self.settings, self.stats.clone(), sink)
    }

    /// Makes a link to `target`, given as `host:port`, where `expect` is
    /// expected. What it receives goes to `sink`.
    ///
    /// # Errors
    /// If it can not be made; the error says what to do.
    pub async fn dial(
        &self,
        target: &str,
        expect: &Expect,
        sink: impl Sink,
    ) -> Result<Link, ConnectError> {
        Ok(self.start(self.dial_lane(target, expect).await?, |_| sink))
    }

    /// Tries the addresses of the target one after another; each gets its share
    /// of the time.
    pub(super) async fn dial_lane(
        &self,
        target: &str,
        expect: &Expect,
    ) -> Result<Lane, ConnectError> {
        let after = self.settings.handshake;
        let none = || ConnectError::NoAnswer { target: target.to_owned(), after };
        let addrs = timeout(after, self.resolve(target)).await.unwrap_or_else(|_| Err(none()))?;
        let share = after / u32::try_from(addrs.len()).unwrap_or(1).max(1);
        for addr in addrs {
            match timeout(share, self.dial_addr(target, addr, expect)).await {
                Ok(Err(ConnectError::NoAnswer { .. })) | Err(_) => {}
                Ok(dialed) => return dialed,
            }
        }
        Err(none())
    }

    async fn dial_addr(
        &self,
        target: &str,
        addr: SocketAddr,
        expect: &Expect,
    ) -> Result<Lane, ConnectError> {
        let expected = expect.text();
        let attempt = Attempt {
            target,
            expected: &expected,
            ours: &self.settings.protocol,
            after: self.settings.handshake,
        };
        let other = |what: String| ConnectError::Other { target: target.to_owned(), what };
        let dns_name = expect.dns_name();
        let connecting = self.quinn.connect_with(self.client.clone(), addr, &dns_name);
        let connecting = connecting.map_err(|e| other(e.to_string()))?;
        let connection = connecting.await.map_err(|e| attempt.failed(&e))?;
        // From here on, what fails is that the server closed the connection,
        // because of our certificate for example: TLS tells the dialer last.
        let peer = peer_names(&connection).ok_or_else(|| {
            CloseCode::WrongIdentity.close(&connection);
            ConnectError::WrongNode {
                target: target.to_owned(),
                expected: expected.clone(),
                detail: "its certificate names no role and name".into(),
            }
        })?;
        let ours = PeerNames { role: self.identity.role(), name: self.identity.name().to_owned() };
        let agreed = async {
            let (mut send, mut receive) = connection.open_bi().await.ok()?;
            send.write_all(&preamble_of(&ours)).await.ok()?;
            let mut lane = [0];
            receive.read_exact(&mut lane).await.ok()?;
            (lane == [LANE]).then_some((send, receive))
        };
        match agreed.await {
            Some((send, receive)) => Ok(Lane { connection, peer, send, receive }),
            None => match connection.close_reason() {
                Some(error) => Err(attempt.failed(&error)),
                None => {
                    CloseCode::Malformed.close(&connection);
                    Err(other("the server did not accept the lane".into()))
                }
            },
        }
    }

    /// Addresses that this socket can send to, a few at most. IPv4 first: a name
    /// such as localhost has both, and servers often listen on that one only.
    async fn resolve(&self, target: &str) -> Result<Vec<SocketAddr>, ConnectError> {
        let address = |error| ConnectError::Address { target: target.to_owned(), error };
        let found = tokio::net::lookup_host(target).await.map_err(address)?;
        let v6 = self.quinn.local_addr().map_err(address)?.is_ipv6();
        let mut found: Vec<_> = found.filter(|addr| v6 || addr.is_ipv4()).collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found.truncate(4);
        if found.is_empty() {
            let error = io::Error::new(io::ErrorKind::NotFound, "no usable address");
            return Err(address(error));
        }
        let mapped = |addr: SocketAddr| match addr {
            SocketAddr::V4(v4) if v6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            addr => addr,
        };
        Ok(found.into_iter().map(mapped).collect())
    }

    /// Accepts nothing more; links that are up stay up.
    pub fn stop_accepting(&self) {
        self.quinn.set_server_config(None);
    }

    /// Waits until all connections are closed, at most so long.
    pub(super) async fn wait_idle(&self, at_most: Duration) {
        let _ = timeout(at_most, self.quinn.wait_idle()).await;
    }

    /// Closes all connections and waits until the peers have been told.
    pub async fn close(&self, code: CloseCode) {
        self.quinn.close(code.number(), code.text().as_bytes());
        // A peer that is gone is not waited for.
        let _ = timeout(Duration::from_secs(1), self.quinn.wait_idle()).await;
    }
}

/// The lane for transactions.
const LANE: u8 = 1;
const PREAMBLE: usize = 8;

/// What a dialer says first: which lane, and who it is.
fn preamble_of(names: &PeerNames) -> [u8; PREAMBLE] {
    let (role, number) = match names.node() {
        Some(Peer::Shard(id)) => (1, id.0),
        Some(Peer::Coordinator(id)) => (2, id.0),
        Some(Peer::Client(_)) | None => (0, 0),
    };
    let [low, high] = number.to_le_bytes();
    [b'S', b'Y', b'N', b'D', LANE, role, low, high]
}

fn peer_names(connection: &Connection) -> Option<PeerNames> {
    let chain = connection.peer_identity()?;
    let chain = chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().ok()?;
    PeerNames::of(chain.first()?)
}
