//! The crate's own source as tokens: what the tests of the house read.
//!
//! A real lexer (`proc_macro2`) does the reading, so comments, strings and raw
//! strings are never mistaken for code, and code inside macros still counts.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One file under `src/`.
pub(crate) struct SourceFile {
    /// Where it lies, from `src/`: `engine/beat.rs`.
    pub(crate) path: String,
    /// The module it holds: `["engine", "beat"]`; empty for the crate's root.
    pub(crate) module: Vec<String>,
    /// Its tokens.
    tokens: TokenStream,
    /// How many lines it has.
    pub(crate) lines: usize,
    /// The numbers of the lines that are neither blank nor a comment.
    code: Vec<usize>,
}

/// A path such as `crate::task::Id`, from the crate's root and with `super` resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The segments below the crate's root; empty when the path *is* the root.
    pub(crate) segments: Vec<String>,
    /// The line it stands on.
    pub(crate) line: usize,
}

/// A word of the source that is neither a comment nor in a string.
pub(crate) struct Word {
    /// The identifier.
    pub(crate) text: String,
    /// The line it stands on.
    pub(crate) line: usize,
    /// Whether `!` follows, as it does where a macro is called.
    pub(crate) is_macro_call: bool,
}

/// Whether code that is compiled for tests alone is read too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    /// It is read.
    Read,
    /// It is passed over.
    Skip,
}

impl SourceFile {
    /// Reads `text` as the file at `path` (from `src/`).
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let tokens = match text.parse() {
            Ok(tokens) => tokens,
            Err(error) => panic!("{path} is not Rust: {error}"),
        };
        let is_code = |line: &str| !line.trim().is_empty() && !line.trim().starts_with("//");
        let code = (1..).zip(text.lines()).filter(|(_, line)| is_code(line)).map(|(number, _)| number).collect();
        Self { path: path.to_owned(), module: module_of(path), tokens, lines: text.lines().count(), code }
    }

    /// The room of the house that it belongs to; the crate's root belongs to none.
    pub(crate) fn room(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }

    /// Every path from the crate's root, outside tests.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut found = Vec::new();
        collect_uses(&self.program(), &self.module, &mut found);
        found
    }

    /// Every word.
    pub(crate) fn words(&self, tests: Tests) -> Vec<Word> {
        let mut found = Vec::new();
        match tests {
            Tests::Read => collect_words(&list(self.tokens.clone()), &mut found),
            Tests::Skip => collect_words(&self.program(), &mut found),
        }
        found
    }

    /// How many lines of code it has: no blank ones, no comments, no tests.
    pub(crate) fn code_lines(&self) -> usize {
        let items = test_items(&list(self.tokens.clone()));
        self.code.iter().filter(|line| !items.iter().any(|item| item.lines.contains(line))).count()
    }

    /// The modules that it declares for tests alone: `#[cfg(test)] mod tests;`.
    fn test_modules(&self) -> Vec<Vec<String>> {
        test_items(&list(self.tokens.clone()))
            .into_iter()
            .filter_map(|item| item.module)
            .map(|name| [self.module.clone(), vec![name]].concat())
            .collect()
    }

    fn program(&self) -> Vec<TokenTree> {
        let mut tokens = list(self.tokens.clone());
        for item in test_items(&tokens).into_iter().rev() {
            tokens.drain(item.tokens);
        }
        tokens
    }
}

/// Every file under `src/` that is compiled into the program, in the order of their names.
pub(crate) fn program() -> Vec<SourceFile> {
    let files = all();
    let tests: BTreeSet<Vec<String>> = files.iter().flat_map(SourceFile::test_modules).collect();
    let is_test = |file: &SourceFile| (1..=file.module.len()).any(|depth| tests.contains(&file.module[..depth]));
    files.into_iter().filter(|file| !is_test(file)).collect()
}

/// Every file under `src/`, in the order of their names.
pub(crate) fn all() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect_files(&root, &mut paths);
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("a source file is readable text");
            let below = path.strip_prefix(&root).expect("it was found below src/");
            SourceFile::new(below.to_str().expect("its name is UTF-8"), &text)
        })
        .collect()
}

