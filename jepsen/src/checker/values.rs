//! Values of a history by number: equal ones have the same.

use std::collections::HashMap;

use crate::history::Form;

/// Numbers for values; `nil` has 0.
#[derive(Clone, Debug)]
pub struct Values {
    ints: HashMap<i64, u32>,
    texts: HashMap<String, u32>,
    names: Vec<String>,
}

impl Default for Values {
    fn default() -> Values {
        Values { ints: HashMap::new(), texts: HashMap::new(), names: vec!["nil".to_owned()] }
    }
}

impl Values {
    /// The value that a register has that nobody wrote.
    pub const NIL: u32 = 0;

    /// Its number.
    pub fn number(&mut self, form: Form<'_>) -> u32 {
        if form.is_nil() {
            return Values::NIL;
        }
        match form.as_int() {
            Some(int) => self.int(int),
            None => self.text(form.to_string()),
        }
    }

    /// The number of a key. JSON has keywords, and integers that are keys of maps, as
    /// strings; who states an initial state may leave the colons out.
    pub fn key(&mut self, form: Form<'_>) -> u32 {
        let Some(text) = form.as_text() else { return self.number(form) };
        match text.parse() {
            Ok(int) => self.int(int),
            Err(_) => self.text(format!(":{text}")),
        }
    }

    fn int(&mut self, int: i64) -> u32 {
        let new = self.new_number();
        *self.ints.entry(int).or_insert_with(|| {
            self.names.push(int.to_string());
            new
        })
    }

    fn text(&mut self, text: String) -> u32 {
        let new = self.new_number();
        *self.texts.entry(text).or_insert_with_key(|text| {
            self.names.push(text.clone());
            new
        })
    }

    fn new_number(&self) -> u32 {
        let new = self.names.len() as u32;
        assert!(new < u32::MAX, "there is no memory for so many");
        new
    }

    /// As EDN.
    pub fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }
}
