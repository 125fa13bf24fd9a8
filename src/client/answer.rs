//! An answer whose body is read as it comes, whatever its framing (RFC 9112).

use std::io::{self, Read};
use std::time::Duration;

use super::http::Connection;
use super::{ClientError, Result};
use crate::wire::api::Problem;

const MAX_PROBLEM: u64 = 1 << 20;

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub struct Answer {
    connection: Connection,
    status: u16,
    headers: Vec<(String, String)>,
    framing: Framing,
    reusable: bool,
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
    /// An answer of which only the head was read.
    pub(super) fn new(connection: Connection, status: u16, headers: Vec<(String, String)>) -> Result<Self> {
        let framing = framing(status, &headers)?;
        let closing = header(&headers, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        let reusable = !closing && framing != Framing::Close;
        Ok(Self { connection, status, headers, framing, reusable })
    }

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
        self.connection.set_patience(patience);
    }

    /// The answer itself, or the problem that it carries.
    pub(super) fn check(self) -> Result<Self> {
        if self.status < 400 {
            return Ok(self);
        }
        let status = self.status;
        let path = self.connection.path().to_owned();
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
        self.read_to_end(&mut body).map_err(|error| ClientError::broken("read from", self.connection.path(), error))?;
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
