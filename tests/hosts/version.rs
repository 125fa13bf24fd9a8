//! Other versions of the package: the one that `scripts/package` made, packed anew with something changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::package;

/// The version that `scripts/package` makes, as the program says it and as the package has it.
pub(crate) const NOW: &str = env!("CARGO_PKG_VERSION");

/// A package of another version; the file is gone when this is dropped.
pub(crate) struct Version {
    directory: TempDir,
}

impl Version {
    /// The package under another version number.
    pub(crate) fn new(version: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let this = Self { directory };
        dpkg_deb(&["--raw-extract".as_ref(), package::deb(), &this.root()]);
        this.edit("DEBIAN/control", |control| {
            let lines = control.lines().map(|line| match line.split_once(": ") {
                Some(("Version", _)) => format!("Version: {version}\n"),
                _ => format!("{line}\n"),
            });
            lines.collect()
        });
        this
    }

    /// The same with a program that is another one, and calls itself `said`, which is as long as [`NOW`].
    pub(crate) fn with_program(version: &str, said: &str) -> Self {
        assert_eq!(said.len(), NOW.len());
        let this = Self::new(version);
        let path = this.root().join("usr/bin/taskdaemon");
        let mut program = fs::read(&path).unwrap();
        let places: Vec<usize> = program
            .windows(NOW.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == NOW.as_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "the program says its version");
        for at in places {
            program[at..at + said.len()].copy_from_slice(said.as_bytes());
        }
        fs::write(&path, program).unwrap();
        this
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("package")
    }

    /// Changes a text file of the package or of its maintainer scripts.
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(String) -> String) {
        let path = self.root().join(path);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(&path, change(text)).unwrap();
    }

    /// Puts a script in the place of the program, which is beside it as `taskdaemon.real`.
    pub(crate) fn wrap_program(&self, script: &str) {
        let program = self.root().join("usr/bin/taskdaemon");
        let real = program.with_extension("real");
        // A link keeps the mode, and so does the copy.
        fs::rename(&program, &real).unwrap();
        fs::copy(&real, &program).unwrap();
        fs::write(&program, script).unwrap();
    }

    /// Packs it.
    pub(crate) fn deb(&self) -> PathBuf {
        let deb = self.directory.path().join("taskdaemon.deb");
        dpkg_deb(&["--root-owner-group".as_ref(), "-Znone".as_ref(), "--build".as_ref(), &self.root(), &deb]);
        deb
    }
}

fn dpkg_deb(arguments: &[&Path]) {
    let output = Command::new("dpkg-deb").args(arguments).output().expect("dpkg-deb runs");
    assert!(output.status.success(), "dpkg-deb {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
