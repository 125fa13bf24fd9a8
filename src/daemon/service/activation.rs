//! Sockets that the service manager opened for this process: sd_listen_fds(3).

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

use nix::sys::socket::sockopt::{AcceptConn, SockType as TypeOf};
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike as _, SockaddrStorage, getsockname, getsockopt};
use nix::sys::stat::{SFlag, fstat};

use crate::sys::{detach, fd};

/// What systemd calls a socket that nobody gave a name.
const NAMELESS: &str = "unknown";

/// More sockets than these are a mistake.
const MOST: usize = 64;

/// The variables that tell of them.
const VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// The sockets that are still to be taken, and what else the manager has kept. What is not taken is closed.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Passed>);

#[derive(Debug)]
struct Passed {
    name: String,
    fd: OwnedFd,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket(Family, SockType),
    Directory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Unix,
    Internet,
}

/// Why what the service manager passed on cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// The variables make no sense, or a descriptor is closed.
    #[error("take over the sockets of the service manager; look at the unit's ListenStream= and Sockets=")]
    Receive(#[source] io::Error),
    /// So many that it must be a mistake.
    #[error("refuse {count} sockets of the service manager: LISTEN_FDS is at most {MOST}")]
    TooMany {
        /// How many, as it was said.
        count: String,
    },
    /// There are more names than sockets, or fewer.
    #[error("refuse {sockets} sockets of the service manager: LISTEN_FDNAMES names {names}")]
    Names {
        /// How many there are.
        sockets: usize,
        /// How many names.
        names: usize,
    },
    /// It is something else than a socket that can be listened at.
    #[error("refuse descriptor {number}, {name}, of the service manager: it is not a socket that listens")]
    NotListening {
        /// Its number, as it was passed on.
        number: i32,
        /// Its name.
        name: String,
    },
    /// It is a socket of another kind than is needed.
    #[error("refuse the socket {name} of the service manager: {wanted} is needed; use {directive} in its unit")]
    WrongKind {
        /// Its name.
        name: String,
        /// What it should be.
        wanted: &'static str,
        /// How a unit says so; systemd.socket(5).
        directive: &'static str,
    },
    /// Two have the same name.
    #[error("refuse two sockets of the service manager that are both called {name}; one is served")]
    Twice {
        /// The name.
        name: String,
    },
    /// A descriptor cannot be handled.
    #[error("take over descriptor {number} of the service manager")]
    Io {
        /// Its number.
        number: i32,
        /// Why.
        source: io::Error,
    },
}

