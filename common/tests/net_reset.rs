//! A server that died without a farewell, and its successor on the same port.
#![cfg(feature = "driver")]

mod net;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use net::{Certs, Client, FnNode, Server, Setup, block_on, echo, read, soon};
use quinn::ConnectionError;
use synod_common::driver::close::CloseReason;
use synod_common::driver::endpoint::{Endpoint, Settings};
use synod_common::driver::handle::{HostHandle, HostLimits};
use synod_common::driver::host::Host;
use synod_common::driver::server::serve;
use synod_common::driver::tls::{Identity, Role};
use synod_common::id::RequestId;
use synod_common::node::Lsn;
use synod_common::sync::GroupCommit;
use tokio::sync::oneshot;

/// A server that falls silent in the middle when it is told to.
fn doomed(identity: Identity) -> (SocketAddr, oneshot::Sender<()>, std::thread::JoinHandle<()>) {
    let (die, dead) = oneshot::channel();
    let (ready, addr) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let handle = HostHandle::new(HostLimits::default());
        let log = Arc::new(GroupCommit::new(Lsn(0), handle.waker()));
        let host = Host::new(FnNode(echo), log, handle);
        // When the runtime is gone, nobody is left to send anything.
        block_on(async {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let endpoint = Endpoint::bind(any, identity, Settings::default()).unwrap();
            ready.send(endpoint.local_addr().unwrap()).unwrap();
            tokio::select! {
                ended = serve(host, endpoint, Vec::new()) => ended.unwrap(),
                _ = dead => {}
            }
        });
    });
    (addr.recv().unwrap(), die, thread)
}

#[test]
fn a_restarted_server_ends_the_links_of_its_former_self() {
    let certs = Certs::new();
    let identity = certs.issue(Role::Shard, "s1");
    let (addr, die, thread) = doomed(identity.clone());
    block_on(async {
        let alice = certs.issue(Role::Client, "alice");
        let mut client = Client::connect(alice, addr).await.unwrap();
        client.echo(1).await;
        die.send(()).unwrap();
        thread.join().unwrap();
        client.link.send(RequestId(2), &read(b"lost")).unwrap();
        let successor =
            Server::start(identity, Setup { port: addr.port(), ..Setup::default() }, echo);
        // Not by a farewell of the dead, and not because it was silent for too long.
        let reason = soon(client.end.recv()).await.unwrap();
        assert_eq!(reason, CloseReason::Lost(ConnectionError::Reset.to_string()));
        successor.stop().unwrap();
    });
}
