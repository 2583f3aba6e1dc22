//! What is done to a template's text before it is compiled.
//!
//! * Line ends become `\n`, as Jinja2's lexer makes them.
//! * `{% generation %} ... {% endgeneration %}` (Hugging Face's marks around what the assistant
//!   said, of use to training only) becomes `{% with %} ... {% endwith %}`, which has the same scope
//!   and the same rules for white space.  Text, strings, comments and raw blocks stay as they are.

/// The longest template text accepted; the largest in use are below 100 KB.
pub const MAX_SOURCE_BYTES: usize = 512 * 1024;

pub fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    if source.contains("generation") {
        replace_generation_tags(&source)
    } else {
        source
    }
}

fn replace_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut done = 0;
    let mut at = 0;
    while let Some(open) = find_from(source, at, "{") {
        let rest = &source[open..];
        if rest.starts_with("{#") {
            at = end_of(source, open + 2, "#}");
        } else if rest.starts_with("{{") {
            at = end_of_code(source, open + 2, "}}");
        } else if rest.starts_with("{%") {
            at = end_of_code(source, open + 2, "%}");
            let (start, word) = tag_word(source, open + 2, at);
            if word == "raw" {
                at = end_of_raw(source, at);
            } else if let Some(with) = replacement(word) {
                out.push_str(&source[done..start]);
                out.push_str(with);
                done = start + word.len();
            }
        } else {
            at = open + 1;
        }
    }
    out.push_str(&source[done..]);
    out
}

fn replacement(word: &str) -> Option<&'static str> {
    match word {
        "generation" => Some("with"),
        "endgeneration" => Some("endwith"),
        _ => None,
    }
}

/// The first word of the tag whose inside is `source[from..to]`, and where it starts.
fn tag_word(source: &str, from: usize, to: usize) -> (usize, &str) {
    let inside = &source[from..to];
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let inside = inside.trim_start();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let n = inside.find(|c| !is_word(c)).unwrap_or(inside.len());
    // `to` ends every slice taken from `inside`, so the start follows from the length left.
    (to - inside.len(), &inside[..n])
}

fn find_from(source: &str, from: usize, what: &str) -> Option<usize> {
    source[from..].find(what).map(|i| from + i)
}

fn end_of(source: &str, from: usize, close: &str) -> usize {
    find_from(source, from, close).map_or(source.len(), |i| i + close.len())
}

/// Behind the `close` that is not within a string literal.
fn end_of_code(source: &str, from: usize, close: &str) -> usize {
    let bytes = source.as_bytes();
    let mut quote = 0;
    let mut i = from;
    while i < bytes.len() {
        let byte = bytes[i];
        if quote != 0 {
            if byte == b'\\' {
                i += 1;
            } else if byte == quote {
                quote = 0;
            }
        } else if byte == b'\'' || byte == b'"' {
            quote = byte;
        } else if bytes[i..].starts_with(close.as_bytes()) {
            return i + close.len();
        }
        i += 1;
    }
    source.len()
}

/// Behind the `{% endraw %}` that ends the raw block whose text starts at `from`.
fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = find_from(source, at, "{%") {
        let close = end_of(source, open + 2, "%}");
        if tag_word(source, open + 2, close).1 == "endraw" {
            return close;
        }
        at = open + 2;
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn generation_tags_become_with_and_keep_their_white_space_control() {
        assert_eq!(
            prepare("{%- generation -%}x{%- endgeneration %}"),
            "{%- with -%}x{%- endwith %}"
        );
        assert_eq!(prepare("{%generation%}x{%+ endgeneration -%}"), "{%with%}x{%+ endwith -%}");
    }

    #[test]
    fn everything_else_named_generation_stays() {
        for text in [
            "{{ '{% generation %}' }}",
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{% endraw %}",
            "{% if add_generation_prompt %}x{% endif %}",
            "{% set generation = '%} {% generation %}' %}",
            "{% if '\\'{% generation %}' %}{% endif %}",
            "generation { % generation %}",
            "{% raw %}{% generation %}",
            "{{ generation",
        ] {
            assert_eq!(prepare(text), text);
        }
    }

    #[test]
    fn line_ends_become_line_feeds() {
        assert_eq!(prepare("a\r\nb\rc\n"), "a\nb\nc\n");
    }

    #[test]
    fn text_of_many_scripts_is_cut_on_character_boundaries() {
        let text = "é{% generation %}日本{{ 'ü}}' }}{% endgeneration %}🙂{";
        assert_eq!(prepare(text), "é{% with %}日本{{ 'ü}}' }}{% endwith %}🙂{");
    }
}
