//! Locks, savepoints and checks through the client, on the embedded store.
#![cfg(feature = "embedded")]

use std::time::Duration;

use synod_client::{Client, Error, LockMode, Options, Reason, Txn, prefix};

async fn store() -> (tempfile::TempDir, Client) {
    let dir = tempfile::tempdir().unwrap();
    let db = Client::embedded(dir.path()).await.unwrap();
    // What is retried finds out when all shards have joined.
    db.transact(async |tx| (0..16u32).try_for_each(|n| tx.delete(("nothing", n)))).await.unwrap();
    (dir, db)
}

async fn begin(db: &Client) -> Txn {
    db.begin(Options::new()).await.unwrap()
}

async fn is_free(db: &Client, key: &str, mode: LockMode) -> bool {
    match begin(db).await.lock(key, mode).nowait().await {
        Ok(()) => true,
        Err(Error::Locked(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn is_misuse<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Misuse(_)))
}

#[tokio::test]
async fn a_rollback_undoes_writes_and_nests() {
    let (_dir, db) = store().await;
    let tx = begin(&db).await;
    tx.put("a", &1u32).unwrap();
    let outer = tx.savepoint();
    tx.put("a", &2u32).unwrap();
    tx.put("b", &2u32).unwrap();
    let inner = tx.savepoint();
    tx.delete("a").unwrap();
    tx.add("n", 5).unwrap();
    tx.rollback_to(&inner).unwrap();
    assert_eq!(tx.get("a").await.unwrap().decode::<u32>(), Ok(2));
    tx.add("n", 1).unwrap();
    tx.rollback_to(&inner).unwrap();
    assert!(!tx.get("n").await.unwrap().is_present());
    tx.rollback_to(&outer).unwrap();
    assert_eq!(tx.get("a").await.unwrap().decode::<u32>(), Ok(1));
    // The inner one went with what came after the outer one.
    assert!(is_misuse(&tx.rollback_to(&inner)));
    tx.put("c", &3u32).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.get("a").await.unwrap().decode::<u32>(), Ok(1));
    assert!(!db.get("b").await.unwrap().is_present());
    assert_eq!(db.get("c").await.unwrap().decode::<u32>(), Ok(3));
}

#[tokio::test]
async fn a_rollback_frees_what_was_locked_and_not_read() {
    let (_dir, db) = store().await;
    let tx = begin(&db).await;
    tx.lock("before", LockMode::Exclusive).await.unwrap();
    let savepoint = tx.savepoint();
    tx.lock("locked", LockMode::Exclusive).await.unwrap();
    tx.lock_range("r/a".."r/z", LockMode::Exclusive).await.unwrap();
    tx.get_for_update("read").await.unwrap();
    assert!(!is_free(&db, "locked", LockMode::Shared).await);
    assert!(!is_free(&db, "r/m", LockMode::Shared).await);
    tx.rollback_to(&savepoint).unwrap();
    // Requests after the rollback come behind it.
    tx.get("other").await.unwrap();
    assert!(is_free(&db, "locked", LockMode::Exclusive).await);
    assert!(is_free(&db, "r/m", LockMode::Exclusive).await);
    assert!(is_free(&db, "read", LockMode::Update).await);
    assert!(!is_free(&db, "read", LockMode::Exclusive).await);
    assert!(!is_free(&db, "before", LockMode::Shared).await);
    tx.commit().await.unwrap();
    // The shards hear of a commit a little later than the client.
    begin(&db).await.lock("before", LockMode::Exclusive).await.unwrap();
}

#[tokio::test]
async fn savepoints_of_others_are_misuse_and_harm_nobody() {
    let (_dir, db) = store().await;
    let (one, two) = (begin(&db).await, begin(&db).await);
    one.put("k", &1u32).unwrap();
    let others = two.savepoint();
    assert!(is_misuse(&one.rollback_to(&others)));
    one.commit().await.unwrap();
    assert_eq!(db.get("k").await.unwrap().decode::<u32>(), Ok(1));
}

#[tokio::test]
async fn who_does_not_wait_goes_on() {
    let (_dir, db) = store().await;
    let (one, two) = (begin(&db).await, begin(&db).await);
    one.get_for_update("k").await.unwrap();
    let locked = two.get_for_update("k").nowait().await;
    assert_eq!(locked, Err(Error::Locked(one.id())));
    assert!(matches!(two.get_many_for_update(["j", "k"]).nowait().await, Err(Error::Locked(_))));
    let mut rows = two.scan_for_update("a".."z").nowait();
    assert!(matches!(rows.next().await, Some(Err(Error::Locked(_)))));
    assert!(rows.next().await.is_none());
    drop(rows);
    // Reading beside an update is free.
    two.get("k").nowait().await.unwrap();
    two.put("other", &2u32).unwrap();
    two.commit().await.unwrap();
    assert!(db.get("other").await.unwrap().is_present());
}

