//! The file that a process runs, and what stands in its place by now.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::sys::fs::identity;

/// The program of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    /// Device and inode: what is copied or installed over a file that runs is another file.
    identity: (u64, u64),
}

/// What stands where a program was started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisk {
    /// What runs.
    Current,
    /// Another one: an upgrade or a restart takes it up.
    Replaced,
    /// Nothing.
    Removed,
}

impl Program {
    /// What this process runs, which was started from `path`.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn of_this_process(path: PathBuf) -> io::Result<Self> {
        Ok(Self { path, identity: identity(&fs::metadata("/proc/self/exe")?) })
    }

    /// What another process runs, as far as the kernel tells: where its file was moved away by a name of its own, the
    /// new name counts.
    ///
    /// # Errors
    /// NotFound where there is no such process, PermissionDenied where it is another user's: proc_pid_exe(5).
    pub fn of_process(pid: i32) -> io::Result<Self> {
        const DELETED: &str = " (deleted)";
        let link = format!("/proc/{pid}/exe");
        let path = fs::read_link(&link)?;
        let path = path.to_str().and_then(|path| path.strip_suffix(DELETED)).map_or(path.clone(), PathBuf::from);
        Ok(Self { path, identity: identity(&fs::metadata(&link)?) })
    }

    /// What stands where it was started from.
    #[must_use]
    pub fn on_disk(&self) -> OnDisk {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) != self.identity => OnDisk::Replaced,
            Err(error) if error.kind() == io::ErrorKind::NotFound => OnDisk::Removed,
            // What cannot be looked at gives no reason to say anything.
            Ok(_) | Err(_) => OnDisk::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    #[test]
    fn d11_a_program_that_is_replaced_or_removed_while_it_runs_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        let install = || assert!(Command::new("cp").arg("/bin/sleep").arg(&path).status().unwrap().success());
        install();
        let sleeper = Sleeper(Command::new(&path).arg("600").spawn().unwrap());
        let program = Program::of_process(i32::try_from(sleeper.0.id()).unwrap()).unwrap();
        assert_eq!(program.on_disk(), OnDisk::Current);
        fs::remove_file(&path).unwrap();
        assert_eq!(program.on_disk(), OnDisk::Removed);
        install();
        assert_eq!(program.on_disk(), OnDisk::Replaced);
        let asked_later = Program::of_process(i32::try_from(sleeper.0.id()).unwrap()).unwrap();
        assert_eq!(asked_later.on_disk(), OnDisk::Replaced);
    }
}
