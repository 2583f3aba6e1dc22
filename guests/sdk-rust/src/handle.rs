use crate::abi;
use crate::error::{check, Result};

/// Something the server keeps for this instance; given back when it goes out of use.
#[derive(Debug)]
pub(crate) struct Handle(pub i32);

impl Handle {
    pub fn of(result: i32) -> Result<Handle> {
        check(result).map(|_| Handle(result))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        unsafe { abi::drop(self.0) };
    }
}
