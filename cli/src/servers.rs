//! The servers of this process: started together, watched, stopped together.

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use synod_common::driver::runner::ServerError;
use synod_coordinator::server as coordinator;
use synod_shard::server as shard;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Admin;
use crate::{chaos, connect};

/// How often servers are looked at until all are ready.
const LOOK: Duration = Duration::from_millis(2);
/// How long until it is said what they wait for.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server to be started.
pub enum Plan {
    /// A coordinator.
    Coordinator(Box<coordinator::ServerConfig>),
    /// A shard.
    Shard(Box<shard::ServerConfig>),
}

/// A server that runs.
pub enum Running {
    /// A coordinator, by name.
    Coordinator(String, coordinator::Server),
    /// A shard, by name.
    Shard(String, shard::Server),
}

impl Plan {
    fn start(self) -> Result<Running, ServerError> {
        match self {
            Plan::Coordinator(config) => {
                let name = config.name.clone();
                Ok(Running::Coordinator(name, coordinator::Server::start(*config)?))
            }
            Plan::Shard(config) => {
                let name = config.name.clone();
                Ok(Running::Shard(name, shard::Server::start(*config)?))
            }
        }
    }
}

impl Running {
    fn address(&self) -> SocketAddr {
        match self {
            Running::Coordinator(_, server) => server.address(),
            Running::Shard(_, server) => server.address(),
        }
    }

    /// Whether it serves.
    pub fn is_ready(&self) -> bool {
        match self {
            Running::Coordinator(_, server) => server.is_ready(),
            Running::Shard(_, server) => server.is_ready(),
        }
    }

    async fn failed(&self) -> ServerError {
        match self {
            Running::Coordinator(_, server) => server.failed().await,
            Running::Shard(_, server) => server.failed().await,
        }
    }

    fn stop(self) -> Result<(), ServerError> {
        match self {
            Running::Coordinator(_, server) => server.stop(),
            Running::Shard(_, server) => server.stop(),
        }
    }
}

/// The servers of this process.
pub struct Servers(Vec<Running>);

impl Servers {
    /// Starts all of them, each recovering on a thread of its own.
    ///
    /// # Errors
    /// If one can not start; the others are stopped again.
    pub fn start(plans: Vec<Plan>) -> Result<Servers, ServerError> {
        let started: Vec<Result<Running, ServerError>> = thread::scope(|scope| {
            let starting: Vec<_> =
                plans.into_iter().map(|plan| scope.spawn(|| plan.start())).collect();
            starting
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| panicked()))
                .collect()
        });
        let mut running = Vec::new();
        let mut failure = None;
        for result in started {
            match result {
                Ok(server) => running.push(server),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let servers = Servers(running);
        match failure {
            None => Ok(servers),
            Some(error) => {
                let _ = servers.stop();
                Err(error)
            }
        }
    }

    /// Whether all of them serve.
    pub fn are_ready(&self) -> bool {
        self.0.iter().all(Running::is_ready)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Running> {
        self.0.iter()
    }

    /// Where those are that others ask for: the coordinators, or a shard that is alone.
    fn addresses(&self) -> Vec<SocketAddr> {
        let is_coordinator =
            |server: &&Running| matches!(server, Running::Coordinator(..)) || self.0.len() == 1;
        self.0.iter().filter(is_coordinator).map(Running::address).collect()
    }

    async fn until_ready(&self) {
        let began = Instant::now();
        let mut said = false;
        while !self.are_ready() {
            tokio::time::sleep(LOOK).await;
            if !said && began.elapsed() > PATIENCE {
                said = true;
                self.say_what_is_missing();
            }
        }
    }

    fn say_what_is_missing(&self) {
        for server in self.0.iter().filter(|server| !server.is_ready()) {
            match server {
                Running::Coordinator(name, _) => {
                    eprintln!("{name} waits for its shards to join, or for others of its group");
                }
                Running::Shard(name, _) => eprintln!("{name} waits for a coordinator that leads"),
            }
        }
    }

    /// Waits until one of them has stopped by itself.
    async fn failed(&self) -> ServerError {
        let mut watched: Vec<Pin<Box<dyn Future<Output = ServerError> + '_>>> = Vec::new();
        for server in &self.0 {
            watched.push(Box::pin(server.failed()));
        }
        poll_fn(|cx| {
            let ended = watched.iter_mut().find_map(|server| match server.as_mut().poll(cx) {
                Poll::Ready(error) => Some(error),
                Poll::Pending => None,
            });
            ended.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Stops all of them at once.
    ///
    /// # Errors
    /// If one could not close its log; the first such.
    pub fn stop(self) -> Result<(), ServerError> {
        let results: Vec<Result<(), ServerError>> = thread::scope(|scope| {
            let stopping: Vec<_> =
                self.0.into_iter().map(|server| scope.spawn(|| server.stop())).collect();
            stopping
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| panicked()))
                .collect()
        });
        results.into_iter().collect()
    }
}

fn panicked<T>() -> Result<T, ServerError> {
    Err(ServerError::Stopped { name: "a server".to_owned(), error: "panicked; a bug".to_owned() })
}

/// Runs one server until it is told to stop.
///
/// # Errors
/// If it can not start, or had to stop.
pub fn run_one(plan: Plan, admin: Option<SocketAddr>) -> Result<ExitCode> {
    run(vec![plan], admin, || Ok(()))
}

/// Runs servers until the process is told to stop. The READY line names the coordinators
/// among them, or a shard that is alone.
///
/// # Errors
/// If one can not start, or had to stop.
pub fn run(
    plans: Vec<Plan>,
    admin: Option<SocketAddr>,
    on_ready: impl FnOnce() -> Result<()>,
) -> Result<ExitCode> {
    chaos::warn();
    let runtime = connect::runtime()?;
    let admin = admin.map(|address| runtime.block_on(Admin::bind(address))).transpose()?;
    let servers = std::sync::Arc::new(Servers::start(plans)?);
    let result = runtime.block_on(async {
        let mut stop = Stop::new()?;
        let shown = admin.as_ref().map(Admin::address);
        if let Some(admin) = admin {
            tokio::spawn(admin.serve(std::sync::Arc::clone(&servers)));
        }
        tokio::select! {
            () = servers.until_ready() => {}
            error = servers.failed() => return Err(error.into()),
            () = stop.asked() => return Ok(()),
        }
        on_ready()?;
        ready(&servers.addresses(), shown)?;
        tokio::select! {
            error = servers.failed() => Err(anyhow::Error::new(error)),
            () = stop.asked() => Ok(()),
        }
    });
    // Ends the admin server, so that nobody else holds the servers.
    drop(runtime);
    let stopped = std::sync::Arc::into_inner(servers).map_or(Ok(()), Servers::stop);
    result?;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

fn ready(addresses: &[SocketAddr], admin: Option<SocketAddr>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    write!(out, "READY synod://{}", addresses.join(","))?;
    if let Some(admin) = admin {
        write!(out, " http://{admin}")?;
    }
    writeln!(out)?;
    out.flush()
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Stop> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Stop { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        eprintln!("stopping");
    }
}
