//! A chat template: Jinja2 text, compiled once, rendered as Hugging Face's `apply_chat_template`.

use crate::bounds::{self, Ended, Limits};
use crate::python_json::{float_repr, tojson};
use crate::python_method::{self, trim};
use crate::python_time;
use crate::source::{prepare, MAX_SOURCE_BYTES};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const NAME: &str = "chat_template";
const TOO_MUCH_WORK: &str = "the template did more work than is allowed";

/// One fuel is one instruction or 64 bytes.  Large templates with tools take some 10,000; the base
/// runs out in well under a second.  Each byte of the context pays for its own way through: copied
/// by filters, written as JSON, split.
const BASE_FUEL: usize = 500_000;
const FUEL_PER_CONTEXT_BYTE: usize = 4;
const MAX_FUEL: usize = 8_000_000;

/// What fuel does not see (bounds.rs) is bounded in its proportion.  A level of nesting costs a
/// template four fuel or more to make and some 150 bytes of stack to free.
const ALLOCATIONS_PER_FUEL: usize = 4;
const STACK_BYTES_PER_FUEL: usize = 80;
const BASE_STACK_BYTES: usize = 16 << 20;
const BASE_LIVE_BYTES: usize = 64 << 20;
const LIVE_BYTES_PER_FUEL: usize = 64;

/// One text or list: an operation that looks at all of one costs a single fuel.
const BASE_BLOCK_BYTES: usize = 1 << 20;
const BLOCK_BYTES_PER_CONTEXT_BYTE: usize = 16;

/// Compiling: a byte of source makes at most one node of the syntax tree, all of them may nest.
const ALLOCATIONS_PER_SOURCE_BYTE: usize = 32;
const LIVE_BYTES_PER_SOURCE_BYTE: usize = 512;
const COMPILE_STACK_BYTES: usize = 256 << 20;

/// A namespace can come to hold itself, and values are counted references: such rings stay.  No
/// sensible template makes one; a template may leave this much behind over all its renderings.
const MAX_LEAKED_BYTES: usize = 16 << 20;
/// What an error that is being returned may hold.
const ERROR_BYTES: usize = 4096;

/// Nested blocks, calls of macros (each counts as several) and so on.
const MAX_RECURSION: usize = 200;

pub enum Failure {
    Syntax(String),
    Context(String),
    Raised(String),
    Failed(String),
    Limit(String),
    Internal(String),
}

/// The message of raise_exception, carried inside minijinja's error.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

pub struct Template {
    environment: Environment<'static>,
    leaked_bytes: AtomicUsize,
}

impl Template {
    pub fn new(source: &[u8]) -> Result<Template, Failure> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Failure::Syntax(format!(
                "the template has {} bytes, more than the {MAX_SOURCE_BYTES} allowed",
                source.len()
            )));
        }
        let limits = Limits {
            live_bytes: BASE_LIVE_BYTES + LIVE_BYTES_PER_SOURCE_BYTE * source.len(),
            allocations: BASE_FUEL + ALLOCATIONS_PER_SOURCE_BYTE * source.len(),
            block_bytes: usize::MAX,
            stack_bytes: COMPILE_STACK_BYTES,
        };
        let environment = flatten(bounds::run(&limits, || compile(source)))?;
        Ok(Template { environment, leaked_bytes: AtomicUsize::new(0) })
    }

    pub fn render(&self, context: &[u8], max_bytes: usize) -> Result<Vec<u8>, Failure> {
        if self.leaked_bytes.load(Ordering::Relaxed) > MAX_LEAKED_BYTES {
            return Err(Failure::Limit(
                "the template left more memory behind than is allowed and is not used again".into(),
            ));
        }
        let more = FUEL_PER_CONTEXT_BYTE.saturating_mul(context.len());
        let fuel = BASE_FUEL.saturating_add(more).min(MAX_FUEL);
        let limits = Limits {
            live_bytes: BASE_LIVE_BYTES + LIVE_BYTES_PER_FUEL * fuel,
            block_bytes: BLOCK_BYTES_PER_CONTEXT_BYTE
                .saturating_mul(context.len())
                .saturating_add(BASE_BLOCK_BYTES),
            allocations: ALLOCATIONS_PER_FUEL * fuel,
            stack_bytes: BASE_STACK_BYTES + STACK_BYTES_PER_FUEL * fuel,
        };
        flatten(bounds::run(&limits, || {
            let render = || self.render_metered(context, max_bytes, fuel);
            let result = catch_unwind(AssertUnwindSafe(render));
            let text_bytes = match &result {
                Ok(Ok(text)) => text.capacity(),
                _ => 0,
            };
            let leaked = bounds::held_bytes().saturating_sub(text_bytes + ERROR_BYTES);
            self.leaked_bytes.fetch_add(leaked, Ordering::Relaxed);
            result.unwrap_or_else(|payload| resume_unwind(payload))
        }))
    }

    fn render_metered(
        &self,
        context: &[u8],
        max_bytes: usize,
        fuel: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut variables: BTreeMap<String, Value> = serde_json::from_slice(context)
            .map_err(|e| Failure::Context(format!("the context is not a JSON object: {e}")))?;
        for (name, default) in [
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(false)),
        ] {
            variables.entry(name.into()).or_insert(default);
        }

        // Fuel is the environment's; a copy shares everything that is large.
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel as u64));
        let mut out = Ceiling { text: Vec::new(), max_bytes, full: false };
        let result = environment
            .get_template(NAME)
            .and_then(|t| t.render_captured_to(Value::from(variables), &mut out).map(|_| ()));
        match result {
            Ok(()) => Ok(out.text),
            Err(_) if out.full => Err(Failure::Limit(format!(
                "the rendered text is longer than the {max_bytes} bytes allowed"
            ))),
            Err(error) => Err(classify(&error)),
        }
    }
}

