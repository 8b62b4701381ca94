//! What a read finds.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_common::key::Key;

use crate::Error;
use crate::workspace::{self, Written};

/// The value of a key, or its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub(crate) key: Key,
    pub(crate) bytes: Option<Bytes>,
}

impl Value {
    /// The bytes, or `None` if the key is absent.
    pub fn bytes(&self) -> Option<&Bytes> {
        self.bytes.as_ref()
    }

    /// The bytes by value, or `None` if the key is absent.
    pub fn into_bytes(self) -> Option<Bytes> {
        self.bytes
    }

    /// Whether the key has a value.
    pub fn is_present(&self) -> bool {
        self.bytes.is_some()
    }

    /// The value as it was put.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the key is absent, [`Error::Corrupt`] if the bytes
    /// are no `T`. Both name the key.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.decode_opt()?.ok_or_else(|| self.absent())
    }

    /// The value as it was put, or `None` if the key is absent.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are no `T`; names the key.
    pub fn decode_opt<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let Some(bytes) = &self.bytes else { return Ok(None) };
        let corrupt = |why: &str| {
            Error::Corrupt(format!("the value of key {} is of another type: {why}", self.key))
        };
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(Some(value)),
            Ok(_) => Err(corrupt("bytes are left over")),
            Err(error) => Err(corrupt(&error.to_string())),
        }
    }

    /// The number in an integer cell, as [`Txn::add`](crate::Txn::add) makes it.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the key is absent or its value is no integer cell.
    /// Names the key.
    pub fn number(&self) -> Result<i64, Error> {
        self.number_opt()?.ok_or_else(|| self.absent())
    }

    /// The number in an integer cell, or `None` if the key is absent.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the value is no integer cell; names the key.
    pub fn number_opt(&self) -> Result<Option<i64>, Error> {
        self.bytes.as_ref().map(|bytes| workspace::number(&self.key, bytes)).transpose()
    }

    fn absent(&self) -> Error {
        Error::Misuse(format!("key {} has no value", self.key))
    }

    /// What a read finds if this is what the shard holds.
    pub(crate) fn below(self, written: Option<Written>) -> Result<Value, Error> {
        let Value { key, bytes } = self;
        let bytes = match written {
            Some(written) => written.on(&key, bytes)?,
            None => bytes,
        };
        Ok(Value { key, bytes })
    }
}

/// The bytes of a typed value.
pub(crate) fn encode(value: &(impl Serialize + ?Sized)) -> Result<Bytes, Error> {
    let bytes = postcard::to_stdvec(value)
        .map_err(|error| Error::Misuse(format!("the value can not be stored: {error}")))?;
    Ok(bytes.into())
}
