//! shard

pub mod mvcc;
