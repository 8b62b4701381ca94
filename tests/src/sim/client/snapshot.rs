//! A snapshot of all accounts and of what is counted, seen from its client.

use synod_common::id::RequestId;
use synod_common::key::Key;
use synod_common::message::bulk::Keys;
use synod_common::message::data::ReadMode;
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};
use synod_common::time::Timestamp;

use super::super::deed;
use super::super::history::{Seen, Snapshot};
use super::super::world::World;
use super::txn::take_in;
use super::work::{Access, all_accounts};
use super::{Audit, Outstanding, State};
use crate::invariants::Check;

/// A snapshot that is being read.
#[derive(Debug)]
pub struct View {
    begun: u64,
    at: Timestamp,
    outstanding: Outstanding,
    seen: Seen,
}

impl View {
    /// Whether it waits for this reply.
    pub fn expects(&self, request: RequestId) -> bool {
        self.outstanding.contains_key(&request)
    }
}

impl World {
    pub(super) fn draw_timestamp(&mut self, client: usize) {
        let request = self.ask_leader(client, ClientRequest::Timestamp);
        self.clients[client].state = State::Drawing(request, self.time);
        self.wake_client(client, 200_000);
    }

    /// The timestamp is there: reads everything at it.
    pub(super) fn timestamp_drawn(&mut self, client: usize, begun: u64, reply: &Message) -> Check {
        let Message::ClientReply(ClientReply::Timestamp(at)) = *reply else {
            self.rest(client);
            return Ok(());
        };
        let mut view = View { begun, at, outstanding: Outstanding::new(), seen: Seen::default() };
        for server in self.servers_of_all() {
            let access = if self.rng.chance(3_000) {
                let mine = |key: &&Key| usize::from(self.router.shard_of(key).0) == server;
                Access::Keys(self.accounts.iter().filter(mine).cloned().collect(), ReadMode::Shared)
            } else {
                Access::Range(all_accounts(), self.rng.chance(3_000))
            };
            self.look(client, &mut view, server, access);
            let mine = |key: &Key| usize::from(self.router.shard_of(key).0) == server;
            let counted: Vec<Key> = deed::keys().filter(mine).collect();
            if !counted.is_empty() {
                self.look(client, &mut view, server, Access::Keys(counted, ReadMode::Shared));
            }
        }
        self.clients[client].state = State::Viewing(view);
        let patience = self.rng.within(300_000..=1_500_000);
        self.wake_client(client, patience);
        Ok(())
    }

    fn look(&mut self, client: usize, view: &mut View, server: usize, access: Access) {
        let (at, map_epoch) = (view.at, self.router.epoch());
        let message = match &access {
            Access::Keys(keys, _) => {
                let mut bulk = Keys::default();
                keys.iter().for_each(|key| bulk.push(key));
                DataRequest::SnapshotRead { at, map_epoch, keys: bulk.finish() }
            }
            Access::Range(range, reverse) => {
                let limit = if self.rng.chance(5_000) { 0 } else { self.rng.within(1..=6) as u32 };
                let (range, reverse) = (range.clone(), *reverse);
                DataRequest::SnapshotScan { at, map_epoch, range, limit, reverse }
            }
        };
        let request = self.ask(client, server, message);
        view.outstanding.insert(request, (server, access));
    }

    /// One shard has answered.
    pub(super) fn view_answered(
        &mut self,
        client: usize,
        mut view: View,
        request: RequestId,
        message: &Message,
    ) -> Check {
        let Some((server, access)) = view.outstanding.remove(&request) else { return Ok(()) };
        if let Message::DataReply(DataReply::Refused(_)) = message {
            self.rest(client);
            return Ok(());
        }
        if let Some(rest) = take_in(&mut view.seen, server, &access, message)? {
            self.look(client, &mut view, server, rest);
        }
        if !view.outstanding.is_empty() {
            self.clients[client].state = State::Viewing(view);
            return Ok(());
        }
        let View { begun, at, seen, .. } = view;
        let answered = self.time;
        self.history.snapshots.push(Snapshot { client, begun, answered, at, seen, full: true });
        self.audited(client, Audit::View);
        self.rest(client);
        Ok(())
    }
}