#[tokio::test]
async fn a_wait_ends_as_the_request_says() {
    let (_dir, db) = store().await;
    let (one, two) = (begin(&db).await, begin(&db).await);
    one.lock("k", LockMode::Exclusive).await.unwrap();
    let Err(Error::Retry(refusal)) = two.get("k").wait(Duration::from_millis(10)).await else {
        panic!("it did not end")
    };
    assert_eq!(refusal.reason, Reason::LockTimeout);
}

#[tokio::test]
async fn many_take_jobs_and_none_is_taken_twice() {
    let (_dir, db) = store().await;
    db.transact(async |tx| (0..6u32).try_for_each(|n| tx.put(("job", n), &n))).await.unwrap();
    let jobs = prefix(("job",));
    // A snapshot waits until they are there; before that their writer has them.
    let there = db.snapshot().await.unwrap().scan(jobs.clone()).collect().await.unwrap();
    assert_eq!(there.len(), 6);
    let (one, two) = (begin(&db).await, begin(&db).await);
    let take = async |tx: &Txn| {
        let rows = tx.scan_for_update(jobs.clone()).skip_locked().limit(2).collect().await.unwrap();
        rows.iter().map(|row| row.decode::<u32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((take(&one).await, take(&two).await), (vec![0, 1], vec![2, 3]));
    let three = begin(&db).await;
    let found = three.get_many_for_update([("job", 1u32), ("job", 5)]).skip_locked().await.unwrap();
    assert!(found[0].is_none());
    assert_eq!(found[1].as_ref().unwrap().decode::<u32>(), Ok(5));
}

#[tokio::test]
async fn a_range_is_deleted_with_what_others_would_add() {
    let (_dir, db) = store().await;
    db.transact(async |tx| ["a", "b", "c"].iter().try_for_each(|key| tx.put(*key, &1u32)))
        .await
        .unwrap();
    let tx = begin(&db).await;
    tx.put("bb", &2u32).unwrap();
    assert_eq!(tx.delete_range("b".."c").await, Ok(2));
    assert!(!is_free(&db, "bbb", LockMode::Exclusive).await);
    tx.commit().await.unwrap();
    let left = db.snapshot().await.unwrap().scan(..).collect().await.unwrap();
    assert_eq!(left.iter().map(|row| row.key.to_string()).collect::<Vec<_>>(), ["a", "c"]);
}

#[tokio::test]
async fn a_check_that_fails_ends_the_transaction() {
    let (_dir, db) = store().await;
    db.put("k", &1u32).await.unwrap();
    let tx = begin(&db).await;
    tx.check("k", &1u32).await.unwrap();
    tx.check_absent("none").await.unwrap();
    assert!(!is_free(&db, "none", LockMode::Exclusive).await);
    tx.put("done", &1u32).unwrap();
    let Err(Error::Aborted(refusal)) = tx.check("k", &2u32).await else { panic!("it passed") };
    assert_eq!(refusal.reason, Reason::CheckFailed("k".into()));
    assert!(matches!(tx.put("done", &2u32), Err(Error::Aborted(_))));
    assert!(matches!(tx.commit().await, Err(Error::Aborted(_))));
    assert!(!db.get("done").await.unwrap().is_present());
    assert!(is_free(&db, "none", LockMode::Exclusive).await);
}

#[tokio::test]
async fn ranges_in_which_no_key_can_lie_are_misuse_and_harm_nothing() {
    let (_dir, db) = store().await;
    let tx = begin(&db).await;
    for (start, end) in [("b", "a"), ("b", "b")] {
        assert!(is_misuse(&tx.lock_range(start..end, LockMode::Shared).await));
        assert!(is_misuse(&tx.delete_range(start..end).await));
    }
    assert!(is_misuse(&tx.scan("b".."a").collect().await));
    assert_eq!(tx.scan("b".."b").collect().await, Ok(vec![]));
    assert!(is_misuse(&db.snapshot().await.unwrap().scan("b".."a").collect().await));
    tx.put("k", &1u32).unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_handle_that_outlives_its_transaction_does_nothing_more() {
    let (_dir, db) = store().await;
    for fails in [false, true] {
        let mut kept = None;
        let result = db
            .transact(|tx| {
                kept = Some(tx);
                let tx = kept.as_ref().unwrap();
                let locked = tx.put("k", &1u32);
                async move {
                    locked?;
                    if fails { Err(Error::Misuse("on purpose".into())) } else { Ok(()) }
                }
            })
            .await;
        assert_eq!(result.is_err(), fails);
        let tx = kept.unwrap();
        assert!(is_misuse(&tx.get("k").await));
        assert!(is_misuse(&tx.get_many(["k"]).await));
        assert!(is_misuse(&tx.put("k", &2u32)));
        assert!(is_misuse(&tx.add("n", 1)));
        assert!(is_misuse(&tx.lock("k", LockMode::Shared).await));
        assert!(is_misuse(&tx.scan(..).collect().await));
        assert!(is_misuse(&tx.rollback_to(&tx.savepoint())));
        assert!(is_misuse(&tx.commit().await));
    }
    assert_eq!(db.get("k").await.unwrap().decode::<u32>(), Ok(1));
}
