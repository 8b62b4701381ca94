//! How fast is a link? An echo node on a host of its own, one client, both on
//! loopback with mutual TLS, each on a thread with a current-thread runtime.
//!
//! ```text
//! cargo run --release -p synod-common --features driver --example net_throughput -- [in_flight] [seconds] [folder for a log]
//! ```

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_common::driver::authority::Authority;
use synod_common::driver::close::{CloseCode, CloseReason};
use synod_common::driver::endpoint::{Endpoint, Expect, Settings};
use synod_common::driver::files::Files;
use synod_common::driver::handle::{HostHandle, HostLimits};
use synod_common::driver::host::Host;
use synod_common::driver::link::{Link, Sink};
use synod_common::driver::recover::recover;
use synod_common::driver::server::serve;
use synod_common::driver::tls::{Identity, Role};
use synod_common::error::Corrupt;
use synod_common::id::{ClusterId, Peer, RequestId, ShardId};
use synod_common::message::{DataReply, DataRequest, Message};
use synod_common::node::{Event, Lsn, Node, Output, Recovered};
use synod_common::sync::Pace;
use synod_common::time::{Now, Timestamp};
use synod_common::wal::{MemDisk, Options};

type AnyError = Box<dyn Error + Send + Sync>;

/// Answers every read with its keys, after a record of them is durable if asked.
struct Echo {
    durable: bool,
}

impl Node for Echo {
    fn recover(&mut self, _: Recovered<'_>) -> Result<(), Corrupt> {
        Ok(())
    }

    fn handle(&mut self, _: Now, event: Event, out: &mut Output) {
        if let Event::Message { from, request, message } = event
            && let Message::DataRequest(DataRequest::SnapshotRead { keys, .. }) = message
        {
            let lsn = if self.durable { out.force(&&keys[..]) } else { Lsn(0) };
            let reply = DataReply::Values { incarnation: None, values: keys };
            if self.durable {
                out.send_after(lsn, from, request, reply);
            } else {
                out.send(from, request, reply);
            }
        }
    }
}

/// Sends the next request for every reply.
struct Closed {
    link: mpsc::Receiver<Link>,
    up: Option<Link>,
    request: Message,
    replies: Arc<AtomicU64>,
}

impl Sink for Closed {
    async fn deliver(
        &mut self,
        messages: &mut Vec<(RequestId, Message)>,
        _: usize,
    ) -> Result<(), CloseCode> {
        if self.up.is_none() {
            self.up = self.link.try_recv().ok();
        }
        let Some(link) = &self.up else { return Err(CloseCode::Internal) };
        for (request, _) in messages.drain(..) {
            link.send(request, &self.request).map_err(|_| CloseCode::Internal)?;
            self.replies.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn closed(&mut self, _: CloseReason) {}
}

fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn server(
    identity: Identity,
    handle: HostHandle,
    ready: &mpsc::Sender<SocketAddr>,
    log_dir: Option<&Path>,
) -> Result<(), AnyError> {
    let mut node = Echo { durable: log_dir.is_some() };
    let whose = synod_common::wal::Identity { cluster: ClusterId(1), node: "s1".into() };
    let (options, pace) = (Options::default(), Pace::default());
    let log = match log_dir {
        Some(dir) => recover(&mut node, Files::open(dir)?, whose, options, pace, &handle)?,
        None => recover(&mut node, MemDisk::new(), whose, options, pace, &handle)?,
    };
    let ran = runtime()?.block_on(async {
        let endpoint = Endpoint::bind("127.0.0.1:0".parse()?, identity, Settings::default())?;
        ready.send(endpoint.local_addr()?)?;
        serve(Host::new(node, log.group, handle), endpoint, Vec::new()).await?;
        Ok::<_, AnyError>(())
    });
    log.thread.stop()?;
    ran
}

/// Processor time of this process and of this thread, in microseconds.
fn cpu_us(path: &str) -> f64 {
    let stat = fs::read_to_string(path).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 10_000.0
}

fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    let in_flight: u64 = args.next().map_or(Ok(64), |a| a.parse())?;
    let seconds: u64 = args.next().map_or(Ok(3), |a| a.parse())?;
    let log_dir = args.next().map(PathBuf::from);
    let dir = std::env::temp_dir().join(format!("synod-throughput-{}", std::process::id()));
    let authority = Authority::create(&dir)?;
    authority.issue(Role::Shard, "s1")?;
    authority.issue(Role::Client, "bench")?;
    let (s1, bench) = (Identity::load(&dir, "s1")?, Identity::load(&dir, "bench")?);
    fs::remove_dir_all(&dir)?;

    let handle = HostHandle::new(HostLimits::default());
    let (ready, addr) = mpsc::channel();
    let serving = std::thread::spawn({
        let handle = handle.clone();
        move || server(s1, handle, &ready, log_dir.as_deref())
    });
    let addr = addr.recv()?;
    let replies = Arc::new(AtomicU64::new(0));
    let (send_link, link) = mpsc::channel();
    let keys = Bytes::from(vec![7; 112]);
    let request: Message =
        DataRequest::SnapshotRead { at: Timestamp(1), map_epoch: 1, keys }.into();
    let sink = Closed { link, up: None, request: request.clone(), replies: replies.clone() };
    runtime()?.block_on(async {
        let endpoint = Endpoint::client(bench, Settings::default())?;
        let expect = Expect::node(Peer::Shard(ShardId(1))).ok_or("a shard")?;
        let link = endpoint.dial(&addr.to_string(), &expect, sink).await?;
        send_link.send(link.clone())?;
        for number in 1..=in_flight {
            link.send(RequestId(number), &request)?;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let measure = || {
            let client = cpu_us("/proc/thread-self/stat");
            let stats = handle.stats();
            let batches = stats.batches.load(Ordering::Relaxed);
            let core = stats.core_us.load(Ordering::Relaxed);
            let done = replies.load(Ordering::Relaxed);
            (Instant::now(), done, client, cpu_us("/proc/self/stat"), batches, core)
        };
        let a = measure();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let b = measure();
        let (time, done) = ((b.0 - a.0).as_secs_f64(), (b.1 - a.1) as f64);
        let (client, all) = ((b.2 - a.2) / done, (b.3 - a.3) / done);
        println!(
            "{in_flight} in flight: {:.0} k req/s, cpu per request {client:.2} us client + {:.2} us server, \
             {:.1} messages per batch, {:.2} us in the host's turn",
            done / time / 1e3,
            all - client,
            done / (b.4 - a.4) as f64,
            (b.5 - a.5) as f64 / done,
        );
        link.abort(CloseCode::Done);
        Ok::<_, AnyError>(())
    })?;
    handle.stop();
    serving.join().map_err(|_| "the server panicked")??;
    Ok(())
}
