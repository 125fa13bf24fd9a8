//! What the lock file says: one line that names its process for good, under a checksum.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use nix::libc::ESRCH;

use super::lifecycle::State;
use crate::sys::{pidfd, procfs};

/// What the first word must be; a later form gets a later number.
const FORM: &str = "daemon-lock-1";

/// Where a daemon is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has the lock, and does not answer yet.
    Starting,
    /// It answers.
    Running,
    /// It answers, and takes a new configuration into force.
    Reloading,
    /// It answers, takes nothing new, and finishes what it has.
    Draining,
    /// It is on its way out.
    Stopping,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Starting, Self::Running, Self::Reloading, Self::Draining, Self::Stopping];

    /// What a lock says of a daemon in that state; nothing of one that is stopped, for it has none.
    #[must_use]
    pub fn of(state: State) -> Option<Self> {
        match state {
            State::Stopped => None,
            State::Starting => Some(Self::Starting),
            State::Running => Some(Self::Running),
            State::Reloading => Some(Self::Reloading),
            State::Draining => Some(Self::Draining),
            State::Stopping => Some(Self::Stopping),
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Reloading => "reloading",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }
}

/// Who holds the lock.
///
/// Number, start and boot together name one process: numbers are used again, but not for a process
/// that started at the same clock tick of the same boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The number of the process.
    pub pid: i32,
    /// When it started, in clock ticks after boot; proc_pid_stat(5), field 22.
    pub start_ticks: u64,
    /// Which boot; random(4).
    pub boot_id: String,
    /// When it took the lock, in microseconds since 1970.
    pub since_us: i64,
    /// Where it is in its life.
    pub phase: Phase,
    /// The version of its program.
    pub version: String,
}

/// Why a lock file does not name a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is empty: the last daemon left in good order.
    #[error("the record is empty")]
    Empty,
    /// It was cut off while it was written, or changed by another hand.
    #[error("the record is torn or forged")]
    Torn,
}

impl Record {
    /// This process.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn of_this_process(version: &str, now_us: i64) -> io::Result<Self> {
        let pid = nix::unistd::getpid().as_raw();
        Ok(Self {
            pid,
            start_ticks: procfs::process(pid)?.start_ticks,
            boot_id: procfs::boot_id()?,
            since_us: now_us,
            phase: Phase::Starting,
            version: version.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect(),
        })
    }

    /// Whether exactly this process still runs; a zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let found = procfs::process(self.pid);
        let same = found.is_ok_and(|found| found.start_ticks == self.start_ticks && !found.zombie);
        same && procfs::boot_id().is_ok_and(|boot| boot == self.boot_id)
    }

    /// Holds exactly this process; `None` where it has ended.
    ///
    /// The number may have passed to a stranger before the descriptor was opened, but not after: so the start is
    /// compared once the descriptor is there.
    ///
    /// # Errors
    /// See pidfd_open(2).
    pub fn hold(&self) -> io::Result<Option<OwnedFd>> {
        match pidfd::open(self.pid) {
            Ok(process) => Ok(self.is_alive().then_some(process)),
            Err(error) if error.raw_os_error() == Some(ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads what [`Record`]'s `Display` wrote.
    ///
    /// # Errors
    /// [`RecordError`] where it is anything else.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        if text.is_empty() {
            return Err(RecordError::Empty);
        }
        std::str::from_utf8(text).ok().and_then(Self::parse_line).ok_or(RecordError::Torn)
    }

    fn parse_line(text: &str) -> Option<Self> {
        let (body, sum) = text.strip_suffix('\n')?.rsplit_once(" sum=")?;
        if sum != format!("{:016x}", checksum(body.as_bytes())) {
            return None;
        }
        let mut words = body.split(' ');
        if words.next() != Some(FORM) {
            return None;
        }
        let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let record = Self {
            pid: value("pid")?.parse().ok().filter(|pid| *pid > 0)?,
            start_ticks: value("start")?.parse().ok()?,
            boot_id: value("boot")?.to_owned(),
            since_us: value("since")?.parse().ok()?,
            phase: Phase::from_word(value("phase")?)?,
            version: value("version")?.to_owned(),
        };
        words.next().is_none().then_some(record)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, start_ticks, boot_id, since_us, phase, version } = self;
        let phase = phase.word();
        let body = format!(
            "{FORM} pid={pid} start={start_ticks} boot={boot_id} since={since_us} phase={phase} version={version}"
        );
        writeln!(out, "{body} sum={:016x}", checksum(body.as_bytes()))
    }
}

/// FNV-1a in 64 bits: enough to see a torn line, and no secret is needed against a forged one,
/// because the process that it names is looked at as well.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn record() -> Record {
        Record::of_this_process("1.2.3 beta", 1_700_000_000_000_000).unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let written = record();
        assert_eq!(written.version, "1.2.3_beta");
        assert_eq!(Record::parse(written.to_string().as_bytes()), Ok(written));
        assert_eq!(Record::parse(b""), Err(RecordError::Empty));
    }

    #[test]
    fn a_record_cut_anywhere_or_changed_anywhere_is_torn() {
        let line = record().to_string().into_bytes();
        for cut in 1..line.len() {
            assert_eq!(Record::parse(&line[..cut]), Err(RecordError::Torn), "cut at {cut}");
        }
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert_eq!(Record::parse(&changed), Err(RecordError::Torn), "changed at {at}");
        }
    }

    #[test]
    fn a_process_is_alive_only_with_its_own_start_and_boot() {
        let own = record();
        assert!(own.is_alive());
        assert!(!Record { start_ticks: own.start_ticks + 1, ..own.clone() }.is_alive());
        assert!(!Record { boot_id: "another".to_owned(), ..own }.is_alive());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Record::parse(&bytes));
        }
    }
}
