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
        let new = self.names.len() as u32;
        assert!(new < u32::MAX, "there is no memory for so many");
        if let Some(int) = form.as_int() {
            return *self.ints.entry(int).or_insert_with(|| {
                self.names.push(int.to_string());
                new
            });
        }
        let text = form.to_string();
        if let Some(number) = self.texts.get(&text) {
            return *number;
        }
        self.names.push(text.clone());
        self.texts.insert(text, new);
        new
    }

    /// The number of a key: one that was written without its colon is the same.
    pub fn key(&mut self, form: Form<'_>) -> u32 {
        let text = form.to_string();
        let colon = form.as_text() == Some(text.as_str());
        if !colon {
            return self.number(form);
        }
        let keyword = format!(":{text}");
        let new = self.names.len() as u32;
        *self.texts.entry(keyword).or_insert_with_key(|keyword| {
            self.names.push(keyword.clone());
            new
        })
    }

    /// As EDN.
    pub fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }
}
