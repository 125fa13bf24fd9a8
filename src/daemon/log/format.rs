//! How an event becomes a line.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Style;
use super::entry::Entry;

/// The event as one line, with its end.
pub(super) fn line(entry: &Entry, style: Style) -> String {
    let (time, level) = (format!("{:.3}", entry.time), entry.level);
    let mut line = match style {
        Style::Text => format!("{time} {level:<5} {}", text(entry)),
        Style::Journal => format!("<{}>{}", entry.severity(), text(entry)),
        Style::Json => {
            let object = json!({
                "time": time,
                "level": level.as_str().to_ascii_lowercase(),
                "target": entry.target,
                "message": entry.message,
                "fields": entry.fields,
            });
            // JSON escapes control characters, but for DEL.
            object.to_string().replace('\u{7f}', "\\u007f")
        }
    };
    line.push('\n');
    line
}

/// The message and the fields, without control characters.
pub(super) fn text(entry: &Entry) -> String {
    let mut text = plain(&entry.message);
    for (name, value) in &entry.fields {
        let value = match value {
            Value::String(value) if is_word(value) => value.clone(),
            Value::String(value) => format!("\"{}\"", plain(&value.replace('"', "\\\""))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, " {name}={value}");
    }
    text
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=')
}

/// A text without control characters: what a stranger named must not forge lines, nor move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}
