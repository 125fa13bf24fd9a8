//! One connection: requests out, the heads of answers in, as HTTP/1.1 has it (RFC 9112).

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::answer::Answer;
use super::{ClientError, Result};

const MAX_HEAD: usize = 64 << 10;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    path: PathBuf,
    stream: UnixStream,
    buffer: Vec<u8>,
    taken: usize,
    deadline: Option<Instant>,
}

/// A daemon that hangs takes nobody in any more, and then connect(2) waits as long as SO_SNDTIMEO has it; unix(7).
fn connected(path: &Path, patience: Option<Duration>) -> io::Result<UnixStream> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if let Some(patience) = patience {
        let micros = patience.as_micros().try_into().unwrap_or(i64::MAX);
        setsockopt(&stream, SendTimeout, &TimeVal::microseconds(micros))?;
    }
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream.into())
}

impl Connection {
    /// Connects, which takes until the daemon has room for one more in its queue: at most `patience`.
    pub(super) fn open(path: &Path, patience: Option<Duration>) -> Result<Self> {
        let stream = connected(path, patience).map_err(|error| ClientError::connect(path, error))?;
        Ok(Self { path: path.to_owned(), stream, buffer: Vec::new(), taken: 0, deadline: None })
    }

    /// Sends a request, and reads the head of its answer.
    pub(super) fn ask(
        mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
        patience: Option<Duration>,
    ) -> Result<Answer> {
        // What is left of the answer before this one has been read already.
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.deadline = patience.map(|patience| Instant::now() + patience);
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: taskdaemon\r\n").into_bytes();
        if let Some(body) = body {
            let length = body.len();
            head.extend_from_slice(
                format!("content-type: application/json\r\ncontent-length: {length}\r\n").as_bytes(),
            );
        }
        head.extend_from_slice(b"\r\n");
        match self.send(head, body.unwrap_or_default()) {
            Ok(()) => self.head(),
            // A daemon that refuses a body may stop reading it: its answer is there nevertheless.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                let path = self.path.clone();
                self.head().map_err(|_| ClientError::broken("send to", &path, error))
            }
            Err(error) => Err(ClientError::broken("send to", &self.path, error)),
        }
    }

    fn send(&mut self, mut head: Vec<u8>, body: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(self.remaining()?)?;
        if body.len() <= 4096 {
            head.extend_from_slice(body);
            return self.stream.write_all(&head);
        }
        self.stream.write_all(&head)?;
        self.stream.write_all(body)
    }

    fn head(mut self) -> Result<Answer> {
        loop {
            if let Some((answer, length)) = parse_head(&self.buffer)? {
                self.taken = length;
                let HeadParts { status, headers } = answer;
                if (100..200).contains(&status) {
                    self.buffer.drain(..length);
                    continue;
                }
                return Answer::new(self, status, headers);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(ClientError::Protocol("its head is too long".to_owned()));
            }
            match self.fill() {
                Ok(0) => {
                    let gone = io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon closed the connection");
                    return Err(ClientError::broken("read the answer from", &self.path, gone));
                }
                Ok(_) => {}
                Err(error) => return Err(ClientError::broken("read the answer from", &self.path, error)),
            }
        }
    }

    fn remaining(&self) -> io::Result<Option<Duration>> {
        match self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            remaining => Ok(remaining),
        }
    }

    /// Reads more into the buffer; 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.stream.set_read_timeout(self.remaining()?)?;
        let start = self.buffer.len();
        self.buffer.resize(start + (16 << 10), 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(start + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Up to `most` bytes of what has come; empty only at the connection's end.
    pub(super) fn take(&mut self, most: usize) -> io::Result<&[u8]> {
        if self.taken == self.buffer.len() {
            self.fill()?;
        }
        let start = self.taken;
        self.taken = self.buffer.len().min(start.saturating_add(most));
        Ok(&self.buffer[start..self.taken])
    }

    /// One line without its end.
    pub(super) fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.take(1)? {
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                b"\n" => break,
                byte => line.extend_from_slice(byte),
            }
            if line.len() > MAX_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of its framing is too long"));
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    /// The socket.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Sets how long reading may take from now on; `None` is without limit.
    pub(super) fn set_patience(&mut self, patience: Option<Duration>) {
        self.deadline = patience.map(|patience| Instant::now() + patience);
    }
}

struct HeadParts {
    status: u16,
    headers: Vec<(String, String)>,
}

fn parse_head(buffer: &[u8]) -> Result<Option<(HeadParts, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => {
            let text = |it: &httparse::Header<'_>| {
                (it.name.to_ascii_lowercase(), String::from_utf8_lossy(it.value).into_owned())
            };
            let headers = response.headers.iter().map(text).collect();
            Ok(Some((HeadParts { status: response.code.unwrap_or(0), headers }, length)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(ClientError::Protocol(error.to_string())),
    }
}
