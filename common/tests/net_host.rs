//! The host: what leaves when, what bounds it, how it starts and stops.
#![cfg(feature = "driver")]

mod net;

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use net::{
    C1, Certs, Client, FnNode, PATIENCE, S1, Server, Setup, block_on, echo, read, soon, values,
};
use synod_common::driver::close::{CloseCode, CloseReason};
use synod_common::driver::endpoint::{Endpoint, Expect, Settings};
use synod_common::driver::handle::{HostHandle, HostLimits};
use synod_common::driver::host::{Host, HostError};
use synod_common::driver::recover::recover;
use synod_common::driver::server::Dial;
use synod_common::driver::tls::Role;
use synod_common::error::Corrupt;
use synod_common::id::{ClusterId, Peer, RequestId};
use synod_common::message::{DataReply, DataRequest, Message};
use synod_common::node::{CheckpointStep, Event, Lsn, Neighbour, Node, Output, Recovered};
use synod_common::sync::{Batch, GroupCommit, Job, Pace, Work};
use synod_common::time::{Now, Timestamp};
use synod_common::wal::{Identity, MemDisk, Options};

const FORCED: DataRequest = DataRequest::Status;

/// What the log's thread would do next. Does not block the client's runtime.
async fn work(server: &Server) -> Work {
    let log = server.log.clone();
    let pace = Pace { patience: Duration::from_secs(3600), linger: Duration::ZERO };
    soon(tokio::task::spawn_blocking(move || log.take(pace))).await.unwrap()
}

async fn take(server: &Server) -> Batch {
    match work(server).await {
        Work::Batch(batch) => batch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forced_reply_waits_for_the_disk_and_nothing_else_does() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        client.link.send(RequestId(1), &FORCED.into()).unwrap();
        let batch = take(&server).await;
        assert_eq!(batch.last, Lsn(1));
        // The disk is busy with it; meanwhile the host goes on.
        for number in 2..=50 {
            client.echo(number).await;
        }
        client.link.send(RequestId(51), &FORCED.into()).unwrap();
        let next = take(&server).await;
        client.echo(52).await;
        server.log.durable(batch.last);
        assert_eq!(client.reply().await, (RequestId(1), DataReply::Done.into()));
        client.echo(53).await;
        server.log.durable(next.last);
        assert_eq!(client.reply().await, (RequestId(51), DataReply::Done.into()));
    });
    server.stop().unwrap();
}

#[test]
fn a_reply_held_for_what_is_durable_already_leaves_at_once() {
    let certs = Certs::new();
    let node = |_: Now, event: Event, out: &mut Output| {
        if let Event::Message { from, request, .. } = event {
            out.send_after(out.last_lsn(), from, request, DataReply::Done);
        }
    };
    let server = Server::start(certs.issue(Role::Shard, "s1"), Setup::default(), node);
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        client.link.send(RequestId(1), &FORCED.into()).unwrap();
        assert_eq!(client.reply().await, (RequestId(1), DataReply::Done.into()));
    });
}

#[test]
fn a_failed_log_stops_the_host_and_acknowledges_nothing() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        client.link.send(RequestId(1), &FORCED.into()).unwrap();
        take(&server).await;
        server.log.fail("fsync: no such luck");
        assert_eq!(client.end().await, CloseReason::There(CloseCode::Internal));
        assert!(client.replies.recv().await.is_none());
    });
    let error = server.join().unwrap_err();
    assert_eq!(error, HostError::Log("fsync: no such luck".into()));
}

#[test]
fn a_panic_of_the_core_stops_the_server() {
    let certs = Certs::new();
    let node = |_: Now, event: Event, _: &mut Output| {
        assert!(!matches!(event, Event::Message { .. }), "on purpose");
    };
    let server = Server::start(certs.issue(Role::Shard, "s1"), Setup::default(), node);
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        client.link.send(RequestId(1), &read(b"x")).unwrap();
        assert_eq!(client.end().await, CloseReason::There(CloseCode::Internal));
    });
    assert!(matches!(server.join(), Err(HostError::Panicked(_))));
}

