//! Why an object is not linearizable, in words and as a picture.

use std::collections::HashSet;

use super::picture::{Bar, Look, draw};
use super::search::Stuck;
use super::space::Space;
use super::timeline::{NEVER, Timeline};
use super::{Model, Place};
use crate::checker::Anomaly;
use crate::level::Level;

/// So many operations of the order are named, and so many that are open.
const NAMED: usize = 12;
/// A text is cut behind so many letters.
const LONGEST: usize = 120;

/// A search that found nothing.
pub(super) struct Case<'a, 'm, M: Model> {
    pub space: &'a Space<'m, M>,
    pub line: &'a Timeline,
    /// Of the object; nil if there is but one.
    pub key: &'m str,
    /// Of each of its calls.
    pub places: &'a [Place],
    pub stuck: Stuck,
    pub model: &'a M,
}

impl<M: Model> Case<'_, '_, M> {
    pub(super) fn anomaly(&self) -> Anomaly {
        Anomaly {
            name: "not-linearizable".to_owned(),
            words: self.words(),
            breaks: vec![Level::Linearizable],
            picture: Some(draw(&self.bars())),
        }
    }

    fn words(&self) -> String {
        let of = if self.key == "nil" { String::new() } else { format!(" of {}", self.key) };
        let mut words = format!("{}{of} cannot be linearized.\n", self.called(self.stuck.at));
        let states: Vec<String> = self
            .stuck
            .states
            .iter()
            .map(|state| cut(&self.model.show_state(self.space.state(*state))))
            .collect();
        words.push_str(&format!(
            "All {} that ended before it can, and in no such order it is possible: the state \
             was then {}.\n",
            self.stuck.at,
            states.join(" or ")
        ));
        let hidden = self.stuck.order.len().saturating_sub(NAMED);
        if !self.stuck.order.is_empty() {
            let more = if hidden > 0 { format!(", after {hidden} others") } else { String::new() };
            words.push_str(&format!("One such order{more}:\n"));
        }
        for call in &self.stuck.order[hidden..] {
            words.push_str(&format!("  {}\n", self.called(*call)));
        }
        let open = self.open();
        if !open.is_empty() {
            words.push_str("Open with it, and not in that order:\n");
        }
        for call in open.iter().take(NAMED) {
            words.push_str(&format!("  {}\n", self.called(*call)));
        }
        if open.len() > NAMED {
            words.push_str(&format!("  and {} more\n", open.len() - NAMED));
        }
        words
    }

    /// What could have been taken beside the order that is shown; what ends first is first.
    fn open(&self) -> Vec<u32> {
        let until = self.line.calls[self.stuck.at as usize].ended;
        let taken: HashSet<u32> = self.stuck.order.iter().copied().collect();
        (self.stuck.at + 1..self.line.calls.len() as u32)
            .filter(|call| self.line.calls[*call as usize].began < until)
            .filter(|call| !taken.contains(call))
            .collect()
    }

    fn called(&self, call: u32) -> String {
        let place = self.places[call as usize];
        let what = cut(&self.model.show(self.space.op(self.line.op(call))));
        let lines = match (place.began, place.ended) {
            (Some(began), Some(ended)) => format!("lines {began} to {ended}"),
            (Some(began), None) => format!("line {began}, never ended"),
            (None, Some(ended)) => format!("line {ended}"),
            (None, None) => "no line".to_owned(),
        };
        format!("{what} (process {}, {lines})", place.process)
    }

    /// What the picture shows: the operation, what it was open with, and what came before.
    fn bars(&self) -> Vec<Bar> {
        let last = self.stuck.order.len().saturating_sub(NAMED);
        let mut bars = vec![self.bar(self.stuck.at, Look::Stuck)];
        for (place, call) in self.stuck.order.iter().enumerate().skip(last) {
            bars.push(self.bar(*call, Look::Taken(place + 1)));
        }
        bars.extend(self.open().iter().take(NAMED).map(|call| self.bar(*call, Look::Open)));
        bars
    }

    fn bar(&self, call: u32, look: Look) -> Bar {
        let times = self.line.calls[call as usize];
        Bar {
            process: self.places[call as usize].process,
            began: times.began,
            ended: (times.ended != NEVER).then_some(times.ended),
            what: self.model.show(self.space.op(self.line.op(call))),
            called: self.called(call),
            look,
        }
    }
}

/// The end of a long text says more than its begin.
pub(super) fn cut(text: &str) -> String {
    let letters = text.chars().count();
    if letters <= LONGEST {
        return text.to_owned();
    }
    let end: String = text.chars().skip(letters - LONGEST / 2).collect();
    let begin: String = text.chars().take(LONGEST / 2).collect();
    format!("{begin} … {end}")
}
