//! What must hold, one statement per file. The numbers are those of the list of
//! invariants that the protocols were designed against; each file opens with its
//! statement.
//!
//! | file            | checks    | when                                             |
//! |-----------------|-----------|--------------------------------------------------|
//! | `agreement`     | I1        | a record becomes durable                         |
//! | `votes`         | I2        | the coordinator writes a decision                |
//! | `decision`      | I3        | a commit timestamp is written or sent            |
//! | `promise`       | I4        | a client is told                                 |
//! | `once`          | I5        | a record becomes durable                         |
//! | `force`         | I6, I19   | a message leaves                                 |
//! | `forgetting`    | I7        | the coordinator writes that a commit has ended   |
//! | `reinstated`    | I9        | a shard has recovered                            |
//! | `sites`         | I11, I12  | the state of a site becomes durable              |
//! | `paxos`         | I13, I14  | an acceptance becomes durable; a commit is known |
//! | `grants`        | I16       | now and then, and after every restart            |
//! | `cover`         | I17       | a shard answers a read                           |
//! | `deadlocks`     | I18       | the coordinator asks or breaks; after the faults |
//! | `strict`        | I20 – I22 | at the end, over the whole history               |
//! | `safe_point`    | I23       | after every event of a server                    |
//! | `drain`         | I24       | after the faults have ended                      |
//! | `never_blocked` | I25       | while some servers are gone                      |
//! | `sum`           | I27       | at the end, for every snapshot and full scan     |
//! | `heuristic`     | I31       | an operator's decision becomes durable; at the end |
//! | `implicit`      | I32       | the coordinator writes a decision                |
//!
//! Besides these, every assertion of the cores is one.

pub mod agreement;
pub mod cover;
pub mod deadlocks;
pub mod decision;
pub mod drain;
pub mod force;
pub mod forgetting;
pub mod grants;
pub mod heuristic;
pub mod implicit;
pub mod never_blocked;
pub mod once;
pub mod paxos;
pub mod promise;
pub mod reinstated;
pub mod safe_point;
pub mod sites;
pub mod strict;
pub mod sum;
pub mod votes;

/// Fine, or what is violated.
pub type Check = Result<(), String>;
