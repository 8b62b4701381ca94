//! Checkers for histories of databases, on any database's history; and, with the feature
//! `runner`, a harness that makes some: it runs clusters of Synod under faults.
//!
//! ```text
//!   history ──▶ checker of a model ──▶ Finding: valid, invalid, or unknown and why
//!   (what clients did,     │
//!    and were told)        ├─ one object, many operations: is it linearizable?
//!                          ├─ transactions: which anomalies, which levels are broken?
//!                          └─ sums, sets, queues: does the model itself hold?
//! ```
//!
//! A verdict is never guessed. *Invalid* comes with what shows it. *Valid* means that an
//! order was found in which everything is explained, or that no anomaly can be there.
//! When neither could be shown within the time and the memory that were given, or when
//! the history does not tell enough, it is *unknown*, with the reason.
//!
//! ```
//! use synod_jepsen::{Budget, Format, Options, Verdict, check_text};
//!
//! let history = "{:type :invoke :process 0 :f :write :value 1}
//!                {:type :ok     :process 0 :f :write :value 1}
//!                {:type :invoke :process 1 :f :read  :value nil}
//!                {:type :ok     :process 1 :f :read  :value nil}";
//! let options = Options::new("register").unwrap();
//! let finding = check_text(history, &options, &mut Budget::unlimited()).unwrap();
//! assert_eq!(finding.verdict, Verdict::Invalid); // the write was done before the read began
//! ```

pub mod budget;
pub mod checker;
pub mod history;
pub mod level;
mod markup;
#[cfg(feature = "runner")]
pub mod nemesis;
#[cfg(feature = "runner")]
pub mod progress;
pub mod report;
#[cfg(feature = "runner")]
pub mod runner;
#[cfg(feature = "runner")]
pub mod workload;

pub use budget::Budget;
pub use checker::{Anomaly, Finding, Options, Verdict, check, check_text};
pub use history::{Format, Malformed};
pub use level::Level;
