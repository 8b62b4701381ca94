//! What misbehaves loses its connection, and nobody else notices.
#![cfg(feature = "driver")]

mod net;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use net::{Certs, Client, S1, Server, Setup, block_on, read, soon, values};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use synod_common::driver::close::{CloseCode, CloseReason};
use synod_common::driver::endpoint::{Endpoint, Expect, Settings};
use synod_common::driver::link::Sink;
use synod_common::driver::tls::{Identity, Role};
use synod_common::id::RequestId;
use synod_common::limits;
use synod_common::message::{Message, codec};

const HELLO: &[u8] = b"SYND\x01\0\0\0";

/// A peer that speaks QUIC and nothing else.
struct Raw {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    _endpoint: quinn::Endpoint,
}

impl Raw {
    async fn connect(identity: &Identity, addr: SocketAddr, hello: &[u8]) -> Raw {
        let tls = identity.client_config().unwrap();
        let (connection, endpoint) = raw_connect(tls, addr).await;
        let (mut send, receive) = connection.open_bi().await.unwrap();
        send.write_all(hello).await.unwrap();
        Raw { connection, send, receive, _endpoint: endpoint }
    }

    /// As far as a lane.
    async fn lane(identity: &Identity, addr: SocketAddr) -> Raw {
        let mut raw = Raw::connect(identity, addr, HELLO).await;
        let mut lane = [0];
        soon(raw.receive.read_exact(&mut lane)).await.unwrap();
        assert_eq!(lane, [1]);
        raw
    }

    /// With which code the server closes.
    async fn code(&self) -> CloseCode {
        match soon(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => {
                let code = CloseCode::from_number(close.error_code).unwrap();
                assert_eq!(close.reason, code.text().as_bytes());
                code
            }
            other => panic!("{other}"),
        }
    }
}

async fn raw_connect(tls: rustls::ClientConfig, addr: SocketAddr) -> (Connection, quinn::Endpoint) {
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(config, addr, "s1.shard.synod").unwrap();
    (soon(connecting).await.unwrap(), endpoint)
}

fn frame(message: &Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    codec::encode(RequestId(1), message, &mut bytes).unwrap();
    bytes
}

/// A frame around any bytes.
fn frame_of(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 8).to_le_bytes().to_vec();
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

#[test]
fn bad_frames_close_their_connection_only() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let (alice, mallory) =
        (certs.issue(Role::Client, "alice"), certs.issue(Role::Client, "mallory"));
    let good = frame(&read(b"key"));
    // The same frame, with a byte between header and end that belongs to none.
    let status = frame(&synod_common::message::ClientRequest::Status.into());
    let mut trailing = frame_of(&status[12..]);
    trailing.push(0);
    trailing[0] += 1;
    let cases: Vec<(&str, Vec<u8>, bool, CloseCode)> = vec![
        ("too large", u32::MAX.to_le_bytes().to_vec(), false, CloseCode::TooLarge),
        (
            "one byte too large",
            (limits::FRAME_BYTES as u32 + 1).to_le_bytes().to_vec(),
            false,
            CloseCode::TooLarge,
        ),
        ("no length", 0u32.to_le_bytes().to_vec(), false, CloseCode::Malformed),
        ("shorter than a request id", 7u32.to_le_bytes().to_vec(), false, CloseCode::Malformed),
        ("empty body", frame_of(&[]), false, CloseCode::Malformed),
        ("unknown kind", frame_of(&[99, 1]), false, CloseCode::Malformed),
        ("over-long integer", frame_of(&[0x82, 0x00, 0x06]), false, CloseCode::Malformed),
        ("trailing byte", trailing, false, CloseCode::Malformed),
        ("ends in a length", good[..3].to_vec(), true, CloseCode::Malformed),
        ("ends in a frame", good[..good.len() - 1].to_vec(), true, CloseCode::Malformed),
        (
            "a good one before a bad one",
            [&good[..], &frame_of(&[99])].concat(),
            false,
            CloseCode::Malformed,
        ),
    ];
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        for (number, (name, bytes, finish, code)) in (1..).zip(cases) {
            let mut raw = Raw::lane(&mallory, server.addr).await;
            raw.send.write_all(&bytes).await.unwrap();
            if finish {
                raw.send.finish().unwrap();
            }
            assert_eq!(raw.code().await, code, "{name}");
            client.echo(number).await;
        }
    });
}

#[test]
fn a_stream_given_up_in_the_middle_counts_for_nothing() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let mallory = certs.issue(Role::Client, "mallory");
    block_on(async {
        let mut raw = Raw::lane(&mallory, server.addr).await;
        raw.send.write_all(&frame(&read(b"key"))[..10]).await.unwrap();
        raw.send.reset(quinn::VarInt::from_u32(0)).unwrap();
        assert_eq!(raw.code().await, CloseCode::Malformed);
    });
}

#[test]
fn the_preamble_must_agree_with_the_certificate() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let mallory = certs.issue(Role::Client, "mallory");
    let s2 = certs.issue(Role::Shard, "s2");
    block_on(async {
        for (identity, hello, code) in [
            (&mallory, b"SYND\x01\x01\x01\x00", CloseCode::WrongIdentity),
            (&mallory, b"SYND\x01\x02\x01\x00", CloseCode::WrongIdentity),
            (&s2, b"SYND\x01\x01\x03\x00", CloseCode::WrongIdentity),
            (&s2, b"SYND\x01\x00\x00\x00", CloseCode::WrongIdentity),
            (&mallory, b"SYND\x02\x00\x00\x00", CloseCode::Malformed),
            (&mallory, b"GET / HT", CloseCode::Malformed),
        ] {
            let raw = Raw::connect(identity, server.addr, hello).await;
            assert_eq!(raw.code().await, code, "{hello:?}");
        }
    });
}

