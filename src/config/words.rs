//! Values that are chosen from a few words.

use std::fmt;

use super::error::Reason;
use super::leaf::{Leaf, wrong};
use super::yaml::Value;

/// Declares a choice, its words and how they are read.
macro_rules! choice {
    ($(#[$doc:meta])* $vis:vis $name:ident wants $wanted:literal { $($(#[$about:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$about])* $variant,)+ }

        impl $name {
            /// The word for it in a configuration file.
            #[must_use]
            $vis fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The choice that a word stands for.
            #[must_use]
            $vis fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.word())
            }
        }

        impl Leaf for $name {
            const WANTED: &'static str = $wanted;

            fn read(value: &Value) -> Result<Self, Reason> {
                let found = match value {
                    Value::Text(text) => Self::from_word(text),
                    Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_)
                    | Value::List(_) | Value::Mapping(_) => None,
                };
                found.ok_or_else(|| wrong(Self::WANTED, value))
            }
        }
    };
}

choice! {
    /// How much is logged: everything up to the level.
    pub Level wants "one of error, warn, info, debug, trace" {
        /// What failed.
        Error = "error",
        /// What may fail next.
        Warn = "warn",
        /// What an administrator wants to know.
        Info = "info",
        /// What explains a decision.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// How a line of the log is written.
    pub Format wants "text or json" {
        /// For people.
        Text = "text",
        /// One JSON object in each line.
        Json = "json",
    }
}

choice! {
    /// Where the log goes.
    pub LogTarget wants "one of auto, journal, file, syslog, stderr" {
        /// To the journal under systemd; else to the file in the background, to standard error in the foreground.
        Auto = "auto",
        /// To systemd's journal.
        Journal = "journal",
        /// To the file.
        File = "file",
        /// To syslog.
        Syslog = "syslog",
        /// To standard error.
        Stderr = "stderr",
    }
}

choice! {
    /// What becomes of a task whose attempt was cut off by a crash or a power cut.
    pub(super) Interrupted wants "retry or end" {
        /// It runs again, as often as `interruptions` allows.
        Retry = "retry",
        /// It ends as *interrupted*.
        End = "end",
    }
}

choice! {
    /// Whether tasks may run as root. A plain yes is refused: the words say what is agreed to.
    pub RootTasks wants "no, or the words: yes, run tasks as root" {
        /// They may not.
        Refused = "no",
        /// They may.
        Allowed = "yes, run tasks as root",
    }
}

choice! {
    /// Who starts the runner.
    pub RunnerStart wants "daemon or service" {
        /// The daemon, unless one answers.
        Daemon = "daemon",
        /// A service manager.
        Service = "service",
    }
}

choice! {
    /// Whether the daemon locks itself in.
    pub Sandbox wants "auto, off or required" {
        /// As far as the kernel goes along.
        Auto = "auto",
        /// It does not.
        Off = "off",
        /// Or else it does not start.
        Required = "required",
    }
}

choice! {
    /// Whether programs that a task executes may gain rights, by set-user-ID as sudo(8) does.
    pub Gains wants "auto, none or setuid" {
        /// None in system mode, setuid in user mode.
        Auto = "auto",
        /// They may not.
        None = "none",
        /// They may.
        Setuid = "setuid",
    }
}

/// How many tasks run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slots {
    /// As many as the daemon may use cores.
    Auto,
    /// So many.
    Count(u32),
}

impl Leaf for Slots {
    const WANTED: &'static str = "auto, or a whole number from 1 to 65536";

    fn read(value: &Value) -> Result<Self, Reason> {
        match value {
            Value::Text(text) if text == "auto" => Ok(Self::Auto),
            Value::Integer(number @ 1..=65_536) => {
                u32::try_from(*number).map(Self::Count).map_err(|_| wrong(Self::WANTED, value))
            }
            other => Err(wrong(Self::WANTED, other)),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Auto => serde_json::Value::String("auto".to_owned()),
            Self::Count(count) => serde_json::json!(count),
        }
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => out.write_str("auto"),
            Self::Count(count) => count.fmt(out),
        }
    }
}
