//! What the books find when something is not as clients were told, in a store of this process.

use bytes::Bytes;
use tokio::task::LocalSet;

use super::*;
use crate::deed::Deed;
use crate::keyspace;
use crate::random::Random;
use crate::session::Session;
use crate::ycsb::Ycsb;

const KEYS: u32 = 200;

/// A store where this workload has been done for a while.
async fn worked(workload: Workload) -> Site {
    let options = BenchOptions { keys: KEYS, ..BenchOptions::of(workload) };
    let site = Site::open(&options).await.unwrap();
    let mut session = site.sessions(1, Protocol::default()).remove(0);
    let mut random = Random::new(1);
    for _ in 0..150 {
        let deed = workload.draw(site.keys(), &mut random).unwrap();
        session.act(&deed, &mut 0).await.unwrap();
        site.keys().settle(&deed, true);
    }
    site
}

/// The sum is right, and not any more after somebody has done this to a key.
async fn notices(workload: Workload, n: u32, harm: impl Fn(Option<Bytes>) -> Option<Bytes>) {
    let site = worked(workload).await;
    // Of another run that had more keys.
    let stray = books::key(site.books.prefix, 9 * KEYS);
    site.db.put_bytes(&stray, keyspace::value(keyspace::INITIAL)).await.unwrap();
    let sum = site.audit().await.unwrap();
    assert!(sum.is_right(), "{workload:?}: {sum:?}");
    let key = books::key(site.books.prefix, n);
    let held = site.db.get(&key).await.unwrap();
    assert!(held.is_present(), "{workload:?}: {n} is not there");
    match harm(held.bytes().cloned()) {
        Some(value) => site.db.put_bytes(&key, value).await.unwrap(),
        None => site.db.delete(&key).await.unwrap(),
    }
    let sum = site.audit().await.unwrap();
    assert!(!sum.is_right(), "{workload:?}: {sum:?}");
    site.close().await.unwrap();
}

fn one_more(held: Option<Bytes>) -> Option<Bytes> {
    keyspace::balance(&held?).map(|balance| keyspace::value(balance + 1))
}

fn in_a_store<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

#[test]
fn an_update_that_is_lost_is_noticed() {
    let popular = crate::zipf::scattered(0, KEYS);
    for workload in [Ycsb::A, Ycsb::B].map(Workload::Ycsb) {
        // What was loaded is there again.
        let loaded = |_| Some(keyspace::value(keyspace::INITIAL));
        in_a_store(notices(workload, popular, loaded));
    }
}

#[test]
fn a_key_that_is_lost_is_noticed() {
    let every = [Ycsb::A, Ycsb::B, Ycsb::C, Ycsb::D, Ycsb::E, Ycsb::F].map(Workload::Ycsb);
    for workload in every.into_iter().chain([Workload::SmallBank]) {
        in_a_store(notices(workload, 7, |_| None));
    }
    for workload in [Ycsb::D, Ycsb::E].map(Workload::Ycsb) {
        in_a_store(notices(workload, KEYS, |_| None));
    }
}

#[test]
fn money_that_is_made_is_noticed() {
    for workload in [Workload::Ycsb(Ycsb::F), Workload::SmallBank] {
        in_a_store(notices(workload, 7, one_more));
    }
}

/// What is known to be there and is not read is as bad.
#[test]
fn a_read_that_does_not_find_what_is_there_is_noticed() {
    in_a_store(async {
        let site = worked(Workload::Ycsb(Ycsb::D)).await;
        let mut session = site.sessions(1, Protocol::default()).remove(0);
        for deed in [Deed::Get(KEYS), Deed::Scan(KEYS - 1, 2)] {
            session.act(&deed, &mut 0).await.unwrap();
        }
        let key = books::key(site.books.prefix, KEYS);
        site.db.delete(&key).await.unwrap();
        for deed in [Deed::Get(KEYS), Deed::Scan(KEYS - 1, 2)] {
            session.act(&deed, &mut 0).await.unwrap_err();
        }
        site.db.put_bytes(&key, keyspace::value(keyspace::INITIAL)).await.unwrap();
        let sum = site.audit().await.unwrap();
        assert_eq!((sum.is, sum.damaged), (sum.should, 2));
        site.close().await.unwrap();
    });
}

/// Where others have worked before, what they have left is not a fault.
#[test]
fn what_was_there_before_is_taken_over() {
    in_a_store(async {
        let site = worked(Workload::SmallBank).await;
        let mut books = Books::new(&site.db, KEYS, site.books.prefix, false).await.unwrap();
        assert!(!books.audit(&site.db).await.unwrap().is_right());
        books.take_over(&site.db).await.unwrap();
        assert!(books.audit(&site.db).await.unwrap().is_right());
        site.close().await.unwrap();
    });
}
