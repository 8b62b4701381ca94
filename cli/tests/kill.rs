//! Servers and clients killed without warning, again and again, while money
//! moves: no acknowledged transfer is lost, none happens by half, in-doubt ones
//! are settled, and the locks of the dead are released.

use std::process::Stdio;
use std::time::{Duration, Instant};

use synod_bench::random::Random;
use synod_cli::bank::{Bank, Load};
use synod_cli::runtime;
use synod_client::{Options, Protocol};
use synod_cluster::{CLIENT, ClusterOptions, LocalCluster, NodeName};
use tokio::process::{Child, Command};

const ROUNDS: usize = 50;
/// With a group of coordinators.
const GROUP_ROUNDS: usize = 25;
const SHARDS: u16 = 3;
const ACCOUNTS: u32 = 300;
const CLIENTS: u32 = 24;
/// Half of the clients commit in one way, the others in the other one. What suits the cluster
/// is two-phase commit with one coordinator, and Paxos Commit with three.
const PROTOCOLS: [Protocol; 2] = [Protocol::Auto, Protocol::ThreePhase];
/// How long transfers may take to go on after a server is back.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short, so that clients sometimes give up while a commit is in doubt.
const TIMEOUT: Duration = Duration::from_millis(800);
/// In every so many rounds, clients are killed along with the server.
const CLIENT_EVERY: usize = 3;

const BIN: &str = env!("CARGO_BIN_EXE_synod");

#[test]
fn nothing_acknowledged_is_lost_to_kill_9() {
    runtime::block_on(kill_again_and_again(1, ROUNDS)).unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_by_a_group() {
    runtime::block_on(kill_again_and_again(3, GROUP_ROUNDS)).unwrap();
}

async fn kill_again_and_again(coordinators: u16, rounds: usize) {
    let seed = std::env::var("SYNOD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SYNOD_SEED={seed}");
    let mut random = Random::new(seed);
    let bin = Some(BIN.into());
    let options = ClusterOptions { shards: SHARDS, coordinators, bin, ..ClusterOptions::default() };
    let mut cluster = LocalCluster::start(options).await.unwrap();
    let bank = Bank::open(cluster.client().await.unwrap(), ACCOUNTS, 1000).await.unwrap();
    let loads = PROTOCOLS.map(|protocol| {
        let (clients, first) = (CLIENTS / 2, u32::from(protocol != PROTOCOLS[0]) * CLIENTS);
        let options = Options::new().timeout(TIMEOUT).protocol(protocol);
        Load::start(&bank, clients, first, seed, options)
    });
    let mut stranger = stranger(&cluster);
    let (mut kills, mut slowest) = (0, Duration::ZERO);
    let begin = Instant::now();
    for round in 0..rounds {
        strike_within(150, &mut random).await;
        let victim = match random.below(10) {
            n @ 0..3 => NodeName::Coordinator(1 + (n % u64::from(coordinators)) as u16),
            n => NodeName::Shard(1 + (n % u64::from(SHARDS)) as u16),
        };
        cluster.kill(victim).unwrap();
        kills += 1;
        // Sometimes a second server dies while the first is dead.
        let other = NodeName::Shard(1 + random.below(u64::from(SHARDS)) as u16);
        let both = random.below(5) == 0 && other != victim;
        if both {
            strike_within(50, &mut random).await;
            cluster.kill(other).unwrap();
            kills += 1;
        }
        if round % CLIENT_EVERY == 0 {
            stranger.kill().await.unwrap();
            kills += 1;
            stranger = self::stranger(&cluster);
        }
        strike_within(100, &mut random).await;
        // A restart of a server that is killed again before it serves.
        if random.below(5) == 0 {
            cluster.spawn(victim).unwrap();
            strike_within(60, &mut random).await;
            cluster.kill(victim).unwrap();
            kills += 1;
        }
        cluster.spawn(victim).unwrap();
        if both {
            cluster.spawn(other).unwrap();
            cluster.wait_ready(other).await.unwrap();
        }
        cluster.wait_ready(victim).await.unwrap();
        let backs = loads.each_ref().map(Load::elapsed);
        for ((load, back), protocol) in loads.iter().zip(backs).zip(PROTOCOLS) {
            let Some(next) = load.next_after(back, None, PATIENCE).await else {
                panic!("round {round}: {victim} is back, and nothing moves ({protocol})");
            };
            slowest = slowest.max(next - back);
        }
    }
    stranger.kill().await.unwrap();
    let span = begin.elapsed();
    let [one, other] = loads;
    let tally = one.stop().await.merge(other.stop().await);
    println!(
        "{kills} kills in {rounds} rounds and {span:.1?}: {} transfers acknowledged, {} in doubt, \
         {} failed, {} retries; transfers went on at most {slowest:.1?} after a server was back",
        tally.done.len(),
        tally.in_doubt.len(),
        tally.failed,
        tally.retries,
    );
    assert!(kills >= rounds, "only {kills} kills");
    if let Some(error) = &tally.last_failure {
        println!("the last failure: {error}");
    }
    let (books, wrong) = bank.audit(&tally).await.unwrap();
    println!(
        "in doubt: {} had committed, {} had not",
        books.doubts_committed, books.doubts_aborted
    );
    assert!(wrong.is_empty(), "{} wrongs, among them: {}", wrong.len(), wrong[0]);
    bank.lock_all().await.unwrap();
    locks_and_sum_of_strangers(&cluster).await;
    cluster.stop().await.unwrap();
}

/// Nothing is waited for here: when the next fault strikes is drawn.
async fn strike_within(most_ms: u64, random: &mut Random) {
    tokio::time::sleep(Duration::from_millis(random.below(most_ms))).await;
}

/// A client process with transfers of its own, on keys of its own.
fn stranger(cluster: &LocalCluster) -> Child {
    bench(cluster, "3600").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// After all strangers are dead, another one finds every key unlocked, in good
/// time, and the sum as it was.
async fn locks_and_sum_of_strangers(cluster: &LocalCluster) {
    let output = bench(cluster, "1").output().await.unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    println!("{}", out.trim_end());
}

fn bench(cluster: &LocalCluster, seconds: &str) -> Command {
    let mut command = Command::new(BIN);
    command.args(["bench", "transfer", "--clients", "8", "--keys", "500", "--seconds", seconds]);
    command.args(["--json", "--url", cluster.url(), "--identity", CLIENT, "--certs"]);
    command.arg(cluster.certs()).stdin(Stdio::null()).kill_on_drop(true);
    command
}
