//! The two users of the whole host's service, for hosts whose package manager has not made them.

use std::path::Path;

use nix::unistd::{Group, User};

use super::ServiceError;
use super::carry::run;
use super::plan::is_program;

const NAMES: [(&str, &str); 2] =
    [("taskdaemon", "Durable task queue"), ("taskdaemon-runner", "Durable task queue, its tasks")];

/// Those that are not there.
pub(super) fn missing() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name).filter(|name| !matches!(User::from_name(name), Ok(Some(_))))
}

/// Makes one, without a password, a shell or a home.
pub(super) fn make(name: &str) -> Result<(), ServiceError> {
    let words = NAMES.iter().find(|(known, _)| *known == name).map_or("", |(_, words)| words);
    let shells = ["/usr/sbin/nologin", "/sbin/nologin"];
    let shell = shells.into_iter().find(|path| Path::new(path).exists()).unwrap_or("/bin/false");
    let has_group = matches!(Group::from_name(name), Ok(Some(_)));
    if is_program("useradd") {
        let group: &[&str] = if has_group { &["--gid", name] } else { &["--user-group"] };
        let options =
            ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", shell, "--comment", words];
        return run(&[&["useradd"], &options[..], group, &[name]].concat());
    }
    // Busybox.
    if !has_group {
        run(&["addgroup", "-S", name])?;
    }
    run(&["adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", shell, "-g", words, "-G", name, name])
}
