//! A client of a group of coordinators finds the one that leads, and goes on when another
//! one does, over a net that ends in the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use synod_client::net::{BoxFuture, Net, Reply};
use synod_client::{
    Client, CoordinatorStatus, Error, Options, Outcome, Reason, SessionId, ShardId, Timestamp,
    TxnId,
};
use synod_common::id::{CoordinatorId, Epoch, Peer};
use synod_common::message::{ClientReply, ClientRequest, Message};
use synod_common::route::{CoordinatorAddress, Partition, Placement, ShardAddress};
use synod_common::time::Mono;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A member of the group; it is at `h:<number>`.
type Member = u16;

const AT: Timestamp = Timestamp(70);

/// A group of coordinators, as it looks from a client.
struct Group {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: u32,
    leader: Option<Member>,
    /// Whether those that follow say where the leader is.
    discreet: bool,
    /// Whether they tell of later leaders.
    secretive: bool,
    /// These are gone: connections to them are refused.
    down: BTreeSet<Member>,
    /// These are gone, and nobody has noticed: nothing comes back.
    silent: BTreeSet<Member>,
    addresses: BTreeMap<Peer, Member>,
    waiting: Vec<(Peer, oneshot::Sender<Message>)>,
    following: Vec<(Peer, Epoch, oneshot::Sender<Message>)>,
    committed: BTreeSet<TxnId>,
    /// What was asked of whom, but for heartbeats.
    asked: Vec<(Member, &'static str)>,
}

impl Group {
    fn led_by(leader: Option<Member>) -> Arc<Group> {
        let state = State { epoch: 1, leader, ..State::default() };
        Arc::new(Group { began: Instant::now(), state: Mutex::new(state) })
    }

    fn client(self: &Arc<Group>, members: &[Member]) -> Client {
        let addresses = members.iter().map(|member| format!("h:{member}"));
        Client::over_group(Arc::clone(self) as Arc<dyn Net>, addresses)
    }

    fn set<T>(&self, set: impl FnOnce(&mut State) -> T) -> T {
        set(&mut self.state.lock())
    }

    /// It leads the next epoch, and all that can be told are told.
    fn elect(&self, member: Member) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.leader = Some(member);
        for (peer, epoch, reply) in std::mem::take(&mut state.following) {
            state.follow(peer, epoch, reply);
        }
    }

    /// How often this was asked of this member.
    fn count(&self, member: Member, what: &str) -> usize {
        let state = self.state.lock();
        state.asked.iter().filter(|(who, asked)| (*who, *asked) == (member, what)).count()
    }

