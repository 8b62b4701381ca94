//! The admin port: metrics and health over HTTP.
//!
//! * `/metrics` what the servers of this process have counted, for Prometheus
//! * `/livez` 200 while the process runs
//! * `/readyz` 200 when all its servers serve, 503 before

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use synod_common::driver::log::LogCounters;
use synod_common::driver::stats;
use synod_common::refusal::Refusal;
use synod_common::time::Timestamp;
use synod_coordinator::Counts;
use tokio::net::TcpListener;

use crate::chaos;
use crate::servers::{Running, Servers};
use crate::waits::age_ms;

/// The admin port, open but not yet answering.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Opens the port.
    ///
    /// # Errors
    /// If it can not be had.
    pub async fn bind(address: SocketAddr) -> Result<Admin> {
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow!(
                "{address} (admin) is in use by another process; stop it, or choose another port"
            ),
            _ => anyhow!("can not listen on {address} (admin): {error}"),
        })?;
        let address = listener.local_addr().unwrap_or(address);
        Ok(Admin { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for the servers of this process.
    pub async fn serve(self, servers: Arc<Servers>) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let chaos = chaos::routes(&servers);
        let shown = Arc::new(Shown { servers, handle: recorder.handle(), recorder });
        let routes = Router::new()
            .route("/metrics", get(show_metrics))
            .route("/livez", get(async || "live\n"))
            .route("/readyz", get(show_readiness))
            .with_state(shown)
            .merge(chaos);
        if let Err(error) = axum::serve(self.listener, routes).await {
            tracing::error!(%error, "the admin port has failed");
        }
    }
}

struct Shown {
    servers: Arc<Servers>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

async fn show_readiness(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    match shown.servers.are_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
    }
}

async fn show_metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    metrics::with_local_recorder(&shown.recorder, || {
        for server in shown.servers.iter() {
            export(server);
        }
    });
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shown.handle.render())
}

/// Brings the recorder up to what a server has counted.
fn export(server: &Running) {
    match server {
        Running::Coordinator(name, server) => {
            let status = server.status();
            let is = status.core;
            ready(name, server.is_ready());
            total("synod_commits_begun_total", name, is.begun);
            totals("synod_committed_total", name, &is.committed);
            totals("synod_aborted_total", name, &is.aborted);
            level("synod_commits_in_progress", name, is.in_progress);
            for (protocol, count) in is.under_way.iter() {
                let labels = [("server", name.clone()), ("protocol", protocol)];
                gauge!("synod_commits_under_way", &labels).set(count as f64);
            }
            level("synod_sessions", name, is.sessions);
            level("synod_outcome_blocks", name, is.outcome_blocks);
            level("synod_leads", name, u64::from(is.leads));
            level("synod_epoch", name, u64::from(is.epoch));
            total("synod_deadlocks_total", name, is.deadlocks);
            total("synod_deadlocks_dissolved_total", name, is.dissolved);
            export_log(name, &status.log);
            export_net(name, &status.net);
        }
        Running::Shard(name, server) => {
            let status = server.status();
            let is = status.core;
            ready(name, server.is_ready());
            total("synod_committed_total", name, is.committed);
            total("synod_aborted_total", name, is.aborted);
            total("synod_deadlocks_total", name, is.deadlocks);
            total("synod_lock_timeouts_total", name, is.lock_timeouts);
            total("synod_learned_from_peers_total", name, is.learned_from_peers);
            total("synod_checkpoints_total", name, is.checkpoints);
            for (vote, count) in [("yes", is.in_doubt), ("read", is.read_in_doubt)] {
                let labels = [("server", name.clone()), ("vote", vote.to_owned())];
                gauge!("synod_in_doubt", &labels).set(count as f64);
            }
            age("synod_in_doubt_oldest_seconds", name, is.oldest_in_doubt);
            level("synod_heuristic_mixed", name, is.mixed);
            level("synod_keys", name, is.keys);
            level("synod_locks", name, is.locks);
            level("synod_lock_waits", name, is.waiting);
            export_log(name, &status.log);
            export_net(name, &status.net);
        }
    }
}

fn export_log(name: &str, log: &LogCounters) {
    total("synod_log_batches_total", name, read(&log.batches));
    total("synod_log_records_total", name, read(&log.records));
    total("synod_log_bytes_total", name, read(&log.bytes));
    total("synod_log_syncs_total", name, read(&log.syncs));
    total("synod_log_busy_microseconds_total", name, read(&log.busy_us));
}

fn export_net(name: &str, net: &stats::Stats) {
    total("synod_batches_total", name, read(&net.batches));
    total("synod_messages_in_total", name, read(&net.messages_in));
    total("synod_messages_out_total", name, read(&net.messages_out));
    total("synod_commit_messages_out_total", name, read(&net.commit_messages_out));
    total("synod_log_forced_total", name, read(&net.forced));
    total("synod_messages_dropped_total", name, read(&net.messages_dropped));
    for why in Refusal::ALL {
        let refused = counter!("synod_messages_refused_total", "server" => name.to_owned(), "reason" => why.name());
        refused.absolute(read(net.messages_refused(why)));
    }
    total("synod_bytes_in_total", name, read(&net.bytes_in));
    total("synod_bytes_out_total", name, read(&net.bytes_out));
    total("synod_links_up_total", name, read(&net.links_up));
    total("synod_links_down_total", name, read(&net.links_down));
    total("synod_connections_refused_total", name, read(&net.refused));
    total("synod_core_microseconds_total", name, read(&net.core_us));
}

fn read(value: &AtomicU64) -> u64 {
    value.load(Ordering::Relaxed)
}

fn ready(server: &str, is: bool) {
    level("synod_ready", server, u64::from(is));
}

fn total(metric: &'static str, server: &str, value: u64) {
    counter!(metric, "server" => server.to_owned()).absolute(value);
}

/// By the protocols that commits choose.
fn totals(metric: &'static str, server: &str, counts: &Counts) {
    for (protocol, count) in counts.iter() {
        counter!(metric, "server" => server.to_owned(), "protocol" => protocol).absolute(count);
    }
}

/// How long ago a timestamp was, at this moment; zero if there is none.
fn age(metric: &'static str, server: &str, since: Timestamp) {
    let ms = age_ms(since).unwrap_or(0);
    gauge!(metric, "server" => server.to_owned()).set(ms as f64 / 1_000.0);
}

fn level(metric: &'static str, server: &str, value: u64) {
    gauge!(metric, "server" => server.to_owned()).set(value as f64);
}
