//! What the transactions cost: CPU, fsyncs, messages.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use synod_cluster::{LocalCluster, Usage};

use crate::report::round;

/// Names of the servers' counters.
const FSYNCS: &str = "synod_log_syncs_total";
const MESSAGES: &str = "synod_messages_out_total";
const COMMIT_MESSAGES: &str = "synod_commit_messages_out_total";
const FORCED: &str = "synod_log_forced_total";

/// How this process is called among the others.
const SELF: &str = "bench";

/// What the processes have used since they began.
#[derive(Debug)]
pub(crate) struct Counters {
    cpu: BTreeMap<String, Duration>,
    /// Resident memory of the servers, in bytes.
    rss: BTreeMap<String, u64>,
    fsyncs: BTreeMap<String, f64>,
    messages: BTreeMap<String, f64>,
    commit_messages: BTreeMap<String, f64>,
    forced: BTreeMap<String, f64>,
}

/// What one transaction costs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// Fsyncs by server.
    pub fsyncs: BTreeMap<String, f64>,
    /// Messages sent, by server.
    pub messages: BTreeMap<String, f64>,
    /// Those of them that are of commit protocols.
    pub commit_messages: BTreeMap<String, f64>,
    /// Records that had to be durable before something was told, by server.
    pub forced: BTreeMap<String, f64>,
    /// Microseconds of CPU by process, the clients' included.
    pub cpu_us: BTreeMap<String, f64>,
    /// Resident memory at the end, by server, in bytes: of all, not of one transaction.
    pub rss: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads the counters of all servers, if they are ours.
    pub(crate) async fn read(cluster: Option<&LocalCluster>) -> Result<Option<Counters>> {
        let (mut cpu, mut rss) = (BTreeMap::new(), BTreeMap::new());
        if let Some(own) = Usage::own() {
            cpu.insert(SELF.to_owned(), own.cpu);
        }
        let Some(cluster) = cluster else { return Ok(None) };
        let mut counters: [BTreeMap<String, f64>; 4] = Default::default();
        for name in cluster.names() {
            if let Some(usage) = cluster.usage(name) {
                cpu.insert(name.to_string(), usage.cpu);
                rss.insert(name.to_string(), usage.rss_bytes);
            }
            let metrics = cluster.metrics(name).await?;
            let metrics_of = [FSYNCS, MESSAGES, COMMIT_MESSAGES, FORCED];
            for (metric, values) in metrics_of.iter().zip(&mut counters) {
                if let Some(value) = metrics.value(metric) {
                    values.insert(name.to_string(), value);
                }
            }
        }
        let [fsyncs, messages, commit_messages, forced] = counters;
        Ok(Some(Counters { cpu, rss, fsyncs, messages, commit_messages, forced }))
    }
}

impl Cost {
    pub(crate) fn between(
        before: Option<Counters>,
        after: Option<Counters>,
        txns: f64,
    ) -> Option<Cost> {
        let (before, after) = (before?, after?);
        let txns = txns.max(1.0);
        let rate = |before: &BTreeMap<String, f64>, after: BTreeMap<String, f64>| {
            let each = after.into_iter().filter_map(|(name, value)| {
                let spent = value - before.get(&name)?;
                Some((name, round(spent / txns)))
            });
            each.collect()
        };
        let micros = |cpu: BTreeMap<String, Duration>| -> BTreeMap<String, f64> {
            cpu.into_iter().map(|(name, cpu)| (name, cpu.as_micros() as f64)).collect()
        };
        Some(Cost {
            fsyncs: rate(&before.fsyncs, after.fsyncs),
            messages: rate(&before.messages, after.messages),
            commit_messages: rate(&before.commit_messages, after.commit_messages),
            forced: rate(&before.forced, after.forced),
            cpu_us: rate(&micros(before.cpu), micros(after.cpu)),
            rss: after.rss,
        })
    }

    pub(crate) fn total(values: &BTreeMap<String, f64>) -> Option<f64> {
        (!values.is_empty()).then(|| round(values.values().sum()))
    }

    /// Fsyncs of the busiest log.
    pub(crate) fn fsyncs_of_one_log(&self) -> Option<f64> {
        self.fsyncs.values().copied().reduce(f64::max)
    }
}
