//! Deliberate bugs by their names, for whoever is told at run time which one to have.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, Error, IntoDeserializer};

/// The variant of an enum that has this name in the code.
///
/// # Errors
/// If there is none; the names that there are.
pub fn named<M: DeserializeOwned>(name: &str) -> Result<M, Vec<&'static str>> {
    let name: StrDeserializer<'_, Names> = name.into_deserializer();
    M::deserialize(name).map_err(|Names(names)| names.to_vec())
}

/// The first of these that there is.
///
/// # Errors
/// If there is none; the names of all.
pub fn first<M, const N: usize>(
    found: [Result<M, Vec<&'static str>>; N],
) -> Result<M, Vec<&'static str>> {
    let mut names = Vec::new();
    for found in found {
        match found {
            Ok(mutant) => return Ok(mutant),
            Err(others) => names.extend(others),
        }
    }
    Err(names)
}

/// What serde expected.
#[derive(Debug)]
struct Names(&'static [&'static str]);

impl Error for Names {
    fn custom<T: fmt::Display>(_: T) -> Names {
        Names(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Names {
        Names(expected)
    }
}

impl std::error::Error for Names {}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::mutant::Mutant;

    #[test]
    fn every_bug_has_its_name() {
        for mutant in Mutant::ALL {
            assert_eq!(named(&format!("{mutant:?}")), Ok(mutant));
        }
        let names = first([named::<Mutant>("Classical")]).unwrap_err();
        assert_eq!(names, Mutant::ALL.map(|mutant| format!("{mutant:?}")));
    }
}
