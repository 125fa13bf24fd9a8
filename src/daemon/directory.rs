//! Directories that nobody else can put things into.

use std::fs::{DirBuilder, File, FileType, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc::{ELOOP, ENOTDIR, O_DIRECTORY, O_NOFOLLOW};
use nix::sys::stat::{Mode, mkdirat};

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
    /// Whoever may write to the directory above could put another in its place.
    #[error("refuse {}: others may change the directory that it is in; choose another, or close that one to them", path.display())]
    LoosePlace {
        /// The path.
        path: PathBuf,
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
/// others could write to is refused, because what they put there would be taken for ours; and so is one in a
/// directory where everyone could put another in its place.
///
/// # Errors
/// [`DirectoryError`] tells what is wrong with it.
pub fn prepare(path: &Path, access: Access) -> Result<(), DirectoryError> {
    let io = |verb| failed(verb, path);
    // Parents that are missing are made private too, as the XDG specification asks.
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io("make the parents of"))?;
        let mode = parent.metadata().map_err(io("look at the parent of"))?.mode();
        // Whoever may write there could put another directory in the place of this one; in /tmp only its owner can.
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(DirectoryError::LoosePlace { path: path.to_owned() });
        }
    }
    let made = match DirBuilder::new().mode(access.mode()).create(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(io("make")(error)),
    };
    let directory = open(path)?;
    check(path, &directory, access, nix::unistd::geteuid().as_raw())?;
    if made {
        // Whatever the umask is.
        directory.set_permissions(Permissions::from_mode(access.mode())).map_err(io("set the mode of"))?;
    }
    Ok(())
}

/// The same, by root for another user: what is missing is made and given to that user and group, and so is what
/// root made there before, as long as it is empty.
///
/// Nothing is given away by its name, which could mean something else a moment later, but by a descriptor.
///
/// # Errors
/// [`DirectoryError`] tells what is wrong with it, or with the directory that it stands in.
pub fn prepare_for(path: &Path, access: Access, uid: u32, gid: u32) -> Result<(), DirectoryError> {
    let io = |verb| failed(verb, path);
    let not_a_directory = || DirectoryError::NotADirectory { path: path.to_owned() };
    let (above, name) = (path.parent().ok_or_else(not_a_directory)?, path.file_name().ok_or_else(not_a_directory)?);
    DirBuilder::new().recursive(true).mode(0o755).create(above).map_err(io("make the parents of"))?;
    let parent = File::open(above).map_err(io("open the parent of"))?;
    let found = parent.metadata().map_err(io("look at the parent of"))?;
    let shared = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
    if shared || ![0, uid].contains(&found.uid()) {
        return Err(DirectoryError::LoosePlace { path: path.to_owned() });
    }
    match mkdirat(&parent, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(io("make")(errno.into())),
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let directory = File::from(openat(&parent, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ELOOP | Errno::ENOTDIR => not_a_directory(),
        other => io("open")(other.into()),
    })?);
    let found = directory.metadata().map_err(io("look at"))?;
    let is_empty = || {
        let entries = std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        entries.is_ok_and(|mut entries| entries.next().is_none())
    };
    if found.uid() == 0 && uid != 0 && is_empty() {
        fchown(&directory, Some(uid), Some(gid)).map_err(io("give away"))?;
        directory.set_permissions(Permissions::from_mode(access.mode())).map_err(io("set the mode of"))?;
    }
    check(path, &directory, access, uid)
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Io { verb, path, source }
}

/// Whether it is `wanted`'s, and nobody else's to change; closed to others where `access` says so.
fn check(path: &Path, directory: &File, access: Access, wanted: u32) -> Result<(), DirectoryError> {
    let io = |verb| failed(verb, path);
    let found = directory.metadata().map_err(io("look at"))?;
    let mode = found.mode() & 0o7777;
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
    fn root_gives_away_what_it_made_and_nothing_that_somebody_planted() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("left out: only root can give directories away");
            return;
        }
        const USER: u32 = 64_001;
        let root = tempfile::tempdir().unwrap();
        let prepare = |name: &str| prepare_for(&root.path().join(name), Access::Private, USER, USER);
        prepare("a/made").unwrap();
        let found = fs::metadata(root.path().join("a/made")).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (USER, USER, 0o700));
        assert_eq!(fs::metadata(root.path().join("a")).unwrap().uid(), 0);
        prepare("a/made").unwrap();

        fs::create_dir(root.path().join("full")).unwrap();
        fs::write(root.path().join("full/file"), "").unwrap();
        assert!(matches!(prepare("full"), Err(DirectoryError::ForeignOwner { owner: 0, .. })));
        fs::create_dir(root.path().join("target")).unwrap();
        symlink(root.path().join("target"), root.path().join("link")).unwrap();
        assert!(matches!(prepare("link"), Err(DirectoryError::NotADirectory { .. })));
        assert_eq!(fs::metadata(root.path().join("target")).unwrap().uid(), 0);

        fs::create_dir(root.path().join("loose")).unwrap();
        fs::set_permissions(root.path().join("loose"), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(prepare("loose/made"), Err(DirectoryError::LoosePlace { .. })));
        std::os::unix::fs::chown(root.path().join("loose"), Some(4242), None).unwrap();
        assert!(matches!(prepare("loose/made"), Err(DirectoryError::LoosePlace { .. })));
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
