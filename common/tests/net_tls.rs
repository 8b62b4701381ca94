//! Who is let in, and what is said to those who are not.
#![cfg(feature = "driver")]

mod net;

use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, SystemTime};

use net::{C1, Certs, Client, S1, Server, Setup, block_on};
use synod_common::driver::authority::Validity;
use synod_common::driver::close::{CloseCode, ConnectError};
use synod_common::driver::endpoint::{BindError, Endpoint, Expect, Settings};
use synod_common::driver::tls::{Identity, PeerNames, Role};
use synod_common::id::{Peer, ShardId};

fn expired() -> Validity {
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    Validity { from: now - 2 * hour, until: now - hour }
}

/// What a dialer of s1 is told, as an error and as text.
fn refused(identity: Identity, server: &Server) -> (ConnectError, String) {
    refused_as(identity, server, Settings::default(), &Expect::node(S1).unwrap())
}

fn refused_as(
    identity: Identity,
    server: &Server,
    settings: Settings,
    expect: &Expect,
) -> (ConnectError, String) {
    block_on(async {
        let endpoint = Endpoint::client(identity, settings).unwrap();
        let error = Client::dial(&endpoint, server.addr, expect).await.err().expect("refused");
        let text = error.to_string();
        (error, text)
    })
}

#[test]
fn both_sides_know_who_the_other_is() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice.clone(), server.addr).await.unwrap();
        let s1 = PeerNames { role: Role::Shard, name: "s1".into() };
        assert_eq!(client.link.peer(), &s1);
        for number in 1..=100 {
            client.echo(number).await;
        }
        let endpoint = Endpoint::client(alice, Settings::default()).unwrap();
        let expect = Expect::any(Role::Shard);
        let by_name = format!("localhost:{}", server.addr.port());
        Client::dial(&endpoint, by_name, &expect).await.unwrap().echo(1).await;
    });
    server.stop().unwrap();
}

#[test]
fn a_foreign_authority_is_refused_on_either_side() {
    let (certs, other) = (Certs::new(), Certs::new());
    let server = Server::echo(&certs, Setup::default());
    let (error, text) = refused(other.issue(Role::Client, "mallory"), &server);
    assert!(matches!(error, ConnectError::PeerNotTrusted { .. }), "{error:?}");
    assert!(text.contains("not in our ca.pem"), "{text}");

    // One that trusts the server, but whose certificate is from elsewhere.
    fs::copy(certs.dir.join("ca.pem"), other.dir.join("ca.pem")).unwrap();
    let mallory = Identity::load_unchecked(&other.dir, "mallory").unwrap();
    let (error, text) = refused(mallory, &server);
    assert!(matches!(error, ConnectError::NotTrusted { .. }), "{error:?}");
    assert!(text.contains("does not accept our certificate"), "{text}");
}

#[test]
fn an_expired_certificate_is_refused_on_either_side() {
    let certs = Certs::new();
    certs.authority.issue_valid(Role::Client, "old", expired()).unwrap();
    certs.authority.issue_valid(Role::Shard, "s2", expired()).unwrap();
    let server = Server::echo(&certs, Setup::default());
    let (error, text) = refused(Identity::load_unchecked(&certs.dir, "old").unwrap(), &server);
    assert!(matches!(error, ConnectError::Expired { .. }), "{error:?}");
    assert!(text.contains("our certificate has expired"), "{text}");

    let s2 = Identity::load_unchecked(&certs.dir, "s2").unwrap();
    let server = Server::start(s2, Setup::default(), net::echo);
    let alice = certs.issue(Role::Client, "alice");
    let expect = Expect::node(Peer::Shard(ShardId(2))).unwrap();
    let (error, text) = refused_as(alice, &server, Settings::default(), &expect);
    assert!(matches!(error, ConnectError::PeerExpired { .. }), "{error:?}");
    assert!(text.contains("has expired"), "{text}");
}

