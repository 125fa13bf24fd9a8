//! Which variables a task gets.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::args::{Surroundings, Variable};
use crate::task::Bytes;

/// What a program needs to find its way; nothing that could be a secret.
const DEFAULTS: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"];

/// The task's environment, chosen from `present`: the small default or all of it, then what was named.
///
/// The order is that of `present`, then that of the options; a later value of a name wins, and a name that is to be
/// passed on but is not set is left out, as env(1) and ssh(1) do.
pub(super) fn choose(
    options: &Surroundings,
    present: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(Bytes, Bytes)> {
    let mut chosen: Vec<(OsString, OsString)> = present
        .filter(|(name, _)| options.env_all || is_default(name) || options.env.iter().any(|v| v.name == *name))
        .collect();
    for Variable { name, value } in &options.env {
        let Some(value) = value else { continue };
        match chosen.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => chosen.push((name.clone(), value.clone())),
        }
    }
    chosen.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The names that are to be passed on and are not among those that are `set`.
pub(super) fn missing(options: &Surroundings, set: impl Fn(&OsStr) -> bool) -> impl Iterator<Item = &OsStr> {
    let passed_on = options.env.iter().filter(|variable| variable.value.is_none());
    passed_on.map(|variable| variable.name.as_os_str()).filter(move |name| !set(name))
}

fn is_default(name: &OsStr) -> bool {
    DEFAULTS.iter().any(|default| name == *default) || name.as_bytes().starts_with(b"LC_")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn present() -> impl Iterator<Item = (OsString, OsString)> {
        [("PATH", "/bin"), ("TOKEN", "x"), ("LC_ALL", "C"), ("TERM", "xterm"), ("EDITOR", "ed")]
            .map(|(name, value)| (name.into(), value.into()))
            .into_iter()
    }

    fn names(chosen: &[(Bytes, Bytes)]) -> Vec<String> {
        chosen.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn named(name: &str, value: Option<&str>) -> Variable {
        Variable { name: name.into(), value: value.map(Into::into) }
    }

    #[test]
    fn the_default_is_small_and_holds_no_secret() {
        assert_eq!(names(&choose(&Surroundings::default(), present())), ["PATH=/bin", "LC_ALL=C"]);
    }

    #[test]
    fn named_variables_are_passed_on_or_set() {
        let env =
            vec![named("EDITOR", None), named("PATH", Some("/opt")), named("NEW", Some("1")), named("GONE", None)];
        let chosen = choose(&Surroundings { env, ..Surroundings::default() }, present());
        assert_eq!(names(&chosen), ["PATH=/opt", "LC_ALL=C", "EDITOR=ed", "NEW=1"]);
    }

    #[test]
    fn a_name_that_is_not_set_is_found_missing() {
        let env = vec![named("EDITOR", None), named("NEW", Some("1")), named("GONE", None)];
        let options = Surroundings { env, ..Surroundings::default() };
        let is_set = |name: &OsStr| present().any(|(known, _)| known == name);
        assert_eq!(missing(&options, is_set).collect::<Vec<_>>(), ["GONE"]);
    }

    #[test]
    fn the_last_value_of_a_name_wins() {
        let env = vec![named("A", Some("1")), named("A", Some("2"))];
        let chosen = choose(&Surroundings { env, ..Surroundings::default() }, std::iter::empty());
        assert_eq!(names(&chosen), ["A=2"]);
    }

    #[test]
    fn all_is_passed_on_when_asked_with_every_byte() {
        let odd = OsString::from_vec(vec![0xff, 0xfe]);
        let present = present().chain([("ODD".into(), odd)]);
        let chosen = choose(&Surroundings { env_all: true, ..Surroundings::default() }, present);
        assert_eq!(chosen.len(), 6);
        assert_eq!(chosen[5].1.as_bytes(), [0xff, 0xfe]);
    }
}
