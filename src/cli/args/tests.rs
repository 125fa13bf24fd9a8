//! The command line holds together, and reads what people type.

use std::os::unix::ffi::OsStringExt;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &[&str]) -> Result<Verb, clap::Error> {
    Arguments::try_parse_from([&["taskdaemon"], line].concat()).map(|arguments| arguments.verb)
}

fn submit(line: &[&str]) -> Box<Submit> {
    match parse(&[&["submit"], line].concat()).unwrap() {
        Verb::Submit(submit) => submit,
        other => panic!("{other:?}"),
    }
}

fn refusal(line: &[&str]) -> ErrorKind {
    parse(line).unwrap_err().kind()
}

#[test]
fn the_definitions_are_sound() {
    let mut command = Arguments::command();
    command.build();
    command.debug_assert();
}

#[test]
fn a_command_is_taken_as_it_stands() {
    let submit = submit(&["-q", "mail", "--", "grep", "-c", "--json", "a b"]);
    assert_eq!(submit.command, ["grep", "-c", "--json", "a b"]);
    assert_eq!(submit.room.queue.unwrap().as_str(), "mail");
}

#[test]
fn a_command_need_not_be_utf8() {
    let odd = std::ffi::OsString::from_vec(vec![0xff, b'x']);
    let line = ["taskdaemon".into(), "submit".into(), "--".into(), odd.clone()];
    let Verb::Submit(submit) = Arguments::try_parse_from(line).unwrap().verb else { panic!() };
    assert_eq!(submit.command, [odd]);
}

#[test]
fn just_one_thing_is_submitted() {
    assert_eq!(refusal(&["submit"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["submit", "--shell", "x", "--", "y"]), ErrorKind::ArgumentConflict);
    assert_eq!(refusal(&["submit", "--batch", "-", "--shell", "y"]), ErrorKind::ArgumentConflict);
    assert_eq!(submit(&["--batch"]).batch.unwrap().as_os_str(), "-");
}

#[test]
fn standard_input_is_read_only_when_asked() {
    assert_eq!(submit(&["--", "cat"]).stdin, None);
    assert_eq!(submit(&["--stdin", "--", "cat"]).stdin.unwrap().as_os_str(), "-");
    assert_eq!(submit(&["--stdin", "f", "--", "cat"]).stdin.unwrap().as_os_str(), "f");
}

#[test]
fn ranges_are_held() {
    for line in [
        ["--priority", "1001"],
        ["--slots", "0"],
        ["--nice", "20"],
        ["--retry-jitter", "101"],
        ["--limit-memory", "12Q"],
        ["--queue", "../x"],
        ["--label", ""],
        ["--env", "=x"],
        ["--at", "tomorrow"],
        ["--stop-signal", "NOPE"],
    ] {
        let whole = [&["submit"], &line[..], &["--", "true"]].concat();
        assert_eq!(refusal(&whole), ErrorKind::ValueValidation, "{line:?}");
    }
    assert_eq!(submit(&["--priority", "-5", "--nice", "-3", "--", "true"]).room.priority, -5);
}

#[test]
fn dependencies_are_lists() {
    let ids = submit(&["--after", "1,2", "--after", "3", "--after-any", "4", "--", "true"]).start;
    assert_eq!(ids.after.iter().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(ids.after_any.len(), 1);
}

#[test]
fn an_action_needs_to_know_on_what() {
    assert_eq!(refusal(&["cancel"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["cancel", "7", "--all"]), ErrorKind::ArgumentConflict);
    assert_eq!(refusal(&["prune"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["wait"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["wait", "7", "--label", "x"]), ErrorKind::ArgumentConflict);
    let Verb::Cancel(act) = parse(&["cancel", "--queue", "mail", "--label", "x"]).unwrap() else { panic!() };
    assert!(act.select.ids.is_empty());
}

#[test]
fn global_options_stand_before_or_after_the_verb() {
    for line in [&["--json", "--socket", "/s", "list"][..], &["list", "--json", "--socket", "/s"]] {
        let arguments = Arguments::try_parse_from([&["taskdaemon"], line].concat()).unwrap();
        assert!(arguments.globals.json);
        assert_eq!(arguments.globals.socket.unwrap().as_os_str(), "/s");
    }
}

fn words(line: &[&str]) -> Vec<OsString> {
    ["taskdaemon"].iter().chain(line).map(OsString::from).collect()
}

#[test]
fn a_verb_means_the_same_read_alone_and_among_the_others() {
    let lines: [&[&str]; 15] = [
        &["submit", "-q", "mail", "--json", "--socket", "/s", "--", "grep", "-c", "a b"],
        &["submit", "--color=never", "--user", "--batch"],
        &["submit", "--shell", "x", "--wait", "--deadline", "5m"],
        &["submit", "--stdin", "--env", "A=1", "--priority", "-5", "--", "submit", "--help"],
        &["submit", "--hold", "--after", "1,2", "--", "true"],
        &["list"],
        &["ls", "--json", "-n", "5"],
        &["show", "7", "--user"],
        &["logs", "-f", "7"],
        &["wait", "--all", "--system"],
        &["cancel", "7", "8"],
        &["start", "--foreground", "--config", "/c"],
        &["start"],
        &["status", "--wait", "5"],
        &["status"],
    ];
    for line in lines {
        let words = words(line);
        let (alone, among) = (Arguments::read(&words).unwrap(), Arguments::try_parse_from(&words).unwrap());
        assert!(Arguments::alone(&words[1..]).is_some(), "{line:?}");
        assert_eq!(format!("{alone:?}"), format!("{among:?}"));
    }
}

#[test]
fn what_is_wrong_with_a_verb_is_told_as_among_the_others() {
    let lines: [(&[&str], ErrorKind); 8] = [
        (&["submit", "--help"], ErrorKind::DisplayHelp),
        (&["start", "-h"], ErrorKind::DisplayHelp),
        (&["submit", "--nonsense", "--"], ErrorKind::UnknownArgument),
        (&["list", "--version"], ErrorKind::UnknownArgument),
        (&["status", "7"], ErrorKind::UnknownArgument),
        (&["start", "--user", "--system"], ErrorKind::ArgumentConflict),
        (&["cancel"], ErrorKind::MissingRequiredArgument),
        (&["wait", "x"], ErrorKind::ValueValidation),
    ];
    for (line, kind) in lines {
        let words = words(line);
        let (error, among) = (Arguments::read(&words).unwrap_err(), Arguments::try_parse_from(&words).unwrap_err());
        assert_eq!((error.kind(), error.to_string()), (kind, among.to_string()), "{line:?}");
    }
}

#[test]
fn a_recurring_task_has_one_rule() {
    assert_eq!(refusal(&["schedule", "add", "x", "--", "true"]), ErrorKind::MissingRequiredArgument);
    let both = ["schedule", "add", "x", "--every", "5m", "--cron", "@daily", "--", "true"];
    assert_eq!(refusal(&both), ErrorKind::ArgumentConflict);
    assert!(parse(&["schedule", "add", "x", "--cron", "30 4 * * *", "--zone", "UTC", "--", "true"]).is_ok());
}

#[test]
fn every_verb_and_option_has_a_help_text() {
    fn check(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().for_each(check);
    }
    let mut command = Arguments::command();
    command.build();
    check(&command);
}
