//! The list of settled values: what each is, who said so, when a change takes effect.

use super::error::{Fault, Reason};
use super::file::Maybe;
use super::leaf::Leaf;
use super::settings::{Effect, Entry};
use super::source::{Key, Source, Sourced};

/// Notes each value as it is settled, for `config show` and for what a reload must tell.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    key: Key,
    values: Vec<Entry>,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(faults: &'a mut Vec<Fault>) -> Self {
        Self { key: Key::default(), values: Vec::new(), faults }
    }

    /// What was settled, in order.
    pub(super) fn into_values(self) -> Vec<Entry> {
        self.values
    }

    /// Settles what a section holds.
    pub(super) fn section<T>(&mut self, name: &str, settle: impl FnOnce(&mut Self) -> T) -> T {
        self.key = self.key.join(name);
        let settled = settle(self);
        self.key = self.key.parent();
        settled
    }

    /// Settles a value whose change takes effect with a reload.
    pub(super) fn reload<T: Leaf>(&mut self, name: &str, said: Maybe<T>, default: T) -> T {
        self.settle(name, said, by_default(default), Effect::Reload)
    }

    /// Settles a value whose change needs a restart.
    pub(super) fn restart<T: Leaf>(&mut self, name: &str, said: Maybe<T>, default: T) -> T {
        self.settle(name, said, by_default(default), Effect::Restart)
    }

    /// The same, where the default has a source too.
    pub(super) fn restart_or<T: Leaf>(&mut self, name: &str, said: Maybe<T>, default: Sourced<T>) -> T {
        self.settle(name, said, default, Effect::Restart)
    }

    fn settle<T: Leaf>(&mut self, name: &str, said: Maybe<T>, default: Sourced<T>, effect: Effect) -> T {
        let Sourced { value, source } = said.unwrap_or(default);
        let key = self.key.join(name);
        self.values.push(Entry { key, text: value.to_string(), json: value.json(), source, effect });
        value
    }

    /// Notes what is wrong between two values.
    pub(super) fn fault(&mut self, name: &str, source: Source, reason: Reason) {
        self.faults.push(Fault { source, key: self.key.join(name), reason });
    }
}

fn by_default<T>(value: T) -> Sourced<T> {
    Sourced { value, source: Source::Default }
}
