//! How an event becomes a line.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Style;

/// Writes events in a style.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Style);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        let mut found = Found::default();
        event.record(&mut found);
        match self.0 {
            Style::Text => {
                write!(out, "{} {level:<5} ", now())?;
                found.write(&mut out)
            }
            Style::Journal => {
                write!(out, "<{}>", priority(level))?;
                found.write(&mut out)
            }
            Style::Json => {
                let line = json!({
                    "time": now(),
                    "level": level.as_str().to_ascii_lowercase(),
                    "target": event.metadata().target(),
                    "message": found.message,
                    "fields": found.fields,
                });
                // JSON escapes control characters, but for DEL.
                writeln!(out, "{}", line.to_string().replace('\u{7f}', "\\u007f"))
            }
        }
    }
}

/// The time in UTC, to the millisecond: RFC 3339.
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// What an event carries.
#[derive(Debug, Default)]
struct Found {
    message: String,
    fields: Map<String, Value>,
}

impl Found {
    fn write(&self, out: &mut Writer<'_>) -> fmt::Result {
        plain(out, &self.message)?;
        for (name, value) in &self.fields {
            match value {
                Value::String(text) if is_word(text) => write!(out, " {name}={text}")?,
                Value::String(text) => {
                    write!(out, " {name}=\"")?;
                    plain(out, &text.replace('"', "\\\""))?;
                    out.write_char('"')?;
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    write!(out, " {name}={value}")?;
                }
            }
        }
        out.write_char('\n')
    }

    fn note(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=')
}

/// Writes a text without control characters: what a stranger named must not forge lines, nor move
/// a terminal's cursor.
fn plain(out: &mut Writer<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() { write!(out, "{}", c.escape_default())? } else { out.write_char(c)? }
    }
    Ok(())
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.note(field, Value::String(text)) }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message = value.to_owned() } else { self.note(field, json!(value)) }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.note(field, Value::String(text));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, json!(value));
    }
}
