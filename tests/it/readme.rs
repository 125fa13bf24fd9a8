//! The documents keep their word: what they show is run, what they name exists, and the pages are sound.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::support::Daemon;

/// What may stand behind the three backquotes of a fence, and what the test does with it.
const FENCES: &[(&str, Fence)] = &[
    ("sh", Fence::Run),
    ("yaml", Fence::Configure),
    // It installs, starts what does not end, or needs more than a daemon: shown, not run.
    ("console", Fence::Show),
    // A drawing.
    ("", Fence::Show),
];

/// The documents that show commands.
const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// Verbs that are nothing without a second one.
const NOUNS: &[&str] = &["queue", "schedule", "config"];

/// Shells, how each is started without what its user set up, and a script that prints what completes `sub`. Zsh
/// completes on a terminal only: there it has to load.
const SHELLS: &[(&str, &str, &str)] = &[
    (
        "bash",
        "--norc",
        "source <(taskdaemon completions bash); COMP_WORDS=(taskdaemon sub) COMP_CWORD=1; complete -p taskdaemon >&2
        _taskdaemon taskdaemon sub taskdaemon; printf '%s\\n' \"${COMPREPLY[@]}\"",
    ),
    (
        "zsh",
        "-f",
        "autoload -U compinit && compinit -D -u && taskdaemon completions zsh >_taskdaemon && zsh -n _taskdaemon &&
        source ./_taskdaemon && whence -w _taskdaemon >&2 && echo submit",
    ),
    ("fish", "--no-config", "taskdaemon completions fish | source; complete -C 'taskdaemon sub'"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    /// A shell runs it beside a daemon; it must succeed.
    Run,
    /// `config check` must find no fault in it.
    Configure,
    /// It is only shown.
    Show,
}

/// One fenced block of a document.
struct Block {
    document: PathBuf,
    line: usize,
    fence: Fence,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = DOCUMENTS.iter().map(|name| root().join(name)).collect();
    for directory in ["docs", "docs/adr"] {
        let entries = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        let mut pages: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
        pages.sort();
        found.extend(pages);
    }
    found
}

fn blocks(document: &Path) -> Vec<Block> {
    let text = fs::read_to_string(document).unwrap();
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (line, content) in text.lines().enumerate() {
        let Some(word) = content.strip_prefix("```") else {
            if let (true, Some(block)) = (open, found.last_mut()) {
                block.text.push_str(content);
                block.text.push('\n');
            }
            continue;
        };
        open = !open;
        if open {
            let known = FENCES.iter().find(|(name, _)| *name == word);
            let (_, fence) = known.unwrap_or_else(|| {
                panic!("{}:{}: a fence is one of {FENCES:?}, not {word:?}", document.display(), line + 1)
            });
            let document = document.to_owned();
            found.push(Block { document, line: line + 1, fence: *fence, text: String::new() });
        }
    }
    assert!(!open, "{}: a fence is not closed", document.display());
    found
}

/// A shell in the daemon's directory, with the program in its path.
fn shell(daemon: &Daemon, program: &str, arguments: &[&str]) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_taskdaemon"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).env_remove("TASKDAEMON_SOCKET").stdin(Stdio::null());
    command.env("TASKDAEMON_CONFIG", daemon.path("config.yml")).env("TASKDAEMON_STATE_DIRECTORY", daemon.state());
    command.env("TASKDAEMON_RUNTIME_DIRECTORY", daemon.path("run")).env("HOME", daemon.path("home"));
    command.env("TMPDIR", daemon.path("home")).current_dir(daemon.path("home"));
    command
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn every_shell_block_of_the_documents_runs() {
    for document in documents() {
        let blocks: Vec<Block> = blocks(&document).into_iter().filter(|block| block.fence == Fence::Run).collect();
        if blocks.is_empty() {
            continue;
        }
        let daemon = Daemon::new();
        fs::create_dir(daemon.path("home")).unwrap();
        fs::copy(root().join("README.md"), daemon.path("home/README.md")).unwrap();
        for block in blocks {
            let output = shell(&daemon, "bash", &["-euo", "pipefail", "-c", &block.text]).output().unwrap();
            let place = format!("{}:{}", block.document.display(), block.line);
            assert!(output.status.success(), "{place}: {}: {}\n{}", output.status, told(&output), block.text);
        }
    }
}

#[test]
fn every_configuration_in_the_documents_is_without_fault() {
    let daemon = Daemon::unstarted("");
    for block in documents().iter().flat_map(|document| blocks(document)) {
        if block.fence == Fence::Configure {
            fs::write(daemon.path("config.yml"), &block.text).unwrap();
            let output = daemon.run(&["config", "check"]);
            let place = format!("{}:{}", block.document.display(), block.line);
            assert!(output.status.success(), "{place}: {}", told(&output));
        }
    }
}

/// Calls of the program in a text: the words behind its name, as far as they are its own.
fn calls(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or(line));
    let behind = lines.flat_map(|line| line.split("taskdaemon ").skip(1));
    let own = behind.map(|rest| rest.split(" -- ").next().unwrap_or(rest).split([')', '|', ';', '`', '&', '<', '>']));
    own.map(|mut parts| parts.next().unwrap_or_default().split_whitespace().collect()).collect()
}