fn flatten<T>(result: Result<Result<T, Failure>, Ended>) -> Result<T, Failure> {
    match result {
        Ok(inner) => inner,
        Err(Ended::Exceeded) => Err(Failure::Limit(TOO_MUCH_WORK.into())),
        Err(Ended::NoThread) => Err(Failure::Limit("no memory for the template's stack".into())),
        Err(Ended::Panicked) => Err(Failure::Internal("a defect in the template library".into())),
    }
}

fn compile(source: &[u8]) -> Result<Environment<'static>, Failure> {
    let source = std::str::from_utf8(source)
        .map_err(|e| Failure::Syntax(format!("the template is not UTF-8: {e}")))?;
    let mut environment = new_environment().map_err(|e| Failure::Syntax(describe(&e)))?;
    let source = prepare(source, environment.syntax()).map_err(Failure::Syntax)?;
    environment.add_template_owned(NAME, source).map_err(|e| Failure::Syntax(describe(&e)))?;
    Ok(environment)
}

fn new_environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_unknown_method_callback(python_method::call);
    environment.set_formatter(|out, state, value| match as_float(value) {
        Some(float) => out.write_str(&float_repr(float)).map_err(Error::from),
        None => minijinja::escape_formatter(out, state, value),
    });
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", |text: Cow<'_, str>, chars: Option<Cow<'_, str>>| {
        trim(&text, chars.as_deref(), true, true)
    });
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("float", float);
    environment.add_filter("string", |value: &Value| text_of(value));
    environment.add_test("iterable", |value: &Value| is_iterable(value));
    environment.add_test("sequence", |value: &Value| is_iterable(value));
    environment.add_function("cycler", minijinja_contrib::globals::cycler);
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    Ok(environment)
}

fn as_float(value: &Value) -> Option<f64> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return None;
    }
    f64::try_from(value.clone()).ok()
}

/// str(value)
fn text_of(value: &Value) -> Value {
    match as_float(value) {
        Some(float) => Value::from(float_repr(float)),
        None if value.kind() == ValueKind::String => value.clone(),
        None => Value::from(value.to_string()),
    }
}

/// `x | default(y)` for undefined values, with `true` or `boolean=true` for all that are false.
fn default(
    value: &Value,
    other: Option<Value>,
    boolean: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let named_other: Option<Value> = kwargs.get("default_value")?;
    let named_boolean: Option<Value> = kwargs.get("boolean")?;
    kwargs.assert_all_used()?;
    let any_false = boolean.or(named_boolean).is_some_and(|b| b.is_true());
    if value.is_undefined() || (any_false && !value.is_true()) {
        return Ok(other.or(named_other).unwrap_or_else(|| Value::from("")));
    }
    Ok(value.clone())
}

/// `x | float(default)`: what is no number becomes the default.
fn float(value: &Value, default: Option<f64>) -> f64 {
    let parsed = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None if value.kind() == ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        None => f64::try_from(value.clone()).ok(),
    };
    parsed.or(default).unwrap_or(0.0)
}

/// Jinja2's tests `iterable` and `sequence`: text and undefined values are both, None is neither.
fn is_iterable(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Undefined
            | ValueKind::String
            | ValueKind::Seq
            | ValueKind::Map
            | ValueKind::Iterable
    )
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raised by the template")
        .with_source(Raised(message)))
}

fn strftime_now(state: &State, format: &str) -> Result<String, Error> {
    // A conversion writes at most some 30 bytes for two.
    state.consume_fuel(format.len() as u64)?;
    let now = match state.lookup("realm_now") {
        Some(now) if now.kind() == ValueKind::Number => f64::try_from(now)?.floor() as i64,
        _ => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64),
    };
    if !python_time::SECONDS.contains(&now) {
        let message = format!("realm_now is {now}, not a time between the years 1 and 9999");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(python_time::strftime(now, format))
}

fn classify(error: &Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref() {
            return Failure::Raised(message.clone());
        }
        if let Some(inner) = current.downcast_ref::<Error>() {
            if inner.kind() == ErrorKind::OutOfFuel {
                return Failure::Limit(TOO_MUCH_WORK.into());
            }
            if inner.detail() == Some("recursion limit exceeded") {
                return Failure::Limit("the template nests deeper than is allowed".into());
            }
        }
        cause = current.source();
    }
    Failure::Failed(describe(error))
}

fn describe(error: &Error) -> String {
    let mut text = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    if let Some(line) = error.line() {
        text.push_str(&format!(" (line {line})"));
    }
    text
}

struct Ceiling {
    text: Vec<u8>,
    max_bytes: usize,
    full: bool,
}

impl Write for Ceiling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.max_bytes - self.text.len() {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
