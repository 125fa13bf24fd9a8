//! The parser's events to a tree, noting what a loaded document has already lost.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr::Scalar as Resolved;
use saphyr_parser::{Event, Span, Tag};

use super::error::Reason;
use super::source::Position;
use super::yaml::{FormFault, MAX_DEPTH, Name, Node, Value};

/// Reading cannot go on; the fault is already noted.
#[derive(Debug)]
pub(super) struct Stop;

/// A list or mapping whose end has not come yet.
#[derive(Debug)]
enum Open {
    List(Position, Vec<Node>),
    Mapping(OpenMapping),
}

impl Open {
    /// The key whose value is being read.
    fn name(&self) -> Option<String> {
        match self {
            Self::Mapping(OpenMapping { next: Next::Value(name), .. }) => Some(name.text.clone()),
            Self::Mapping(_) | Self::List(..) => None,
        }
    }
}

#[derive(Debug)]
struct OpenMapping {
    at: Position,
    entries: Vec<(Name, Node)>,
    seen: HashMap<String, Position>,
    next: Next,
}

/// What a mapping waits for.
#[derive(Debug)]
enum Next {
    Key,
    Value(Name),
    /// The value of a key that was refused.
    Ignored,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Tree {
    open: Vec<Open>,
    pub(super) root: Option<Node>,
    pub(super) faults: Vec<FormFault>,
}

impl Tree {
    /// Takes the next event.
    pub(super) fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let at = Position { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_none() => Ok(()),
            Event::DocumentStart(_) => {
                self.fault(Reason::SecondDocument, at);
                Err(Stop)
            }
            Event::Alias(_) => {
                self.fault(Reason::Alias, at);
                self.scalar(Cow::Borrowed("*"), Value::Null, at);
                Ok(())
            }
            Event::Scalar(text, style, _, tag) => {
                self.check_tag(tag.as_ref(), at);
                let resolved = Resolved::parse_from_cow_and_metadata(text.clone(), style, tag.as_ref());
                let value = resolved.map_or_else(|| Value::Text(text.to_string()), value);
                self.scalar(text, value, at);
                Ok(())
            }
            Event::SequenceStart(_, tag) => {
                self.check_tag(tag.as_ref(), at);
                self.descend(Open::List(at, Vec::new()), at)
            }
            Event::MappingStart(_, tag) => {
                self.check_tag(tag.as_ref(), at);
                let mapping = OpenMapping { at, entries: Vec::new(), seen: HashMap::new(), next: Next::Key };
                self.descend(Open::Mapping(mapping), at)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
        }
    }

    /// A scalar is a key where a mapping waits for one, and a value elsewhere.
    fn scalar(&mut self, text: Cow<'_, str>, value: Value, at: Position) {
        let Some(Open::Mapping(mapping @ OpenMapping { next: Next::Key, .. })) = self.open.last_mut() else {
            return self.insert(Node { value, at });
        };
        let name = Name { text: text.into_owned(), at };
        let first = mapping.seen.insert(name.text.clone(), at);
        mapping.next = Next::Value(name);
        if let Some(first) = first {
            self.fault(Reason::Duplicate { first }, at);
            self.ignore_value();
        }
    }

    fn insert(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Mapping(mapping)) => match std::mem::replace(&mut mapping.next, Next::Key) {
                Next::Value(name) => mapping.entries.push((name, node)),
                Next::Ignored => {}
                Next::Key => {
                    self.fault(Reason::ComplexKey, node.at);
                    self.ignore_value();
                }
            },
        }
    }

    fn ignore_value(&mut self) {
        if let Some(Open::Mapping(mapping)) = self.open.last_mut() {
            mapping.next = Next::Ignored;
        }
    }

    fn descend(&mut self, open: Open, at: Position) -> Result<(), Stop> {
        if self.open.len() == MAX_DEPTH {
            self.fault(Reason::TooDeep { most: MAX_DEPTH }, at);
            return Err(Stop);
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) {
        match self.open.pop() {
            None => {}
            Some(Open::List(at, items)) => self.insert(Node { value: Value::List(items), at }),
            Some(Open::Mapping(OpenMapping { at, entries, .. })) => {
                self.insert(Node { value: Value::Mapping(entries), at });
            }
        }
    }

    fn check_tag(&mut self, tag: Option<&Cow<'_, Tag>>, at: Position) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.fault(Reason::Tag(tag.to_string()), at);
        }
    }

    /// Notes a fault at the key that is being read.
    pub(super) fn fault(&mut self, reason: Reason, at: Position) {
        let key = self.open.iter().filter_map(Open::name).collect();
        self.faults.push(FormFault { reason, key, at: Some(at) });
    }
}

fn value(resolved: Resolved<'_>) -> Value {
    match resolved {
        Resolved::Null => Value::Null,
        Resolved::Boolean(flag) => Value::Bool(flag),
        Resolved::Integer(number) => Value::Integer(number),
        Resolved::FloatingPoint(number) => Value::Float(*number),
        Resolved::String(text) => Value::Text(text.into_owned()),
    }
}
