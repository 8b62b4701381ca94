//! shard

pub mod lock;
pub mod mvcc;
