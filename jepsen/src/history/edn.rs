//! EDN, as far as histories have it: <https://github.com/edn-format/edn>.
//!
//! A file is read in pieces. When a form does not fit into what is there, more is read
//! and the form begun again, so that no more than its longest operation is in memory.
//!
//! Tags are ignored (`#jepsen.history.Op{…}` is a map), `#_` drops the next form, commas
//! are blanks. Of what Clojure prints beside, metadata is ignored and a pattern is its text.
//! Symbols are also: characters, exact fractions, `##NaN` and the infinities, and integers
//! of more than 64 bits.

use std::io::Read;

use super::form::{Mark, Shape, Tape, Text};
use super::{MAX_DEPTH, MAX_FORM_BYTES, Malformed};

const PIECE: usize = 1 << 18;

/// Reads forms one by one.
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer has been read, and how far it is filled.
    at: usize,
    filled: usize,
    ended: bool,
    /// The line of `at`, from 1.
    line: u64,
}

/// What stands next in the file, beside the forms inside of it.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// A form was written at the mark; it began on that line.
    Form(Mark, u64),
    /// The file's operations are inside one vector or list, which begins here.
    Begin,
    /// It ends.
    End,
    /// Nothing comes any more.
    EndOfFile,
}

enum Stop {
    /// More of the file is needed.
    Short,
    Bad(String),
}

impl<R: Read> Reader<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, buffer: vec![0; PIECE], at: 0, filled: 0, ended: false, line: 1 }
    }

    /// What stands next. A vector or list at the outermost level is not read as a form:
    /// its items are.
    pub fn next(&mut self, tape: &mut Tape) -> Result<Next, Malformed> {
        loop {
            let mark = tape.mark();
            let mut scan =
                Scan { bytes: &self.buffer[..self.filled], at: self.at, ended: self.ended };
            match scan.outermost(tape) {
                Ok((next, began)) => {
                    let line = self.line + newlines(&self.buffer[self.at..began]);
                    self.line = line + newlines(&self.buffer[began..scan.at]);
                    self.at = scan.at;
                    return Ok(match next {
                        Outermost::Form => Next::Form(mark, line),
                        Outermost::Begin => Next::Begin,
                        Outermost::End => Next::End,
                        Outermost::EndOfFile => Next::EndOfFile,
                    });
                }
                Err(Stop::Short) if !self.ended => {
                    tape.back_to(mark);
                    self.more()?;
                }
                Err(stop) => {
                    let reason = match stop {
                        Stop::Short => "the file ends inside a form".to_owned(),
                        Stop::Bad(reason) => reason,
                    };
                    let at = scan.at.min(self.filled);
                    let line = self.line + newlines(&self.buffer[self.at..at]);
                    return Err(Malformed { line, reason });
                }
            }
        }
    }

    fn more(&mut self) -> Result<(), Malformed> {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if self.filled >= MAX_FORM_BYTES {
            let reason = format!("a form of more than {MAX_FORM_BYTES} bytes");
            return Err(Malformed { line: self.line, reason });
        }
        if self.buffer.len() < self.filled + PIECE {
            // A form that does not fit is begun again: twice the room each time.
            let room = (self.filled + PIECE).max(2 * self.filled);
            self.buffer.resize(room.min(MAX_FORM_BYTES), 0);
        }
        // Nor is it begun again for each little piece that a pipe gives.
        let enough = if self.filled < PIECE { self.filled + 1 } else { 2 * self.filled };
        while self.filled < enough.min(self.buffer.len()) && !self.ended {
            let read = self.input.read(&mut self.buffer[self.filled..]);
            let read =
                read.map_err(|error| Malformed { line: self.line, reason: error.to_string() })?;
            self.filled += read;
            self.ended = read == 0;
        }
        Ok(())
    }
}

