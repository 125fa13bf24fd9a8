//! Values that hold several: a command with its arguments, names of queues.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::json;

use super::error::Reason;
use super::leaf::{Leaf, wrong};
use super::yaml::Value;
use crate::task::QueueName;

/// What a hook runs: a program with its arguments, or a script for a shell.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Program(Vec<String>),
    Script(String),
}

impl Command {
    /// The program and its arguments.
    pub(super) fn into_argv(self) -> Vec<String> {
        match self {
            Self::Program(argv) => argv,
            Self::Script(script) => vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
        }
    }
}

impl Leaf for Command {
    const WANTED: &'static str = "a script, or a list of a program and its arguments";

    fn read(value: &Value) -> Result<Self, Reason> {
        let found = match value {
            Value::Text(script) if sound(script) => Some(Self::Script(script.clone())),
            Value::List(_) => texts(value).filter(|argv| argv.iter().all(|text| sound(text))).map(Self::Program),
            Value::Text(_) | Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Mapping(_) => {
                None
            }
        };
        found.ok_or_else(|| wrong(Self::WANTED, value))
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Program(argv) => json!(argv),
            Self::Script(script) => json!(script),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A JSON array is a list of YAML.
            Self::Program(argv) => json!(argv).fmt(out),
            Self::Script(script) => out.write_str(script),
        }
    }
}

/// Which queues: all, or these.
#[derive(Debug, Clone)]
pub(super) struct Queues(pub(super) Option<BTreeSet<QueueName>>);

impl Leaf for Queues {
    const WANTED: &'static str = "all, or a list of names of queues";

    fn read(value: &Value) -> Result<Self, Reason> {
        if matches!(value, Value::Text(text) if text == "all") {
            return Ok(Self(None));
        }
        let names = texts(value).ok_or_else(|| wrong(Self::WANTED, value))?;
        let names: Result<_, _> = names.iter().map(|name| name.parse()).collect();
        names.map(|names| Self(Some(names))).map_err(Reason::QueueName)
    }

    fn json(&self) -> serde_json::Value {
        self.0.as_ref().map_or_else(|| json!("all"), |names| json!(names))
    }
}

impl fmt::Display for Queues {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => out.write_str("all"),
            Some(names) => json!(names).fmt(out),
        }
    }
}

/// The items of a list that is not empty and holds texts alone.
fn texts(value: &Value) -> Option<Vec<String>> {
    let Value::List(items) = value else { return None };
    let texts: Option<Vec<String>> = items
        .iter()
        .map(|item| match &item.value {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Mapping(_) => None,
        })
        .collect();
    texts.filter(|texts| texts.first().is_some_and(|first| !first.is_empty()))
}

/// Whether execve(2) takes it.
fn sound(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}
