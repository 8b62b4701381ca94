//! A value as a file has it, on a flat tape.
//!
//! ```text
//!   [[:r 9 [1 2]]]   ─▶   [ 8 │ [ 7 │ :r │ 9 │ [ 7 │ 1 │ 2
//! ```
//!
//! Reading an operation writes its values one behind the other; what contains others
//! knows where it ends. The tape is used again for the next operation, so that reading
//! allocates nothing, and a history of any length takes the memory of its longest line.

use std::fmt;

/// What holds other forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[…]`, an array.
    Vector,
    /// `(…)`
    List,
    /// `{…}`: keys and values take turns.
    Map,
    /// `#{…}`
    Set,
}

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// `"…"`
    Str,
    /// `:…`
    Keyword,
    /// Anything else: symbols, and numbers that fit nowhere.
    Symbol,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text {
        kind: Text,
        from: u32,
        to: u32,
    },
    /// `end` is the place behind its last item.
    Open {
        shape: Shape,
        end: u32,
    },
}

/// Where forms are written.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    text: String,
}

/// A place on a tape, to come back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    node: u32,
    text: u32,
}

impl Tape {
    /// An empty one.
    pub fn new() -> Tape {
        Tape::default()
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.text.clear();
    }

    /// Writes nothing.
    pub fn nil(&mut self) {
        self.nodes.push(Node::Nil);
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) {
        self.nodes.push(Node::Bool(value));
    }

    /// Writes an integer.
    pub fn int(&mut self, value: i64) {
        self.nodes.push(Node::Int(value));
    }

    /// Writes a number with a fraction.
    pub fn float(&mut self, value: f64) {
        self.nodes.push(Node::Float(value));
    }

    /// Writes a text.
    pub fn text(&mut self, kind: Text, value: &str) {
        let from = self.text.len() as u32;
        self.text.push_str(value);
        self.nodes.push(Node::Text { kind, from, to: self.text.len() as u32 });
    }

    /// Begins what holds others; [`Tape::close`] ends it.
    pub fn open(&mut self, shape: Shape) -> Mark {
        let mark = self.mark();
        self.nodes.push(Node::Open { shape, end: 0 });
        mark
    }

    /// Ends what was begun at `mark`.
    pub fn close(&mut self, mark: Mark) {
        let behind = self.nodes.len() as u32;
        match &mut self.nodes[mark.node as usize] {
            Node::Open { end, .. } => *end = behind,
            node => panic!("{node:?} was not opened"),
        }
    }

    /// Where the next form will stand.
    pub fn mark(&self) -> Mark {
        Mark { node: self.nodes.len() as u32, text: self.text.len() as u32 }
    }

    /// Forgets what was written since `mark`.
    pub fn back_to(&mut self, mark: Mark) {
        self.nodes.truncate(mark.node as usize);
        self.text.truncate(mark.text as usize);
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.text.len()
    }

    /// The form at `mark`.
    ///
    /// # Panics
    ///
    /// If nothing was written there.
    pub fn form(&self, mark: Mark) -> Form<'_> {
        assert!((mark.node as usize) < self.nodes.len(), "a form was written there");
        Form { tape: self, at: mark.node }
    }
}

/// A form on a tape.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    tape: &'a Tape,
    at: u32,
}

static NIL: std::sync::LazyLock<Tape> = std::sync::LazyLock::new(|| {
    let mut tape = Tape::new();
    tape.nil();
    tape
});