#[test]
fn a_message_beyond_the_role_is_denied() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let mallory = certs.issue(Role::Client, "mallory");
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut other = Client::connect(alice, server.addr).await.unwrap();
        let mut client = Client::connect(mallory.clone(), server.addr).await.unwrap();
        client.link.send(RequestId(0), &net::join()).unwrap();
        assert_eq!(client.end().await, CloseReason::There(CloseCode::Denied));
        // Nor may a client send replies.
        let mut client = Client::connect(mallory, server.addr).await.unwrap();
        client.link.send(RequestId(0), &values(b"x").into()).unwrap();
        assert_eq!(client.end().await, CloseReason::There(CloseCode::Denied));
        other.echo(1).await;
    });
}

#[test]
fn a_frame_that_drips_is_cut_off_at_its_deadline() {
    let certs = Certs::new();
    let settings = Settings { frame_time: Duration::from_millis(200), ..Settings::default() };
    let server = Server::echo(&certs, Setup { settings, ..Setup::default() });
    let mallory = certs.issue(Role::Client, "mallory");
    block_on(async {
        let mut raw = Raw::lane(&mallory, server.addr).await;
        let bytes = frame(&read(&[1; 4000]));
        let drip = async {
            for byte in &bytes {
                if raw.send.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(drip).await;
        assert_eq!(raw.code().await, CloseCode::SlowFrame);
        // Whole frames with pauses between them are nobody's business.
        let mut raw = Raw::lane(&mallory, server.addr).await;
        for _ in 0..3 {
            raw.send.write_all(&frame(&read(b"key"))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
            assert!(raw.connection.close_reason().is_none());
        }
    });
}

#[test]
fn who_does_not_read_is_cut_off() {
    let certs = Certs::new();
    let settings = Settings { stall: Duration::from_millis(200), ..Settings::default() };
    let server = Server::echo(&certs, Setup { settings, ..Setup::default() });
    let (alice, mallory) =
        (certs.issue(Role::Client, "alice"), certs.issue(Role::Client, "mallory"));
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        let mut raw = Raw::lane(&mallory, server.addr).await;
        let bytes = frame(&read(&[1; 100_000]));
        let flood = async { while raw.send.write_all(&bytes).await.is_ok() {} };
        soon(flood).await;
        assert_eq!(raw.code().await, CloseCode::SlowReader);
        client.echo(1).await;
    });
}

#[test]
fn without_a_certificate_nobody_comes_in() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let ca = std::fs::read(certs.dir.join("ca.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![codec::ALPN.to_vec()];
    block_on(async {
        let (connection, _endpoint) = raw_connect(tls, server.addr).await;
        let error = soon(connection.closed()).await;
        assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error:?}");
    });
    assert_eq!(server.handle.stats().links_up.load(Ordering::Relaxed), 0);
}

#[test]
fn one_stream_is_all_there_is() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let mallory = certs.issue(Role::Client, "mallory");
    block_on(async {
        let raw = Raw::lane(&mallory, server.addr).await;
        assert_eq!(raw.connection.max_datagram_size(), None);
        let second = tokio::time::timeout(Duration::from_millis(100), raw.connection.open_bi());
        let one_way = tokio::time::timeout(Duration::from_millis(100), raw.connection.open_uni());
        assert!(second.await.is_err() && one_way.await.is_err());
    });
}

#[test]
fn noise_does_not_disturb() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let alice = certs.issue(Role::Client, "alice");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        let mut random = 1u64;
        for number in 1..=20_000 {
            let noise: Vec<u8> = (0..1 + number % 1_300)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                    (random >> 56) as u8
                })
                .collect();
            let _ = socket.send_to(&noise, server.addr);
            if number % 1_000 == 0 {
                client.echo(number).await;
            }
        }
    });
}

#[test]
fn under_pressure_a_peer_must_prove_its_address_first() {
    let certs = Certs::new();
    let settings = Settings { retry_from: 0, ..Settings::default() };
    let server = Server::echo(&certs, Setup { settings, ..Setup::default() });
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        client.echo(1).await;
    });
}

#[test]
fn a_panic_stays_within_its_connection() {
    struct Panics;
    impl Sink for Panics {
        async fn deliver(
            &mut self,
            _: &mut Vec<(RequestId, Message)>,
            _: usize,
        ) -> Result<(), CloseCode> {
            panic!("on purpose")
        }
        fn closed(&mut self, reason: CloseReason) {
            assert_eq!(reason, CloseReason::Here(CloseCode::Internal));
        }
    }
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let endpoint = Endpoint::client(alice, Settings::default()).unwrap();
        let expect = Expect::node(S1).unwrap();
        let target = server.addr.to_string();
        let panics = endpoint.dial(&target, &expect, Panics).await.unwrap();
        let mut other = Client::dial(&endpoint, server.addr, &expect).await.unwrap();
        panics.send(RequestId(1), &read(b"x")).unwrap();
        assert_eq!(soon(panics.closed()).await, CloseReason::Here(CloseCode::Internal));
        assert!(panics.send(RequestId(2), &read(b"x")).is_err());
        other.echo(1).await;
    });
}
