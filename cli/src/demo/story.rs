//! How the demo tells what happens: short lines on stdout, the same in a pipe.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Kill;
use crate::bank::{Bank, Books, Tally, Wrong};

/// How many wrongs are told one by one.
const SHOWN: usize = 10;
/// Columns of the picture of the throughput.
const COLUMNS: usize = 60;
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The teller.
pub(super) struct Story {
    color: bool,
}

impl Story {
    pub(super) fn begin() -> Story {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let story = Story { color: !plain && std::io::stdout().is_terminal() };
        story.line(&story.paint("1", "Synod: a bank on several servers, which get killed"));
        story.line("");
        story
    }

    /// Something went well.
    pub(super) fn done(&self, text: &str) {
        self.entry("32", "✓", text);
    }

    /// Something is done to the cluster.
    pub(super) fn blow(&self, text: &str) {
        self.entry("33", "⚡", text);
    }

    /// Something is not as it must be.
    pub(super) fn wrong(&self, text: &str) {
        self.entry("31", "✗", text);
    }

    fn entry(&self, color: &str, mark: &str, text: &str) {
        let mut lines = wrapped(text, 76).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("  {} {first}", self.paint(color, mark)));
        for line in lines {
            self.line(&format!("    {line}"));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever closed the pipe does not want the rest of the story.
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// What the clients saw.
    pub(super) fn figures(&self, tally: &Tally, span: Duration, kills: &[Kill]) {
        let done = tally.done.len();
        let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).ok();
        for transfer in &tally.done {
            let spent = (transfer.acknowledged - transfer.begun).as_micros();
            if let Some(latency) = &mut latency {
                latency.saturating_record(u64::try_from(spent).unwrap_or(u64::MAX));
            }
        }
        let quantile = |q| latency.as_ref().map_or(0, |h| h.value_at_quantile(q)) as f64 / 1000.0;
        self.line("");
        self.line(&format!(
            "    {}   transfers a second, over {:.0} s",
            self.paint("36", &self.picture(tally, span)),
            span.as_secs_f64()
        ));
        self.line(&format!("    {}", marks(span, kills)));
        self.line(&format!(
            "    {} transfers, {} a second while all was up; p50 {:.1} ms, p99 {:.1} ms, \
             longest {:.1} s",
            grouped(done as i64),
            grouped(undisturbed(tally, span, kills)),
            quantile(0.5),
            quantile(0.99),
            quantile(1.0) / 1000.0,
        ));
        for kill in kills {
            let at = |at: Duration| at.saturating_sub(kill.killed).as_secs_f64();
            let (name, serving) = (kill.name, at(kill.serving));
            let served = match kill.replaced {
                false => format!("served again after {serving:.2} s, first transfer through it"),
                true => format!("was back after {serving:.2} s, first transfer without it"),
            };
            self.line(&format!(
                "    {name} killed: {served} acknowledged after {:.2} s",
                at(kill.recovered),
            ));
        }
        self.line("");
    }

    fn picture(&self, tally: &Tally, span: Duration) -> String {
        let mut counts = [0_usize; COLUMNS];
        for done in &tally.done {
            let column = done.acknowledged.as_secs_f64() / span.as_secs_f64() * COLUMNS as f64;
            counts[(column as usize).min(COLUMNS - 1)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        counts.iter().map(|count| BARS[(count * 8).div_ceil(most)]).collect()
    }

    /// What the audit says.
    pub(super) fn verdict(&self, bank: &Bank, tally: &Tally, books: &Books, wrong: &[Wrong]) {
        if wrong.is_empty() {
            self.done(&format!(
                "every one of {} acknowledged transfers is there, exactly once",
                grouped(tally.done.len() as i64)
            ));
            let doubts = books.doubts_committed + books.doubts_aborted;
            if doubts > 0 {
                self.done(&format!(
                    "{doubts} were in doubt when a server died; asked again, {} had committed \
                     and {} had not, and the books agree",
                    books.doubts_committed, books.doubts_aborted
                ));
            }
            self.done(&format!(
                "nothing else happened; the sum is {}, exactly as before",
                grouped(bank.total())
            ));
            return;
        }
        for wrong in wrong.iter().take(SHOWN) {
            self.wrong(&wrong.to_string());
        }
        if wrong.len() > SHOWN {
            self.wrong(&format!("and {} more", wrong.len() - SHOWN));
        }
    }

    /// What to try next.
    pub(super) fn end(&self, spent: Duration) {
        self.line("");
        self.line(&format!("  That took {:.0} s. Next:", spent.as_secs_f64()));
        for (command, what) in [
            ("synod up", "a cluster that stays, in this folder"),
            ("synod shell", "begin, get, put, scan, commit by hand"),
            ("synod bench transfer", "how fast it is on this machine"),
        ] {
            self.line(&format!("    {}  {what}", self.paint("1", &format!("{command:<22}"))));
        }
    }
}

/// Below the picture: where the kills were.
fn marks(span: Duration, kills: &[Kill]) -> String {
    let mut line = String::new();
    for kill in kills {
        let column = kill.killed.as_secs_f64() / span.as_secs_f64() * COLUMNS as f64;
        while line.chars().count() < column as usize {
            line.push(' ');
        }
        line.push_str(&format!("⚡{}", kill.name));
    }
    line
}

/// Transfers a second outside of the time from each kill to its recovery.
fn undisturbed(tally: &Tally, span: Duration, kills: &[Kill]) -> i64 {
    let disturbed =
        |at: Duration| kills.iter().any(|kill| at >= kill.killed && at <= kill.recovered);
    let count = tally.done.iter().filter(|done| !disturbed(done.acknowledged)).count();
    let lost: Duration = kills.iter().map(|kill| kill.recovered - kill.killed).sum();
    (count as f64 / span.saturating_sub(lost).as_secs_f64().max(0.001)) as i64
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::from(if n < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Text in lines of at most `width`.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let all = [0, 12, 123, 1234, -1_234_567].map(grouped);
        assert_eq!(all, ["0", "12", "123", "1,234", "-1,234,567"]);
    }

    #[test]
    fn long_text_is_wrapped_between_words() {
        assert_eq!(wrapped("aa bb cc dddddd", 5), ["aa bb", "cc", "dddddd"]);
    }
}
