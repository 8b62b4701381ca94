//! Keys from what programs have: text, bytes, and tuples.
//!
//! Text and bytes are keys as they are. A tuple is encoded so that the order of
//! the bytes is the order of the tuples, element by element; a shorter tuple
//! comes before its extensions.
//!
//! ```text
//!   ("acct", 7u64)   02 a c c t 00 │ 03 00 00 00 00 00 00 00 07
//! ```
//!
//! Text and byte strings end with a zero; a zero inside becomes `00 ff`.
//! Unsigned numbers are big-endian; signed ones have their sign bit turned, so
//! that negative ones come first. Each element begins with a tag, so that
//! elements of different types never compare equal.

use synod_common::key::Key;

const BYTES: u8 = 1;
const TEXT: u8 = 2;
const UNSIGNED: u8 = 3;
const SIGNED: u8 = 4;
const BOOL: u8 = 5;

/// Whatever can be a key.
pub trait AsKey {
    /// The key.
    fn as_key(&self) -> Key;
}

impl AsKey for Key {
    fn as_key(&self) -> Key {
        self.clone()
    }
}

impl AsKey for str {
    fn as_key(&self) -> Key {
        Key::from(self)
    }
}

impl AsKey for String {
    fn as_key(&self) -> Key {
        Key::from(self.as_str())
    }
}

impl AsKey for [u8] {
    fn as_key(&self) -> Key {
        Key::from(self)
    }
}

impl AsKey for Vec<u8> {
    fn as_key(&self) -> Key {
        Key::from(self.as_slice())
    }
}

impl<const N: usize> AsKey for [u8; N] {
    fn as_key(&self) -> Key {
        Key::from(&self[..])
    }
}

impl<T: AsKey + ?Sized> AsKey for &T {
    fn as_key(&self) -> Key {
        (**self).as_key()
    }
}

/// An element of a tuple key.
pub trait KeyTuple {
    /// Appends the element's bytes.
    fn append_to(&self, out: &mut Vec<u8>);
}

fn append_escaped(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.push(0);
}

impl KeyTuple for str {
    fn append_to(&self, out: &mut Vec<u8>) {
        append_escaped(TEXT, self.as_bytes(), out);
    }
}

impl KeyTuple for String {
    fn append_to(&self, out: &mut Vec<u8>) {
        self.as_str().append_to(out);
    }
}

impl KeyTuple for [u8] {
    fn append_to(&self, out: &mut Vec<u8>) {
        append_escaped(BYTES, self, out);
    }
}

impl KeyTuple for bool {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend([BOOL, u8::from(*self)]);
    }
}

impl<T: KeyTuple + ?Sized> KeyTuple for &T {
    fn append_to(&self, out: &mut Vec<u8>) {
        (**self).append_to(out);
    }
}

macro_rules! number_elements {
    ($($unsigned:ty, $signed:ty);*) => {$(
        impl KeyTuple for $unsigned {
            fn append_to(&self, out: &mut Vec<u8>) {
                out.push(UNSIGNED);
                out.extend(u64::from(*self).to_be_bytes());
            }
        }
        impl KeyTuple for $signed {
            fn append_to(&self, out: &mut Vec<u8>) {
                out.push(SIGNED);
                out.extend((i64::from(*self) ^ i64::MIN).to_be_bytes());
            }
        }
    )*};
}
number_elements!(u8, i8; u16, i16; u32, i32; u64, i64);

macro_rules! tuple_keys {
    ($(($($name:ident $index:tt),+));*) => {$(
        impl<$($name: KeyTuple),+> AsKey for ($($name,)+) {
            fn as_key(&self) -> Key {
                let mut out = Vec::new();
                $(self.$index.append_to(&mut out);)+
                Key::from(out)
            }
        }
    )*};
}
tuple_keys!((A 0); (A 0, B 1); (A 0, B 1, C 2); (A 0, B 1, C 2, D 3); (A 0, B 1, C 2, D 3, E 4));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_is_the_order_of_tuples() {
        let texts = ["", "\0", "\0a", "\0\u{1}", "a", "a\0", "a\0b", "ab", "b"];
        let numbers = [i64::MIN, -300, -1, 0, 1, 255, 256, i64::MAX];
        for (i, a) in texts.iter().enumerate() {
            for (j, b) in numbers.iter().enumerate() {
                for (k, c) in texts.iter().enumerate() {
                    for (l, d) in numbers.iter().enumerate() {
                        let order = (a, j).cmp(&(c, l));
                        let _ = (i, k);
                        assert_eq!((*a, *b).as_key().cmp(&(*c, *d).as_key()), order);
                    }
                }
            }
        }
    }

    #[test]
    fn a_shorter_tuple_comes_before_its_extensions() {
        assert!(("a",).as_key() < ("a", 0u64).as_key());
        assert!(("a", u64::MAX).as_key() < ("b",).as_key());
        assert!((1u32, 2u8).as_key() == (1u64, 2u64).as_key());
    }

    #[test]
    fn tuples_are_golden() {
        let key = ("acct", 7u64, -1i32, true).as_key();
        assert_eq!(
            key.to_string(),
            "\\x02acct\\x00\\x03\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07\
             \\x04\\x7f\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x05\\x01"
        );
    }
}
