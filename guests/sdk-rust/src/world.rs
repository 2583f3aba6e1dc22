//! Other programs, the tenant's store, and what little there is of the world.

use crate::abi::{self, Usage};
use crate::error::{bytes_of, check, text_of, ErrorKind, Result};
use crate::handle::Handle;
use crate::json::Value;
use crate::stream::Stream;

/// Runs a function ("": the default one) of another program of the tenant.
pub fn invoke(program: &str, function: &str, request: &Value) -> Result<Stream> {
    let json = request.to_string();
    Handle::of(unsafe {
        abi::invoke(
            program.as_ptr(),
            program.len(),
            function.as_ptr(),
            function.len(),
            json.as_ptr(),
            json.len(),
        )
    })
    .map(Stream)
}

/// The tenant's key-value store: keys of 1 to 256 bytes, values of up to 64 KiB.
pub mod store {
    use super::*;

    /// None: there is no such key.
    pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
        match bytes_of(|out, room| unsafe { abi::kv_get(key.as_ptr(), key.len(), out, room) }) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn set(key: &str, value: &[u8]) -> Result<()> {
        check(unsafe { abi::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }).map(|_| ())
    }

    pub fn delete(key: &str) -> Result<()> {
        check(unsafe { abi::kv_delete(key.as_ptr(), key.len()) }).map(|_| ())
    }

    /// Keys that begin with prefix, in byte order, at most 1,000.
    pub fn list(prefix: &str) -> Result<Vec<String>> {
        let json = text_of(|out, room| unsafe { abi::kv_list(prefix.as_ptr(), prefix.len(), out, room) })?;
        let keys = Value::parse(&json)?;
        Ok(keys.items().iter().filter_map(|key| key.as_str().map(str::to_string)).collect())
    }
}

/// From the request's seed: the same seed gives the same bytes.
pub fn random(out: &mut [u8]) -> Result<()> {
    check(unsafe { abi::random(out.as_mut_ptr(), out.len()) }).map(|_| ())
}

/// Since 1970-01-01 UTC.
pub fn clock_ms() -> i64 {
    unsafe { abi::clock_ms() }
}

#[derive(Clone, Copy, Debug)]
pub enum Level {
    Error,
    Warning,
    Information,
    Debug,
}

/// A line in the program's log.
pub fn log(level: Level, text: &str) {
    unsafe { abi::log(level as i32, text.as_ptr(), text.len()) };
}

pub fn usage() -> Result<Usage> {
    let mut usage = Usage::default();
    let size = std::mem::size_of_val(&usage);
    check(unsafe { abi::usage(&mut usage, size) })?;
    Ok(usage)
}
