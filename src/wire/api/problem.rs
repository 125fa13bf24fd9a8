//! What went wrong, as RFC 9457 has it.

use serde::{Deserialize, Serialize};

use crate::task::TaskId;

/// Why a request was not done: the body of every answer from 400 up, as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// The kind: `urn:taskdaemon:problem:` and a word that programs may rely on.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do, as a sentence.
    pub detail: String,
    /// The path that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Which element of `tasks` is at fault, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<usize>,
    /// Which field is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The task that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = super::schema::task_id)]
    pub id: Option<TaskId>,
    /// What led to it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

const PREFIX: &str = "urn:taskdaemon:problem:";

impl Problem {
    /// The media type of the document.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// The kind that a connection ends with on which no request was taken any more, when the daemon stops or becomes a
    /// new program. Whatever was sent meanwhile may be sent again, as after any 408 (RFC 9110, 15.5.9).
    pub const NOT_TAKEN: &'static str = "not-taken";

    /// A problem of the kind `word`.
    #[must_use]
    pub fn new(status: u16, word: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("{PREFIX}{word}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            instance: None,
            task: None,
            field: None,
            id: None,
            causes: Vec::new(),
        }
    }

    /// The kind, as a word such as `no-task`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.type_uri.strip_prefix(PREFIX).unwrap_or(&self.type_uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_back_with_its_kind() {
        let problem = Problem { task: Some(3), ..Problem::new(400, "malformed", "Malformed request", "no") };
        let json = serde_json::to_string(&problem).unwrap();
        assert!(json.starts_with(r#"{"type":"urn:taskdaemon:problem:malformed","title""#), "{json}");
        let back: Problem = serde_json::from_str(&json).unwrap();
        assert_eq!((back.kind(), back.task), ("malformed", Some(3)));
    }
}
