//! As much of HTTP/1.1 as the daemon speaks, over a blocking socket (RFC 9112).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{ClientError, Result};
use crate::wire::api::Problem;

const MAX_HEAD: usize = 64 << 10;
const MAX_PROBLEM: u64 = 1 << 20;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    path: PathBuf,
    stream: UnixStream,
    buffer: Vec<u8>,
    taken: usize,
    deadline: Option<Instant>,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes of this chunk are left; `None` before its size.
    Chunked(Option<u64>),
    /// The connection's end.
    Close,
    /// Nothing is left.
    Ended,
}

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub struct Answer {
    connection: Connection,
    status: u16,
    headers: Vec<(String, String)>,
    framing: Framing,
    reusable: bool,
}

impl Connection {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).map_err(|error| ClientError::connect(path, error))?;
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
                let framing = framing(status, &headers)?;
                let closing = header(&headers, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
                let reusable = !closing && framing != Framing::Close;
                return Ok(Answer { connection: self, status, headers, framing, reusable });
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
    fn take(&mut self, most: usize) -> io::Result<&[u8]> {
        if self.taken == self.buffer.len() {
            self.fill()?;
        }
        let start = self.taken;
        self.taken = self.buffer.len().min(start.saturating_add(most));
        Ok(&self.buffer[start..self.taken])
    }

    /// One line without its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.take(1)? {
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                b"\n" => break,
                byte => line.extend_from_slice(byte),
            }
            if line.len() > MAX_HEAD {
                return Err(invalid("a line of its framing is too long"));
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
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

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn framing(status: u16, headers: &[(String, String)]) -> Result<Framing> {
    if status == 204 || status == 304 {
        return Ok(Framing::Ended);
    }
    if header(headers, "transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        return Ok(Framing::Chunked(None));
    }
    match header(headers, "content-length").map(str::parse) {
        Some(Ok(0)) => Ok(Framing::Ended),
        Some(Ok(length)) => Ok(Framing::Length(length)),
        Some(Err(_)) => Err(ClientError::Protocol("its content-length is not a number".to_owned())),
        None => Ok(Framing::Close),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Takes any deadline away, or sets one for what is still to be read.
    pub(super) fn set_patience(&mut self, patience: Option<Duration>) {
        self.connection.deadline = patience.map(|patience| Instant::now() + patience);
    }

    /// The answer itself, or the problem that it carries.
    pub(super) fn check(self) -> Result<Self> {
        if self.status < 400 {
            return Ok(self);
        }
        let status = self.status;
        let path = self.connection.path.clone();
        let mut body = Vec::new();
        self.take(MAX_PROBLEM)
            .read_to_end(&mut body)
            .map_err(|error| ClientError::broken("read from", &path, error))?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(ClientError::Protocol(format!("status {status} without a reason"))),
        }
    }

    /// The whole body, and the connection where it can be used again.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Option<Connection>)> {
        let mut body = Vec::new();
        self.read_to_end(&mut body).map_err(|error| ClientError::broken("read from", &self.connection.path, error))?;
        let reusable = self.reusable && self.framing == Framing::Ended;
        Ok((body, reusable.then_some(self.connection)))
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let line = self.connection.line()?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
        match size {
            Some(0) => {
                while !self.connection.line()?.is_empty() {}
                self.framing = Framing::Ended;
                Ok(())
            }
            Some(size) => {
                self.framing = Framing::Chunked(Some(size));
                Ok(())
            }
            None => Err(invalid("a chunk has no size")),
        }
    }
}

impl Read for Answer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while self.framing == Framing::Chunked(None) {
            self.next_chunk()?;
        }
        let left = match self.framing {
            Framing::Ended => return Ok(0),
            Framing::Length(left) | Framing::Chunked(Some(left)) => left,
            Framing::Close | Framing::Chunked(None) => u64::MAX,
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let bytes = self.connection.take(most)?;
        into[..bytes.len()].copy_from_slice(bytes);
        let read = bytes.len();
        let rest = left - read as u64;
        match self.framing {
            Framing::Close if read == 0 => self.framing = Framing::Ended,
            Framing::Length(_) | Framing::Chunked(_) if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Framing::Length(_) if rest == 0 => self.framing = Framing::Ended,
            Framing::Length(_) => self.framing = Framing::Length(rest),
            Framing::Chunked(_) if rest == 0 => {
                self.connection.line()?;
                self.framing = Framing::Chunked(None);
            }
            Framing::Chunked(_) => self.framing = Framing::Chunked(Some(rest)),
            Framing::Close | Framing::Ended => {}
        }
        Ok(read)
    }
}
