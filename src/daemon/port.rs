//! A port of this host, to listen on before anybody is told that the daemon is ready.

use std::io;
use std::net::{SocketAddr, TcpListener};

use libc::{EADDRINUSE, EAFNOSUPPORT};

use crate::sys::holder::Holder;
use crate::sys::tcp::holder;

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Somebody else does.
    #[error("listen on {address}: {} listens there already; stop that, or choose another port", named(holder.as_ref()))]
    Taken {
        /// The address with its port.
        address: SocketAddr,
        /// Who, where the kernel tells.
        holder: Option<Holder>,
    },
    /// The process may have no sockets of that kind: a service manager's sandbox.
    #[error("listen on {address}: this service may open no port by itself; have its manager open it and pass it on")]
    Refused {
        /// The address with its port.
        address: SocketAddr,
    },
    /// Another reason.
    #[error("listen on {address}")]
    Listen {
        /// The address with its port.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

fn named(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), Holder::to_string)
}

/// Listens on `address`.
///
/// # Errors
/// [`PortError::Taken`] says who has it, [`PortError::Refused`] that nobody here gets one; else as bind(2) and listen(2).
pub fn listen(address: SocketAddr) -> Result<TcpListener, PortError> {
    TcpListener::bind(address).map_err(|source| match source.raw_os_error() {
        Some(EADDRINUSE) => PortError::Taken { address, holder: holder(address) },
        Some(EAFNOSUPPORT) => PortError::Refused { address },
        Some(_) | None => PortError::Listen { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_whoever_has_it() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = listen(first.local_addr().unwrap()).unwrap_err();
        let me = format!("process {} (", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
    }
}
