//! Imports only go down: the table of floors, and the test that holds the crate to it.

use crate::source::{self, SourceFile, Use};

/// A top-level module, and what it may look down on.
struct Room {
    name: &'static str,
    floor: u8,
    view: View,
}

/// Which of the rooms below a room may use.
enum View {
    /// All of them.
    Below,
    /// All but these.
    BelowExcept(&'static [&'static str]),
    /// These alone.
    Only(&'static [&'static str]),
}

const fn room(name: &'static str, floor: u8, view: View) -> Room {
    Room { name, floor, view }
}

/// Configuration is data: a constructor takes its own section and never sees the whole.
const NO_CONFIG: View = View::BelowExcept(&["config"]);

/// The house, from the ground up. `ARCHITECTURE.md` draws the same picture.
const ROOMS: &[Room] = &[
    room("sys", 0, View::Below),
    room("task", 0, View::Below),
    room("config", 1, View::Below),
    // A library for other daemons: it knows nothing of tasks.
    room("daemon", 1, View::Only(&["sys"])),
    room("wire", 1, View::Below),
    room("executor", 2, NO_CONFIG),
    // The process that must never die parses nothing but the daemon's messages.
    room("runner", 2, View::Only(&["sys", "daemon", "wire::runner"])),
    // A pure function of a snapshot and the time.
    room("scheduler", 2, View::Only(&["task"])),
    room("store", 2, NO_CONFIG),
    room("engine", 3, View::BelowExcept(&["config", "runner"])),
    // No handler touches the store or the executor: all goes through the engine.
    room("api", 4, View::BelowExcept(&["config", "store", "scheduler", "executor", "runner"])),
    room("client", 4, View::Only(&["task", "wire"])),
    room("app", 5, View::Below),
    room("cli", 6, View::Below),
];

impl View {
    /// Why a room with this view may not use the path, if it may not.
    fn objection(&self, path: &[String]) -> Option<String> {
        let names = |name: &&str| starts_with(path, name);
        match self {
            View::Below => None,
            View::BelowExcept(hidden) => {
                hidden.iter().find(|name| names(name)).map(|name| format!("must not use {name}"))
            }
            View::Only(seen) => {
                (!seen.iter().any(names)).then(|| format!("may use {} and nothing else", seen.join(", ")))
            }
        }
    }
}

fn starts_with(path: &[String], prefix: &str) -> bool {
    let mut segments = path.iter();
    prefix.split("::").all(|name| segments.next().is_some_and(|segment| segment == name))
}

