//! Local sockets that keep message boundaries and carry descriptors: unix(7), SOCK_SEQPACKET.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{PeerCredentials, SendTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, accept4, bind,
    connect as connect_to, getsockopt, listen as listen_on, sendmsg, setsockopt, shutdown, socket, socketpair,
};
use nix::sys::time::TimeVal;

/// How many descriptors one message carries at most.
pub const MAX_DESCRIPTORS: usize = 64;

/// One message.
#[derive(Debug)]
pub struct Received {
    /// Its length; 0 is the end: the other side is gone.
    pub length: usize,
    /// What came along, closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Who is at the other end, as the kernel recorded it when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process, 0 where it is out of sight.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
}

fn packets() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}

/// Binds and listens at `path`, which must be free.
///
/// # Errors
/// EADDRINUSE where something is there, else as bind(2).
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    let socket = packets()?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen_on(&socket, Backlog::new(16)?)?;
    Ok(socket)
}

/// Listens on, in this process's name from now on: whoever connects finds it as the peer.
///
/// # Errors
/// EINVAL for a socket that is not bound; listen(2).
pub fn listen_in_own_name(listener: impl AsFd) -> io::Result<()> {
    Ok(listen_on(&listener.as_fd(), Backlog::new(16)?)?)
}

/// Connects to whoever listens at `path`, without waiting: the connection stands before it is accepted.
///
/// # Errors
/// ENOENT where nothing is there, ECONNREFUSED where nobody listens any more, EAGAIN where too many wait.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = packets()?;
    connect_to(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// Connects to whoever listens for a stream at `path`, without waiting.
///
/// # Errors
/// As [`connect`]; EPROTOTYPE where what is bound there is for something else than streams.
pub fn connect_stream(path: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect_to(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// Two ends of a connection.
///
/// # Errors
/// Where descriptors run out.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Takes the next connection.
///
/// # Errors
/// As accept(2); ECONNABORTED is the peer's change of mind.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    let fd = accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Who is at the other end: SO_PEERCRED.
///
/// # Errors
/// ENOTCONN where nobody is.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(&socket, PeerCredentials)?;
    Ok(Peer { pid: credentials.pid(), uid: credentials.uid() })
}

/// Sends one message with descriptors, without waiting.
///
/// # Errors
/// WouldBlock where the other side has to read first, EPIPE where it is gone, EMSGSIZE where it is too large.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    match sendmsg::<UnixAddr>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None) {
        Ok(_) => Ok(()),
        // As many descriptors of this user are under way as RLIMIT_NOFILE allows: they have to arrive first.
        Err(Errno::ETOOMANYREFS) => Err(io::ErrorKind::WouldBlock.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends one message, and waits at most `time` until the other side has room for it.
///
/// # Errors
/// EAGAIN where it had none in time, else as [`send`].
pub fn send_within(socket: impl AsFd, bytes: &[u8], time: Duration) -> io::Result<()> {
    setsockopt(&socket, SendTimeout, &TimeVal::new(i64::try_from(time.as_secs()).unwrap_or(i64::MAX), 0))?;
    sendmsg::<UnixAddr>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], &[], MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Says no more: once the other side has received what was sent before, it finds the end.
pub fn end_writing(socket: impl AsFd) {
    // Fails where the other side is gone, who then needs no telling.
    let _ = shutdown(socket.as_fd().as_raw_fd(), Shutdown::Write);
}

/// Receives one message, without waiting.
///
/// # Errors
/// EAGAIN where there is none, InvalidData for one that is larger than `into` or carries more than
/// [`MAX_DESCRIPTORS`]: all of it is thrown away.
pub fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<Received> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut slice = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: a message header of zeros is valid, it names no buffers.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    let length = loop {
        // SAFETY: the header names `into` and `control` with their true sizes; both outlive the call.
        let result = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
        match Errno::result(result) {
            // The other side died with something unread. The kernel says so once, ahead of what it had sent.
            Err(Errno::ECONNRESET) => {}
            other => break other?,
        }
    };
    // Before anything is refused, or what came along would stay open for ever (nix's iterator has that fault).
    let descriptors = rights(&header);
    if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Received { length: usize::try_from(length).unwrap_or(0), descriptors })
}

/// Room for a control header and [`MAX_DESCRIPTORS`] descriptors; words, for the header's alignment.
const CONTROL_WORDS: usize = 2 + MAX_DESCRIPTORS / 2;

/// The descriptors that the kernel put beside a message.
fn rights(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut owned = Vec::new();
    // SAFETY: recvmsg(2) has filled the header in; the macros stay within the control length that it wrote.
    let mut part = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !part.is_null() {
        // SAFETY: not null, so it points to a whole control header within the buffer.
        let (level, kind, length) = unsafe { ((*part).cmsg_level, (*part).cmsg_type, (*part).cmsg_len) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: as above; the data follow the header.
            let data = unsafe { libc::CMSG_DATA(part) }.cast::<RawFd>();
            // SAFETY: computes with numbers.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            for at in 0..length.saturating_sub(head) / size_of::<RawFd>() {
                // SAFETY: within the data; the kernel has just put the descriptor into our table, nobody else knows it.
                owned.push(unsafe { OwnedFd::from_raw_fd(data.add(at).read_unaligned()) });
            }
        }
        // SAFETY: both point into the buffer that recvmsg(2) filled.
        part = unsafe { libc::CMSG_NXTHDR(header, part) };
    }
    owned
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;
    use crate::sys::fd;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (here, there) = pair().unwrap();
        let (reader, writer) = fd::pipe().unwrap();
        send(&here, b"take this", &[writer]).unwrap();
        let mut buffer = [0; 32];
        let received = receive(&there, &mut buffer).unwrap();
        assert_eq!(&buffer[..received.length], b"take this");
        File::from(received.descriptors.into_iter().next().unwrap()).write_all(b"x").unwrap();
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let (here, there) = pair().unwrap();
        send(&here, b"too long for them", &[]).unwrap();
        assert_eq!(receive(&there, &mut [0; 4]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let many: Vec<OwnedFd> = (0..MAX_DESCRIPTORS + 8).map(|_| fd::null().unwrap()).collect();
        send(&here, b"many", &many).unwrap();
        assert_eq!(receive(&there, &mut [0; 4]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_end_of_the_other_side_is_an_empty_message() {
        let (here, there) = pair().unwrap();
        send(&here, b"last", &[]).unwrap();
        drop(here);
        assert_eq!(receive(&there, &mut [0; 8]).unwrap().length, 4);
        assert_eq!(receive(&there, &mut [0; 8]).unwrap().length, 0);
    }

    #[test]
    fn what_was_sent_before_a_sudden_end_is_not_lost() {
        let (here, there) = pair().unwrap();
        send(&there, b"never read", &[]).unwrap();
        send(&here, b"last words", &[]).unwrap();
        drop(here);
        assert_eq!(receive(&there, &mut [0; 16]).unwrap().length, 10);
        assert_eq!(receive(&there, &mut [0; 16]).unwrap().length, 0);
    }

    #[test]
    fn the_peer_is_known_by_the_kernel() {
        let (here, _there) = pair().unwrap();
        let peer = peer(&here).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(u32::try_from(peer.pid).unwrap(), std::process::id());
    }
}
