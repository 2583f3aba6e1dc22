//! What is wrong with a JSON value by a JSON schema: the keywords that say what a value is and how
//! large it may be.  Others (formats, references, conditions) are not looked at; the matcher that a
//! repair is made under knows more of them.

use realm_guest::Value;

/// Problems in words a model can act on, each with the place; empty: the value is valid.
pub fn problems(value: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(value, schema, "the value", &mut found);
    found
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "integer" => value.as_f64().map_or(false, |number| number.fract() == 0.0),
        name => type_of(value) == name,
    }
}

fn check(value: &Value, schema: &Value, place: &str, found: &mut Vec<String>) {
    let wanted = &schema["type"];
    let types: Vec<&str> = wanted.items().iter().chain(Some(wanted)).filter_map(Value::as_str).collect();
    if !types.is_empty() && !types.iter().any(|name| is_type(value, name)) {
        found.push(format!("{} must be of type {}, not {}", place, types.join(" or "), type_of(value)));
        return;
    }
    if !schema["enum"].is_null() && !schema["enum"].items().contains(value) {
        found.push(format!("{} must be one of {}", place, schema["enum"]));
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        found.push(format!("{} must be {}", place, schema["const"]));
    }
    check_any_of(value, schema, place, found);
    match value {
        Value::Number(number) => bounds(*number, schema, ["minimum", "maximum"], place, "", found),
        Value::String(text) => {
            let length = text.chars().count() as f64;
            bounds(length, schema, ["minLength", "maxLength"], place, "the length of ", found);
        }
        Value::Array(items) => check_items(items, schema, place, found),
        Value::Object(members) => check_members(value, members, schema, place, found),
        _ => {}
    }
}

fn check_any_of(value: &Value, schema: &Value, place: &str, found: &mut Vec<String>) {
    let choices = schema["anyOf"].items();
    if !choices.is_empty() && !choices.iter().any(|choice| problems(value, choice).is_empty()) {
        found.push(format!("{} must fit one of {}", place, schema["anyOf"]));
    }
}

fn bounds(number: f64, schema: &Value, names: [&str; 2], place: &str, of: &str, found: &mut Vec<String>) {
    if let Some(least) = schema[names[0]].as_f64().filter(|least| number < *least) {
        found.push(format!("{}{} must be at least {}", of, place, least));
    }
    if let Some(most) = schema[names[1]].as_f64().filter(|most| number > *most) {
        found.push(format!("{}{} must be at most {}", of, place, most));
    }
}

fn check_items(items: &[Value], schema: &Value, place: &str, found: &mut Vec<String>) {
    bounds(items.len() as f64, schema, ["minItems", "maxItems"], place, "the number of items of ", found);
    if let Value::Object(_) = schema["items"] {
        for (i, item) in items.iter().enumerate() {
            check(item, &schema["items"], &format!("{}[{}]", place, i), found);
        }
    }
}

fn check_members(
    value: &Value,
    members: &[(String, Value)],
    schema: &Value,
    place: &str,
    found: &mut Vec<String>,
) {
    for name in schema["required"].items().iter().filter_map(Value::as_str) {
        if !members.iter().any(|member| member.0 == name) {
            found.push(format!("{} lacks \"{}\"", place, name));
        }
    }
    let known = &schema["properties"];
    for (name, member) in members {
        let inside = format!("\"{}\"", name);
        if !known[name.as_str()].is_null() {
            check(&value[name.as_str()], &known[name.as_str()], &inside, found);
        } else if schema["additionalProperties"] == Value::Bool(false) {
            found.push(format!("{} may not have \"{}\"", place, name));
        } else if let Value::Object(_) = schema["additionalProperties"] {
            check(member, &schema["additionalProperties"], &inside, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(value: &str, schema: &str) -> Vec<String> {
        problems(&Value::parse(value).unwrap(), &Value::parse(schema).unwrap())
    }

    #[test]
    fn what_fits_has_no_problems() {
        let schema = r#"{"type":"object","required":["a"],"additionalProperties":false,"properties":{
            "a":{"type":"integer","minimum":1,"maximum":9},"b":{"type":["string","null"],"maxLength":3},
            "c":{"type":"array","items":{"enum":["x","y"]},"minItems":1},"d":{"anyOf":[{"type":"boolean"},{"const":7}]}}}"#;
        for value in [r#"{"a":1}"#, r#"{"a":9,"b":null,"c":["y"],"d":7}"#, r#"{"a":2,"b":"äöü","d":true}"#]
        {
            assert_eq!(problems_of(value, schema), Vec::<String>::new());
        }
    }

    #[test]
    fn each_problem_is_named_with_its_place() {
        for (value, schema, problem) in [
            ("1", r#"{"type":"string"}"#, "the value must be of type string, not number"),
            ("1.5", r#"{"type":"integer"}"#, "the value must be of type integer, not number"),
            ("{}", r#"{"required":["a"]}"#, "the value lacks \"a\""),
            (r#"{"a":0}"#, r#"{"properties":{"a":{"minimum":1}}}"#, "\"a\" must be at least 1"),
            (
                r#"{"a":"xy"}"#,
                r#"{"properties":{"a":{"maxLength":1}}}"#,
                "the length of \"a\" must be at most 1",
            ),
            (r#"{"a":1}"#, r#"{"additionalProperties":false}"#, "the value may not have \"a\""),
            (r#"["x"]"#, r#"{"items":{"type":"null"}}"#, "the value[0] must be of type null, not string"),
            ("[]", r#"{"minItems":1}"#, "the number of items of the value must be at least 1"),
            ("3", r#"{"enum":[1,2]}"#, "the value must be one of [1,2]"),
            ("3", r#"{"const":4}"#, "the value must be 4"),
            ("3", r#"{"anyOf":[{"const":4}]}"#, "the value must fit one of [{\"const\":4}]"),
        ] {
            assert_eq!(problems_of(value, schema), [problem]);
        }
    }
}
