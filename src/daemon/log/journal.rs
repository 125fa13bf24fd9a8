//! The log in systemd's journal, with a field for each field of an event.

use std::io;
use std::path::Path;

use libsystemd::logging::{Priority, journal_send};
use serde_json::Value;

use super::entry::Entry;
use super::format;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// A way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    identifier: String,
    prefix: String,
}

impl Journal {
    pub(super) fn new(identifier: &str, prefix: &str) -> Self {
        Self { identifier: identifier.to_owned(), prefix: prefix.to_owned() }
    }

    /// Sends the event. The message has the fields too, for whoever reads no more than that.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        let priority = match entry.severity() {
            0..=3 => Priority::Error,
            4 | 5 => Priority::Warning,
            6 => Priority::Info,
            7.. => Priority::Debug,
        };
        let own =
            [("SYSLOG_IDENTIFIER".to_owned(), self.identifier.clone()), (self.name("target"), entry.target.clone())];
        let fields = entry.fields.iter().map(|(name, value)| (self.name(name), plain(value)));
        journal_send(priority, &format::text(entry), own.into_iter().chain(fields)).map_err(io::Error::other)
    }

    /// The field's name as the journal takes it: systemd.journal-fields(7).
    fn name(&self, field: &str) -> String {
        let upper = field.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
        self.prefix.chars().chain(upper).take(64).collect()
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Whether there is a journal to send to.
pub(super) fn is_there() -> bool {
    Path::new(SOCKET).exists()
}
