//! Where events go once the log is open.

use std::io::{self, Write as _};
use std::path::Path;

use super::entry::Entry;
use super::file::LogFile;
use super::journal::{self, Journal};
use super::syslog::{self, Syslog};
use super::{LogError, Style, Target, format};

/// An open target.
#[derive(Debug)]
pub(super) enum Sink {
    Stderr(Style),
    File(LogFile, Style),
    Journal(Journal),
    Syslog(Syslog),
}

impl Sink {
    pub(super) fn open(target: &Target) -> Result<Self, LogError> {
        Ok(match target {
            Target::Stderr(style) => Self::Stderr(*style),
            Target::File { path, mode, style, standard } => Self::File(LogFile::open(path, *mode, *standard)?, *style),
            Target::Journal { .. } if !journal::is_there() => return Err(LogError::NoJournal),
            Target::Journal { identifier, prefix } => Self::Journal(Journal::new(identifier, prefix)),
            Target::Syslog { identifier } => Self::Syslog(Syslog::new(Path::new(syslog::SOCKET), identifier)),
        })
    }

    pub(super) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        match self {
            Self::Stderr(style) => io::stderr().write_all(format::line(entry, *style).as_bytes()),
            Self::File(file, style) => file.write(&format::line(entry, *style)),
            Self::Journal(journal) => journal.write(entry),
            Self::Syslog(syslog) => syslog.write(entry),
        }
    }

    pub(super) fn reopen(&mut self) -> Result<(), LogError> {
        match self {
            Self::File(file, _) => file.reopen(),
            Self::Stderr(_) | Self::Journal(_) | Self::Syslog(_) => Ok(()),
        }
    }

    /// Says something where people may find it, for this sink is broken: to syslog, else on standard error.
    pub(super) fn say_elsewhere(&self, entry: &Entry) {
        let to_syslog = match self {
            Self::Syslog(_) => Err(io::ErrorKind::Unsupported.into()),
            Self::Stderr(_) | Self::File(..) | Self::Journal(_) => {
                Syslog::new(Path::new(syslog::SOCKET), &own_name()).write(entry)
            }
        };
        if to_syslog.is_err() {
            // There is no third place.
            let _ = io::stderr().write_all(format::line(entry, Style::Text).as_bytes());
        }
    }
}

fn own_name() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "daemon".to_owned())
}