    /// Waits until this was asked.
    async fn asked(&self, member: Member, what: &str) {
        while self.count(member, what) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl State {
    fn member(&self, peer: Peer) -> Member {
        self.addresses.get(&peer).copied().unwrap_or(0)
    }

    fn follow(&mut self, peer: Peer, epoch: Epoch, reply: oneshot::Sender<Message>) {
        let member = self.member(peer);
        match self.leader {
            Some(leader) if self.epoch > epoch.0 && !self.secretive => {
                let address = Some(format!("h:{leader}")).filter(|_| leader != member);
                let told = ClientReply::Leader { epoch: Epoch(self.epoch), address };
                let _ = reply.send(told.into());
            }
            _ => {
                assert!(self.following.iter().all(|(other, ..)| *other != peer), "followed twice");
                self.following.push((peer, epoch, reply));
            }
        }
    }

    fn answer(&mut self, member: Member, request: &ClientRequest) -> Option<ClientReply> {
        if matches!(request, ClientRequest::Status) {
            return Some(ClientReply::Status(self.status(member)));
        }
        if self.leader != Some(member) {
            let leader = self.leader.filter(|_| !self.discreet);
            let address = leader.map(|leader| format!("h:{leader}"));
            return Some(ClientReply::Refused(Reason::NotLeader(address)));
        }
        match request {
            ClientRequest::OpenSession => Some(ClientReply::SessionOpened {
                session: SessionId { epoch: Epoch(self.epoch), number: 1 },
                ttl_ms: 3_600_000,
                now: Timestamp(7),
                placement: placement(),
            }),
            ClientRequest::Timestamp => Some(ClientReply::Timestamp(AT)),
            ClientRequest::Commit { txn, .. } if txn.session.epoch.0 < self.epoch => {
                Some(ClientReply::Outcome(Outcome::Aborted(Reason::StaleEpoch)))
            }
            ClientRequest::Commit { txn, .. } => {
                self.committed.insert(*txn);
                Some(ClientReply::Outcome(Outcome::Committed(AT)))
            }
            ClientRequest::Outcome { txn } => {
                let committed = self.committed.contains(txn);
                let aborted = Outcome::Aborted(Reason::Presumed);
                let outcome = if committed { Outcome::Committed(AT) } else { aborted };
                Some(ClientReply::Outcome(outcome))
            }
            // Nothing else needs an answer.
            _ => None,
        }
    }

    fn status(&self, member: Member) -> CoordinatorStatus {
        let address = |id| CoordinatorAddress { id: CoordinatorId(id), address: format!("h:{id}") };
        CoordinatorStatus {
            id: CoordinatorId(member),
            placement: placement(),
            joined: Vec::new(),
            sessions: 0,
            committing: 0,
            leader: self.leader.map(CoordinatorId),
            epoch: Epoch(self.epoch),
            group: (1..=3).map(address).collect(),
        }
    }
}

fn placement() -> Placement {
    let shards = vec![ShardAddress { id: ShardId(1), address: "s1".to_owned() }];
    Placement { epoch: 1, partition: Partition::Hash, shards }
}

fn name(request: &ClientRequest) -> Option<&'static str> {
    match request {
        ClientRequest::OpenSession => Some("open"),
        ClientRequest::Timestamp => Some("timestamp"),
        ClientRequest::Commit { .. } => Some("commit"),
        ClientRequest::Outcome { .. } => Some("outcome"),
        ClientRequest::Status => Some("status"),
        ClientRequest::Follow { .. } => Some("follow"),
        _ => None,
    }
}

impl Net for Group {
    fn request(&self, to: Peer, message: Message) -> Reply {
        let (sender, reply) = Reply::channel();
        let mut state = self.state.lock();
        let member = state.member(to);
        let Message::ClientRequest(request) = message else { return reply };
        state.asked.extend(name(&request).map(|name| (member, name)));
        if state.down.contains(&member) {
            return reply;
        }
        let silent = state.silent.contains(&member);
        if let (ClientRequest::Follow { epoch }, false) = (&request, silent) {
            state.follow(to, *epoch, sender);
            return reply;
        }
        // Whoever is about to die has still done what it was asked.
        let answer = state.answer(member, &request);
        match answer.filter(|_| !silent) {
            Some(answer) => drop(sender.send(answer.into())),
            None if silent => state.waiting.push((to, sender)),
            None => {}
        }
        reply
    }

    fn tell(&self, _to: Peer, _message: Message) {}

    fn learn(&self, peer: Peer, address: &str) {
        let member = address.strip_prefix("h:").and_then(|number| number.parse().ok());
        let mut state = self.state.lock();
        state.addresses.extend(member.map(|member| (peer, member)));
    }

    fn forget(&self, peer: Peer) {
        let mut state = self.state.lock();
        state.waiting.retain(|(to, _)| *to != peer);
        state.following.retain(|(to, ..)| *to != peer);
    }

