//! The world outside the cores: files, threads, the network.

pub mod files;
pub mod log;
