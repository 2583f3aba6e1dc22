//! What is done to a template's text before it is compiled.
//!
//! * Line ends become `\n`, as Jinja2's lexer makes them.
//! * `{% generation %} ... {% endgeneration %}` (Hugging Face's marks around what the assistant
//!   said, of use to training only) becomes `{% with %} ... {% endwith %}`, which has the same scope
//!   and the same rules for white space.
//! * Very long tags are refused: the compiler's time grows with the square of a chain such as
//!   `a ~ a ~ a ...`.
//!
//! Tags are found with minijinja's own tokenizer, so that strings, comments and raw blocks are seen
//! as the compiler will see them.

use minijinja::machinery::{tokenize, Token};
use minijinja::syntax::SyntaxConfig;

/// The longest template text accepted; the largest in use are below 100 KB.
pub const MAX_SOURCE_BYTES: usize = 512 * 1024;

/// The sum over all tags of their tokens squared: half a second of compiling in the worst case.
/// The largest templates in use reach some 300,000; a single tag may have 14,000 tokens.
const MAX_TOKENS_SQUARED: u64 = 200_000_000;

/// The text to compile.  Text that has no tokens is returned as it is: compiling it gives the error.
pub fn prepare(source: &str, syntax: &SyntaxConfig) -> Result<String, String> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut done = 0;
    let mut n_in_tag = 0;
    let mut squares = 0;
    for item in tokenize(&source, false, syntax.clone()) {
        let Ok((token, span)) = item else { break };
        match token {
            Token::TemplateData(_) => continue,
            Token::BlockStart | Token::VariableStart => n_in_tag = 0,
            Token::Ident(word) if n_in_tag == 1 && starts_block(&source, span.start_offset) => {
                if let Some(with) = replacement(word) {
                    out.push_str(&source[done..span.start_offset as usize]);
                    out.push_str(with);
                    done = span.end_offset as usize;
                }
            }
            _ => {}
        }
        n_in_tag += 1;
        squares += 2 * n_in_tag - 1; // n * n, one by one
        if squares > MAX_TOKENS_SQUARED {
            return Err(format!("the template's tags are too long (line {})", span.start_line));
        }
    }
    out.push_str(&source[done..]);
    Ok(out)
}

fn replacement(word: &str) -> Option<&'static str> {
    match word {
        "generation" => Some("with"),
        "endgeneration" => Some("endwith"),
        _ => None,
    }
}

/// Whether the word at `offset`, the first of its tag, stands in `{% %}` and not in `{{ }}`.
fn starts_block(source: &str, offset: u32) -> bool {
    let before = source[..offset as usize].trim_end();
    before.strip_suffix(['-', '+']).unwrap_or(before).ends_with("{%")
}

#[cfg(test)]
mod tests {
    use super::SyntaxConfig;

    fn prepare(source: &str) -> String {
        super::prepare(source, &SyntaxConfig::default()).unwrap()
    }

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
            "{{ generation }}{{- endgeneration }}",
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

    #[test]
    fn tags_that_are_too_long_are_refused_with_their_line() {
        let long = format!("\n{{{{ {}a }}}}", "a~".repeat(10_000));
        let chains = format!("{{{{ {}a }}}}", "a~".repeat(4_000)).repeat(4);
        for source in [long, chains] {
            let error = super::prepare(&source, &SyntaxConfig::default()).unwrap_err();
            assert!(error.contains("too long (line "), "{error}");
        }
        assert!(super::prepare(&"{{ a~a }}".repeat(50_000), &SyntaxConfig::default()).is_ok());
    }
}
