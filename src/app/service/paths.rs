//! Which programs a service may run: those that nobody else can change or put another in the place of.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::Uid;

use super::ServiceError;
use crate::config::Mode;

/// Where anybody's files are, or files of nobody's for long.
const UNFIT: &[&str] = &["/tmp", "/var/tmp", "/dev", "/run", "/proc"];
/// Where those of people are: a service of the host is not to depend on them.
const HOMES: &[&str] = &["/home", "/root"];

const ADVICE: &str = "install the program in /usr/local/bin, as root, and run that one";

/// Whether every service file can name it: each has rules of its own for blanks, quotes, % and $.
///
/// # Errors
/// [`ServiceError::Unsafe`] where not.
pub(super) fn nameable(program: &Path) -> Result<(), ServiceError> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._+-@".contains(byte);
    let refuse = |reason: &str, advice| Err(refused(program, reason, advice));
    if !program.is_absolute() || program.components().any(|part| part == Component::ParentDir) {
        return refuse("it is no absolute path", "name it from / on");
    }
    if !program.as_os_str().as_bytes().iter().all(plain) {
        return refuse("service files cannot name it", "move it to a path of letters, digits and /._+-@ alone");
    }
    Ok(())
}

/// Whether nobody but root, and in user mode the user, can change the program or put another in its place.
///
/// # Errors
/// [`ServiceError::Unsafe`] names the file or the directory, and says why.
pub(super) fn trusted(program: &Path, user: Uid, mode: Mode) -> Result<(), ServiceError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ServiceError::Io { verb: "look at", path, source }
    };
    let real = fs::canonicalize(program).map_err(io(program))?;
    if real != program {
        let found = format!("it leads through a symbolic link to {}", real.display());
        return Err(refused(program, &found, "name that one with --program, or install the program itself there"));
    }
    let unfit = match mode {
        Mode::System => [UNFIT, HOMES].concat(),
        Mode::User => UNFIT.to_vec(),
    };
    if let Some(place) = unfit.iter().find(|place| real.starts_with(place)) {
        return Err(refused(program, &format!("{place} is no place for the program of a service"), ADVICE));
    }
    let found = fs::metadata(&real).map_err(io(&real))?;
    if !found.is_file() || found.mode() & 0o111 == 0 {
        return Err(refused(program, "it is not a program", ADVICE));
    }
    let owners = |uid: u32| uid == 0 || (mode == Mode::User && uid == user.as_raw());
    for place in real.ancestors() {
        let found = fs::symlink_metadata(place).map_err(io(place))?;
        if !owners(found.uid()) {
            return Err(refused(place, &format!("it belongs to user {}", found.uid()), ADVICE));
        }
        if found.mode() & 0o022 != 0 {
            let reason = format!("others than its owner may write to it (mode {:04o})", found.mode() & 0o7777);
            return Err(refused(place, &reason, "close it with chmod go-w, or install the program elsewhere"));
        }
    }
    Ok(())
}

fn refused(path: &Path, reason: &str, advice: &'static str) -> ServiceError {
    ServiceError::Unsafe { path: PathBuf::from(path), reason: reason.to_owned(), advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(result: Result<(), ServiceError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn what_service_files_cannot_name_is_refused() {
        nameable(Path::new("/usr/local/bin/taskdaemon-0.1")).unwrap();
        for path in ["/opt/my programs/taskdaemon", "/opt/100%/taskdaemon", "/opt/$x/taskdaemon", "/opt/a\nb"] {
            assert!(reason(nameable(Path::new(path))).contains("cannot name it"), "{path}");
        }
        for path in ["taskdaemon", "/usr/../tmp/taskdaemon"] {
            assert!(reason(nameable(Path::new(path))).contains("no absolute path"), "{path}");
        }
    }

    #[test]
    fn temporary_places_are_refused_and_homes_for_the_whole_host() {
        let told = reason(trusted(Path::new("/proc/self/status"), Uid::effective(), Mode::User));
        assert!(told.contains("symbolic link"), "{told}");
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        let program = directory.path().join("taskdaemon");
        fs::write(&program, "").unwrap();
        let told = reason(trusted(&program, Uid::effective(), Mode::User));
        assert!(told.contains("/tmp is no place"), "{told}");
    }

    #[test]
    fn what_others_can_change_is_refused_with_the_place_where_they_can() {
        trusted(Path::new(&fs::canonicalize("/bin/sh").unwrap()), Uid::effective(), Mode::System).unwrap();
        let told = reason(trusted(Path::new("/etc/passwd"), Uid::effective(), Mode::System));
        assert!(told.contains("not a program"), "{told}");
    }
}
