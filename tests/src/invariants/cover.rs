//! **I17** Every answer that is read under locks is covered by them, absent keys and
//! the gaps between rows included; every answer from a snapshot by the floor.
//!
//! Source: Eswaran, Gray, Lorie, Traiger, "The notions of consistency and predicate
//! locks" (1976), for phantoms. Read off the lock table at the moment at which the
//! shard answers.

use std::collections::BTreeMap;

use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::message::bulk::{Found, Keys, Rows};
use synod_common::message::data::{LockWait, ReadMode};
use synod_common::message::{DataReply, DataRequest, Message};
use synod_common::node::{Event, Send};
use synod_shard::Shard;
use synod_shard::lock::{LockTarget, Mode};

use super::Check;

/// What clients have asked shards for.
#[derive(Debug, Default)]
pub struct Asked {
    requests: BTreeMap<(usize, Peer, RequestId), DataRequest>,
}

impl Asked {
    /// Something is about to happen to a shard.
    pub fn heard(&mut self, at: usize, event: &Event) {
        match event {
            Event::Message { from, request, message: Message::DataRequest(asked) } => {
                self.requests.insert((at, *from, *request), asked.clone());
            }
            Event::Disconnected(gone) => {
                self.requests.retain(|(shard, from, _), _| *shard != at || from != gone);
            }
            // A new life has heard nothing.
            Event::Start { .. } => self.requests.retain(|(shard, ..), _| *shard != at),
            _ => {}
        }
    }

    /// Something has happened to it, and this is what it says.
    pub fn check(&mut self, at: usize, shard: &Shard, sends: &[Send]) -> Check {
        for send in sends {
            let Message::DataReply(reply) = &send.message else { continue };
            if let Some(asked) = self.requests.remove(&(at, send.to, send.request)) {
                check(shard, &asked, reply)?;
            }
        }
        Ok(())
    }
}

fn check(shard: &Shard, asked: &DataRequest, reply: &DataReply) -> Check {
    match (asked, reply) {
        (DataRequest::Read { access, mode, keys }, DataReply::Values { .. }) => {
            all_held(shard, access.txn, *mode, read_keys(keys))
        }
        (DataRequest::Read { access, mode, keys }, DataReply::Found { values, .. }) => {
            let found = Found::read(values).map_while(Result::ok);
            let found = read_keys(keys).zip(found).filter(|(_, value)| value.is_some());
            all_held(shard, access.txn, *mode, found.map(|(key, _)| key))
        }
        (DataRequest::Scan { access, mode, .. }, DataReply::Rows { rows, .. })
            if access.wait == LockWait::Skip =>
        {
            let keys = Rows::read(rows).map_while(Result::ok).map(|(key, _)| Key::from(key));
            all_held(shard, access.txn, *mode, keys.map(LockTarget::Key))
        }
        (
            DataRequest::Scan { access, mode, range, reverse, .. },
            DataReply::Rows { resume, .. },
        ) => {
            let page = LockTarget::Range(range.page(resume.as_ref(), *reverse));
            all_held(shard, access.txn, *mode, [page].into_iter())
        }
        (DataRequest::Lock { access, mode, range, keys }, DataReply::Granted { .. }) => {
            let range = range.iter().cloned().map(LockTarget::Range);
            all_held(shard, access.txn, *mode, read_keys(keys).chain(range))
        }
        (
            DataRequest::SnapshotRead { at, .. } | DataRequest::SnapshotScan { at, .. },
            DataReply::Values { .. } | DataReply::Rows { .. },
        ) if *at > shard.floor() => {
            Err(format!("I17: the snapshot {at} was served above the floor {}", shard.floor()))
        }
        _ => Ok(()),
    }
}

fn read_keys(keys: &[u8]) -> impl Iterator<Item = LockTarget> {
    Keys::read(keys).map_while(Result::ok).map(|key| LockTarget::Key(Key::from(key)))
}

/// Who was aborted in the same step can not commit what it reads.
fn all_held(
    shard: &Shard,
    txn: TxnId,
    mode: ReadMode,
    mut targets: impl Iterator<Item = LockTarget>,
) -> Check {
    let mode = match mode {
        ReadMode::Shared => Mode::Shared,
        ReadMode::Update => Mode::Update,
        ReadMode::Exclusive => Mode::Exclusive,
    };
    let is_empty = |target: &LockTarget| matches!(target, LockTarget::Range(KeyRange { start, end: Some(end) }) if start >= end);
    let known = shard.known().any(|known| known == txn);
    let bare = targets.find(|target| !is_empty(target) && !shard.locks().covers(txn, target, mode));
    match bare.filter(|_| known) {
        Some(target) => Err(format!("I17: {txn} was answered without {mode} on {target}")),
        None => Ok(()),
    }
}
