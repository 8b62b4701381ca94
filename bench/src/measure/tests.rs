//! The loops in virtual time, with systems that take as long as they are told.

use std::cell::RefCell;

use tokio::task::LocalSet;

use super::*;
use crate::deed::Deed;

const MS: Duration = Duration::from_millis(1);
const RATE: u32 = 200;

/// Takes so long for each transaction, and longer for some of them.
struct Slow {
    service: Duration,
    /// The transactions so many after the first take so long.
    stall: Option<(usize, Duration)>,
    /// When transactions began, for all that share it.
    begun: Rc<RefCell<Vec<Instant>>>,
}

impl Session for Slow {
    async fn act(&mut self, _: &Deed, attempts: &mut u64) -> Result<()> {
        *attempts += 1;
        self.begun.borrow_mut().push(Instant::now());
        let number = self.begun.borrow().len();
        let stall = self.stall.filter(|(at, _)| *at == number);
        tokio::time::sleep(stall.map_or(self.service, |(_, stall)| stall)).await;
        Ok(())
    }
}

fn plan(rate: Option<u32>) -> Plan {
    Plan {
        workload: Workload::Get,
        keys: Arc::new(Keyspace::new(200, 1, |_| 0)),
        warm_up: Duration::from_secs(1),
        time: Duration::from_secs(10),
        rate,
        progress: false,
    }
}

/// What was seen, and when transactions began.
async fn measured(
    plan: &Plan,
    clients: usize,
    service: Duration,
    stall: Option<(usize, Duration)>,
) -> (Seen, Vec<Duration>) {
    let begun = Rc::new(RefCell::default());
    let session = |_| Slow { service, stall, begun: Rc::clone(&begun) };
    let sessions: Vec<Slow> = (0..clients).map(session).collect();
    let start = Instant::now();
    let run = run_by(sessions, plan, async || Ok(()), Alarm::Coarse);
    let seen = LocalSet::new().run_until(run).await.unwrap().seen;
    let begun = begun.borrow().iter().map(|at| *at - start).collect();
    (seen, begun)
}

/// Those that are due in the measured time, and before.
fn due(plan: &Plan) -> (Vec<Duration>, usize) {
    let end = plan.warm_up + plan.time;
    let all: Vec<Duration> =
        Schedule::new(ARRIVALS_SEED, RATE).take_while(|at| *at < end).collect();
    let before = all.iter().filter(|at| **at < plan.warm_up).count();
    (all, before)
}

/// How long each one takes whose time counts, if one client serves what is due in order.
fn queued(
    plan: &Plan,
    service: Duration,
    stall: Option<(usize, Duration)>,
) -> (Vec<Duration>, u64) {
    let end = plan.warm_up + plan.time;
    let (mut idle_at, mut spent, mut missed) = (Duration::ZERO, Vec::new(), 0);
    let (all, before) = due(plan);
    for (number, due) in all.into_iter().enumerate() {
        let begin = idle_at.max(due);
        let counts = number >= before;
        if begin >= if counts { end } else { plan.warm_up } {
            missed += u64::from(counts);
            continue;
        }
        let stall = stall.filter(|(at, _)| *at == number + 1);
        idle_at = begin + stall.map_or(service, |(_, stall)| stall);
        if counts {
            spent.push(idle_at - due);
        }
    }
    spent.sort();
    (spent, missed)
}

fn us(spent: Duration) -> f64 {
    spent.as_micros() as f64
}

/// Whether the quantiles are those of the queue: within a hundredth, and what the timers of
/// Tokio are late by, each time that the client is idle.
fn is_of_the_queue(seen: &Seen, spent: &[Duration]) -> bool {
    [0.5, 0.9, 0.99, 1.0].into_iter().all(|quantile| {
        let at = ((spent.len() as f64 * quantile).ceil() as usize).clamp(1, spent.len()) - 1;
        let (expected, found) = (us(spent[at]), seen.latency.value_at_quantile(quantile) as f64);
        (found - expected).abs() <= expected * 0.02 + us(3 * MS)
    })
}

#[tokio::test(start_paused = true)]
async fn when_transactions_begin_does_not_depend_on_how_long_they_take() {
    let plan = plan(Some(RATE));
    let (due, _) = due(&plan);
    for service in [MS, 20 * MS, 300 * MS] {
        // As long as somebody is idle.
        let (seen, begun) = measured(&plan, 500, service, None).await;
        assert_eq!((begun.len(), seen.missed), (due.len(), 0));
        let late = begun.iter().zip(&due).map(|(begun, due)| begun.saturating_sub(*due));
        assert!(begun.iter().zip(&due).all(|(begun, due)| begun >= due), "{service:?}");
        assert!(late.max() <= Some(2 * MS), "{service:?}");
    }
}

/// What waits for a client is told, and that a closed loop would not tell it.
#[tokio::test(start_paused = true)]
async fn a_stall_is_seen_by_all_that_wait_for_it() {
    let stall = Some((1_000, Duration::from_secs(2)));
    let open = plan(Some(RATE));
    let (spent, _) = queued(&open, MS, stall);
    let (seen, _) = measured(&open, 1, MS, stall).await;
    assert_eq!((seen.latency.len() as usize, seen.missed), (spent.len(), 0));
    assert!(is_of_the_queue(&seen, &spent), "{:?}", seen.latency.value_at_quantile(0.9));
    assert!(seen.latency.value_at_quantile(0.9) > 1_000_000, "one in ten has waited");

    let (seen, _) = measured(&plan(None), 1, MS, stall).await;
    assert!(!is_of_the_queue(&seen, &spent));
    assert!(seen.latency.value_at_quantile(0.99) < 5_000, "it has asked for nothing meanwhile");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_begin_is_missed() {
    let plan = plan(Some(RATE));
    let service = 50 * MS;
    let (spent, missed) = queued(&plan, service, None);
    let (seen, begun) = measured(&plan, 1, service, None).await;
    let (due, before) = due(&plan);
    // Each one is done or missed.
    assert_eq!(seen.latency.len() + seen.missed, (due.len() - before) as u64);
    assert!(seen.missed.abs_diff(missed) <= 5, "{} and {missed}", seen.missed);
    assert!(is_of_the_queue(&seen, &spent));
    // It does 20 a second.
    assert!((195..=205).contains(&seen.done), "{}", seen.done);
    assert!(begun.iter().all(|at| *at < plan.warm_up + plan.time));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_under_way_than_there_are_clients() {
    let plan = plan(Some(RATE));
    let (seen, begun) = measured(&plan, 4, 50 * MS, None).await;
    // Any five in a row take a transaction's time.
    assert!(begun.windows(5).all(|five| five[4] - five[0] >= 50 * MS));
    assert!((780..=820).contains(&seen.done), "{}", seen.done);
}
