//! Runs of real clusters: clients that work, faults that are injected, and what all of
//! them saw written down and judged.
//!
//! ```text
//!   clients ──▶ workload ──▶ synod-client ──▶ cluster of processes ◀── nemeses
//!      └────────── what they asked and were told ──▶ history.edn ◀──┘ what took effect
//!                                                        │
//!                                                  the checker, which reads what was
//!                                                  written, as it would anybody's
//!
//!   │ set up │ work, with faults │ heal │ until writes go on │ ask what is in doubt, read all │
//! ```
//!
//! One thread: what is recorded first happened first. A client that can not learn the
//! outcome of its operation leaves it open and goes on under another number. When all is
//! healed the harness asks for each such outcome, as a program would after a restart: what
//! is told then ends the operation, with `ok` or `fail`, so that the checker judges these
//! answers like all others. An outcome that is still not known, a server that ended by
//! itself, and a cluster that does not recover are failures of their own.
//!
//! What is deliberately absent: nothing is asked but through the shipped client, and there
//! is no second model of what the database should do. That is the checker's.

mod conductor;
mod end;
mod recorder;
mod run;
mod settings;
mod site;
pub mod suite;
mod work;

pub use self::recorder::Recorder;
pub use self::run::{HISTORY, JUNIT, PAGE, RESULTS, run};
pub use self::settings::{Breaker, Settings};
pub use self::site::Remote;