impl<'a> Form<'a> {
    /// Nothing.
    pub fn nil() -> Form<'static> {
        Form { tape: &NIL, at: 0 }
    }

    fn node(&self) -> Node {
        self.tape.nodes[self.at as usize]
    }

    /// Whether it is `nil`.
    pub fn is_nil(&self) -> bool {
        self.node() == Node::Nil
    }

    /// The integer that it is.
    pub fn as_int(&self) -> Option<i64> {
        match self.node() {
            Node::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The truth value that it is.
    pub fn as_bool(&self) -> Option<bool> {
        match self.node() {
            Node::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The text that it is: of a keyword what follows the colon.
    pub fn as_text(&self) -> Option<&'a str> {
        match self.node() {
            Node::Text { from, to, .. } => Some(&self.tape.text[from as usize..to as usize]),
            _ => None,
        }
    }

    /// Whether it is in round brackets.
    pub fn is_list(&self) -> bool {
        matches!(self.node(), Node::Open { shape: Shape::List, .. })
    }

    /// What it holds, if it is no map.
    pub fn items(&self) -> Option<Items<'a>> {
        match self.node() {
            Node::Open { shape: Shape::Map, .. } => None,
            Node::Open { end, .. } => Some(Items { tape: self.tape, at: self.at + 1, end }),
            _ => None,
        }
    }

    /// Its items, if they are exactly `N`.
    pub fn array<const N: usize>(&self) -> Option<[Form<'a>; N]> {
        let mut items = self.items()?;
        let mut array = [Form::nil(); N];
        for slot in &mut array {
            *slot = items.next()?;
        }
        items.next().is_none().then_some(array)
    }

    /// Keys and values of a map.
    pub fn pairs(&self) -> Option<impl Iterator<Item = (Form<'a>, Form<'a>)> + use<'a>> {
        let Node::Open { shape: Shape::Map, end } = self.node() else { return None };
        let mut items = Items { tape: self.tape, at: self.at + 1, end };
        Some(std::iter::from_fn(move || {
            let key = items.next()?;
            Some((key, items.next().expect("a map has a value for each key")))
        }))
    }
}

/// The same value, whatever tape it is on; `1` and `1.0` are not the same.
impl PartialEq for Form<'_> {
    fn eq(&self, other: &Form<'_>) -> bool {
        match (self.node(), other.node()) {
            (Node::Text { kind, .. }, Node::Text { kind: other_kind, .. }) => {
                kind == other_kind && self.as_text() == other.as_text()
            }
            (Node::Open { shape, end }, Node::Open { shape: other_shape, end: other_end }) => {
                let mine = Items { tape: self.tape, at: self.at + 1, end };
                let others = Items { tape: other.tape, at: other.at + 1, end: other_end };
                shape == other_shape && mine.eq(others)
            }
            (mine, others) => mine == others,
        }
    }
}

/// What a form holds, in order.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    tape: &'a Tape,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Items<'a> {
    type Item = Form<'a>;

    fn next(&mut self) -> Option<Form<'a>> {
        if self.at >= self.end {
            return None;
        }
        let form = Form { tape: self.tape, at: self.at };
        self.at = match form.node() {
            Node::Open { end, .. } => end,
            _ => self.at + 1,
        };
        Some(form)
    }

    /// At most so many: each place may hold one.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some((self.end - self.at) as usize))
    }
}

/// As EDN.
impl fmt::Display for Form<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Node::Nil => out.write_str("nil"),
            Node::Bool(value) => write!(out, "{value}"),
            Node::Int(value) => write!(out, "{value}"),
            Node::Float(value) => write!(out, "{value:?}"),
            Node::Text { kind: Text::Str, .. } => quoted(self.as_text().unwrap_or(""), out),
            Node::Text { kind: Text::Keyword, .. } => {
                write!(out, ":{}", self.as_text().unwrap_or(""))
            }
            Node::Text { kind: Text::Symbol, .. } => out.write_str(self.as_text().unwrap_or("")),
            Node::Open { shape, end } => {
                let (open, close) = match shape {
                    Shape::Vector => ("[", "]"),
                    Shape::List => ("(", ")"),
                    Shape::Map => ("{", "}"),
                    Shape::Set => ("#{", "}"),
                };
                out.write_str(open)?;
                for (place, item) in (Items { tape: self.tape, at: self.at + 1, end }).enumerate() {
                    let space = if place > 0 { " " } else { "" };
                    write!(out, "{space}{item}")?;
                }
                out.write_str(close)
            }
        }
    }
}

fn quoted(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            '\r' => out.write_str("\\r")?,
            letter => write!(out, "{letter}")?,
        }
    }
    out.write_str("\"")
}

impl fmt::Debug for Form<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}
