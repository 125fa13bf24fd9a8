//! The log by way of syslog: datagrams to /dev/log, as syslog(3) sends them.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::entry::Entry;
use super::format;

/// Where every syslog daemon listens.
pub(super) const SOCKET: &str = "/dev/log";

/// The facility of daemons, RFC 3164, 4.1.1.
const DAEMON: u8 = 3;

/// The longest message that every syslog daemon takes, in bytes; longer ones are cut: RFC 3164, 4.1.
const MOST: usize = 1024;

/// A way to the syslog daemon, which may go and come back.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    identifier: String,
    zone: TimeZone,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub(super) fn new(path: &Path, identifier: &str) -> Self {
        Self { path: path.to_owned(), identifier: identifier.to_owned(), zone: TimeZone::system(), socket: None }
    }

    /// Sends the event; a connection that broke is made again, once.
    pub(super) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let message = self.message(entry);
        if let Some(socket) = &self.socket
            && socket.send(message.as_bytes()).is_ok()
        {
            return Ok(());
        }
        self.socket = None;
        let socket = UnixDatagram::unbound()?;
        // A syslog daemon that hangs must not hang this one.
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        socket.send(message.as_bytes())?;
        self.socket = Some(socket);
        Ok(())
    }

    /// The form that syslog(3) of the C library sends: RFC 3164 without the name of the host.
    fn message(&self, entry: &Entry) -> String {
        let priority = DAEMON * 8 + entry.severity();
        let time = self.zone.to_datetime(entry.time).strftime("%b %e %H:%M:%S");
        let mut message =
            format!("<{priority}>{time} {}[{}]: {}", self.identifier, std::process::id(), format::text(entry));
        let end = (0..=MOST.min(message.len())).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        message
    }
}