/// Reads a text that is one form, or none at all.
pub(super) fn one(text: &str, tape: &mut Tape) -> Result<Option<Mark>, String> {
    let mark = tape.mark();
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, ended: true };
    let read = scan.blanks(tape, 0).and_then(|()| scan.form(tape, 0));
    match read.and_then(|()| scan.blanks(tape, 0)) {
        Ok(()) if scan.peek().is_none() => Ok(Some(mark)),
        Ok(()) | Err(Stop::Short) => {
            tape.back_to(mark);
            Ok(None)
        }
        Err(Stop::Bad(reason)) => Err(reason),
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

enum Outermost {
    Form,
    Begin,
    End,
    EndOfFile,
}

/// One pass over the bytes at hand.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    ended: bool,
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | 0x0c)
}

fn delimits(byte: u8) -> bool {
    blank(byte) || matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'"' | b';')
}

/// Refuses what is nested too deep: reading it takes stack.
fn deep(depth: usize) -> Result<(), Stop> {
    if depth >= MAX_DEPTH {
        return Err(Stop::Bad(format!("forms in forms, more than {MAX_DEPTH} deep")));
    }
    Ok(())
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn outermost(&mut self, tape: &mut Tape) -> Result<(Outermost, usize), Stop> {
        self.blanks(tape, 0)?;
        let began = self.at;
        let outermost = match self.peek() {
            None => Outermost::EndOfFile,
            Some(b'[' | b'(') => {
                self.at += 1;
                Outermost::Begin
            }
            Some(b']' | b')') => {
                self.at += 1;
                Outermost::End
            }
            Some(_) => {
                self.form(tape, 0)?;
                Outermost::Form
            }
        };
        Ok((outermost, began))
    }

    /// Blanks, comments, what `#_` drops, tags, and metadata.
    fn blanks(&mut self, tape: &mut Tape, depth: usize) -> Result<(), Stop> {
        loop {
            match self.peek() {
                Some(byte) if blank(byte) => self.at += 1,
                Some(b';') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                Some(b'#') => match self.bytes.get(self.at + 1) {
                    None => return Err(Stop::Short),
                    Some(b'_') => {
                        self.at += 2;
                        self.dropped(tape, depth)?;
                    }
                    Some(b'{' | b'"' | b'#') => return Ok(()),
                    Some(_) => {
                        self.at += 1;
                        self.word()?;
                    }
                },
                Some(b'^') => {
                    self.at += 1;
                    self.dropped(tape, depth)?;
                }
                None if !self.ended => return Err(Stop::Short),
                _ => return Ok(()),
            }
        }
    }

    /// A form that is as good as not there.
    fn dropped(&mut self, tape: &mut Tape, depth: usize) -> Result<(), Stop> {
        deep(depth)?;
        let mark = tape.mark();
        self.blanks(tape, depth + 1)?;
        self.form(tape, depth + 1)?;
        tape.back_to(mark);
        Ok(())
    }

    /// A form begins here, not a blank.
    fn form(&mut self, tape: &mut Tape, depth: usize) -> Result<(), Stop> {
        let Some(byte) = self.peek() else { return Err(Stop::Short) };
        match byte {
            b'[' => self.holding(tape, Shape::Vector, 1, b']', depth),
            b'(' => self.holding(tape, Shape::List, 1, b')', depth),
            b'{' => self.holding(tape, Shape::Map, 1, b'}', depth),
            b'#' => match self.bytes.get(self.at + 1) {
                None => Err(Stop::Short),
                Some(b'{') => self.holding(tape, Shape::Set, 2, b'}', depth),
                Some(b'"') => {
                    self.at += 1;
                    self.string(tape, false)
                }
                Some(_) => self.name(tape),
            },
            b'"' => self.string(tape, true),
            b'\\' => self.character(tape),
            b']' | b')' | b'}' => Err(Stop::Bad(format!("'{}' closes nothing", byte as char))),
            b'0'..=b'9' | b'-' | b'+' => self.number(tape),
            _ => self.name(tape),
        }
    }

    fn holding(
        &mut self,
        tape: &mut Tape,
        shape: Shape,
        opener: usize,
        closer: u8,
        depth: usize,
    ) -> Result<(), Stop> {
        deep(depth)?;
        self.at += opener;
        let mark = tape.open(shape);
        let mut items = 0_u64;
        loop {
            self.blanks(tape, depth + 1)?;
            match self.peek() {
                Some(byte) if byte == closer => break,
                _ => self.form(tape, depth + 1)?,
            }
            items += 1;
        }
        if shape == Shape::Map && items % 2 == 1 {
            return Err(Stop::Bad("a map with a key and no value".to_owned()));
        }
        self.at += 1;
        tape.close(mark);
        Ok(())
    }

    /// What stands here up to a delimiter.
    fn word(&mut self) -> Result<&str, Stop> {
        let from = self.at;
        while self.peek().is_some_and(|byte| !delimits(byte)) {
            self.at += 1;
        }
        if self.at == self.bytes.len() && !self.ended {
            return Err(Stop::Short);
        }
        std::str::from_utf8(&self.bytes[from..self.at])
            .map_err(|_| Stop::Bad("text that is not UTF-8".to_owned()))
    }

    fn number(&mut self, tape: &mut Tape) -> Result<(), Stop> {
        // Most are small and positive.
        let (from, mut value) = (self.at, 0_i64);
        while let Some(digit @ b'0'..=b'9') = self.peek()
            && self.at - from < 18
        {
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        if self.at > from && self.peek().is_some_and(delimits) {
            tape.int(value);
            return Ok(());
        }
        self.at = from;
        let word = self.word()?;
        let digits = word.strip_prefix('+').unwrap_or(word);
        let digits = digits.strip_suffix('N').unwrap_or(digits);
        if let Ok(value) = digits.parse() {
            tape.int(value);
        } else if let Ok(value) = digits.strip_suffix('M').unwrap_or(digits).parse()
            && digits.contains(['.', 'e', 'E', 'M'])
        {
            tape.float(value);
        } else {
            tape.text(Text::Symbol, word);
        }
        Ok(())
    }

    fn name(&mut self, tape: &mut Tape) -> Result<(), Stop> {
        match self.word()? {
            "nil" => tape.nil(),
            "true" => tape.bool(true),
            "false" => tape.bool(false),
            word => match word.strip_prefix(':') {
                Some("") => return Err(Stop::Bad("a colon and no keyword".to_owned())),
                Some(keyword) => tape.text(Text::Keyword, keyword),
                None => tape.text(Text::Symbol, word),
            },
        }
        Ok(())
    }

    /// `\a`, `\newline`, `\(`: what is behind the first letter belongs to it up to a delimiter.
    fn character(&mut self, tape: &mut Tape) -> Result<(), Stop> {
        let from = self.at;
        self.at += 2;
        while self.peek().is_some_and(|byte| !delimits(byte)) {
            self.at += 1;
        }
        if self.at > self.bytes.len() || self.at == self.bytes.len() && !self.ended {
            return Err(Stop::Short);
        }
        let text = std::str::from_utf8(&self.bytes[from..self.at])
            .map_err(|_| Stop::Bad("text that is not UTF-8".to_owned()))?;
        tape.text(Text::Symbol, text);
        Ok(())
    }

    /// A text, or a pattern: there a backslash stands for itself.
    fn string(&mut self, tape: &mut Tape, escapes: bool) -> Result<(), Stop> {
        let from = self.at + 1;
        let mut escaped = false;
        self.at = from;
        loop {
            match self.peek() {
                None => return Err(Stop::Short),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
            }
        }
        let bytes = &self.bytes[from..self.at];
        self.at += 1;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Stop::Bad("text that is not UTF-8".to_owned()))?;
        if escaped && escapes {
            tape.text(Text::Str, &unescaped(text).map_err(Stop::Bad)?);
        } else {
            tape.text(Text::Str, text);
        }
        Ok(())
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        plain.push(match letters.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                code.ok_or_else(|| format!("\\u{digits} is no letter"))?
            }
            other => return Err(format!("\\{} in a string", other.unwrap_or(' '))),
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time: each form is begun again many times.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn forms(text: &str) -> Result<Vec<String>, Malformed> {
        let read = |input: &mut dyn Read| {
            let mut reader = Reader::new(input);
            let mut tape = Tape::new();
            let mut forms = Vec::new();
            loop {
                match reader.next(&mut tape)? {
                    Next::Form(mark, line) => forms.push(format!("{line}: {}", tape.form(mark))),
                    Next::Begin => forms.push("begin".to_owned()),
                    Next::End => forms.push("end".to_owned()),
                    Next::EndOfFile => return Ok(forms),
                }
            }
        };
        let whole = read(&mut text.as_bytes());
        assert_eq!(whole, read(&mut Slow(text.as_bytes())), "in pieces as at once");
        whole
    }

    #[test]
    fn forms_come_one_by_one_with_their_lines() {
        let text = "; a comment\n{:type :ok, :value [[:r \"x\\ny\" [1 -2 +3]]]}\n#_ {:a 1} #jepsen.Op{:b #{nil true} :c 1.5\n :d 9223372036854775808}";
        assert_eq!(
            forms(text).unwrap(),
            [
                r#"2: {:type :ok :value [[:r "x\ny" [1 -2 3]]]}"#,
                "3: {:b #{nil true} :c 1.5 :d 9223372036854775808}",
            ]
        );
    }

    #[test]
    fn what_clojure_prints_beside_is_no_obstacle() {
        let text = r##"{:a ^{:line 1} [##NaN ##-Inf 1/2 12N -1.5e3] :b [\( \newline \é \,]}
            {:c #"\d+ \"x" :d #inst "2020-01-01" :e #:n{:f #a/b #c (1)} :g ^:h #{} :n/i -}"##;
        assert_eq!(
            forms(text).unwrap(),
            [
                r"1: {:a [##NaN ##-Inf 1/2 12 -1500.0] :b [\( \newline \é \,]}",
                r#"2: {:c "\\d+ \\\"x" :d "2020-01-01" :e {:f (1)} :g #{} :n/i -}"#,
            ]
        );
    }

    /// Gives little at a time and counts.
    struct Pipe<'a>(&'a [u8], usize);

    impl Read for Pipe<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            let piece = self.0.len().min(into.len()).min(1 << 12);
            into[..piece].copy_from_slice(&self.0[..piece]);
            self.0 = &self.0[piece..];
            Ok(piece)
        }
    }

    #[test]
    fn a_long_form_is_begun_again_a_few_times_only() {
        let text = format!("[{{:a [{}]}}]", "1 ".repeat(1 << 21));
        let mut reader = Reader::new(Pipe(text.as_bytes(), 0));
        let mut tape = Tape::new();
        assert!(matches!(reader.next(&mut tape), Ok(Next::Begin)));
        let mut begun = 0;
        while reader.filled < text.len() - 1 {
            reader.more().unwrap();
            begun += 1;
        }
        assert!(begun < 80, "{begun} times");
        assert!(matches!(reader.next(&mut tape), Ok(Next::Form(..))));
    }

    #[test]
    fn a_file_may_be_one_vector() {
        assert_eq!(
            forms("[{:a 1}\n{:b 2}]\n").unwrap(),
            ["begin", "1: {:a 1}", "2: {:b 2}", "end"]
        );
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_line() {
        for (text, line, reason) in [
            ("{:a 1}\n{:b", 2, "the file ends inside a form"),
            ("{:a}", 1, "a map with a key and no value"),
            ("\n\n}", 3, "'}' closes nothing"),
            ("{:a \"\\q\"}", 1, "\\q in a string"),
            ("{:a [1 2)}", 1, "')' closes nothing"),
            ("{: 1}", 1, "a colon and no keyword"),
        ] {
            assert_eq!(forms(text).unwrap_err(), Malformed { line, reason: reason.to_owned() });
        }
        for deep in ["[", "#_", "#_[", "#_ #a {:b "] {
            let deep = format!("{{:a {}", deep.repeat(500));
            assert!(forms(&deep).unwrap_err().reason.contains("deep"));
            let deep = deep.repeat(200);
            let mut reader = Reader::new(deep.as_bytes());
            assert!(reader.next(&mut Tape::new()).unwrap_err().reason.contains("deep"));
        }
    }
}
