//! The Rust libraries under Realm, linked into one static library with C faces.
//!
//! `wasmtime_c_api` and `llguidance` bring their own `extern "C"` functions; naming the crates here
//! is what puts them into the archive.  `template_c` is ours: chat templates over minijinja.

#![feature(alloc_error_hook)]

extern crate llguidance;
extern crate wasmtime_c_api;

mod bounds;
mod python_json;
mod python_method;
mod python_time;
mod source;
mod store_limits;
mod template;
mod template_c;
