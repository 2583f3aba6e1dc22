//! Methods of Python's strings, lists and dicts that minijinja's own set lacks, or whose cost it
//! does not know beforehand: what makes a large value here is paid for before it is made.

use minijinja::value::{from_args, Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

/// Fuel comes in units of 64 bytes (minijinja's own scale); a list's slot counts as 32.
const BYTES_PER_FUEL: usize = 64;
const BYTES_PER_ITEM: usize = 32;

/// Charges for work done outside the engine's sight, in steps large enough to be cheap.
pub struct Meter<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    owed: usize,
}

impl<'a, 'b, 'c> Meter<'a, 'b, 'c> {
    pub fn new(state: &'a State<'b, 'c>) -> Self {
        Meter { state, owed: 0 }
    }

    pub fn bytes(&mut self, n: usize) -> Result<(), Error> {
        self.owed = self.owed.saturating_add(n);
        if self.owed < BYTES_PER_FUEL {
            return Ok(());
        }
        let fuel = self.owed / BYTES_PER_FUEL;
        self.owed %= BYTES_PER_FUEL;
        self.state.consume_fuel(fuel as u64)
    }

    pub fn items(&mut self, n: usize) -> Result<(), Error> {
        self.bytes(n.saturating_mul(BYTES_PER_ITEM))
    }
}

