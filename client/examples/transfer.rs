//! Moves money between two accounts. Start a cluster with `synod up` first:
//!
//! ```sh
//! cargo run -p synod-client --example transfer
//! ```
#![cfg_attr(rustfmt, rustfmt_skip)]
// ---8<---
use synod_client::{Client, Credentials};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let certs = std::env::var("SYNOD_CERTS").unwrap_or("synod-data/certs".into());
    let db = Client::connect("synod://127.0.0.1:7400", Credentials::load(certs.as_ref(), "client")?).await?;
    let left = db.transact(async |tx| {
        let alice: i64 = tx.get_for_update("acct/alice").await?.decode_opt()?.unwrap_or(100);
        let bob: i64 = tx.get_for_update("acct/bob").await?.decode_opt()?.unwrap_or(0);
        tx.put("acct/alice", &(alice - 10))?;
        tx.put("acct/bob", &(bob + 10))?;
        Ok(alice - 10)
    }).await?;
    println!("alice has {left} left");
    Ok(())
}
