//! Everything that is printed: [`Output`] holds the two streams and knows for whom they are.
//!
//! The only place that prints. It must not know tasks, the client or exit statuses.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde::Serialize;

use super::args::Color;

/// Columns where the terminal does not tell.
const USUAL_WIDTH: u16 = 80;

/// Standard output and standard error.
pub(super) struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
    json: bool,
    terminal: bool,
    colored: bool,
}

impl Output {
    /// The process's own streams.
    pub(super) fn new(json: bool, color: Color) -> Self {
        let stdout = io::stdout().lock();
        let terminal = stdout.is_terminal();
        let refused = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colored = match color {
            Color::Auto => terminal && !refused(),
            Color::Always => true,
            Color::Never => false,
        };
        Self { stdout: BufWriter::new(stdout), json, terminal, colored }
    }

    /// Whether documents are wanted.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at standard output.
    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colours are wanted.
    pub(super) const fn is_colored(&self) -> bool {
        self.colored
    }

    /// Whether progress may be drawn on standard error.
    pub(super) fn has_progress(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// The width of the terminal in columns.
    pub(super) fn width(&self) -> u16 {
        comfy_table::Table::new().width().filter(|width| *width > 0).unwrap_or(USUAL_WIDTH)
    }

    /// Prints a line.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.stdout, "{text}")
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Prints a document on one line.
    pub(super) fn document(&mut self, document: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.stdout, document)?;
        self.stdout.write_all(b"\n")
    }

    /// Hands what was printed so far to the reader; at the end, and where output goes on.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Says something beside the output, on standard error.
    pub(super) fn note(&mut self, text: impl Display) {
        complain(text);
    }
}

/// Says something on standard error, in one write so that it stays whole beside what others say there.
fn complain(text: impl Display) {
    // Where standard error is closed there is nobody left to tell.
    let _ = io::stderr().lock().write_all(format!("taskdaemon: {text}\n").as_bytes());
}

/// Draws on standard error, for people who look at a terminal.
pub(super) fn draw(text: &str) {
    // Where standard error is closed nobody looks.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// What went wrong, and what to try next, as it is said.
pub(super) fn words(message: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| message.to_owned(), |hint| format!("{message}\ntaskdaemon: try: {hint}"))
}

/// Says what went wrong, what to try next, and before that what a log said.
pub(super) fn failure(log: &[String], message: &str, hint: Option<&str>) {
    let log: String = log.iter().map(|line| format!("{line}\n")).collect();
    // Where standard error is closed there is nobody left to tell.
    let _ = io::stderr().lock().write_all(log.as_bytes());
    complain(words(message, hint));
}

/// Prints what clap has to say: help and version to standard output, wrong usage to standard error.
pub(super) fn usage(error: &clap::Error) {
    // A reader that went away is no reason to say more.
    let _ = error.print();
}
