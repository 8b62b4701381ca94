//! How far transactions are, server by server. Nothing of this needs a session, so it
//! can be asked of those servers that are left.

use synod_common::id::{Peer, ShardId, TxnId};
use synod_common::message::bulk::List;
use synod_common::message::txns::{Commit, Holds, Resolution, ShardTxn};
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};

use crate::{Client, Error};

/// A page of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnPage<T> {
    /// In the order of their names.
    pub rows: Vec<T>,
    /// Behind what the next page begins, if there is more.
    pub resume: Option<TxnId>,
}

impl Client {
    /// The transactions that a shard knows, page by page: `after` is where the last
    /// page ended. `in_doubt` leaves out what has not voted, or is decided; `limit`
    /// bounds the rows, zero asks for a whole page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn shard_txns(
        &self,
        shard: ShardId,
        after: Option<TxnId>,
        in_doubt: bool,
        limit: u32,
    ) -> Result<TxnPage<ShardTxn>, Error> {
        match self.ask_shard(shard, DataRequest::Txns { after, in_doubt, limit }).await? {
            DataReply::Txns { resume, txns } => {
                let rows: Result<_, _> = List::read(&txns).collect();
                Ok(TxnPage { rows: rows.map_err(|_| Error::protocol())?, resume })
            }
            _ => Err(Error::protocol()),
        }
    }

    /// How far a transaction is on a shard, and what it holds there: up to `locks`
    /// locks. None if the shard does not know it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn shard_txn(
        &self,
        shard: ShardId,
        txn: TxnId,
        locks: u32,
    ) -> Result<Option<(ShardTxn, Holds)>, Error> {
        match self.ask_shard(shard, DataRequest::Txn { txn, locks }).await? {
            DataReply::Txn(found) => Ok(found.map(|found| *found)),
            _ => Err(Error::protocol()),
        }
    }

    /// Decides a transaction that is in doubt on a shard, because its locks there can not
    /// wait for the outcome any longer; only an operator's certificate may. Returns when
    /// that is durable and in force. It is never taken for the outcome: see
    /// [`Client::resolutions`]. `why` is for the audit, at most 1,000 bytes. While the
    /// shard's link to a coordinator is up that one decides, unless `force` is set.
    ///
    /// # Errors
    /// [`Error::Aborted`] if it is not in doubt there, or an operator is not needed, or the
    /// shard can remember no more of this; [`Error::Denied`] if we may not, and
    /// [`Error::Unavailable`] if the shard can not be reached; it may have been done then.
    pub async fn resolve(
        &self,
        shard: ShardId,
        txn: TxnId,
        commit: bool,
        why: &str,
        force: bool,
    ) -> Result<(), Error> {
        let why = why.to_owned();
        let request = DataRequest::Resolve { txn, commit, by: None, why, force };
        match self.ask_shard(shard, request).await? {
            DataReply::Done => Ok(()),
            _ => Err(Error::protocol()),
        }
    }

    /// The last decisions of operators on a shard, oldest first, and how those
    /// transactions really ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn resolutions(&self, shard: ShardId) -> Result<Vec<Resolution>, Error> {
        match self.ask_shard(shard, DataRequest::Resolutions).await? {
            DataReply::Resolutions { list } => {
                List::read(&list).collect::<Result<_, _>>().map_err(|_| Error::protocol())
            }
            _ => Err(Error::protocol()),
        }
    }

    /// The transactions that are being committed, page by page, as the coordinator
    /// sees them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn commits(
        &self,
        after: Option<TxnId>,
        limit: u32,
    ) -> Result<TxnPage<Commit>, Error> {
        match self.shared.ask_patiently(ClientRequest::Commits { after, limit }).await? {
            ClientReply::Commits { resume, commits } => {
                let rows: Result<_, _> = List::read(&commits).collect();
                Ok(TxnPage { rows: rows.map_err(|_| Error::protocol())?, resume })
            }
            _ => Err(Error::protocol()),
        }
    }

    /// How far the commit of a transaction is; none if it is not being committed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the coordinator can not be reached.
    pub async fn commit_of(&self, txn: TxnId) -> Result<Option<Commit>, Error> {
        match self.shared.ask_patiently(ClientRequest::CommitOf { txn }).await? {
            ClientReply::CommitOf(found) => Ok(found.map(|found| *found)),
            _ => Err(Error::protocol()),
        }
    }

    /// Makes shards reachable that the coordinator was not asked about.
    pub fn learn_shards<'a>(&self, shards: impl IntoIterator<Item = (ShardId, &'a str)>) {
        for (shard, address) in shards {
            self.shared.net.learn(Peer::Shard(shard), address);
        }
    }

    async fn ask_shard(&self, shard: ShardId, request: DataRequest) -> Result<DataReply, Error> {
        let to = Peer::Shard(shard);
        let reply = self.shared.net.request(to, request.into()).await;
        match reply.map_err(|_| self.shared.unreachable(to))? {
            Message::DataReply(DataReply::Refused(reason)) => Err(Error::from_reason(reason, None)),
            Message::DataReply(reply) => Ok(reply),
            _ => Err(Error::protocol()),
        }
    }
}
