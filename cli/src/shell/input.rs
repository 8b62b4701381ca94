//! Where lines come from: a terminal, a pipe, or a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::sync::mpsc as std_mpsc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Editor, Helper};
use tokio::sync::mpsc;

use super::command::NAMES;
use crate::state;

/// No line is longer: a value of 1 MiB with every byte escaped, and its key.
const LINE_BYTES: u64 = 8 << 20;

/// A line and its number, from 1.
pub struct Line {
    pub number: usize,
    pub text: String,
}

/// Reads lines on a thread of its own, one when one is wanted.
pub struct Input {
    wanted: std_mpsc::Sender<String>,
    lines: mpsc::UnboundedReceiver<Result<Line>>,
    is_terminal: bool,
}

impl Input {
    /// Of a file, or of stdin.
    ///
    /// # Errors
    /// If the file can not be opened.
    pub fn open(script: Option<&Path>) -> Result<Input> {
        let is_terminal = script.is_none() && io::stdin().is_terminal();
        let file = script
            .map(|path| {
                File::open(path).with_context(|| format!("can not read {}", path.display()))
            })
            .transpose()?;
        let (wanted, wants) = std_mpsc::channel();
        let (sender, lines) = mpsc::unbounded_channel();
        thread::Builder::new().name("input".to_owned()).spawn(move || match file {
            Some(file) => read_script(BufReader::new(file), &wants, &sender),
            None if is_terminal => {
                if let Err(error) = read_terminal(&wants, &sender) {
                    let _ = sender.send(Err(error));
                }
            }
            None => read_script(io::stdin().lock(), &wants, &sender),
        })?;
        Ok(Input { wanted, lines, is_terminal })
    }

    /// Whether a person types.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// If it can not be read.
    pub async fn next(&mut self, prompt: String) -> Result<Option<Line>> {
        if self.wanted.send(prompt).is_err() {
            return Ok(None);
        }
        self.lines.recv().await.transpose()
    }
}

type Wants = std_mpsc::Receiver<String>;
type Lines = mpsc::UnboundedSender<Result<Line>>;

fn read_script(mut reader: impl BufRead, wants: &Wants, lines: &Lines) {
    let mut number = 0;
    while wants.recv().is_ok() {
        number += 1;
        let line = match read_line(&mut reader) {
            Ok(Some(text)) => Ok(Line { number, text }),
            Ok(None) => return,
            Err(error) => Err(error.context(format!("line {number}"))),
        };
        let failed = line.is_err();
        if lines.send(line).is_err() || failed {
            return;
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    io::Read::take(&mut *reader, LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() as u64 == LINE_BYTES && bytes.last() != Some(&b'\n') {
        return Err(anyhow!("is longer than {LINE_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| anyhow!("is not UTF-8; write other bytes as \\xNN"))
}

fn read_terminal(wants: &Wants, lines: &Lines) -> Result<()> {
    let config = rustyline::Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Words, DefaultHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Words));
    let history = state::history();
    if let Some(path) = &history {
        // There is none the first time.
        let _ = editor.load_history(path);
    }
    let mut number = 0;
    while let Ok(prompt) = wants.recv() {
        number += 1;
        let text = match editor.readline(&prompt) {
            Ok(text) => text,
            // Control-C gives up the line, not the shell.
            Err(ReadlineError::Interrupted) => String::new(),
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !text.trim().is_empty() {
            editor.add_history_entry(text.as_str())?;
            if let Some(path) = &history
                && let Err(error) = editor.append_history(path)
            {
                tracing::debug!(%error, "the history is not kept");
            }
        }
        if lines.send(Ok(Line { number, text })).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Completes commands and their options.
struct Words;

const BEGIN: [&str; 12] = [
    "2pc",
    "3pc",
    "3pc-classical",
    "auto",
    "optimistic",
    "paxos",
    "paxos-faster",
    "read-committed",
    "read-uncommitted",
    "repeatable-read",
    "serializable",
    "snapshot",
];
const LOCK: [&str; 4] = ["exclusive", "nowait", "shared", "update"];
const SCAN: [&str; 2] = ["--limit", "--reverse"];

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or(line);
        let start = before.rfind(char::is_whitespace).map_or(0, |space| space + 1);
        let word = &before[start..];
        let words: &[&str] = match before[..start].split_whitespace().next() {
            None => &NAMES,
            Some("begin") => &BEGIN,
            Some("lock") => &LOCK,
            Some("scan") => &SCAN,
            Some("at") => &["now"],
            Some(_) => &[],
        };
        let fitting = words.iter().filter(|name| name.starts_with(word));
        Ok((start, fitting.map(|name| format!("{name} ")).collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed() {
        let history = DefaultHistory::new();
        let context = rustyline::Context::new(&history);
        let complete = |line: &str| Words.complete(line, line.len(), &context).unwrap();
        assert_eq!(complete("ge"), (0, vec!["get ".to_owned(), "get-for-update ".to_owned()]));
        assert_eq!(complete("begin 2"), (6, vec!["2pc ".to_owned()]));
        assert_eq!(complete("scan a b --r"), (9, vec!["--reverse ".to_owned()]));
        assert_eq!(complete("lock a sh"), (7, vec!["shared ".to_owned()]));
        assert_eq!(complete("sav"), (0, vec!["savepoint ".to_owned()]));
        assert_eq!(complete("get a"), (4, vec![]));
    }

    #[test]
    fn lines_are_bounded_and_text() {
        let mut reader: &[u8] = b"a\nb";
        assert_eq!(read_line(&mut reader).unwrap().as_deref(), Some("a\n"));
        assert_eq!(read_line(&mut reader).unwrap().as_deref(), Some("b"));
        assert!(read_line(&mut reader).unwrap().is_none());
        assert!(read_line(&mut &b"\xff\n"[..]).is_err());
        let long = vec![b'a'; LINE_BYTES as usize + 1];
        assert!(read_line(&mut long.as_slice()).is_err());
    }
}
