//! The settings in full, as YAML for people and as JSON for programs.

use serde_json::{Map, Value, json};

use super::settings::{Entry, Settings};

/// The column from which the sources stand, where the values leave room.
const COLUMN: usize = 40;

impl Settings {
    /// The whole configuration as YAML, each value with its source as a remark.
    ///
    /// What is printed loads again, to the same values.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut open: &[String] = &[];
        for entry in &self.values {
            let Some((name, sections)) = entry.key.parts().split_last() else {
                continue;
            };
            let common = open.iter().zip(sections).take_while(|(one, other)| one == other).count();
            for (depth, section) in sections.iter().enumerate().skip(common) {
                text.push_str(&format!("{}{}:\n", "  ".repeat(depth), quoted(section)));
            }
            open = sections;
            let line = format!("{}{name}: {}", "  ".repeat(sections.len()), printed(entry));
            text.push_str(&format!("{line:<COLUMN$}  # {}\n", entry.source));
        }
        text
    }

    /// The whole configuration as JSON: the sections as objects, each value as
    /// `{"value": …, "text": …, "source": …}`; sizes in bytes, durations in milliseconds.
    #[must_use]
    pub fn render_json(&self) -> Value {
        let mut root = Map::new();
        for entry in &self.values {
            let leaf = json!({
                "value": entry.json,
                "text": entry.text,
                "source": entry.source.to_string(),
            });
            insert(&mut root, entry.key.parts(), leaf);
        }
        Value::Object(root)
    }
}

fn insert(object: &mut Map<String, Value>, key: &[String], leaf: Value) {
    match key {
        [] => {}
        [name] => {
            object.insert(name.clone(), leaf);
        }
        [section, rest @ ..] => {
            let inner = object.entry(section.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, leaf);
            }
        }
    }
}

/// A value as YAML. Only texts of free form can need quotes.
fn printed(entry: &Entry) -> String {
    match &entry.json {
        Value::String(_) => quoted(&entry.text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => entry.text.clone(),
    }
}

/// Quotes a text that YAML would otherwise take for something else.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(plain);
    if word && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off") {
        return text.to_owned();
    }
    // A JSON string is a double-quoted YAML scalar.
    Value::String(text.to_owned()).to_string()
}