#[test]
fn a_stop_makes_durable_and_answers_first() {
    let certs = Certs::new();
    let server = Server::echo(&certs, Setup::default());
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        client.link.send(RequestId(1), &FORCED.into()).unwrap();
        let batch = take(&server).await;
        server.handle.stop();
        // The host has closed the log, but waits for what is being written.
        assert_eq!(work(&server).await, Work::Closed);
        server.log.durable(batch.last);
        assert_eq!(client.reply().await, (RequestId(1), DataReply::Done.into()));
        assert!(matches!(client.end().await, CloseReason::There(_)));
    });
    server.join().unwrap();
}

#[test]
fn large_replies_are_paced_not_dropped() {
    let certs = Certs::new();
    let limits = HostLimits { reply_bytes: 2 << 20, ..HostLimits::default() };
    let page = Bytes::from(vec![5; 1 << 20]);
    let node = move |_: Now, event: Event, out: &mut Output| {
        if let Event::Message { from, request, .. } = event {
            out.send(from, request, DataReply::Values { incarnation: None, values: page.clone() });
        }
    };
    let setup = Setup { limits, ..Setup::default() };
    let server = Server::start(certs.issue(Role::Shard, "s1"), setup, node);
    let alice = certs.issue(Role::Client, "alice");
    block_on(async {
        let mut client = Client::connect(alice, server.addr).await.unwrap();
        // Far more than the queue of a link holds, asked for at once.
        for number in 1..=200 {
            client.link.send(RequestId(number), &read(b"page")).unwrap();
        }
        for number in 1..=200 {
            assert_eq!(client.reply().await.0, RequestId(number));
        }
    });
    server.stop().unwrap();
}

#[test]
fn a_server_dials_another_again_and_again() {
    let certs = Certs::new();
    let (events, seen) = mpsc::channel();
    let reported = move |who: &'static str| {
        let events = events.clone();
        move |_: Now, event: Event, out: &mut Output| match event {
            Event::Connected(peer) => {
                if peer == C1 {
                    out.send(peer, RequestId(0), net::join());
                }
                events.send((who, "up", peer)).unwrap();
            }
            Event::Disconnected(peer) => events.send((who, "down", peer)).unwrap(),
            Event::Message { from, message: Message::Commit(_), .. } => {
                events.send((who, "joined", from)).unwrap();
            }
            _ => {}
        }
    };
    let next = || seen.recv_timeout(PATIENCE).unwrap();
    let c1_identity = certs.issue(Role::Coordinator, "c1");
    let c1 = Server::start(c1_identity.clone(), Setup::default(), reported("c1"));
    let port = c1.addr.port();
    let dials = vec![Dial { target: c1.addr.to_string(), peer: C1 }];
    let setup = Setup { dials, ..Setup::default() };
    let s1 = Server::start(certs.issue(Role::Shard, "s1"), setup, reported("s1"));
    let up = || {
        let mut three = [next(), next(), next()];
        three.sort();
        assert_eq!(three, [("c1", "joined", S1), ("c1", "up", S1), ("s1", "up", C1)]);
    };
    up();
    c1.stop().unwrap();
    assert_eq!(next(), ("s1", "down", C1));
    let c1 = Server::start(c1_identity, Setup { port, ..Setup::default() }, reported("c1"));
    up();
    s1.stop().unwrap();
    assert_eq!(next(), ("c1", "down", S1));
    c1.stop().unwrap();
}

#[test]
fn a_second_link_of_a_server_takes_the_first_ones_place() {
    let certs = Certs::new();
    let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let node = move |_: Now, event: Event, _: &mut Output| match event {
        Event::Connected(peer) => events.send(("up", peer)).unwrap(),
        Event::Disconnected(peer) => events.send(("down", peer)).unwrap(),
        Event::Message { from, .. } => events.send(("message", from)).unwrap(),
        _ => {}
    };
    let mut next = async || soon(seen.recv()).await.unwrap();
    let c1 = Server::start(certs.issue(Role::Coordinator, "c1"), Setup::default(), node);
    let s1 = certs.issue(Role::Shard, "s1");
    block_on(async {
        let endpoint = Endpoint::client(s1, Settings::default()).unwrap();
        let expect = Expect::node(C1).unwrap();
        let mut first = Client::dial(&endpoint, c1.addr, &expect).await.unwrap();
        assert_eq!(next().await, ("up", S1));
        let mut second = Client::dial(&endpoint, c1.addr, &expect).await.unwrap();
        assert_eq!([next().await, next().await], [("down", S1), ("up", S1)]);
        assert_eq!(first.end().await, CloseReason::There(CloseCode::Replaced));
        // The end of the first, which the server sees later, does not touch it.
        second.link.send(RequestId(0), &net::join()).unwrap();
        assert_eq!(next().await, ("message", S1));
        second.link.abort(CloseCode::Done);
        assert_eq!(next().await, ("down", S1));
        second.end().await;
    });
}

