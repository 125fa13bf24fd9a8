//! Bytes to a tree of YAML in which every key and value knows its place.
//!
//! Built on the parser's events, because a loaded document has already lost what must be
//! reported: the second of two equal keys, aliases, and the depth.

use saphyr_parser::Parser;

use super::error::Reason;
use super::source::Position;
use super::tree::{Stop, Tree};

/// The largest file that is read, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting that is read; the configuration itself needs four.
pub(super) const MAX_DEPTH: usize = 16;

/// A value with its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Position,
}

/// What YAML's core schema makes of a node.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Name, Node)>),
}

/// A key of a mapping with its place.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: Position,
}

/// A fault of form, with the parts of the key at which it stands.
#[derive(Debug)]
pub(super) struct FormFault {
    pub(super) reason: Reason,
    pub(super) key: Vec<String>,
    pub(super) at: Option<Position>,
}

/// Reads one document. An empty file is a [`Value::Null`].
///
/// The tree is missing when reading could not go on; the faults found until then are told too.
pub(super) fn parse(bytes: &[u8]) -> (Option<Node>, Vec<FormFault>) {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(fault) => return (None, vec![fault]),
    };
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => tree.take(event, span),
            Err(error) => {
                let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
                tree.fault(Reason::Syntax(error.info().to_owned()), at);
                Err(Stop)
            }
        };
        if let Err(Stop) = step {
            return (None, tree.faults);
        }
    }
    let empty = Node { value: Value::Null, at: Position { line: 1, column: 1 } };
    (Some(tree.root.unwrap_or(empty)), tree.faults)
}

fn text(bytes: &[u8]) -> Result<&str, FormFault> {
    if bytes.len() > MAX_BYTES {
        let reason = Reason::TooLarge { most: MAX_BYTES };
        return Err(FormFault { reason, key: Vec::new(), at: None });
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = valid.matches('\n').count() + 1;
        let column = valid.chars().rev().take_while(|c| *c != '\n').count() + 1;
        FormFault { reason: Reason::NotUtf8, key: Vec::new(), at: Some(Position { line, column }) }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, MAX_DEPTH, Value, parse};

    fn faults(text: &[u8]) -> Vec<String> {
        parse(text)
            .1
            .into_iter()
            .map(|fault| match fault.at {
                Some(at) => format!("{}:{} {}", at.line, at.column, fault.reason),
                None => fault.reason.to_string(),
            })
            .collect()
    }

    #[test]
    fn an_empty_file_is_nothing_and_no_fault() {
        for text in ["", "\n\n", "# only a remark\n", "---\n", "\u{feff}"] {
            let (root, faults) = parse(text.as_bytes());
            assert!(matches!(root.unwrap().value, Value::Null), "{text:?}");
            assert!(faults.is_empty(), "{text:?}: {faults:?}");
        }
    }

    #[test]
    fn every_duplicate_key_is_told_with_the_place_of_the_first() {
        assert_eq!(
            faults(b"a: 1\nb:\n  c: 1\n  c: {d: 1, d: 2}\na: 3\n"),
            ["4:3 is already set in line 3", "4:13 is already set in line 4", "5:1 is already set in line 1",]
        );
    }

    #[test]
    fn aliases_tags_and_lists_as_keys_are_refused_with_their_place() {
        assert_eq!(
            faults(b"a: &x 1\nb: *x\nc: !secret 1\n[d, e]: 1\n"),
            [
                "2:4 aliases are not accepted; write the value out",
                "3:4 the tag !secret is not accepted",
                "4:1 a key must be a single word",
            ]
        );
    }

    #[test]
    fn a_syntax_error_keeps_what_was_found_before_it() {
        let told = faults(b"a: 1\na: 2\nb: [1\nc: 2\n");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].contains("is not valid YAML"), "{told:?}");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert_eq!(faults(deep.as_bytes()), [format!("1:17 is nested more than {MAX_DEPTH} levels deep")]);
        assert_eq!(faults("[".repeat(100_000).as_bytes()).len(), 1);
        let large = vec![b' '; MAX_BYTES + 1];
        assert_eq!(faults(&large), ["is larger than 1048576 bytes"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_told_with_their_place() {
        assert_eq!(faults(b"a: 1\nb: \xff\n"), ["2:4 is not valid UTF-8"]);
    }

    #[test]
    fn a_second_document_is_refused() {
        assert_eq!(faults(b"a: 1\n---\nb: 1\n"), ["2:1 only one document is accepted in a file"]);
    }
}
