//! The client of Synod: ACID transactions over keys, without SQL.
//!
//! ```no_run
//! # async fn example(credentials: synod_client::Credentials) -> Result<(), synod_client::Error> {
//! let db = synod_client::Client::connect("synod://127.0.0.1:7400", credentials).await?;
//! let left = db
//!     .transact(async |tx| {
//!         let from: u64 = tx.get_for_update("acct/alice").await?.decode()?;
//!         let to: u64 = tx.get_for_update("acct/bob").await?.decode()?;
//!         tx.put("acct/alice", &(from - 10))?;
//!         tx.put("acct/bob", &(to + 10))?;
//!         Ok(from - 10)
//!     })
//!     .await?;
//! println!("alice has {left} left");
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!   Client ── session ── the lease under which locks are held, and the map
//!     │      and who leads the coordinators
//!     ├── Txn       reads and locks go straight to the shards; writes wait here
//!     │             and travel with COMMIT, to the coordinator
//!     └── Snapshot  reads at one timestamp on all shards, without locks
//! ```
//!
//! A transaction is strictly serializable unless it asks for less ([`Isolation`]).
//! What can be concluded from an error
//! is in its type: see [`Error`].
//!
//! The logic knows nothing of sockets; it is written against [`net::Net`], which
//! QUIC, the embedded cluster and the simulator implement.

mod client;
mod commit;
mod coordinators;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
mod isolation;
mod key;
mod locking;
mod mutant;
pub mod net;
mod options;
mod quic;
mod range;
mod read;
mod reads;
mod retry;
mod savepoint;
mod scan;
mod session;
mod snapshot;
mod timestamps;
mod txn;
mod txns;
mod value;
mod view;
mod workspace;

pub use client::{Client, LockPage};
pub use error::{Error, Refusal};
pub use isolation::{BadIsolation, Isolation};
pub use key::{AsKey, KeyTuple};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use options::Options;
pub use quic::Credentials;
pub use range::{AsRange, prefix};
pub use read::{Get, GetMany, Lock};
pub use savepoint::Savepoint;
pub use scan::{Row, Scan};
pub use snapshot::Snapshot;
pub use synod_common::commit::{BadProtocol, Phase, Protocol, Stable, Verdict};
pub use synod_common::deadlock::{
    Cause, Deadlock, Handling, Happened, Scheme, Shown, Step, Target, VictimPolicy,
};
pub use synod_common::error::Reason;
pub use synod_common::id::{SessionId, ShardId, TxnId};
pub use synod_common::key::{Escaped, Key, KeyRange};
pub use synod_common::limits;
pub use synod_common::message::client::{CoordinatorStatus, Outcome};
pub use synod_common::message::data::{
    LockHolder, LockPlace, LockRow, LockWaiter, ReadMode as LockMode, ShardStatus,
};
pub use synod_common::message::txns::{
    Commit, CommitStage, Holds, Resolution, ShardStage, ShardTxn,
};
pub use synod_common::time::Timestamp;
pub use txn::{Answer, Committed, Txn};
pub use txns::TxnPage;
pub use value::Value;