fn collect_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory is readable") {
        let path = entry.expect("a source directory is readable").path();
        if path.is_dir() {
            collect_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn module_of(path: &str) -> Vec<String> {
    let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod")
        || module.len() == 1 && (module[0] == "lib" || module[0] == "main")
    {
        module.pop();
    }
    module
}

/// An item under `#[cfg(test)]`.
struct TestItem {
    tokens: std::ops::Range<usize>,
    lines: RangeInclusive<usize>,
    /// Its name where it is a module in a file of its own.
    module: Option<String>,
}

/// The items under `#[cfg(test)]` at the top of a file, which is where ours stand.
fn test_items(tokens: &[TokenTree]) -> Vec<TestItem> {
    let mut items = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !is_test_attribute(&tokens[at..]) {
            at += 1;
            continue;
        }
        let start = at;
        at += 2;
        while at < tokens.len() && !ends_item(&tokens[at]) {
            at += 1;
        }
        let last = at.min(tokens.len() - 1);
        items.push(TestItem {
            tokens: start..last + 1,
            lines: tokens[start].span().start().line..=tokens[last].span().end().line,
            module: module_declared(&tokens[start..=last]),
        });
        at = last + 1;
    }
    items
}

/// Whether the tokens begin with `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else {
        return false;
    };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    hash.as_char() == '#' && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

fn ends_item(token: &TokenTree) -> bool {
    is_punct(Some(token), ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn module_declared(item: &[TokenTree]) -> Option<String> {
    let [.., keyword, TokenTree::Ident(name), end] = item else {
        return None;
    };
    (is_word(Some(keyword), "mod") && is_punct(Some(end), ';')).then(|| name.to_string())
}

fn collect_words(tokens: &[TokenTree], found: &mut Vec<Word>) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => collect_words(&list(group.stream()), found),
            TokenTree::Ident(word) => found.push(Word {
                text: word.to_string(),
                line: word.span().start().line,
                is_macro_call: is_punct(tokens.get(at + 1), '!'),
            }),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn collect_uses(tokens: &[TokenTree], module: &[String], found: &mut Vec<Use>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => {
                let inner = [module, &inline_module(&tokens[..at])].concat();
                collect_uses(&list(group.stream()), &inner, found);
                at += 1;
            }
            TokenTree::Ident(word) if starts_path(tokens, at) => {
                let line = word.span().start().line;
                let (leaves, length) = path_tree(&tokens[at..]);
                let resolved = leaves.iter().map(|leaf| Use { segments: resolve(leaf, module), line });
                found.extend(resolved);
                at += length;
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

/// The module whose body follows the tokens, where they end in `mod NAME`.
fn inline_module(before: &[TokenTree]) -> Vec<String> {
    match before {
        [.., keyword, TokenTree::Ident(name)] if is_word(Some(keyword), "mod") => {
            vec![name.to_string()]
        }
        _ => Vec::new(),
    }
}

/// Whether a path from the crate's root or from a parent starts here. `pub(crate)` and `pub(super)` are none.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let is_root = is_word(tokens.get(at), "crate");
    let is_parent = is_word(tokens.get(at), "super");
    let is_continued = is_separator(&tokens[at + 1..]);
    let is_renamed = is_root && is_word(tokens.get(at + 1), "as");
    (is_root || is_parent) && (is_continued || is_renamed)
}

/// The paths that a tree such as `a::{b, c::d}` stands for, and how many tokens it takes.
fn path_tree(tokens: &[TokenTree]) -> (Vec<Vec<String>>, usize) {
    let mut prefix = Vec::new();
    let mut at = 0;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(word)) => prefix.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let leaves = branches(&list(group.stream()))
                    .into_iter()
                    .map(|branch| [prefix.clone(), branch].concat())
                    .collect();
                return (leaves, at + 1);
            }
            _ => return (vec![prefix], at),
        }
        at += 1;
        if !is_separator(&tokens[at..]) {
            return (vec![prefix], at);
        }
        at += 2;
    }
}

fn branches(tokens: &[TokenTree]) -> Vec<Vec<String>> {
    tokens
        .split(|token| is_punct(Some(token), ','))
        .filter(|branch| !branch.is_empty())
        .flat_map(|branch| path_tree(branch).0)
        .collect()
}

/// The path from the crate's root that `path`, written in `module`, means.
fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let mut from_root = module.to_vec();
    for segment in path {
        match segment.as_str() {
            "crate" => from_root.clear(),
            "super" => drop(from_root.pop()),
            "self" => {}
            name => from_root.push(name.to_owned()),
        }
    }
    from_root
}

fn list(tokens: TokenStream) -> Vec<TokenTree> {
    tokens.into_iter().collect()
}

fn is_word(token: Option<&TokenTree>, text: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == text)
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}