#[test]
fn timers_and_checkpoint_steps_come_back() {
    let certs = Certs::new();
    let (events, seen) = mpsc::channel();
    let mut due = None;
    let mut steps = vec![CheckpointStep::Finish, CheckpointStep::Part(vec![1])];
    let node = move |now: Now, event: Event, out: &mut Output| match event {
        Event::Start { .. } => {
            due = Some(now.mono + Duration::from_millis(30));
            out.wake = due;
        }
        Event::Wake => {
            assert!(now.mono >= due.unwrap());
            out.wake = None;
            out.checkpoint = Some(CheckpointStep::Begin(Lsn(1)));
            events.send("woken").unwrap();
        }
        Event::CheckpointWritten => {
            out.checkpoint = steps.pop();
            events.send("written").unwrap();
        }
        _ => {}
    };
    let server = Server::start(certs.issue(Role::Shard, "s1"), Setup::default(), node);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), "woken");
    for expected in
        [CheckpointStep::Begin(Lsn(1)), CheckpointStep::Part(vec![1]), CheckpointStep::Finish]
    {
        let Some(Job::Step { step, .. }) = server.log.take_job() else { panic!("a step") };
        assert_eq!(step, expected);
        server.log.step_done(None);
        assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), "written");
    }
    assert!(seen.try_recv().is_err());
}

/// Counts its records, and says so when asked.
struct Counter(u64);

impl Node for Counter {
    fn recover(&mut self, _: Recovered<'_>) -> Result<(), Corrupt> {
        self.0 += 1;
        Ok(())
    }

    fn handle(&mut self, _: Now, event: Event, out: &mut Output) {
        let Event::Message { from, request, message: Message::DataRequest(message) } = event else {
            return;
        };
        if message == FORCED {
            self.0 += 1;
            let lsn = out.force(&self.0);
            out.send_after(lsn, from, request, DataReply::Done);
        } else {
            out.send(from, request, values(&self.0.to_le_bytes()));
        }
    }
}

/// Serves nobody but clients.
struct Alone;

impl Node for Alone {
    fn recover(&mut self, _: Recovered<'_>) -> Result<(), Corrupt> {
        Ok(())
    }

    fn expects(&self, peer: Peer) -> bool {
        matches!(peer, Peer::Client(_))
    }

    fn handle(&mut self, _: Now, event: Event, _: &mut Output) {
        let (Event::Connected(peer) | Event::Message { from: peer, .. }) = event else { return };
        assert!(self.expects(peer), "it hears of {peer}");
    }
}

/// It has a certificate, and belongs to no cluster that this one knows.
#[test]
fn a_server_that_is_not_expected_is_refused() {
    let certs = Certs::new();
    let server = Server::start_node(certs.issue(Role::Shard, "s1"), Setup::default(), Alone);
    block_on(async {
        let stranger = certs.issue(Role::Coordinator, "c9");
        let mut link = Client::connect(stranger, server.addr).await.unwrap();
        assert_eq!(link.end().await, CloseReason::There(CloseCode::Stranger));
    });
    server.stop().unwrap();
}

