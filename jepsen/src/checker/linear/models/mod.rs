//! The objects that are known by name. Models stand alone: each says what its operations
//! are and what they do, and nothing else.

mod bags;
mod kv;
mod multi;
mod mutex;
mod register;
mod sum;

pub use bags::{fifo_queue, queue, set};
pub use kv::kv;
pub use multi::multi_register;
pub use mutex::mutex;
pub use register::{cas_register, register};
pub use sum::counter;
