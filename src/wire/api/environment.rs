//! Environments as clients send them.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::task::Bytes;

/// Variables by name: an object, or a list of `[name, value]` where a name is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment(pub Vec<(Bytes, Bytes)>);

impl Environment {
    /// These variables and those of `base` that have other names.
    #[must_use]
    pub fn over(mut self, base: &[(Bytes, Bytes)]) -> Vec<(Bytes, Bytes)> {
        let own = self.0.len();
        for (name, value) in base {
            if !self.0[..own].iter().any(|(given, _)| given == name) {
                self.0.push((name.clone(), value.clone()));
            }
        }
        self.0
    }
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Option<Vec<&str>> =
            self.0.iter().map(|(name, _)| std::str::from_utf8(name.as_bytes()).ok()).collect();
        let Some(names) = names else { return self.0.serialize(serializer) };
        let mut map = serializer.serialize_map(Some(names.len()))?;
        for (name, (_, value)) in names.iter().zip(&self.0) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct Variables;

impl<'de> Visitor<'de> for Variables {
    type Value = Environment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of variables, or a list of [name, value]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Environment, A::Error> {
        let mut variables = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Bytes>()? {
            variables.push((name.into_bytes().into(), value));
        }
        Ok(Environment(variables))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Environment, A::Error> {
        let mut variables = Vec::new();
        while let Some(variable) = list.next_element()? {
            variables.push(variable);
        }
        Ok(Environment(variables))
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &str) -> (Bytes, Bytes) {
        (name.into(), value.into())
    }

    #[test]
    fn plain_variables_travel_as_an_object() {
        let environment = Environment(vec![variable("A", "1"), variable("B", "")]);
        let json = serde_json::to_string(&environment).unwrap();
        assert_eq!(json, r#"{"A":"1","B":""}"#);
        assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
    }

    #[test]
    fn names_that_are_not_utf8_travel_exactly() {
        let environment = Environment(vec![(vec![0xff].into(), "1".into())]);
        let json = serde_json::to_string(&environment).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
    }

    #[test]
    fn own_variables_win_over_those_below() {
        let merged = Environment(vec![variable("A", "own")]).over(&[variable("A", "base"), variable("B", "base")]);
        assert_eq!(merged, [variable("A", "own"), variable("B", "base")]);
    }
}