impl Inherited {
    /// Takes them over: closed on exec from now on, each one looked at. The variables are removed, so that nobody takes
    /// them twice. Those for another process, as LISTEN_PID tells, are left alone.
    ///
    /// To be called before this process forks, for LISTEN_PID names the process that was started; and while it has one
    /// thread, for it changes the environment.
    ///
    /// # Errors
    /// [`ActivationError`] tells which descriptor cannot be used.
    pub fn adopt() -> Result<Self, ActivationError> {
        let (found, names) = receive()?;
        let passed = found.into_iter().zip(names).map(|(number, name)| Passed::adopt(number, name));
        Ok(Self(passed.collect::<Result<_, _>>()?))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their descriptors, for whoever closes all others.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|socket| socket.fd.as_fd())
    }

    /// Gives the only socket this name, where it has none: a unit that is given one alone need not name it. A name of
    /// systemd's own making, which is that of the socket's unit, is none.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        if let [only] = self.0.as_mut_slice()
            && (only.name.is_empty() || only.name == NAMELESS || only.name.ends_with(".socket"))
        {
            name.clone_into(&mut only.name);
        }
        self
    }

    /// Takes the Unix stream socket of that name; `None` where there is none.
    ///
    /// # Errors
    /// [`ActivationError`] where it is of another kind, or not the only one.
    pub fn unix(&mut self, name: &str) -> Result<Option<UnixListener>, ActivationError> {
        let wanted = ("a Unix stream socket", "ListenStream=/PATH");
        Ok(self.take(name, Kind::Socket(Family::Unix, SockType::Stream), wanted)?.map(UnixListener::from))
    }

    /// Takes the TCP socket of that name; `None` where there is none.
    ///
    /// # Errors
    /// As [`Inherited::unix`].
    pub fn tcp(&mut self, name: &str) -> Result<Option<TcpListener>, ActivationError> {
        let wanted = ("a TCP socket", "ListenStream=ADDRESS:PORT");
        Ok(self.take(name, Kind::Socket(Family::Internet, SockType::Stream), wanted)?.map(TcpListener::from))
    }

    /// Takes the Unix socket of that name that keeps message boundaries; `None` where there is none.
    ///
    /// # Errors
    /// As [`Inherited::unix`].
    pub fn packets(&mut self, name: &str) -> Result<Option<OwnedFd>, ActivationError> {
        let wanted = ("a Unix SEQPACKET socket", "ListenSequentialPacket=/PATH");
        self.take(name, Kind::Socket(Family::Unix, SockType::SeqPacket), wanted)
    }

    /// Takes the directory of that name, which somebody had the manager keep; `None` where there is none.
    ///
    /// # Errors
    /// As [`Inherited::unix`].
    pub fn directory(&mut self, name: &str) -> Result<Option<OwnedFd>, ActivationError> {
        self.take(name, Kind::Directory, ("a directory", "FDSTORE=1"))
    }

    /// The names of those that nobody took; they are closed.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        self.0.into_iter().map(|socket| socket.name).collect()
    }

    fn take(
        &mut self,
        name: &str,
        kind: Kind,
        (wanted, directive): (&'static str, &'static str),
    ) -> Result<Option<OwnedFd>, ActivationError> {
        let Some(at) = self.0.iter().position(|socket| socket.name == name) else { return Ok(None) };
        let socket = self.0.remove(at);
        if self.0.iter().any(|other| other.name == name) {
            return Err(ActivationError::Twice { name: socket.name });
        }
        if socket.kind != kind {
            return Err(ActivationError::WrongKind { name: socket.name, wanted, directive });
        }
        Ok(Some(socket.fd))
    }
}

/// What the variables say: the descriptors, and their names.
fn receive() -> Result<(Vec<RawFd>, Vec<String>), ActivationError> {
    let (count, names) = (env::var("LISTEN_FDS"), env::var("LISTEN_FDNAMES"));
    if let Ok(count) = count
        && count.parse::<usize>().is_ok_and(|count| count > MOST)
    {
        return Err(ActivationError::TooMany { count });
    }
    let found: Vec<RawFd> = sd_notify::listen_fds().map_err(ActivationError::Receive)?.collect();
    for name in VARIABLES.iter().filter(|name| env::var_os(name).is_some()) {
        detach::forget_variable(name).map_err(ActivationError::Receive)?;
    }
    let names = match names {
        Ok(names) => names.split(':').map(str::to_owned).collect(),
        Err(_) => vec![NAMELESS.to_owned(); found.len()],
    };
    // Those of another process come with names, too.
    if !found.is_empty() && found.len() != names.len() {
        return Err(ActivationError::Names { sockets: found.len(), names: names.len() });
    }
    Ok((found, names))
}

impl Passed {
    fn adopt(number: RawFd, name: String) -> Result<Self, ActivationError> {
        let fd = fd::adopt(number).map_err(|source| ActivationError::Io { number, source })?;
        match kind(&fd) {
            Some(kind) => Ok(Self { name, fd, kind }),
            None => Err(ActivationError::NotListening { number, name }),
        }
    }
}

/// What it is; `None` for what nobody can use here.
fn kind(fd: &OwnedFd) -> Option<Kind> {
    let mode = fstat(fd).ok()?.st_mode;
    if SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR {
        return Some(Kind::Directory);
    }
    let family = match getsockname::<SockaddrStorage>(fd.as_raw_fd()).ok()?.family()? {
        AddressFamily::Unix => Family::Unix,
        AddressFamily::Inet | AddressFamily::Inet6 => Family::Internet,
        _ => return None,
    };
    let listens = getsockopt(fd, AcceptConn).unwrap_or(false);
    getsockopt(fd, TypeOf).ok().filter(|_| listens).map(|kind| Kind::Socket(family, kind))
}
