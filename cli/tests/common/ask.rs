//! The command, pointed at a cluster of processes, beside a client that must go on.

use std::sync::Arc;

use serde_json::Value;
use synod_cluster::LocalCluster;

use super::{Run, Scratch};

pub struct Ask {
    scratch: Arc<Scratch>,
    env: [(&'static str, String); 2],
}

impl Ask {
    pub fn of(cluster: &LocalCluster) -> Ask {
        let certs = cluster.certs().display().to_string();
        let env = [("SYNOD_URL", cluster.url().to_owned()), ("SYNOD_CERTS", certs)];
        Ask { scratch: Arc::new(Scratch::new()), env }
    }

    pub async fn run(&self, args: &[&str]) -> Run {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (scratch, env) = (Arc::clone(&self.scratch), self.env.clone());
        let run = move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            scratch.run_with(&args, &env.each_ref().map(|(name, value)| (*name, value.as_str())))
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    pub async fn json(&self, args: &[&str]) -> Value {
        let run = self.run(&[args, &["--json"]].concat()).await;
        serde_json::from_str(run.ok()).unwrap()
    }
}
