//! The files that attempts write: `output/<task div 1000>/<task>.<attempt>`, for their owner alone.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::sys::fs::{create_private, open_regular};
use crate::task::{AttemptKey, TaskId};

/// Tasks per directory.
const PER_DIRECTORY: i64 = 1000;

/// All output files of a state directory.
#[derive(Debug, Clone)]
pub struct Outputs {
    root: PathBuf,
}

/// What could not be done to which file.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {}", path.display())]
pub struct OutputError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl From<OutputError> for io::Error {
    fn from(error: OutputError) -> Self {
        Self::new(error.source.kind(), error)
    }
}

impl Outputs {
    /// Those below `state`, the state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { root: state.join("output") }
    }

    fn directory(&self, task: TaskId) -> PathBuf {
        self.root.join((task.0 / PER_DIRECTORY).to_string())
    }

    fn path(&self, key: AttemptKey) -> PathBuf {
        self.directory(key.task).join(key.to_string())
    }

    /// Makes the file of an attempt, empty; what an attempt of that name that never started left is emptied.
    ///
    /// # Errors
    /// Where the disk is full, or something else stands in its place.
    pub fn create(&self, key: AttemptKey) -> Result<File, OutputError> {
        let path = self.path(key);
        let created = create_private(&path).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            DirBuilder::new().recursive(true).mode(0o700).create(self.directory(key.task))?;
            create_private(&path)
        });
        created.map_err(|source| OutputError { verb: "create", path, source })
    }

    /// Opens the file of an attempt for reading, while the attempt writes or later.
    ///
    /// # Errors
    /// Where it is missing or is no plain file.
    pub fn open(&self, key: AttemptKey) -> Result<File, OutputError> {
        let path = self.path(key);
        open_regular(&path).map_err(|source| OutputError { verb: "open", path, source })
    }

    /// Notes that nothing has started that writes to this file: until something does, it is as old as a file can be.
    pub(super) fn mark_untouched(file: &File) -> io::Result<()> {
        file.set_modified(SystemTime::UNIX_EPOCH)
    }

    /// Whether something may have started that writes to the file of an attempt; not where it is missing.
    pub(super) fn is_touched(&self, key: AttemptKey) -> bool {
        let modified = self.path(key).symlink_metadata().and_then(|found| found.modified());
        match modified {
            Ok(at) => at != SystemTime::UNIX_EPOCH,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Removes the file of an attempt; where that fails, the log tells.
    pub(super) fn forget(&self, key: AttemptKey) {
        if let Err(error) = self.remove(key) {
            tracing::warn!(error = &error as &dyn std::error::Error, "an output stays");
        }
    }

    /// Removes the file of an attempt, and its directory once that is empty. One that is gone is no error.
    ///
    /// # Errors
    /// Where the directory may not be changed.
    pub fn remove(&self, key: AttemptKey) -> Result<(), OutputError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(OutputError { verb: "remove", path, source })
            }
            Ok(()) | Err(_) => {
                // It usually holds others, and stays.
                let _ = fs::remove_dir(self.directory(key.task));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const KEY: AttemptKey = AttemptKey { task: TaskId(12_345), attempt: 2 };

    #[test]
    fn what_was_written_can_be_read_and_removed() {
        let state = tempfile::tempdir().unwrap();
        let outputs = Outputs::new(state.path());
        outputs.create(KEY).unwrap().write_all(b"output").unwrap();
        assert!(state.path().join("output/12/12345.2").is_file());
        let mut text = String::new();
        outputs.open(KEY).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "output");
        outputs.remove(KEY).unwrap();
        outputs.remove(KEY).unwrap();
        assert!(!state.path().join("output/12").exists());
        assert_eq!(io::Error::from(outputs.open(KEY).unwrap_err()).kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_tells_whether_anything_was_started_for_it() {
        let state = tempfile::tempdir().unwrap();
        let outputs = Outputs::new(state.path());
        assert!(!outputs.is_touched(KEY));
        let file = outputs.create(KEY).unwrap();
        assert!(outputs.is_touched(KEY));
        Outputs::mark_untouched(&file).unwrap();
        assert!(!outputs.is_touched(KEY));
        // As the runner does, whose file it is not.
        file.set_len(0).unwrap();
        assert!(outputs.is_touched(KEY));
    }

    #[test]
    fn the_directories_are_for_their_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        Outputs::new(state.path()).create(KEY).unwrap();
        for path in ["output", "output/12"] {
            assert_eq!(fs::metadata(state.path().join(path)).unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_refused() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("output/12")).unwrap();
        symlink("/etc/passwd", state.path().join("output/12/12345.2")).unwrap();
        assert!(Outputs::new(state.path()).create(KEY).is_err());
        assert!(Outputs::new(state.path()).open(KEY).is_err());
    }
}
