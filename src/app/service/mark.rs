//! The last line of a file that `service install` wrote: by it the file is known again, and whether it was changed.

use crate::app::VERSION;

const WORDS: &str = "taskdaemon service install";

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Ours, as it was written.
    Ours,
    /// Ours once, and changed since.
    Changed,
    /// Somebody else's.
    Foreign,
}

/// The text with its mark. All our files take `#` for a comment.
pub(super) fn marked(text: &str) -> String {
    format!("{text}# {WORDS} {VERSION} {:016x}\n", sum(text.as_bytes()))
}

/// Whose this is.
pub(super) fn of(bytes: &[u8]) -> Mark {
    let Ok(text) = std::str::from_utf8(bytes) else { return Mark::Foreign };
    let at = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let (body, last) = text.split_at(at);
    let told =
        last.strip_prefix("# ").and_then(|rest| rest.strip_prefix(WORDS)).and_then(|rest| rest.split(' ').nth(2));
    match told.map(str::trim_end) {
        Some(told) if told == format!("{:016x}", sum(body.as_bytes())) => Mark::Ours,
        Some(_) => Mark::Changed,
        // Somebody may have added lines below it.
        None if text.contains(&format!("\n# {WORDS} ")) => Mark::Changed,
        None => Mark::Foreign,
    }
}

/// FNV-1a: it is to notice an edit, not to withstand a forger, who could as well write the mark.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_known_again_until_it_is_changed() {
        let text = marked("[Unit]\nDescription=x\n");
        assert_eq!(of(text.as_bytes()), Mark::Ours);
        assert_eq!(of(text.replace("=x", "=y").as_bytes()), Mark::Changed);
        assert_eq!(of(format!("{text}More=1\n").as_bytes()), Mark::Changed);
        assert_eq!(of(b"[Unit]\nDescription=x\n"), Mark::Foreign);
        assert_eq!(of(b""), Mark::Foreign);
        assert_eq!(of(b"\xff\n"), Mark::Foreign);
    }
}