    fn sleep(&self, time: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> Mono {
        Mono(self.began.elapsed().as_micros() as u64)
    }

    fn random(&self) -> u64 {
        0
    }

    fn spawn(&self, future: BoxFuture<()>) {
        tokio::spawn(future);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_lead_says_who_does() {
    let group = Group::led_by(Some(3));
    group.set(|state| state.secretive = true);
    let db = group.client(&[1, 2, 3]);
    db.put("a", &1).await.unwrap();
    assert_eq!(group.count(1, "open"), 1);
    assert_eq!(group.count(2, "open"), 0);
    assert_eq!((group.count(3, "open"), group.count(3, "commit")), (1, 1));
    assert_eq!(db.status().await.unwrap().id, CoordinatorId(3));
}

#[tokio::test(start_paused = true)]
async fn it_may_be_one_that_the_client_did_not_know() {
    let group = Group::led_by(Some(3));
    let db = group.client(&[1]);
    db.put("a", &1).await.unwrap();
    assert_eq!((group.count(3, "open"), group.count(3, "commit")), (1, 1));
    // Now that there are two, both are asked for later leaders.
    group.asked(1, "follow").await;
    group.asked(3, "follow").await;
}

#[tokio::test(start_paused = true)]
async fn if_nobody_says_who_leads_everybody_is_asked() {
    let group = Group::led_by(Some(3));
    group.set(|state| (state.discreet, state.secretive) = (true, true));
    let db = group.client(&[1, 2, 3]);
    db.put("a", &1).await.unwrap();
    assert_eq!((group.count(1, "open"), group.count(2, "open"), group.count(3, "open")), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_is_passed_by() {
    let group = Group::led_by(Some(2));
    group.set(|state| state.secretive = true);
    group.set(|state| state.down.insert(1));
    let db = group.client(&[1, 2, 3]);
    let snapshot = db.snapshot().await.unwrap();
    assert_eq!(snapshot.timestamp(), AT);
    assert_eq!(db.status().await.unwrap().id, CoordinatorId(2));
}

/// One that is gone without a word would be waited for until its connection is given up.
#[tokio::test(start_paused = true)]
async fn the_others_say_at_once_who_leads() {
    let group = Group::led_by(Some(2));
    group.set(|state| state.silent.insert(1));
    let db = group.client(&[1, 2, 3]);
    db.put("a", &1).await.unwrap();
    assert!(group.began.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_flight_when_the_leader_dies_is_found_at_the_next_one() {
    let group = Group::led_by(Some(1));
    let db = group.client(&[1, 2, 3]);
    let txn = db.begin(Options::new()).await.unwrap();
    txn.put("a", &1).unwrap();
    let id = txn.id();
    group.set(|state| state.silent.insert(1));
    let commit = tokio::spawn(txn.commit());
    group.asked(1, "commit").await;
    let before = group.began.elapsed();
    group.elect(2);
    let committed = commit.await.unwrap().unwrap();
    assert_eq!((committed.txn, committed.at), (id, Some(AT)));
    assert_eq!((group.count(1, "outcome"), group.count(2, "outcome")), (0, 1));
    assert!(group.began.elapsed() - before < Duration::from_millis(100));
    // The old session means nothing to the new leader.
    db.put("b", &2).await.unwrap();
    assert_eq!((group.count(2, "open"), group.count(2, "commit")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_the_old_epoch_is_tried_again_in_the_new_one() {
    let group = Group::led_by(Some(1));
    let db = group.client(&[1, 2, 3]);
    let mut tries = 0;
    db.transact(|tx| {
        tries += 1;
        if tries == 1 {
            group.elect(2);
        }
        std::future::ready(tx.put("a", &tries))
    })
    .await
    .unwrap();
    assert_eq!(tries, 2);
    assert_eq!(group.set(|state| state.committed.len()), 1);
}

/// As when it is restarted: no other one leads, but the old connection is dead.
#[tokio::test(start_paused = true)]
async fn a_leader_that_leads_again_is_asked_anew() {
    let group = Group::led_by(Some(1));
    let db = group.client(&[1, 2, 3]);
    db.put("a", &1).await.unwrap();
    group.set(|state| state.silent.insert(1));
    let snapshot = tokio::spawn({
        let db = db.clone();
        async move { db.snapshot().await.map(|snapshot| snapshot.timestamp()) }
    });
    group.asked(1, "timestamp").await;
    group.set(|state| state.silent.clear());
    group.elect(1);
    assert_eq!(snapshot.await.unwrap(), Ok(AT));
}

/// Its answer was underway when it was deposed. What it granted is lost, and who is asked for
/// another session is the later leader.
#[tokio::test(start_paused = true)]
async fn what_an_old_leader_grants_late_does_not_count() {
    let group = Group::led_by(Some(1));
    let db = group.client(&[1, 2, 3]);
    group.asked(1, "follow").await;
    group.set(|state| state.silent.insert(1));
    let begin = tokio::spawn({
        let db = db.clone();
        async move { db.begin(Options::new()).await.map(|txn| txn.id()) }
    });
    group.asked(1, "open").await;
    let (opened, late) = group.set(|state| {
        let (_, late) = state.waiting.pop().unwrap();
        (state.answer(1, &ClientRequest::OpenSession).unwrap(), late)
    });
    group.elect(2);
    late.send(opened.into()).unwrap();
    assert_eq!(begin.await.unwrap().unwrap().session.epoch, Epoch(1));
    assert_eq!(db.begin(Options::new()).await.unwrap().id().session.epoch, Epoch(2));
}

/// Else what waits for the later one would be given up.
#[tokio::test(start_paused = true)]
async fn who_tells_late_of_an_old_leader_is_not_believed() {
    let group = Group::led_by(Some(1));
    let db = group.client(&[1, 2, 3]);
    for member in [1, 2, 3] {
        group.asked(member, "follow").await;
    }
    let (.., late) = group.set(|state| state.following.remove(0));
    group.elect(2);
    tokio::task::yield_now().await;
    group.elect(3);
    tokio::task::yield_now().await;
    group.set(|state| state.silent.insert(3));
    let _status = tokio::spawn({
        let db = db.clone();
        async move { db.status().await.map(|status| status.id) }
    });
    group.asked(3, "status").await;
    let told = ClientReply::Leader { epoch: Epoch(2), address: Some("h:2".to_owned()) };
    late.send(told.into()).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(group.set(|state| state.waiting.len()), 1, "c3 is still waited for");
}

#[tokio::test(start_paused = true)]
async fn nobody_leads_for_a_while() {
    let group = Group::led_by(None);
    let db = group.client(&[1, 2, 3]);
    let put = tokio::spawn({
        let db = db.clone();
        async move { db.put("a", &1).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!put.is_finished());
    let open = group.count(1, "open");
    assert!((2..50).contains(&open), "asked {open} times in two seconds");
    group.elect(3);
    assert_eq!(put.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn when_all_are_down_patience_ends() {
    let group = Group::led_by(Some(1));
    group.set(|state| state.down.extend([1, 2, 3]));
    let db = group.client(&[1, 2, 3]);
    let error = db.begin(Options::new()).await.map(|txn| txn.id()).unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    let patience = group.began.elapsed();
    assert!(patience < Duration::from_secs(11), "{patience:?}");
    let asked = group.set(|state| state.asked.len());
    assert!(asked < 1_000, "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn when_none_leads_patience_ends() {
    let group = Group::led_by(None);
    let db = group.client(&[1, 2, 3]);
    let error = db.status().await.map(|status| status.id).unwrap_err();
    assert_eq!(error, Error::Unavailable("no coordinator leads the group".to_owned()));
    let status = db.coordinator_status("h:2").await.unwrap();
    assert_eq!((status.id, status.leader), (CoordinatorId(2), None));
}

#[tokio::test(start_paused = true)]
async fn following_is_taken_up_again_and_ends_with_the_client() {
    let group = Group::led_by(Some(1));
    let db = group.client(&[1, 2, 3]);
    db.put("a", &1).await.unwrap();
    // The links break.
    let asked = group.count(2, "follow");
    group.set(|state| state.following.clear());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(group.count(2, "follow"), asked + 1);
    assert_eq!(group.set(|state| state.following.len()), 3);
    drop(db);
    group.set(|state| state.following.clear());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(group.set(|state| state.following.len()), 0);
}
