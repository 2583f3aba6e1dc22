//! Programs that run in the Realm server beside the engine.
//!
//! ```ignore
//! use realm_guest::{request, Generate, Model, Result};
//!
//! realm_guest::program!(realm_run => chat);
//!
//! fn chat() -> Result<()> {
//!     let request = request()?;
//!     let mut sequence = Model::of_request()?.prompt(&request["messages"])?;
//!     sequence.generate(&Generate::of_request(&request)?)?.pipe()?;
//!     Ok(())
//! }
//! ```

pub mod abi;
mod error;
mod handle;
pub mod json;
mod model;
mod sampling;
mod step;
mod stream;
mod world;

pub use abi::{TokenScore, Usage};
pub use error::{Error, ErrorKind, Result};
pub use json::Value;
pub use model::{message, Adapter, Model, Sequence, Token};
pub use sampling::{Matcher, Sampler, Sampling};
pub use step::{step, Step, Stepped};
pub use stream::{collect_all, wait_any, Event, Finish, Generate, Generation, OutputKind, Stream};
pub use world::{clock_ms, invoke, log, random, store, usage, Level};

use error::{check, text_of};

/// What the client sent.
pub fn request() -> Result<Value> {
    Value::parse(&text_of(|out, room| unsafe { abi::request_read(abi::BODY, out, room) })?)
}

/// What the server knows of the request: program, function, version, model, stream, source.
pub fn meta() -> Result<Value> {
    Value::parse(&text_of(|out, room| unsafe { abi::request_read(abi::META, out, room) })?)
}

/// What the last message of a chat request says: its content, or its parts of type "text" together.
pub fn last_message(request: &Value) -> String {
    let content = request["messages"].items().last().map_or(&Value::Null, |message| &message["content"]);
    match content.as_str() {
        Some(text) => text.to_string(),
        None => content.items().iter().filter_map(|part| part["text"].as_str()).collect(),
    }
}

fn emit(kind: i32, text: &str) -> Result<()> {
    check(unsafe { abi::emit(kind, text.as_ptr(), text.len()) }).map(|_| ())
}

/// The next piece of the answer.
pub fn emit_text(text: &str) -> Result<()> {
    emit(abi::EMIT_TEXT, text)
}

/// A structured event for the client.
pub fn emit_event(event: &Value) -> Result<()> {
    emit(abi::EMIT_EVENT, &event.to_string())
}

/// The function's result; the last one counts.
pub fn emit_result(result: &Value) -> Result<()> {
    emit(abi::EMIT_RESULT, &result.to_string())
}

/// The client's next message in a WebSocket session; none once it has closed.
pub fn receive() -> Result<Option<String>> {
    let mut message = vec![0; 4096];
    loop {
        match check(unsafe { abi::recv(message.as_mut_ptr(), message.len(), -1) }) {
            Ok(n) if n > message.len() => message.resize(n, 0),
            Ok(n) => return Ok(Some(String::from_utf8_lossy(&message[..n]).into_owned())),
            Err(error) if error.kind == ErrorKind::Closed => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// What `program!` makes of a function: its error goes to the client, as an event
/// {"error":{"message"}}, and to the log; so does a panic's message, to the log.
pub fn run(function: fn() -> Result<()>) -> i32 {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
    match function() {
        Ok(()) => 0,
        Err(error) => {
            log(Level::Error, &error.message);
            let words = Value::object([("message", error.message.into())]);
            let _ = emit_event(&Value::object([("error", words)]));
            1
        }
    }
}

/// Exports functions of type `fn() -> Result<()>`; `realm_run` is the default one.
#[macro_export]
macro_rules! program {
    ($($name:ident => $function:path),+ $(,)?) => {
        $(const _: () = {
            #[export_name = stringify!($name)]
            pub extern "C" fn exported() -> i32 {
                $crate::run($function)
            }
        };)+
    };
}

/// Declares the program's functions: a JSON array as a byte string, `functions!(br#"[...]"#)`.
#[macro_export]
macro_rules! functions {
    ($json:expr) => {
        #[used]
        #[link_section = "realm.functions"]
        static REALM_FUNCTIONS: [u8; $json.len()] = *$json;
    };
}
