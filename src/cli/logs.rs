//! `logs`: what a task wrote, byte for byte.

use std::io::Read;

use super::args::Logs;
use super::exit::Code;
use super::session::Session;
use crate::client::{Client, ClientError, OutputRequest, Patience};

/// Bytes that a line of output has at most, as a first guess.
const USUAL_LINE: u64 = 256;
/// Bytes of the first guess at least.
const FIRST_GUESS: u64 = 64 << 10;

/// Does what the options say.
pub(super) fn run(session: &mut Session<'_>, options: &Logs) -> anyhow::Result<Code> {
    let client = if options.follow { session.patient_client()? } else { session.client()? };
    let request = OutputRequest {
        task: options.id,
        attempt: options.attempt,
        follow: options.follow,
        offset: 0,
        tail_bytes: None,
    };
    let request = match options.tail {
        Some(lines) => last_lines(&client, request, lines)?,
        None => request,
    };
    let patience = if options.follow { Patience::Endless } else { Patience::None };
    let mut output = client.output(request, patience)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match output.read(&mut buffer)? {
            0 => break,
            length => session.output.bytes(&buffer[..length])?,
        }
        if options.follow {
            session.output.flush()?;
        }
    }
    session.output.flush()?;
    if output.dropped_bytes > 0 {
        let text = format!("{} bytes past the output cap were thrown away", output.dropped_bytes);
        session.output.note(text);
    }
    Ok(Code::Success)
}

/// The request from where the last `lines` lines begin. It looks at twice as much each time until that is enough.
fn last_lines(client: &Client, request: OutputRequest, lines: usize) -> anyhow::Result<OutputRequest> {
    let wanted = u64::try_from(lines).unwrap_or(u64::MAX);
    let mut guess = wanted.saturating_mul(USUAL_LINE).max(FIRST_GUESS);
    loop {
        let look = OutputRequest { follow: false, tail_bytes: Some(guess), ..request };
        let mut output = match client.output(look, Patience::None) {
            Ok(output) => output,
            // There is no attempt yet: what comes is followed from its beginning.
            Err(ClientError::Problem(problem)) if problem.status == 404 && request.follow => return Ok(request),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes)?;
        let end = output.offset();
        let whole = u64::try_from(bytes.len()).unwrap_or(u64::MAX) < guess;
        let length = length_of_last(&bytes, lines);
        if whole || length < bytes.len() {
            let offset = end - u64::try_from(length).unwrap_or(end).min(end);
            return Ok(OutputRequest { offset, attempt: Some(output.attempt), ..request });
        }
        guess = guess.saturating_mul(2);
    }
}

/// How many bytes the last `lines` lines take; a last line without its end counts as one.
fn length_of_last(bytes: &[u8], lines: usize) -> usize {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let start = match lines {
        0 => bytes.len(),
        lines => body
            .iter()
            .rposition({
                let mut left = lines;
                move |byte| {
                    left -= usize::from(*byte == b'\n');
                    left == 0
                }
            })
            .map_or(0, |at| at + 1),
    };
    bytes.len() - start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        assert_eq!(length_of_last(b"a\nb\nc\n", 2), 4);
        assert_eq!(length_of_last(b"a\nb\nc", 2), 3);
        assert_eq!(length_of_last(b"a\nb\n", 5), 4);
        assert_eq!(length_of_last(b"a\nb\n", 0), 0);
        assert_eq!(length_of_last(b"\n\n\n", 1), 1);
        assert_eq!(length_of_last(b"", 3), 0);
    }
}
