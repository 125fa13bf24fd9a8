//! Who listens on a TCP port: proc_pid_net(5).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::holder::Holder;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process that keeps `address` from being listened on; `None` where the kernel does not tell: another user's
/// descriptors are seen by root alone.
#[must_use]
pub fn holder(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    let inodes: Vec<&str> = lines.filter_map(|line| listener(line, address)).collect();
    Holder::all_of_sockets(&inodes).next()
}

/// The inode of the socket in this line, where it listens on `wanted` or on all addresses at that port.
fn listener(line: &str, wanted: SocketAddr) -> Option<&str> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    let address = parse(address)?;
    let same = u16::from_str_radix(port, 16).ok()? == wanted.port()
        && (address.is_unspecified() || address.to_canonical() == wanted.ip().to_canonical());
    (same && fields.get(3) == Some(&LISTEN)).then(|| fields.get(9).copied())?
}

/// Words of 32 bits, each in the order of the host.
fn parse(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, place) in bytes.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn whoever_listens_is_found_on_both_kinds_of_address() {
        for bound in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            // A host may be without IPv6.
            let Ok(listener) = TcpListener::bind(bound) else { continue };
            let port = listener.local_addr().unwrap().port();
            let ip =
                if bound.starts_with('[') { IpAddr::from(Ipv6Addr::LOCALHOST) } else { Ipv4Addr::LOCALHOST.into() };
            let found = holder(SocketAddr::new(ip, port)).unwrap();
            assert_eq!(found.pid, i32::try_from(std::process::id()).unwrap());
            assert!(!found.name.is_empty());
            drop(listener);
            assert_eq!(holder(SocketAddr::new(ip, port)), None);
        }
    }

    #[test]
    fn a_socket_that_does_not_listen_holds_nothing() {
        let line = "   0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000  0  0 4711 1";
        assert_eq!(listener(line, "127.0.0.1:8080".parse().unwrap()), None);
        let listens = line.replace(" 01 ", " 0A ");
        assert_eq!(listener(&listens, "127.0.0.1:8080".parse().unwrap()), Some("4711"));
        assert_eq!(listener(&listens, "127.0.0.2:8080".parse().unwrap()), None);
        assert_eq!(listener("  sl  local_address", "127.0.0.1:8080".parse().unwrap()), None);
    }
}
