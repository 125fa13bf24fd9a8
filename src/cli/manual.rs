//! Manual pages from the definitions of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::args::Arguments;

/// What the pages are dated: the last change of the command line. Not the day of the build, so that the same source
/// gives the same page.
const DATE: &str = "2026-11-20";

/// The program's commands with all that is below them; `help` needs no page.
pub(super) fn commands() -> Command {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

/// The page of one command of [`commands`].
pub(super) fn page(command: &Command, out: &mut dyn Write) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone());
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, ".TH {} 1 {DATE} \"taskdaemon {version}\" \"User Commands\"", escaped(&name.to_uppercase()))?;
    let mut generated = Vec::new();
    man.render_name_section(&mut generated)?;
    man.render_synopsis_section(&mut generated)?;
    man.render_description_section(&mut generated)?;
    man.render_options_section(&mut generated)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut generated)?;
    }
    out.write_all(tidied(&String::from_utf8_lossy(&generated)).as_bytes())?;
    if let Some(more) = command.get_after_help() {
        out.write_all(sections(&more.to_string()).as_bytes())?;
    }
    if name != "taskdaemon" {
        out.write_all(b".SH \"SEE ALSO\"\n.BR taskdaemon (1)\n")?;
    }
    Ok(())
}

/// The pages of a command and of all that are below it, as `NAME.1` in `directory`.
pub(super) fn pages(command: &Command, directory: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut text = Vec::new();
    page(command, &mut text)?;
    fs::write(directory.join(format!("{name}.1")), text)?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| pages(below, directory))
}

/// The generated sections without what mandoc(1) warns of: blanks at the end of a line, and breaks around a blank line,
/// which is a break already.
fn tidied(roff: &str) -> String {
    let lines: String = roff.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    lines.replace(".br\n\n.br\n", "\n")
}

/// The text below the options as sections: `Heading:` begins one, what is indented stands as it is, and prose that
/// follows such lines after a gap is a section of notes.
fn sections(text: &str) -> String {
    let mut roff = String::new();
    let (mut verbatim, mut listed, mut gap) = (false, false, false);
    for line in text.lines() {
        let indented = line.starts_with(' ');
        if verbatim && !indented {
            roff.push_str(".fi\n");
            verbatim = false;
        }
        if line.is_empty() {
            gap = true;
            continue;
        }
        if let Some(heading) = line.strip_suffix(':').filter(|_| !indented) {
            roff.push_str(&format!(".SH \"{}\"\n", heading.to_uppercase()));
            (listed, gap) = (false, false);
            continue;
        }
        match (indented, gap) {
            (false, true) if listed => roff.push_str(".SH NOTES\n"),
            (true | false, true) => roff.push_str(".PP\n"),
            (true | false, false) => {}
        }
        if indented && !verbatim {
            roff.push_str(".nf\n");
        }
        (verbatim, listed, gap) = (indented, indented, false);
        roff.push_str(&escaped(line.strip_prefix("  ").unwrap_or(line)));
        roff.push('\n');
    }
    if verbatim {
        roff.push_str(".fi\n");
    }
    roff
}

/// Text that roff(7) takes for nothing but text.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', r"\e").replace('-', r"\-").replace('\'', r"\(aq").replace('`', r"\(ga");
    if text.starts_with('.') { format!(r"\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stand_as_they_are_and_prose_follows_as_notes() {
        let text = "Examples:\n  a -b 'c'\n\nSome prose.\nMore.";
        let expected = ".SH \"EXAMPLES\"\n.nf\na \\-b \\(aqc\\(aq\n.fi\n.SH NOTES\nSome prose.\nMore.\n";
        assert_eq!(sections(text), expected);
    }

    #[test]
    fn a_blank_line_is_break_enough() {
        assert_eq!(tidied("When \n.br\n\n.br\nvalues\n"), "When\n\nvalues\n");
    }

    #[test]
    fn no_line_begins_a_request_by_accident() {
        assert_eq!(escaped(".profile"), r"\&.profile");
        assert_eq!(escaped(r"'x\n"), r"\(aqx\en");
    }

    #[test]
    fn every_verb_has_a_page_with_an_example() {
        let directory = tempfile::tempdir().unwrap();
        let command = commands();
        pages(&command, directory.path()).unwrap();
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            let page = directory.path().join(format!("taskdaemon-{}.1", below.get_name()));
            let text = fs::read_to_string(&page).unwrap();
            assert!(text.contains("EXAMPLES"), "{}", page.display());
        }
        assert!(directory.path().join("taskdaemon-queue-set.1").exists());
        assert!(!directory.path().join("taskdaemon-runner.1").exists());
    }
}
