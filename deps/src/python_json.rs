//! Values as Python writes them: `json.dumps` (the `tojson` filter) and `repr` of floats.

use crate::python_method::Meter;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Deeper values end with an error rather than with the stack.
const MAX_DEPTH: usize = 128;

/// The `tojson` filter as Hugging Face's templates know it: nothing is escaped for HTML, other
/// scripts stay readable.  Arguments are those of `json.dumps` they allow.
pub fn tojson(
    state: &State,
    value: &Value,
    ensure_ascii: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let ascii: Option<Value> = kwargs.get("ensure_ascii")?;
    let indent: Option<Value> = kwargs.get("indent")?;
    let separators: Option<Value> = kwargs.get("separators")?;
    let sort_keys: Option<bool> = kwargs.get("sort_keys")?;
    kwargs.assert_all_used()?;

    let indent = indent_text(indent)?;
    let (mut item, mut key) = (if indent.is_some() { "," } else { ", " }.to_string(), ": ".into());
    if let Some(pair) = separators.filter(|s| !s.is_none()) {
        item = pair.get_item_by_index(0)?.to_string();
        key = pair.get_item_by_index(1)?.to_string();
    }
    let mut writer = Writer {
        out: String::new(),
        meter: Meter::new(state),
        ascii: ascii.or(ensure_ascii).is_some_and(|a| a.is_true()),
        sort_keys: sort_keys.unwrap_or(false),
        indent,
        item_separator: item,
        key_separator: key,
    };
    writer.value(value, 0)?;
    Ok(writer.out)
}

fn indent_text(indent: Option<Value>) -> Result<Option<String>, Error> {
    let Some(indent) = indent.filter(|i| !i.is_none()) else {
        return Ok(None);
    };
    if let Some(text) = indent.as_str() {
        return Ok(Some(text.to_string()));
    }
    match indent.as_i64() {
        Some(n) if n <= 64 => Ok(Some(" ".repeat(n.max(0) as usize))),
        _ => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("tojson: indent must be a string or a number up to 64, not {indent}"),
        )),
    }
}

struct Writer<'a, 'b, 'c> {
    out: String,
    meter: Meter<'a, 'b, 'c>,
    ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(not_serializable(&format!("a value nested deeper than {MAX_DEPTH}")));
        }
        match value.kind() {
            ValueKind::None => self.push("null"),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.push(&number_text(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth),
            ValueKind::Map => self.map(value, depth),
            kind => Err(not_serializable(&kind.to_string())),
        }
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.push("[")?;
        let mut empty = true;
        for item in value.try_iter()?.checked() {
            self.before_item(&mut empty, depth + 1)?;
            self.value(&item?, depth + 1)?;
        }
        self.close("]", empty, depth)
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys = Vec::new();
        for key in value.try_iter()?.checked() {
            self.meter.items(1)?;
            keys.push(key?);
        }
        if self.sort_keys {
            keys.sort();
        }
        self.push("{")?;
        let mut empty = true;
        for key in keys {
            self.before_item(&mut empty, depth + 1)?;
            self.key(&key)?;
            let separator = self.key_separator.clone();
            self.push(&separator)?;
            self.value(&value.get_item(&key)?, depth + 1)?;
        }
        self.close("}", empty, depth)
    }

    fn key(&mut self, key: &Value) -> Result<(), Error> {
        match key.kind() {
            ValueKind::String => self.string(key.as_str().unwrap_or_default()),
            ValueKind::None => self.string("null"),
            ValueKind::Bool => self.string(if key.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.string(&number_text(key)),
            kind => Err(not_serializable(&format!("a key of type {kind}"))),
        }
    }

    fn before_item(&mut self, empty: &mut bool, depth: usize) -> Result<(), Error> {
        if !*empty {
            let separator = self.item_separator.clone();
            self.push(&separator)?;
        }
        *empty = false;
        self.new_line(depth)
    }

    fn close(&mut self, close: &str, empty: bool, depth: usize) -> Result<(), Error> {
        if !empty {
            self.new_line(depth)?;
        }
        self.push(close)
    }

    fn new_line(&mut self, depth: usize) -> Result<(), Error> {
        if let Some(indent) = &self.indent {
            self.meter.bytes(1 + indent.len() * depth)?;
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(indent.as_str(), depth));
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.push("\"")?;
        let mut plain = 0;
        for (i, c) in text.char_indices() {
            if !needs_escape(c, self.ascii) {
                continue;
            }
            self.push(&text[plain..i])?;
            self.escape(c)?;
            plain = i + c.len_utf8();
        }
        self.push(&text[plain..])?;
        self.push("\"")
    }

    fn escape(&mut self, c: char) -> Result<(), Error> {
        match c {
            '"' => self.push("\\\""),
            '\\' => self.push("\\\\"),
            '\n' => self.push("\\n"),
            '\r' => self.push("\\r"),
            '\t' => self.push("\\t"),
            '\u{8}' => self.push("\\b"),
            '\u{c}' => self.push("\\f"),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    self.push(&format!("\\u{unit:04x}"))?;
                }
                Ok(())
            }
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.meter.bytes(text.len())?;
        self.out.push_str(text);
        Ok(())
    }
}

fn needs_escape(c: char, ascii: bool) -> bool {
    c < ' ' || c == '"' || c == '\\' || (ascii && c > '~')
}

fn not_serializable(what: &str) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("tojson: {what} is not JSON serializable"))
}

fn number_text(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => json_float(float),
        _ => value.to_string(),
    }
}

fn json_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.into()
    } else {
        float_repr(value)
    }
}

/// `repr(value)`: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::float_repr;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (123456789.125, "123456789.125"),
            (1e15, "1000000000000000.0"),
            (9007199254740993.0, "9007199254740992.0"),
            (1e16, "1e+16"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float_repr(value), text);
        }
    }
}
