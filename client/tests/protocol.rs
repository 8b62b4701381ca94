//! The commit protocol that a transaction chooses is what COMMIT asks for, over a net
//! that ends in the test.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use synod_client::net::{BoxFuture, Net, Reply};
use synod_client::{Client, Options, Outcome, Protocol, Reason, SessionId, ShardId, Timestamp};
use synod_common::id::{CoordinatorId, Epoch, Peer};
use synod_common::message::{ClientReply, ClientRequest, Message};
use synod_common::route::{Partition, Placement, ShardAddress};
use synod_common::time::Mono;

/// A coordinator that refuses as many commits as it was told, and carries out the others.
#[derive(Default)]
struct Coordinator {
    refuses: Mutex<u32>,
    asked_for: Mutex<Vec<Protocol>>,
}

impl Coordinator {
    fn client(self: &Arc<Coordinator>) -> Client {
        Client::over(Arc::clone(self) as Arc<dyn Net>, CoordinatorId(1))
    }

    fn commit(&self, protocol: Protocol) -> Outcome {
        self.asked_for.lock().push(protocol);
        let mut refuses = self.refuses.lock();
        if *refuses > 0 {
            *refuses -= 1;
            return Outcome::Aborted(Reason::LockTimeout);
        }
        Outcome::Committed(Timestamp(7))
    }
}

impl Net for Coordinator {
    fn request(&self, _to: Peer, message: Message) -> Reply {
        let (sender, reply) = Reply::channel();
        let shards = (1..=2).map(|id| ShardAddress { id: ShardId(id), address: format!("s{id}") });
        let answer = match message {
            Message::ClientRequest(ClientRequest::OpenSession) => ClientReply::SessionOpened {
                session: SessionId { epoch: Epoch(1), number: 1 },
                ttl_ms: 3_600_000,
                now: Timestamp(7),
                placement: Placement {
                    epoch: 1,
                    partition: Partition::Hash,
                    shards: shards.collect(),
                },
            },
            Message::ClientRequest(ClientRequest::Commit { terms, .. }) => {
                ClientReply::Outcome(self.commit(terms.protocol))
            }
            // Nothing else needs an answer.
            _ => return reply,
        };
        let _ = sender.send(answer.into());
        reply
    }

    fn tell(&self, _to: Peer, _message: Message) {}

    fn learn(&self, _peer: Peer, _address: &str) {}

    fn sleep(&self, time: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> Mono {
        Mono::default()
    }

    fn random(&self) -> u64 {
        0
    }

    fn spawn(&self, future: BoxFuture<()>) {
        tokio::spawn(future);
    }
}

#[tokio::test]
async fn a_commit_asks_for_the_chosen_protocol() {
    let coordinator = Arc::new(Coordinator::default());
    let db = coordinator.client();
    for protocol in Protocol::ALL {
        let txn = db.begin(Options::new().protocol(protocol)).await.unwrap();
        txn.put("a", &1).unwrap();
        txn.commit().await.unwrap();
    }
    db.put("a", &2).await.unwrap();
    let asked_for = std::mem::take(&mut *coordinator.asked_for.lock());
    assert_eq!(asked_for, [&Protocol::ALL[..], &[Protocol::Auto]].concat());
}

#[tokio::test]
async fn every_attempt_asks_for_it() {
    let coordinator = Arc::new(Coordinator { refuses: Mutex::new(2), ..Coordinator::default() });
    let options = Options::new().protocol(Protocol::ThreePhase);
    let db = coordinator.client();
    db.transact_with(options, async |tx| tx.put("a", &1)).await.unwrap();
    assert_eq!(*coordinator.asked_for.lock(), [Protocol::ThreePhase; 3]);
}
