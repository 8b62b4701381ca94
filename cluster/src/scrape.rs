//! What a server counts, read from its admin port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(5);
/// No server shows more than this.
const MOST_BYTES: u64 = 4 << 20;

/// The metrics of a server at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    values: BTreeMap<String, f64>,
}

impl Metrics {
    /// Fetches `/metrics` from an admin port.
    pub(crate) async fn fetch(admin: SocketAddr) -> Result<Metrics> {
        Ok(Metrics::parse(&ask(admin, "/metrics", None).await?))
    }

    fn parse(text: &str) -> Metrics {
        let mut values = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, value)) = line.rsplit_once(' ')
                && let Ok(value) = value.parse::<f64>()
            {
                // Series of one metric are added up.
                let name = name.split_once('{').map_or(name, |(name, _)| name);
                *values.entry(name.to_owned()).or_insert(0.0) += value;
            }
        }
        Metrics { values }
    }

    /// A value by name, if the server shows it.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

/// The body of a page; with one of ours, of the answer to a `POST`.
pub(crate) async fn ask(admin: SocketAddr, path: &str, body: Option<&str>) -> Result<String> {
    tokio::time::timeout(PATIENCE, ask_now(admin, path, body)).await.context("no answer")?
}

async fn ask_now(admin: SocketAddr, path: &str, body: Option<&str>) -> Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let (method, length) = (if body.is_some() { "POST" } else { "GET" }, body.map_or(0, str::len));
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {admin}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{}",
        body.unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    anyhow::ensure!(status.split(' ').nth(1) == Some("200"), "it answered '{status}' {body}");
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up() {
        let text = "# TYPE a counter\na{x=\"1 2\"} 3\na{x=\"2\"} 4\nb 1.5\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.value("a"), Some(7.0));
        assert_eq!(metrics.value("b"), Some(1.5));
        assert_eq!(metrics.value("c"), None);
    }
}