#[test]
fn every_verb_and_option_in_the_readme_exists() {
    let daemon = Daemon::unstarted("");
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let fenced: String = blocks(&root().join("README.md")).into_iter().map(|block| block.text).collect();
    // What stands between single backquotes is at the odd places once the fences are gone.
    let inline = text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let inline: String = inline.flat_map(|code| [code, "\n"]).collect();
    let shown = fenced + &inline;
    let calls = calls(&shown);
    assert!(calls.len() > 20, "the README shows how to call the program: {calls:?}");
    for call in calls {
        let verbs = if call.first().is_some_and(|verb| NOUNS.contains(verb)) { 2 } else { 1 };
        let verbs = &call[..verbs.min(call.len())];
        let output = daemon.run(&[&["help"], verbs].concat());
        assert!(output.status.success(), "taskdaemon {}: {}", verbs.join(" "), told(&output));
        let help = told(&output);
        for option in call.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            let name = option.split('=').next().unwrap_or(option);
            assert!(help.contains(name), "taskdaemon {} knows no {name}", verbs.join(" "));
        }
    }
}

#[test]
fn the_manual_pages_are_sound_written_and_generated() {
    assert!(is_installed("mandoc"), "mandoc is missing; scripts/setup --test installs it");
    let daemon = Daemon::unstarted("");
    let generated = daemon.path("man");
    fs::create_dir(&generated).unwrap();
    daemon.ok(&["man", generated.to_str().unwrap()]);
    for directory in [root().join("man"), generated] {
        let pages: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!pages.is_empty(), "{} has pages", directory.display());
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
    }
}

#[test]
fn every_key_of_the_configuration_has_its_place_in_the_manual_with_its_default() {
    let daemon = Daemon::unstarted("");
    fs::write(daemon.path("config.yml"), "").unwrap();
    let shown: serde_json::Value = serde_json::from_str(&daemon.ok(&["config", "show", "--json"])).unwrap();
    let page = fs::read_to_string(root().join("man/taskdaemon.yml.5")).unwrap();
    let mut keys = Vec::new();
    leaves(&shown, String::new(), &mut keys);
    assert!(keys.len() > 30, "{keys:?}");
    for (key, default) in keys {
        let key = key.replace("queues.default.", "queues.NAME.");
        let (_, entry) = page.split_once(&format!(".It Cm {key}\n")).unwrap_or_else(|| panic!("{key} is not there"));
        let entry = entry.split(".It ").next().unwrap_or(entry);
        // Where things are differs from one host and one user to the next.
        let said = key.starts_with("paths.") || key == "log.file" || entry.contains(&format!("Default: {default}."));
        assert!(said, "{key}: the default is {default}:\n{entry}");
    }
    let known = page.lines().filter_map(|line| line.strip_prefix(".It Cm ")).filter(|key| key.contains('.'));
    for key in known {
        let parts = key.replace("queues.NAME.", "queues.default.");
        let value = parts.split('.').try_fold(&shown, |at, part| at.get(part));
        assert!(value.is_some(), "{key} is in the manual and nowhere else");
    }
}

/// The keys of a configuration as `config show --json` prints it, each with its value as a file would say it.
fn leaves(at: &serde_json::Value, key: String, found: &mut Vec<(String, String)>) {
    let serde_json::Value::Object(entries) = at else { return };
    if let (Some(text), true) = (entries.get("text").and_then(|text| text.as_str()), entries.contains_key("source")) {
        found.push((key, text.to_owned()));
        return;
    }
    for (name, below) in entries {
        leaves(below, if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, found);
    }
}

#[test]
fn completions_load_in_the_shells_that_are_there() {
    let daemon = Daemon::unstarted("");
    fs::create_dir(daemon.path("home")).unwrap();
    for (name, plain, script) in SHELLS.iter().filter(|(name, ..)| *name == "bash" || is_installed(name)) {
        let output = shell(&daemon, name, &[plain, "-c", script]).output().unwrap();
        assert!(output.status.success(), "{name}: {}", told(&output));
        let offered = String::from_utf8_lossy(&output.stdout);
        assert!(offered.lines().any(|line| line.starts_with("submit")), "{name} offers submit: {}", told(&output));
    }
}
