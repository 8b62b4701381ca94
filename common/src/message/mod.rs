//! Messages (being filled in).
/// A message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {}
