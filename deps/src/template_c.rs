//! The C face of `template`; include/realm_template.h says what each function promises.

use crate::template::{Failure, Template};
use std::ffi::{c_char, c_int};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::{ptr, slice};

const OK: c_int = 0;
const SYNTAX: c_int = 1;
const CONTEXT: c_int = 2;
const RAISED: c_int = 3;
const FAILED: c_int = 4;
const LIMIT: c_int = 5;
const INTERNAL: c_int = 6;

#[repr(C)]
pub struct RealmTemplateText {
    data: *mut c_char,
    length: usize,
}

impl RealmTemplateText {
    const EMPTY: RealmTemplateText = RealmTemplateText { data: ptr::null_mut(), length: 0 };

    fn new(mut text: Vec<u8>) -> RealmTemplateText {
        let length = text.len();
        text.push(0);
        let data = Box::into_raw(text.into_boxed_slice()) as *mut c_char;
        RealmTemplateText { data, length }
    }
}

/// Runs `f`; a failure or a panic becomes a result code and a text in `error`.
fn guard<F: FnOnce() -> Result<(), Failure>>(error: *mut RealmTemplateText, f: F) -> c_int {
    let (code, message) = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => match failure {
            Failure::Syntax(m) => (SYNTAX, m),
            Failure::Context(m) => (CONTEXT, m),
            Failure::Raised(m) => (RAISED, m),
            Failure::Failed(m) => (FAILED, m),
            Failure::Limit(m) => (LIMIT, m),
            Failure::Internal(m) => (INTERNAL, m),
        },
        Err(payload) => {
            // Dropping a payload may run code that panics again.
            std::mem::forget(payload);
            (INTERNAL, "a defect in the template library".to_string())
        }
    };
    if !error.is_null() {
        // SAFETY: the caller's storage, which holds nothing yet.
        unsafe { error.write(RealmTemplateText::new(message.into_bytes())) };
    }
    code
}

/// # Safety
/// `data` points at `n` bytes, or `n` is 0.
unsafe fn bytes<'a>(data: *const c_char, n: usize) -> &'a [u8] {
    if n == 0 {
        return &[];
    }
    slice::from_raw_parts(data.cast(), n)
}

/// # Safety
/// As realm_template.h says.
#[no_mangle]
pub unsafe extern "C" fn realm_template_new(
    source: *const c_char,
    n: usize,
    out: *mut *mut Template,
    error: *mut RealmTemplateText,
) -> c_int {
    out.write(ptr::null_mut());
    guard(error, || {
        let template = Template::new(bytes(source, n))?;
        out.write(Box::into_raw(Box::new(template)));
        Ok(())
    })
}

/// # Safety
/// As realm_template.h says.
#[no_mangle]
pub unsafe extern "C" fn realm_template_render(
    template: *const Template,
    context: *const c_char,
    n: usize,
    max_bytes: usize,
    out: *mut RealmTemplateText,
    error: *mut RealmTemplateText,
) -> c_int {
    out.write(RealmTemplateText::EMPTY);
    guard(error, || {
        let text = (*template).render(bytes(context, n), max_bytes)?;
        out.write(RealmTemplateText::new(text));
        Ok(())
    })
}

/// # Safety
/// As realm_template.h says.
#[no_mangle]
pub unsafe extern "C" fn realm_template_text_free(text: *mut RealmTemplateText) {
    if text.is_null() {
        return;
    }
    let RealmTemplateText { data, length } = text.replace(RealmTemplateText::EMPTY);
    if !data.is_null() {
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(data.cast::<u8>(), length + 1)));
    }
}

/// # Safety
/// As realm_template.h says.
#[no_mangle]
pub unsafe extern "C" fn realm_template_free(template: *mut Template) {
    if !template.is_null() {
        guard(ptr::null_mut(), || {
            drop(Box::from_raw(template));
            Ok(())
        });
    }
}

const _: () = {
    // One template, many threads.
    const fn shared<T: Send + Sync>() {}
    shared::<Template>();
};
