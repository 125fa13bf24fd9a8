//! The exit statuses, all in one place: sysexits(3) and the Linux Standard Base.

/// With what status the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// It was done.
    Success,
    /// It was not, for a reason that has no number of its own; or of several tasks, not all succeeded.
    Failure,
    /// The command line is wrong.
    Usage,
    /// What was given is malformed: EX_DATAERR.
    Data,
    /// What was named does not exist: EX_NOINPUT.
    NoInput,
    /// The daemon does not answer: EX_UNAVAILABLE.
    Unavailable,
    /// Reading or writing failed: EX_IOERR.
    Io,
    /// Refused for now: full, draining or stopping: EX_TEMPFAIL.
    TryAgain,
    /// The daemon's answer makes no sense: EX_PROTOCOL.
    Protocol,
    /// Not permitted: EX_NOPERM.
    Forbidden,
    /// The configuration is wrong: EX_CONFIG.
    Config,
    /// The deadline passed; the number after those of sysexits(3).
    Deadline,
    /// Nobody reads what is printed; what a shell reports after SIGPIPE.
    Unread,
    /// Somebody else's: a task's own, a daemon's by the LSB, or what the daemon in the background would have ended
    /// with in the foreground.
    Told(u8),
}

impl Code {
    /// The number.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Io => 74,
            Self::TryAgain => 75,
            Self::Protocol => 76,
            Self::Forbidden => 77,
            Self::Config => 78,
            Self::Deadline => 79,
            Self::Unread => 141,
            Self::Told(number) => number,
        }
    }

    /// The status for a refusal of the daemon: by its kind, else by its HTTP status.
    pub(super) fn of_problem(kind: &str, http_status: u16) -> Self {
        match (kind, http_status) {
            ("invalid-configuration", _) => Self::Config,
            ("upgrade-failed", _) => Self::Failure,
            ("queue-draining", _) | (_, 429 | 503 | 507) => Self::TryAgain,
            (_, 400 | 411 | 413 | 415 | 422) => Self::Data,
            (_, 401 | 403) => Self::Forbidden,
            (_, 404 | 410) => Self::NoInput,
            (_, 405 | 406 | 408 | 426 | 431) => Self::Protocol,
            _ => Self::Failure,
        }
    }
}

/// A task's own exit status; what does not fit into one is 255, as a shell has it.
pub(super) fn of_task(status: i32) -> Code {
    Code::Told(u8::try_from(status).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_stands_for_two_things() {
        let all = [
            Code::Success,
            Code::Failure,
            Code::Usage,
            Code::Data,
            Code::NoInput,
            Code::Unavailable,
            Code::Io,
            Code::TryAgain,
            Code::Protocol,
            Code::Forbidden,
            Code::Config,
            Code::Deadline,
            Code::Unread,
        ];
        let mut numbers: Vec<u8> = all.iter().map(|code| code.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), all.len());
    }
}
