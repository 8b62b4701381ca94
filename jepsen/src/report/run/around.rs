//! The lines of a history about what was found.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use super::units::cut;
use crate::checker::Finding;

/// How many lines before and behind one that is named are shown.
const BESIDE: u64 = 2;
/// How many lines are shown.
const MOST: usize = 120;
const MOST_LETTERS: usize = 400;

/// A line of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What stands there, at most 400 letters of it.
    pub text: String,
    /// Whether it is part of what was found, and not only beside it.
    pub named: bool,
}

/// The lines that a finding names, and those beside them, from the history that was judged.
/// At most 120: those of the first anomalies.
///
/// # Errors
///
/// Those of `history`.
pub fn around(finding: &Finding, history: impl BufRead) -> io::Result<Vec<Line>> {
    let (mut named, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    for number in finding.anomalies.iter().flat_map(|found| named_in(&found.words)) {
        let beside = number.saturating_sub(BESIDE).max(1)..=number.saturating_add(BESIDE);
        if wanted.len() + beside.clone().filter(|line| !wanted.contains(line)).count() > MOST {
            break;
        }
        named.insert(number);
        wanted.extend(beside);
    }
    let mut lines = Vec::new();
    let Some(last) = wanted.last().copied() else { return Ok(lines) };
    let mut history = history;
    let mut text = Vec::new();
    for number in 1..=last {
        text.clear();
        // A line may be as long as it likes; what is shown of it is not.
        let most = 4 * MOST_LETTERS as u64 + 4;
        let read = (&mut history).take(most).read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        if text.last() != Some(&b'\n') {
            history.skip_until(b'\n')?;
        }
        if wanted.contains(&number) {
            let text = cut(String::from_utf8_lossy(&text).trim_end(), MOST_LETTERS);
            lines.push(Line { number, text, named: named.contains(&number) });
        }
    }
    Ok(lines)
}

/// The lines that are named: `line 7`, `lines 7 to 9`.
fn named_in(words: &str) -> Vec<u64> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let number = |place: usize| -> Option<u64> {
        words.get(place)?.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()
    };
    let mut lines = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let word = word.trim_start_matches('(');
        match word {
            "line" => lines.extend(number(place + 1)),
            "lines" => {
                lines.extend(number(place + 1));
                if words.get(place + 2) == Some(&"to") {
                    lines.extend(number(place + 3));
                }
            }
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Options, check_text};

    #[test]
    fn lines_are_found_in_words() {
        let words = "T1 = line 11: [[:append 9 2]]\nwrite 1 (process 0, lines 3 to 5)\n\
                     read (line 7, never ended) of line x and online 4 and line";
        assert_eq!(named_in(words), [11, 3, 5, 7]);
    }

    #[test]
    fn what_was_found_is_shown_with_what_is_beside_it() {
        let read = |process, value| {
            format!(
                "{{:type :invoke :process {process} :f :read :value nil}}\n\
                 {{:type :ok :process {process} :f :read :value {value}}}\n"
            )
        };
        let history = format!("{}{}{}", read(0, 0).repeat(10), read(1, 7), read(2, 0).repeat(10));
        let mut options = Options::new("register").unwrap();
        options.initial = Some("0".to_owned());
        let finding = check_text(&history, &options, &mut Budget::unlimited()).unwrap();
        let lines = around(&finding, history.as_bytes()).unwrap();
        let read = lines.iter().find(|line| line.number == 22).expect("where 7 was read");
        assert!(read.named && read.text.ends_with(":value 7}"), "{lines:?}");
        assert!(lines.iter().any(|line| line.number == 24 && !line.named), "{lines:?}");
        assert!(lines.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert!(
            lines
                .iter()
                .all(|line| history.lines().nth(line.number as usize - 1) == Some(&line.text))
        );
    }

    #[test]
    fn long_lines_are_cut_and_many_are_not_shown() {
        let words = (0..1_000).map(|line| format!("line {} ", 10 * line + 5)).collect();
        let mut finding = Finding::new(crate::Level::Model, Vec::new(), 0, None);
        finding.anomalies.push(crate::Anomaly {
            name: "it".to_owned(),
            words,
            breaks: Vec::new(),
            picture: None,
        });
        let history = "x".repeat(100_000) + "\n";
        let lines = around(&finding, history.repeat(100).as_bytes()).unwrap();
        assert_eq!(lines.len(), 50, "each tenth line and the four beside it");
        assert!(lines.iter().all(|line| line.text.chars().count() == MOST_LETTERS));
        let lines = around(&finding, "a\n".repeat(10_000).as_bytes()).unwrap();
        assert_eq!((lines.len(), lines[0].number, lines[119].number), (120, 3, 237));
    }
}
