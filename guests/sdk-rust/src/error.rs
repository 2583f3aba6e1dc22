use crate::abi;
use std::fmt;

/// Why a call could not be done; the numbers are `enum realm_guest_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    InvalidArgument,
    BadPointer,
    BadHandle,
    NotFound,
    Quota,
    Busy,
    Closed,
    TimedOut,
    TooLarge,
    Unsupported,
    Failed,
    /// The program's own: what it was asked makes no sense to it.
    Program,
}

#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the program itself.
    pub fn new(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Program, message: message.into() }
    }

    fn of_code(code: i32) -> Error {
        let kind = match code {
            -1 => ErrorKind::InvalidArgument,
            -2 => ErrorKind::BadPointer,
            -3 => ErrorKind::BadHandle,
            -4 => ErrorKind::NotFound,
            -5 => ErrorKind::Quota,
            -6 => ErrorKind::Busy,
            -7 => ErrorKind::Closed,
            -8 => ErrorKind::TimedOut,
            -9 => ErrorKind::TooLarge,
            -10 => ErrorKind::Unsupported,
            _ => ErrorKind::Failed,
        };
        let mut words = [0u8; 512];
        let n = unsafe { abi::last_error(words.as_mut_ptr(), words.len()) };
        let n = (n.max(0) as usize).min(words.len());
        Error { kind, message: String::from_utf8_lossy(&words[..n]).into_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A call's result: a number, or the error.
pub(crate) fn check(result: i32) -> Result<usize> {
    if result < 0 {
        Err(Error::of_code(result))
    } else {
        Ok(result as usize)
    }
}

/// Calls that give bytes tell how many there are whatever the room: asked twice, they fit.
pub(crate) fn bytes_of(call: impl Fn(*mut u8, usize) -> i32) -> Result<Vec<u8>> {
    let n = check(call(std::ptr::null_mut(), 0))?;
    let mut bytes = vec![0; n];
    check(call(bytes.as_mut_ptr(), n))?;
    Ok(bytes)
}

pub(crate) fn text_of(call: impl Fn(*mut u8, usize) -> i32) -> Result<String> {
    bytes_of(call).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
