//! The write-ahead log, read just far enough to tell which pages of the database it holds.
//!
//! After a crash the newest pages may stand in the log alone, so the length of the database file says nothing by itself.
//! The layout is <https://www.sqlite.org/fileformat.html#the_write_ahead_log>.
//! It must not judge or change anything; SQLite checks the sums when it takes the log over.

use std::collections::BTreeSet;
use std::io::{BufReader, ErrorKind, Read, Seek};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first word of a log, whatever the byte order of its sums.
const MAGIC: [u32; 2] = [0x377f_0682, 0x377f_0683];

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The pages, counted from 1.
    pub(super) pages: BTreeSet<u32>,
    /// How many pages the database has after the last commit in the log; `None` where there is none.
    pub(super) total: Option<u32>,
}

/// Reads the headers of all frames that belong to the log's present round.
///
/// # Errors
/// What reading says; a torn end is none.
pub(super) fn read(file: impl Read + Seek) -> std::io::Result<Held> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut held = Held::default();
    let Some(header) = next::<HEADER>(&mut file)? else { return Ok(held) };
    if !MAGIC.contains(&number(&header, 0)) {
        return Ok(held);
    }
    let page_bytes = i64::from(number(&header, 8));
    while let Some(frame) = next::<FRAME_HEADER>(&mut file)? {
        // Frames of an earlier round carry other salts.
        if frame[8..16] != header[16..24] {
            break;
        }
        held.pages.insert(number(&frame, 0));
        match number(&frame, 4) {
            0 => {}
            total => held.total = Some(total),
        }
        file.seek_relative(page_bytes)?;
    }
    Ok(held)
}

fn next<const N: usize>(file: &mut impl Read) -> std::io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The big-endian number of four bytes at that offset.
pub(super) fn number(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..].iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{Held, read};

    fn log(frames: &[(u32, u32, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 32];
        bytes[..4].copy_from_slice(&0x377f_0682_u32.to_be_bytes());
        bytes[8..12].copy_from_slice(&512_u32.to_be_bytes());
        bytes[16..24].copy_from_slice(&7_u64.to_be_bytes());
        for (page, total, salts) in frames {
            bytes.extend([page.to_be_bytes(), total.to_be_bytes()].concat());
            bytes.extend(salts.to_be_bytes());
            bytes.extend([0; 8 + 512]);
        }
        bytes
    }

    #[test]
    fn the_frames_of_the_present_round_count() {
        let bytes = log(&[(3, 0, 7), (9, 9, 7), (4, 0, 7), (5, 5, 6)]);
        let expected = Held { pages: [3, 4, 9].into(), total: Some(9) };
        assert_eq!(read(Cursor::new(&bytes)).unwrap(), expected);
    }

    #[test]
    fn a_torn_or_foreign_log_holds_what_it_holds() {
        let bytes = log(&[(3, 3, 7), (4, 4, 7)]);
        for cut in 0..bytes.len() {
            assert!(read(Cursor::new(&bytes[..cut])).unwrap().pages.len() <= 2);
        }
        assert_eq!(read(Cursor::new(&bytes[..31])).unwrap(), Held::default());
        assert_eq!(read(Cursor::new([1; 4096])).unwrap(), Held::default());
    }
}
