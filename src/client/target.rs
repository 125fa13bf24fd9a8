//! Paths and queries.

use std::fmt::Write as _;

use crate::task::TaskId;
use crate::wire::api::{Order, TaskFilter};

/// A path with a query, put together piece by piece.
#[derive(Debug)]
pub(super) struct Target {
    text: String,
    separator: char,
}

impl Target {
    pub(super) fn new(path: impl Into<String>) -> Self {
        Self { text: path.into(), separator: '?' }
    }

    pub(super) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.text.push(self.separator);
            self.separator = '&';
            self.text.push_str(name);
            self.text.push('=');
            self.text.push_str(&escaped(&value.to_string()));
        }
        self
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// The text with all but unreserved characters percent-encoded (RFC 3986).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Which part of the list of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Which tasks.
    pub filter: TaskFilter,
    /// Only what comes after this task in the list's order.
    pub after: Option<TaskId>,
    /// At most this many; the daemon has a limit of its own.
    pub limit: Option<usize>,
    /// The order.
    pub order: Order,
}

impl ListRequest {
    pub(super) fn target(&self) -> String {
        let states: Vec<_> = self.filter.states.iter().map(|state| state.as_str()).collect();
        let order = match self.order {
            Order::NewestFirst => None,
            Order::OldestFirst => Some("oldest-first"),
        };
        Target::new("/v1/tasks")
            .with("state", (!states.is_empty()).then(|| states.join(",")))
            .with("queue", self.filter.queue.as_ref())
            .with("label", self.filter.label.as_ref())
            .with("schedule", self.filter.schedule.as_ref())
            .with("owner", self.filter.owner)
            .with("after", self.after)
            .with("limit", self.limit)
            .with("order", order)
            .into_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::State;

    #[test]
    fn what_has_a_meaning_in_a_query_is_escaped() {
        assert_eq!(escaped("a b&c=ä"), "a%20b%26c%3D%C3%A4");
    }

    #[test]
    fn a_list_names_only_what_is_asked_for() {
        assert_eq!(ListRequest::default().target(), "/v1/tasks");
        let filter = TaskFilter { states: vec![State::Queued, State::TimedOut], owner: Some(5), ..Default::default() };
        let request = ListRequest { filter, limit: Some(9), order: Order::OldestFirst, ..Default::default() };
        assert_eq!(request.target(), "/v1/tasks?state=queued,timed-out&owner=5&limit=9&order=oldest-first");
    }
}