fn find(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// What is wrong with one path used in `from`, if anything is.
fn objection(from: &Room, used: &Use) -> Option<String> {
    let Some(name) = used.segments.first() else {
        return Some("takes the whole crate".to_owned());
    };
    let Some(to) = find(name) else {
        return Some(format!("crate::{name} stands on no floor"));
    };
    if to.name == from.name {
        return None;
    }
    if to.floor > from.floor {
        return Some(format!("climbs to {name}, floor {}", to.floor));
    }
    if to.floor == from.floor {
        return Some(format!("crosses to {name} on the same floor"));
    }
    from.view.objection(&used.segments)
}

fn faults(file: &SourceFile) -> Vec<String> {
    let Some(name) = file.room() else {
        return Vec::new();
    };
    let Some(from) = find(name) else {
        return vec![format!("{}: crate::{name} stands on no floor", file.path)];
    };
    file.uses()
        .iter()
        .filter_map(|used| {
            let why = objection(from, used)?;
            let path = used.segments.join("::");
            let SourceFile { path: file, .. } = file;
            Some(format!("{file}:{}: crate::{path}: {name} (floor {}) {why}", used.line, from.floor))
        })
        .collect()
}

#[test]
fn imports_only_go_down() {
    let faults: Vec<String> = source::program().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_names_every_module_of_the_crate_in_floor_order() {
    let library = include_str!("../../src/lib.rs");
    let declared: Vec<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let table: Vec<&str> = ROOMS.iter().map(|room| room.name).collect();
    assert_eq!(declared, table);
    assert!(ROOMS.is_sorted_by_key(|room| room.floor));
}

#[test]
fn a_path_that_goes_down_is_let_through() {
    let good = [
        ("engine/mod.rs", "use crate::store::Store;"),
        ("engine/beat.rs", "use crate::{scheduler::plan, task::{Id, Spec}};"),
        ("engine/beat.rs", "use super::Command; use crate::engine::Reply;"),
        ("engine/beat.rs", "pub(crate) fn f() {} pub(super) fn g() {}"),
        ("engine/beat.rs", "mod inner { use super::super::Command; }"),
        ("store/sqlite.rs", "// use crate::engine::Engine;\nfn f() {}"),
        ("store/sqlite.rs", "/* a /* b */ use crate::engine::Engine; */"),
        ("store/sqlite.rs", "/// [`crate::engine::Engine`]\nfn f() {}"),
        ("store/sqlite.rs", r##"const A: &str = r#"use "crate::engine::A""#;"##),
        ("store/sqlite.rs", "#[cfg(test)]\nmod tests { use crate::engine::Engine; }"),
        ("runner/spawn.rs", "use crate::wire::runner::Spawn;"),
        ("cli/submit.rs", "fn f<'a>(c: char) -> bool { c == '\"' }"),
    ];
    for (path, text) in good {
        assert_eq!(faults(&SourceFile::new(path, text)), [""; 0], "{text}");
    }
}

#[test]
fn a_path_that_climbs_or_crosses_is_named_with_its_line() {
    let bad = [
        ("task/id.rs", "use crate::sys::fd;", "1: crate::sys::fd: task (floor 0) crosses"),
        ("store/mod.rs", "\nuse crate::engine::Engine;", "2: crate::engine::Engine: store (floor 2) climbs"),
        ("store/mod.rs", "use crate::{task::Id, executor};", "crate::executor: store (floor 2) crosses"),
        ("store/mod.rs", "use crate::{task::Id, api::{self, Reply}};", "crate::api::Reply"),
        ("store/mod.rs", "fn f() { crate::engine::run() }", "crate::engine::run"),
        ("store/mod.rs", "fn f() { go!(crate::engine::run()) }", "crate::engine::run"),
        ("store/mod.rs", "use super::engine::Engine;", "crate::engine::Engine"),
        ("store/sqlite.rs", "use super::super::engine;", "crate::engine"),
        ("store/sqlite.rs", "use super::{super::engine::Engine, Task};", "crate::engine::Engine"),
        ("store/mod.rs", "mod inner { use super::super::engine; }", "crate::engine"),
        ("store/mod.rs", "use crate as house;", "takes the whole crate"),
        ("store/mod.rs", "use crate::{self as house};", "takes the whole crate"),
        ("store/mod.rs", "use crate::*;", "takes the whole crate"),
        ("store/mod.rs", "use crate::attic::Box;", "crate::attic stands on no floor"),
        ("attic/mod.rs", "", "crate::attic stands on no floor"),
        ("store/mod.rs", "use crate::config::Settings;", "must not use config"),
        ("api/routes.rs", "use crate::store::Store;", "must not use store"),
        ("runner/mod.rs", "use crate::wire::api::Task;", "may use sys, daemon, wire::runner and"),
        ("client/mod.rs", "use crate::engine::Reply;", "may use task, wire and nothing else"),
        ("store/mod.rs", "#[cfg(test)] mod tests { } use crate::api::Reply;", "crate::api::Reply"),
        ("store/mod.rs", "#[cfg(not(test))] use crate::api::Reply;", "crate::api::Reply"),
    ];
    for (path, text, expected) in bad {
        let found = faults(&SourceFile::new(path, text));
        let is_named = found.iter().any(|fault| fault.contains(expected));
        assert!(is_named, "{text}: {found:?}");
    }
}