#[test]
fn embedded_and_restarted_on_the_same_disk() {
    let disk = MemDisk::new();
    for run in 0..3u64 {
        let handle = HostHandle::new(HostLimits::default());
        let mut node = Counter(0);
        let whose = Identity { cluster: ClusterId(1), node: "s1".into() };
        let options = Options { segment_bytes: 64 << 10 };
        let pace = Pace::default();
        let log = recover(&mut node, disk.clone(), whose, options, pace, &handle).unwrap();
        let host = Host::new(node, log.group, handle.clone());
        let thread = std::thread::spawn(move || block_on(host.run()));
        let (replies_in, replies) = mpsc::channel();
        let client = handle.connect_client(move |request, message| {
            let _ = replies_in.send((request, message));
        });
        let next = || replies.recv_timeout(PATIENCE).unwrap();
        client.send(RequestId(1), read(b"")).unwrap();
        assert_eq!(next(), (RequestId(1), values(&(run * 100).to_le_bytes()).into()));
        for number in 1..=100 {
            client.send(RequestId(number), FORCED.into()).unwrap();
        }
        for number in 1..=100 {
            assert_eq!(next(), (RequestId(number), DataReply::Done.into()));
        }
        handle.stop();
        thread.join().unwrap().unwrap();
        log.thread.stop().unwrap();
    }
}

#[test]
fn hosts_in_one_process_are_linked_without_a_network() {
    let (events, seen) = mpsc::channel();
    let host = |who: &'static str, log_handle: &HostHandle| {
        let events = events.clone();
        let node = move |now: Now, event: Event, out: &mut Output| {
            match &event {
                Event::Connected(peer) => events.send((who, "up", *peer)).unwrap(),
                Event::Disconnected(peer) => events.send((who, "down", *peer)).unwrap(),
                Event::Message { from, .. } => events.send((who, "message", *from)).unwrap(),
                _ => {}
            }
            if let Event::Connected(C1) = event {
                out.send(C1, RequestId(0), net::join());
                // What a shard must not say is dropped.
                out.send(C1, RequestId(0), read(b"x"));
                // There is nothing to dial with, and nobody minds.
                out.keep_links([Neighbour { peer: C1, address: "memory".to_owned() }]);
            }
            echo(now, event, out);
        };
        let log = GroupCommit::new(Lsn(0), log_handle.waker());
        Host::new(FnNode(node), std::sync::Arc::new(log), log_handle.clone())
    };
    let c1 = HostHandle::new(HostLimits::default());
    let s1 = HostHandle::new(HostLimits::default());
    let hosts = (host("c1", &c1), host("s1", &s1));
    // Both on one thread, as good as one on each.
    let thread = std::thread::spawn(move || {
        block_on(async {
            let (a, b) = (tokio::spawn(hosts.0.run()), tokio::spawn(hosts.1.run()));
            a.await.unwrap().unwrap();
            b.await.unwrap().unwrap();
        });
    });
    let next = || seen.recv_timeout(PATIENCE).unwrap();
    s1.connect_host(S1, &c1, C1);
    let mut first = [next(), next(), next()];
    first.sort();
    assert_eq!(first, [("c1", "message", S1), ("c1", "up", S1), ("s1", "up", C1)]);
    let (replies_in, replies) = mpsc::channel();
    let client = s1.connect_client(move |request, message| {
        let _ = replies_in.send((request, message));
    });
    client.send(RequestId(9), read(b"key")).unwrap();
    let reply = replies.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply, (RequestId(9), values(b"key").into()));
    drop(client);
    let events = [next(), next(), next()].map(|(who, what, peer)| {
        assert!(who == "s1" && matches!(peer, Peer::Client(_)));
        what
    });
    assert_eq!(events, ["up", "message", "down"]);
    s1.stop();
    assert_eq!(next(), ("c1", "down", S1));
    c1.stop();
    thread.join().unwrap();
    assert_eq!(s1.stats().messages_in.load(Ordering::Relaxed), 1);
}

#[test]
fn an_inbox_that_is_full_refuses_a_local_client() {
    let handle = HostHandle::new(HostLimits { inbox_bytes: 10_000, ..HostLimits::default() });
    // The host does not run yet.
    let client = handle.connect_client(|_, _| ());
    let message = || -> Message {
        let keys = Bytes::from(vec![0; 3_000]);
        DataRequest::SnapshotRead { at: Timestamp(1), map_epoch: 1, keys }.into()
    };
    let sent = (1..=10).take_while(|n| client.send(RequestId(*n), message()).is_ok()).count();
    assert_eq!(sent, 3);
}
