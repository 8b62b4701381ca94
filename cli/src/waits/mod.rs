//! Locks and waits of the whole cluster, for people: as a list, as a drawing in text,
//! as an SVG.
//!
//! The shards are asked one page after the other while work goes on, so what is shown
//! was never exactly so: a wait may have ended on one shard when the next one is
//! asked. What deadlock detection goes by is in `coordinator/src/deadlock`.

pub mod graph;
pub mod svg;
pub mod text;

use std::time::Duration;

use anyhow::Result;
pub use synod_cli::age::age_ms;
use synod_client::{LockPlace, LockRow, ShardId};

use crate::connect::Connected;

/// A shard that has not answered after this long is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rows of all shards.
#[derive(Debug, Default)]
pub struct Locks {
    /// Shard by shard: keys in order, then ranges.
    pub rows: Vec<(ShardId, LockRow)>,
    /// Whether there are more.
    pub more: bool,
    /// Shards that did not answer.
    pub silent: Vec<ShardId>,
}

/// Asks every shard for up to `limit` rows.
///
/// # Errors
/// If the coordinator does not say which shards there are.
pub async fn ask(db: &Connected, contended: bool, limit: usize) -> Result<Locks> {
    let mut locks = Locks::default();
    for shard in db.client.status().await?.placement.shards {
        let asking = ask_shard(db, shard.id, contended, limit);
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok((rows, more))) => {
                locks.rows.extend(rows.into_iter().map(|row| (shard.id, row)));
                locks.more |= more;
            }
            Ok(Err(_)) | Err(_) => locks.silent.push(shard.id),
        }
    }
    Ok(locks)
}

async fn ask_shard(
    db: &Connected,
    shard: ShardId,
    contended: bool,
    limit: usize,
) -> Result<(Vec<LockRow>, bool)> {
    let mut rows = Vec::new();
    let mut after: Option<LockPlace> = None;
    loop {
        let left = u32::try_from(limit - rows.len()).unwrap_or(u32::MAX);
        let page = db.client.locks(shard, after, contended, left).await?;
        rows.extend(page.rows);
        match page.resume {
            None => return Ok((rows, false)),
            Some(_) if rows.len() >= limit => return Ok((rows, true)),
            resume => after = resume,
        }
    }
}

/// A span of time, as short as it can be said.
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans_are_short() {
        let said = [5, 1_250, 119_999, 120_000].map(super::span);
        assert_eq!(said, ["5 ms", "1.2 s", "119.9 s", "2 min"]);
    }
}
