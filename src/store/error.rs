//! Why the store could not do what was asked.

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room on the file system; nothing of the transaction happened.
    #[error("no space left for the queue in {path}; free some and try again")]
    Full {
        /// The database file.
        path: String,
    },
    /// The file is not an intact database. It is left as it is.
    #[error(
        "the queue {path} is damaged ({detail}); it was left untouched: restore it from a backup, or move it away to start with an empty queue"
    )]
    Damaged {
        /// The database file.
        path: String,
        /// What the database said.
        detail: String,
    },
    /// The file was written by a later version.
    #[error("the queue {path} has schema {found}, and this version knows {known}; install the newer taskdaemon again")]
    Newer {
        /// The database file.
        path: String,
        /// The schema found.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// Another process has the database open.
    #[error("the queue {path} is in use by another process; stop that one first, fuser(1) tells which it is")]
    InUse {
        /// The database file.
        path: String,
    },
    /// The file or its directory may not be used.
    #[error("cannot {action} {path}")]
    File {
        /// The verb.
        action: &'static str,
        /// The file or directory.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Anything else the database said.
    #[error("{action} in the queue {path}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// The database file.
        path: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What the store says back.
pub type Result<T> = std::result::Result<T, Error>;
