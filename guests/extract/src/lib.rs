//! Makes JSON of a text, by a schema.
//!
//! The model writes a draft in its own way first, because it finds more when nothing forces its words.
//! A draft that is not JSON of the schema is repaired: the model sees its draft and what is wrong with
//! it, and writes again under a matcher that lets nothing else through.

mod schema;

use realm_guest::{
    emit_event, emit_text, message, request, Error, Finish, Generate, Matcher, Model, Result, Value,
};

const MAX_REPAIRS: usize = 3;
const DEFAULT_TOKENS: u32 = 256;
const MAX_PROBLEMS: usize = 8;

realm_guest::functions!(
    br#"[{
        "name": "realm_run",
        "description": "Makes JSON of the messages' text, by a schema.",
        "streaming": false,
        "parameters": {
            "type": "object",
            "required": ["messages"],
            "properties": {
                "messages": {"type": "array"},
                "schema": {"type": "object"},
                "response_format": {"type": "object"},
                "max_tokens": {"type": "integer"},
                "temperature": {"type": "number"},
                "seed": {"type": "integer"}
            }
        }
    }]"#
);
realm_guest::program!(realm_run => extract);

/// `schema`, or as the API has it: `response_format.json_schema.schema`.
fn schema_of(request: &Value) -> Result<&Value> {
    [&request["schema"], &request["response_format"]["json_schema"]["schema"]]
        .into_iter()
        .find(|schema| matches!(schema, Value::Object(_)))
        .ok_or_else(|| Error::new("\"schema\" must be a JSON schema, an object"))
}

/// The outermost braces of what a model wrote around its JSON, or all of it.
fn inner(text: &str) -> &str {
    match (text.find(&['{', '['][..]), text.rfind(&['}', ']'][..])) {
        (Some(begin), Some(end)) if begin < end => &text[begin..=end],
        _ => text.trim(),
    }
}

/// The value, or what is wrong with the text.
fn read(text: &str, schema: &Value) -> std::result::Result<Value, Vec<String>> {
    let value = Value::parse(inner(text)).map_err(|error| vec![error.message])?;
    let mut found = schema::problems(&value, schema);
    found.truncate(MAX_PROBLEMS);
    if found.is_empty() {
        Ok(value)
    } else {
        Err(found)
    }
}

fn tell_attempt(attempt: usize, text: &str, problems: &[String]) -> Result<()> {
    emit_event(&Value::object([
        ("type", (if attempt == 0 { "draft" } else { "repair" }).into()),
        ("attempt", attempt.into()),
        ("valid", problems.is_empty().into()),
        ("text", text.into()),
        ("problems", problems.iter().map(|problem| Value::from(problem.as_str())).collect::<Vec<_>>().into()),
    ]))
}

fn first_messages(request: &Value, schema: &Value) -> Vec<Value> {
    let mut messages = request["messages"].items().to_vec();
    let order = format!("Write the data of this text as JSON and nothing else. JSON schema: {}", schema);
    messages.push(message("user", &order));
    messages
}

fn repair_order(problems: &[String]) -> Value {
    message(
        "user",
        &format!("That is wrong: {}. Write the corrected JSON and nothing else.", problems.join("; ")),
    )
}

/// Drafts, then repairs, until the text is JSON of the schema.
fn attempt_all(model: &Model, request: &Value, schema: &Value) -> Result<(Value, usize)> {
    let matcher = Matcher::json_schema(model, schema)?;
    let mut options = Generate::of_request(request)?;
    if options.max_tokens == 0 {
        options.max_tokens = DEFAULT_TOKENS;
    }
    let first = first_messages(request, schema);
    let mut messages = first.clone();
    for attempt in 0..=MAX_REPAIRS {
        if attempt > 0 {
            options.matcher = Some(matcher.clone());
        }
        let generation = model.prompt(&messages.clone().into())?.generate(&options)?.collect()?;
        let problems = match read(&generation.text, schema) {
            Ok(value) => {
                tell_attempt(attempt, &generation.text, &[])?;
                return Ok((value, attempt));
            }
            Err(problems) => problems,
        };
        tell_attempt(attempt, &generation.text, &problems)?;
        if generation.finish == Some(Finish::Length) {
            options.max_tokens *= 2; /* it was cut, not wrong */
        }
        messages = first.clone();
        messages.push(message("assistant", &generation.text));
        messages.push(repair_order(&problems));
    }
    Err(Error::new(format!("no JSON of the schema within {} repairs", MAX_REPAIRS)))
}

fn extract() -> Result<()> {
    let request = request()?;
    let schema = schema_of(&request)?;
    let (value, n_repairs) = attempt_all(&Model::of_request()?, &request, schema)?;
    emit_event(&Value::object([("type", "extracted".into()), ("repairs", n_repairs.into())]))?;
    emit_text(&value.to_string())
}