/// What minijinja calls for a method it does not know.
pub fn call(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let own = match value.as_str() {
        Some(text) => {
            Meter::new(state).bytes(text.len())?; // most methods look at every byte
            string_method(state, text, name, args)?
        }
        None => container_method(value, name, args)?,
    };
    match own {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn string_method(
    state: &State,
    text: &str,
    name: &str,
    args: &[Value],
) -> Result<Option<Value>, Error> {
    Ok(Some(match name {
        "strip" => strip(text, args, true, true)?,
        "lstrip" => strip(text, args, true, false)?,
        "rstrip" => strip(text, args, false, true)?,
        "split" => split(state, text, args, false)?,
        "rsplit" => split(state, text, args, true)?,
        "splitlines" => split_lines(state, text, args)?,
        "partition" => partition(text, args, false)?,
        "rpartition" => partition(text, args, true)?,
        "replace" => replace(state, text, args)?,
        "join" => join(state, text, args)?,
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "index" => {
            let (what,): (&str,) = from_args(args)?;
            let found = text.find(what).ok_or_else(|| invalid("substring not found"))?;
            Value::from(text[..found].chars().count())
        }
        _ => return Ok(None),
    }))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// str.isspace, which knows four separators that Unicode's White_Space does not.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub fn trim(text: &str, chars: Option<&str>, start: bool, end: bool) -> String {
    let drop = |c: char| chars.map_or_else(|| is_space(c), |set| set.contains(c));
    let text = if start { text.trim_start_matches(drop) } else { text };
    let text = if end { text.trim_end_matches(drop) } else { text };
    text.to_string()
}

fn strip(text: &str, args: &[Value], start: bool, end: bool) -> Result<Value, Error> {
    let (chars,): (Option<&str>,) = from_args(args)?;
    Ok(Value::from(trim(text, chars, start, end)))
}

fn split(state: &State, text: &str, args: &[Value], from_end: bool) -> Result<Value, Error> {
    let (separator, limit, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let named_separator: Option<&str> = kwargs.get("sep")?;
    let named_limit: Option<i64> = kwargs.get("maxsplit")?;
    kwargs.assert_all_used()?;
    let limit = usize::try_from(limit.or(named_limit).unwrap_or(-1)).unwrap_or(usize::MAX);
    let mut meter = Meter::new(state);
    let parts = match separator.or(named_separator) {
        Some("") => return Err(invalid("empty separator")),
        Some(separator) => split_at(&mut meter, text, separator, limit, from_end)?,
        None => split_at_space(&mut meter, text, limit, from_end)?,
    };
    Ok(Value::from(parts))
}

fn split_at(
    meter: &mut Meter,
    text: &str,
    separator: &str,
    limit: usize,
    from_end: bool,
) -> Result<Vec<Value>, Error> {
    let mut parts = Vec::new();
    let mut rest = text;
    while parts.len() < limit {
        let found = if from_end { rest.rfind(separator) } else { rest.find(separator) };
        let Some(i) = found else { break };
        meter.items(1)?;
        let (before, after) = (&rest[..i], &rest[i + separator.len()..]);
        parts.push(Value::from(if from_end { after } else { before }));
        rest = if from_end { before } else { after };
    }
    parts.push(Value::from(rest));
    if from_end {
        parts.reverse();
    }
    Ok(parts)
}

/// Runs of white space separate; none at either end leaves an empty part.
fn split_at_space(
    meter: &mut Meter,
    text: &str,
    limit: usize,
    from_end: bool,
) -> Result<Vec<Value>, Error> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_end {
            rest.trim_end_matches(is_space)
        } else {
            rest.trim_start_matches(is_space)
        };
        if rest.is_empty() {
            break;
        }
        meter.items(1)?;
        let space = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(i) = space.filter(|_| parts.len() < limit) else {
            parts.push(Value::from(rest));
            break;
        };
        let width = rest[i..].chars().next().map_or(1, char::len_utf8);
        parts.push(Value::from(if from_end { &rest[i + width..] } else { &rest[..i] }));
        rest = if from_end { &rest[..i] } else { &rest[i..] };
    }
    if from_end {
        parts.reverse();
    }
    Ok(parts)
}

fn split_lines(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    const ENDS: &[char] = &[
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
    let named: Option<bool> = kwargs.get("keepends")?;
    kwargs.assert_all_used()?;
    let keep = keep.or(named).unwrap_or(false);
    let mut meter = Meter::new(state);
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        meter.items(1)?;
        let (line, next) = match rest.find(ENDS) {
            None => (rest.len(), rest.len()),
            Some(i) if rest[i..].starts_with("\r\n") => (i, i + 2),
            Some(i) => (i, i + rest[i..].chars().next().map_or(1, char::len_utf8)),
        };
        lines.push(Value::from(&rest[..if keep { next } else { line }]));
        rest = &rest[next..];
    }
    Ok(Value::from(lines))
}

fn partition(text: &str, args: &[Value], last: bool) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    if separator.is_empty() {
        return Err(invalid("empty separator"));
    }
    let parts = match (text.split_once(separator), text.rsplit_once(separator), last) {
        (Some((a, b)), _, false) | (_, Some((a, b)), true) => [a, separator, b],
        (_, _, false) => [text, "", ""],
        (_, _, true) => ["", "", text],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

fn replace(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (old, new, limit): (&str, &str, Option<i64>) = from_args(args)?;
    let limit = usize::try_from(limit.unwrap_or(-1)).unwrap_or(usize::MAX);
    let n = text.matches(old).count().min(limit);
    Meter::new(state).bytes(text.len().saturating_add(n.saturating_mul(new.len())))?;
    Ok(Value::from(text.replacen(old, new, limit)))
}

fn join(state: &State, separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (values,): (&Value,) = from_args(args)?;
    let mut meter = Meter::new(state);
    let mut out = String::new();
    for (i, value) in values.try_iter()?.checked().enumerate() {
        let value = value?;
        let text = value.as_str().ok_or_else(|| {
            let message = format!("sequence item {i}: expected string, {} found", value.kind());
            Error::new(ErrorKind::InvalidOperation, message)
        })?;
        meter.items(1)?;
        meter.bytes(separator.len() + text.len())?;
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(text);
    }
    Ok(Value::from(out))
}

fn container_method(value: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match (value.kind(), name) {
        (ValueKind::Seq, "index") => list_index(value, args).map(Some),
        // Nothing changes a value here, so that it is its own copy.
        (ValueKind::Seq | ValueKind::Map, "copy") => from_args(args).map(|()| Some(value.clone())),
        _ => Ok(None),
    }
}

fn list_index(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (what,): (&Value,) = from_args(args)?;
    for (i, item) in list.try_iter()?.checked().enumerate() {
        if item? == *what {
            return Ok(Value::from(i));
        }
    }
    Err(Error::new(ErrorKind::InvalidOperation, format!("{what} is not in list")))
}
