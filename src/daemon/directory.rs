//! Directories that nobody else can put things into.

use std::fs::{DirBuilder, File, FileType, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use nix::libc::{ELOOP, ENOTDIR, O_DIRECTORY, O_NOFOLLOW};

/// Who may look into a directory. Only its owner ever writes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner: mode 0700.
    Private,
    /// Everyone, to reach a socket in it: mode 0755.
    Reachable,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Private => 0o700,
            Self::Reachable => 0o755,
        }
    }
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A link, or anything else, stands in its place.
    #[error("refuse {}: it is not a directory, or a symbolic link to one", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else made it.
    #[error("refuse {}: it belongs to user {owner}, not to user {wanted} who runs this; choose another or chown it", path.display())]
    ForeignOwner {
        /// The path.
        path: PathBuf,
        /// The owner's numeric user ID.
        owner: u32,
        /// Ours.
        wanted: u32,
    },
    /// Somebody else may have put things into it.
    #[error("refuse {}: its group or everyone may write to it (mode {mode:04o}); look into it, then chmod go-w", path.display())]
    Writable {
        /// The path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The system refused.
    #[error("{verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Makes the directory with its parents, or takes the one that is there, once it is safe.
///
/// One of ours that others may look into is closed to them where `access` says so. One that
/// others could write to is refused, because what they put there would be taken for ours.
///
/// # Errors
/// [`DirectoryError`] tells what is wrong with it.
pub fn prepare(path: &Path, access: Access) -> Result<(), DirectoryError> {
    let io = |verb| move |source| DirectoryError::Io { verb, path: path.to_owned(), source };
    // Parents that are missing are made private too, as the XDG specification asks.
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io("make the parents of"))?;
    }
    match DirBuilder::new().mode(access.mode()).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io("make")(error)),
        _ => {}
    }
    let directory = open(path)?;
    let found = directory.metadata().map_err(io("look at"))?;
    let (mode, wanted) = (found.mode() & 0o7777, nix::unistd::geteuid().as_raw());
    if found.uid() != wanted {
        return Err(DirectoryError::ForeignOwner { path: path.to_owned(), owner: found.uid(), wanted });
    }
    if mode & 0o022 != 0 {
        return Err(DirectoryError::Writable { path: path.to_owned(), mode });
    }
    if access == Access::Private && mode & 0o077 != 0 {
        let closed = Permissions::from_mode(mode & 0o7700);
        directory.set_permissions(closed).map_err(io("close to others"))?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, DirectoryError> {
    let path = path.to_owned();
    match OpenOptions::new().read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW).open(&path) {
        Ok(directory) => Ok(directory),
        Err(error) if matches!(error.raw_os_error(), Some(ELOOP | ENOTDIR)) => {
            Err(DirectoryError::NotADirectory { path })
        }
        Err(source) => Err(DirectoryError::Io { verb: "open", path, source }),
    }
}

/// What stands where a regular file should; `None` for a regular file.
pub(super) fn odd_kind(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_missing_directory_is_made_with_its_parents_and_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        prepare(&path, Access::Private).unwrap();
        assert_eq!((mode(&path), mode(&root.path().join("a"))), (0o700, 0o700));
        prepare(&path, Access::Private).unwrap();
    }

    #[test]
    fn one_that_others_may_read_is_closed_to_them_and_one_they_may_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        prepare(&path, Access::Reachable).unwrap();
        assert_eq!(mode(&path), 0o755);
        prepare(&path, Access::Private).unwrap();
        assert_eq!(mode(&path), 0o700);
        for open in [0o777, 0o1777, 0o770] {
            fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let refused = prepare(&path, Access::Private);
            assert!(matches!(refused, Err(DirectoryError::Writable { .. })), "{open:o}: {refused:?}");
        }
    }

    #[test]
    fn a_link_or_a_file_in_its_place_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (link, file) = (root.path().join("link"), root.path().join("file"));
        symlink(root.path(), &link).unwrap();
        fs::write(&file, "").unwrap();
        for path in [link, file] {
            let refused = prepare(&path, Access::Private);
            assert!(matches!(refused, Err(DirectoryError::NotADirectory { .. })), "{refused:?}");
        }
    }

    #[test]
    fn one_that_belongs_to_another_user_is_refused() {
        let foreign = if nix::unistd::geteuid().is_root() {
            let root = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(root.path(), Some(4242), None).unwrap();
            prepare(root.path(), Access::Private)
        } else {
            prepare(Path::new("/usr"), Access::Private)
        };
        assert!(matches!(foreign, Err(DirectoryError::ForeignOwner { .. })), "{foreign:?}");
    }
}
