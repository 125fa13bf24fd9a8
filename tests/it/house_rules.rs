//! What else the source promises: where `unsafe`, printing and each dependency may stand, and how long a file grows.

use crate::source::{self, SourceFile, Tests};

/// The longest a file may be.
const MAX_FILE_LINES: usize = 500;

/// The lines of code that the runner stays under, its tests aside: it is read in one sitting.
const MAX_RUNNER_LINES: usize = 800;

/// Where alone something may print.
const PRINTER: &str = "cli/output.rs";

const PRINT_MACROS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Dependencies, and the rooms that alone may use them.
const CRATES: &[(&str, &[&str])] = &[
    // Nothing else knows an asynchronous runtime, or the server: the client speaks HTTP by itself.
    ("tokio", &["api"]),
    ("axum", &["api"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("http_body_util", &["api"]),
    ("tower_service", &["api"]),
    // How service managers are spoken to.
    ("libsystemd", &["daemon"]),
    ("sd_notify", &["daemon"]),
    ("prometheus_client", &["api"]),
    ("rusqlite", &["store"]),
    ("landlock", &["daemon"]),
    ("seccompiler", &["daemon"]),
    ("saphyr", &["config"]),
    ("saphyr_parser", &["config"]),
    // Each module owns a small error of its own; the command line alone gathers them.
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("comfy_table", &["cli"]),
];

/// The places, as `file:line: word`, of every word that `is_wrong`.
fn places(files: &[SourceFile], tests: Tests, is_wrong: impl Fn(&SourceFile, &source::Word) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for word in file.words(tests) {
            if is_wrong(file, &word) {
                found.push(format!("{}:{}: {}", file.path, word.line, word.text));
            }
        }
    }
    found
}

fn assert_none(places: &[String], promise: &str) {
    assert!(places.is_empty(), "{promise}, but:\n{}", places.join("\n"));
}

#[test]
fn unsafe_stands_only_in_sys() {
    let found = places(&source::all(), Tests::Read, |file, word| word.text == "unsafe" && file.room() != Some("sys"));
    assert_none(&found, "`unsafe` stands under src/sys/ alone");
}

#[test]
fn only_the_printer_prints() {
    let found = places(&source::program(), Tests::Skip, |file, word| {
        let prints = word.is_macro_call && PRINT_MACROS.contains(&word.text.as_str());
        prints && file.path != PRINTER
    });
    assert_none(&found, "src/cli/output.rs alone prints");
}

#[test]
fn each_dependency_stays_in_its_rooms() {
    let found = places(&source::program(), Tests::Skip, |file, word| {
        let rooms = CRATES.iter().find(|(name, _)| word.text == *name);
        rooms.is_some_and(|(_, rooms)| file.room().is_none_or(|room| !rooms.contains(&room)))
    });
    assert_none(&found, "a dependency is used only in the rooms that the table gives it");
}

#[test]
fn no_file_is_longer_than_a_reader_likes() {
    let long: Vec<String> = source::all()
        .iter()
        .filter(|file| file.lines > MAX_FILE_LINES)
        .map(|file| format!("{}: {} lines", file.path, file.lines))
        .collect();
    assert_none(&long, "no file under src/ is longer than 500 lines");
}

#[test]
fn the_runner_can_be_read_in_one_sitting() {
    let lines: usize =
        source::program().iter().filter(|file| file.room() == Some("runner")).map(SourceFile::code_lines).sum();
    assert!(lines < MAX_RUNNER_LINES, "the runner has {lines} lines of code");
}

#[test]
fn code_is_told_from_comments_strings_and_tests() {
    let file = SourceFile::new(
        "store/mod.rs",
        "// unsafe\n\nconst A: &str = \"unsafe\";\nfn f() { g!(unsafe {}) }\n#[cfg(test)]\nmod tests {\n    fn t() { println!() }\n}\n",
    );
    let words = |tests| {
        let found = file.words(tests);
        found.into_iter().map(|word| (word.text, word.line, word.is_macro_call))
    };
    assert!(words(Tests::Skip).any(|word| word == ("unsafe".to_owned(), 4, false)));
    assert!(words(Tests::Read).any(|word| word == ("println".to_owned(), 7, true)));
    assert!(!words(Tests::Skip).any(|(text, ..)| text == "println"));
    assert_eq!((file.lines, file.code_lines()), (8, 2));
}
