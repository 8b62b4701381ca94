//! The embedded store: the same client, no server.
#![cfg(feature = "embedded")]

use synod_client::{Client, Error};

#[tokio::test]
async fn keeps_its_data_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3u32 {
        let db = Client::embedded(dir.path()).await.unwrap();
        for i in 0..20u32 {
            let before: Option<u32> = db.get(("key", i)).await.unwrap().decode_opt().unwrap();
            assert_eq!(before, round.checked_sub(1));
        }
        db.transact(async |tx| {
            for i in 0..20u32 {
                tx.put(("key", i), &round)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_folder_has_one_user_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Client::embedded(dir.path()).await.unwrap();
    let Err(Error::Unavailable(why)) = Client::embedded(dir.path()).await else {
        panic!("two stores in one folder");
    };
    assert!(why.contains("in use by another process"), "{why}");
    drop(first);
    Client::embedded(dir.path()).await.unwrap();
}
