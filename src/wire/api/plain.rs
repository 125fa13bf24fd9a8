//! What is wrong with a JSON document, for people.
//!
//! It must not know what the document is for.

use crate::task::nearest;

/// The fault without its place, which counts lines of a text that nobody has before them; an unknown field names the
/// one that was probably meant.
#[must_use]
pub fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    // Its word for the rest of `true`, `false` or `null`.
    let text = if text == "expected ident" { "expected value" } else { text };
    // The reader has no other way to tell which field it was than these words.
    let Some(words) = text.strip_prefix("unknown field `") else { return text.to_owned() };
    let mut quoted = words.split('`').step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.filter(|name| !name.is_empty()).collect();
    match nearest(unknown, &known) {
        Some(meant) => format!("there is no field {unknown:?}; did you mean {meant:?}?"),
        None => format!("there is no field {unknown:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;
    use crate::wire::api::TaskRequest;

    fn said(text: &str) -> String {
        plain(&serde_json::from_str::<TaskRequest>(text).unwrap_err())
    }

    #[test]
    fn an_unknown_field_names_the_one_that_was_meant_and_not_all() {
        assert_eq!(said(r#"{"comand":["true"]}"#), r#"there is no field "comand"; did you mean "command"?"#);
        assert_eq!(said(r#"{"colour":"red"}"#), r#"there is no field "colour""#);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_told_without_a_place() {
        let type_fault = said(r#"{"priority":"high"}"#);
        assert_eq!(type_fault, "invalid type: string \"high\", expected i32");
        assert_eq!(said("nonsense"), "expected value");
    }
}
