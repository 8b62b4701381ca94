//! Asking the servers, each by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use synod_client::{Client, Commit, Error, Holds, Resolution, ShardId};
use synod_client::{ShardTxn, TxnId, TxnPage};
use tokio::task::JoinSet;

use super::Seen;
use crate::connect::Connected;
use crate::coordinators;
use crate::waits::age_ms;

/// A server that has not answered after this long is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who can be asked.
#[derive(Debug)]
pub struct Servers {
    /// Whether the coordinator answers; of a group, the one that leads.
    pub coordinator: bool,
    /// The shards whose addresses are known.
    pub shards: BTreeSet<ShardId>,
    /// Who does not answer, and why.
    pub silent: Vec<(String, String)>,
    /// Whether there are several coordinators, as far as is known.
    pub of_group: bool,
}

/// Which transactions are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Only those that are in doubt on a shard.
    pub in_doubt: bool,
    /// Only those that began so long ago.
    pub older_than_ms: u64,
    /// So many of each server at most.
    pub limit: usize,
}

/// Transactions of all servers.
#[derive(Debug, Default)]
pub struct Found {
    /// By name.
    pub txns: BTreeMap<TxnId, Seen>,
    /// Whether there are more.
    pub more: bool,
}

impl Servers {
    /// Asks the coordinators which shards there are. `named` are known without it, and
    /// where they are is believed before what those say.
    ///
    /// # Errors
    /// If we may not ask, or nobody says where any shard is.
    pub async fn find(db: &Connected, named: &[(ShardId, String)]) -> Result<Servers> {
        let mut shards: BTreeSet<ShardId> = named.iter().map(|(shard, _)| *shard).collect();
        let mut of_group = db.addresses.len() > 1;
        let found = match coordinators::ask(&db.client, &db.addresses).await {
            Ok(found) => found,
            Err(error @ (Error::Denied(_) | Error::Corrupt(_))) => return Err(error.into()),
            Err(error) if shards.is_empty() => bail!(
                "the coordinator does not say where the shards are: {error}; \
                 name them with --shard s1=HOST:PORT"
            ),
            Err(error) => {
                let silent = vec![("the coordinator".to_owned(), error.to_string())];
                return Ok(Servers { coordinator: false, shards, silent, of_group });
            }
        };
        let placed = &found.newest.placement.shards;
        let others = placed.iter().filter(|shard| !shards.contains(&shard.id));
        db.client.learn_shards(others.map(|shard| (shard.id, &*shard.address)));
        shards.extend(placed.iter().map(|shard| shard.id));
        let leaderless = ("the coordinator".to_owned(), "none of the group leads".to_owned());
        let silent = if found.is_led() { Vec::new() } else { vec![leaderless] };
        of_group |= found.rows.len() > 1;
        Ok(Servers { coordinator: found.is_led(), shards, silent, of_group })
    }

    /// Up to `limit` transactions of each server.
    pub async fn list(&mut self, client: &Client, wanted: Wanted) -> Found {
        let Wanted { in_doubt, older_than_ms, limit } = wanted;
        let old_enough = move |row: &ShardTxn| is_older(age_ms(row.age), older_than_ms);
        let mut shards = JoinSet::new();
        for &shard in &self.shards {
            let client = client.clone();
            shards.spawn(async move {
                let page =
                    async |after, limit| client.shard_txns(shard, after, in_doubt, limit).await;
                (shard, patiently(pages(limit, page, old_enough)).await)
            });
        }
        let mut found = Found::default();
        let commits = match self.coordinator {
            true => {
                let page = async |after, limit| client.commits(after, limit).await;
                // One that is young to the coordinator may be old on its shards.
                patiently(pages(limit, page, |_: &Commit| true)).await
            }
            false => Ok((Vec::new(), false)),
        };
        for (shard, answer) in in_order(shards).await {
            if let Some((rows, more)) = self.heard(shard.to_string(), answer) {
                found.more |= more;
                rows.into_iter().for_each(|row| found.add_shard(shard, row));
            }
        }
        if let Some((rows, more)) = self.heard("the coordinator".to_owned(), commits) {
            found.more |= more;
            rows.into_iter().for_each(|row| found.add_commit(row, in_doubt));
        }
        found.txns.retain(|_, seen| is_older(seen.age_ms(), older_than_ms));
        found.txns.values_mut().for_each(|seen| seen.of_group = self.of_group);
        found
    }

