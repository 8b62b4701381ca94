//! JSON: an array of operations, or one behind the other. Where its operations stand is
//! said by their number, from 1; it is the line if each has one.

use std::fmt;
use std::io::BufRead;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::de::IoRead;

use super::form::{Shape, Tape, Text};
use super::formats::operation;
use super::{MAX_FORM_BYTES, Malformed, Sink};

/// Reads a history.
pub fn read(mut input: impl BufRead, sink: &mut dyn Sink) -> Result<(), Malformed> {
    let mut lines = 0;
    let array = loop {
        let buffer = input.fill_buf().map_err(|error| Malformed::new(1, error.to_string()))?;
        let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        lines += buffer[..blank].iter().filter(|byte| **byte == b'\n').count() as u64;
        let (first, empty) = (buffer.get(blank).copied(), buffer.is_empty());
        input.consume(blank);
        if empty || first.is_some() {
            break first == Some(b'[');
        }
    };
    let mut tape = Tape::new();
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::new(IoRead::new(input));
    let result = if array {
        let operations = Operations { tape: &mut tape, sink, refused: &mut refused };
        deserializer.deserialize_seq(operations).and_then(|()| deserializer.end())
    } else {
        one_by_one(deserializer, &mut tape, sink, &mut refused)
    };
    match (refused, result) {
        (Some(malformed), _) => Err(malformed),
        (None, Err(error)) => Err(Malformed::new(lines + error.line() as u64, error.to_string())),
        (None, Ok(())) => Ok(()),
    }
}

fn one_by_one<'de>(
    mut deserializer: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
    tape: &mut Tape,
    sink: &mut dyn Sink,
    refused: &mut Option<Malformed>,
) -> Result<(), serde_json::Error> {
    let mut number = 0;
    loop {
        tape.clear();
        let mark = tape.mark();
        match (OnTape { tape }).deserialize(&mut deserializer) {
            Ok(()) => {}
            Err(error) if error.is_eof() && tape.bytes() == 0 => return Ok(()),
            Err(error) => return Err(error),
        }
        number += 1;
        let result = operation(tape.form(mark), number, sink);
        if let Err(malformed) = result {
            *refused = Some(malformed);
            return Ok(());
        }
    }
}

struct Operations<'a> {
    tape: &'a mut Tape,
    sink: &'a mut dyn Sink,
    refused: &'a mut Option<Malformed>,
}

impl<'de> Visitor<'de> for Operations<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut number = 0;
        loop {
            self.tape.clear();
            let mark = self.tape.mark();
            if items.next_element_seed(OnTape { tape: self.tape })?.is_none() {
                return Ok(());
            }
            number += 1;
            if let Err(malformed) = operation(self.tape.form(mark), number, self.sink) {
                *self.refused = Some(malformed);
                return Err(A::Error::custom("refused"));
            }
        }
    }
}

/// Writes what it reads on a tape.
struct OnTape<'a> {
    tape: &'a mut Tape,
}

impl<'de> DeserializeSeed<'de> for OnTape<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OnTape<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.tape.nil();
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.tape.bool(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.tape.int(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.tape.int(value),
            Err(_) => self.tape.text(Text::Symbol, &value.to_string()),
        }
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.tape.float(value);
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.tape.text(Text::Str, value);
        bounded(self.tape)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mark = self.tape.open(Shape::Vector);
        while items.next_element_seed(OnTape { tape: self.tape })?.is_some() {
            bounded(self.tape)?;
        }
        self.tape.close(mark);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<(), A::Error> {
        let mark = self.tape.open(Shape::Map);
        while pairs.next_key_seed(OnTape { tape: self.tape })?.is_some() {
            pairs.next_value_seed(OnTape { tape: self.tape })?;
            bounded(self.tape)?;
        }
        self.tape.close(mark);
        Ok(())
    }
}

fn bounded<E: serde::de::Error>(tape: &Tape) -> Result<(), E> {
    if tape.bytes() > MAX_FORM_BYTES {
        return Err(E::custom(format!("an operation of more than {MAX_FORM_BYTES} bytes")));
    }
    Ok(())
}