#[test]
fn somebody_else_than_expected_is_refused() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let alice = certs.issue(Role::Client, "alice");
    let s2 = Expect::node(Peer::Shard(ShardId(2))).unwrap();
    for (expect, words) in
        [(s2, "is not shard s2"), (Expect::node(C1).unwrap(), "is not coordinator c1")]
    {
        let (error, text) = refused_as(alice.clone(), &server, Settings::default(), &expect);
        assert!(matches!(error, ConnectError::WrongNode { .. }), "{error:?}");
        assert!(text.contains(words), "{text}");
    }
    // A client's certificate makes no server.
    let server = Server::start(alice.clone(), Setup::default(), net::echo);
    for expect in [Expect::node(S1).unwrap(), Expect::any(Role::Client)] {
        let (error, _) = refused_as(alice.clone(), &server, Settings::default(), &expect);
        assert!(matches!(error, ConnectError::WrongNode { .. }), "{error:?}");
    }
}

#[test]
fn another_version_of_the_protocol_is_refused() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let settings = Settings { protocol: b"synod/99".to_vec(), ..Settings::default() };
    let alice = certs.issue(Role::Client, "alice");
    let (error, text) = refused_as(alice, &server, settings, &Expect::node(S1).unwrap());
    assert!(matches!(error, ConnectError::WrongProtocol { .. }), "{error:?}");
    assert!(text.contains("another version of the protocol than we do (synod/99)"), "{text}");
}

#[test]
fn nobody_there_is_said_so() {
    let certs = Certs::new();
    let alice = certs.issue(Role::Client, "alice");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let settings = Settings { handshake: Duration::from_millis(100), ..Settings::default() };
    block_on(async {
        let endpoint = Endpoint::client(alice, settings).unwrap();
        let dial = async |target: &str| {
            let (replies, _) = tokio::sync::mpsc::unbounded_channel();
            let (end, _) = tokio::sync::mpsc::unbounded_channel();
            let sink = net::Collect { replies, end };
            endpoint.dial(target, &Expect::node(S1).unwrap(), sink).await.err().unwrap()
        };
        let error = dial(&addr).await;
        assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error:?}");
        assert!(error.to_string().contains("is the server running"), "{error}");
        for target in ["nonsense", "127.0.0.1", "127.0.0.1:99999"] {
            let error = dial(target).await;
            assert!(matches!(error, ConnectError::Address { .. }), "{error:?}");
        }
    });
}

#[test]
fn a_port_in_use_is_said_so() {
    let certs = Certs::new();
    let s1 = certs.issue(Role::Shard, "s1");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    block_on(async {
        let error = Endpoint::bind(addr, s1, Settings::default()).err().unwrap();
        assert!(matches!(error, BindError::InUse(_)), "{error:?}");
        assert!(error.to_string().contains("in use by another process"), "{error}");
    });
}

#[test]
fn connections_are_counted_in_all_and_for_each_identity() {
    let certs = Certs::new();
    let settings = Settings { connections: 3, connections_each: 2, ..Settings::default() };
    let server = Server::echo(&certs, Setup { settings, ..Setup::default() });
    let (alice, bob) = (certs.issue(Role::Client, "alice"), certs.issue(Role::Client, "bob"));
    block_on(async {
        let mut first = Client::connect(alice.clone(), server.addr).await.unwrap();
        let _second = Client::connect(alice.clone(), server.addr).await.unwrap();
        let too_many = |error: &ConnectError| {
            matches!(error, ConnectError::Refused { code: CloseCode::TooMany, .. })
        };
        let error = Client::connect(alice.clone(), server.addr).await.err().unwrap();
        assert!(too_many(&error), "{error:?}");
        let mut bob = Client::connect(bob, server.addr).await.unwrap();
        let error = Client::connect(alice.clone(), server.addr).await.err().unwrap();
        assert!(too_many(&error), "{error:?}");
        bob.echo(1).await;
        // A place is free once the server has seen that its holder is gone.
        first.echo(1).await;
        first.link.abort(CloseCode::Done);
        first.end().await;
        let again = async {
            loop {
                match Client::connect(alice.clone(), server.addr).await {
                    Ok(client) => return client,
                    Err(error) => assert!(too_many(&error), "{error:?}"),
                }
            }
        };
        net::soon(again).await.echo(2).await;
    });
}