    /// All about one transaction, with up to `locks` of its locks on each shard; none
    /// if nobody who answers knows it.
    pub async fn show(&mut self, client: &Client, txn: TxnId, locks: u32) -> Option<Seen> {
        let mut shards = JoinSet::new();
        for &shard in &self.shards {
            let client = client.clone();
            shards.spawn(
                async move { (shard, patiently(client.shard_txn(shard, txn, locks)).await) },
            );
        }
        let mut seen = Seen { of_group: self.of_group, ..Seen::new(txn) };
        if self.coordinator {
            let commit: Result<Option<Commit>, Error> = patiently(client.commit_of(txn)).await;
            seen.commit = self.heard("the coordinator".to_owned(), commit).flatten();
        }
        for (shard, answer) in in_order(shards).await {
            let answer: Option<Option<(ShardTxn, Holds)>> = self.heard(shard.to_string(), answer);
            if let Some((row, holds)) = answer.flatten() {
                seen.shards.push((shard, row));
                seen.holds.push((shard, holds));
            }
        }
        Some(seen).filter(|seen| seen.commit.is_some() || !seen.shards.is_empty())
    }

    /// What operators have decided, shard by shard.
    pub async fn resolutions(&mut self, client: &Client) -> Vec<(ShardId, Resolution)> {
        let mut shards = JoinSet::new();
        for &shard in &self.shards {
            let client = client.clone();
            shards.spawn(async move { (shard, patiently(client.resolutions(shard)).await) });
        }
        let mut all = Vec::new();
        for (shard, answer) in in_order(shards).await {
            let known = self.heard(shard.to_string(), answer).unwrap_or_default();
            all.extend(known.into_iter().map(|known| (shard, known)));
        }
        all
    }

    /// The answer of a server, or else that there is none.
    fn heard<T>(&mut self, server: String, answer: Result<T, Error>) -> Option<T> {
        answer.map_err(|error| self.silent.push((server, error.to_string()))).ok()
    }
}

impl Found {
    fn add_shard(&mut self, shard: ShardId, row: ShardTxn) {
        let seen = self.txns.entry(row.txn).or_insert_with(|| Seen::new(row.txn));
        seen.shards.push((shard, row));
    }

    /// `known` leaves out what no shard has told of.
    fn add_commit(&mut self, row: Commit, known: bool) {
        if known && !self.txns.contains_key(&row.txn) {
            return;
        }
        let seen = self.txns.entry(row.txn).or_insert_with(|| Seen::new(row.txn));
        seen.commit = Some(row);
    }
}

/// Waits for an answer, but not for ever.
async fn patiently<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || Error::Unavailable("it does not answer".to_owned());
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(late()))
}

/// Whether something began so long ago. Of what nobody knows it may have.
fn is_older(age_ms: Option<u64>, than_ms: u64) -> bool {
    age_ms.is_none_or(|age| age >= than_ms)
}

/// Up to `limit` rows that are wanted, page by page, and whether there are more.
async fn pages<T, F>(
    limit: usize,
    page: impl Fn(Option<TxnId>, u32) -> F,
    is_wanted: impl Fn(&T) -> bool,
) -> Result<(Vec<T>, bool), Error>
where
    F: Future<Output = Result<TxnPage<T>, Error>>,
{
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let left = u32::try_from(limit - rows.len()).unwrap_or(u32::MAX);
        let page = page(after, left).await?;
        rows.extend(page.rows.into_iter().filter(|row| is_wanted(row)));
        match page.resume {
            None => return Ok((rows, false)),
            Some(_) if rows.len() >= limit => return Ok((rows, true)),
            resume => after = resume,
        }
    }
}

async fn in_order<T: 'static>(answers: JoinSet<(ShardId, T)>) -> BTreeMap<ShardId, T> {
    answers.join_all().await.into_iter().collect()
}
