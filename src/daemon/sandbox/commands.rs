//! A milder sandbox for a process that executes other people's commands, and for them.
//!
//! They keep all files, the network and whatever they start. A domain of landlock(7) for each keeps them from each
//! other and from who executes them; it takes nothing else from them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use landlock::{
    AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope,
};
use serde::{Deserialize, Serialize};

use super::{Report, calls};

/// What commands are kept from. It is handed over when the process becomes another program, which enters it again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Commands {
    /// Whether system calls are refused already: each filter would be run once more for every call.
    filtered: bool,
    #[serde(skip)]
    ruleset: Option<OwnedFd>,
}

impl Commands {
    /// Refuses this process, and all that it executes, what no everyday command needs, as far as the kernel goes along;
    /// and makes the ruleset that closes off each command. The process itself must have given up new privileges.
    /// [`Commands::outlook`] tells what the kernel cannot do.
    pub fn enter(&mut self) {
        self.filtered = self.filtered || calls::restrict_commands().is_ok();
        self.ruleset = signals_refused().or_else(|_| looks_refused()).ok().and_then(Option::from);
    }

    /// What a command restricts itself with before it is executed: a ruleset, landlock_restrict_self(2).
    #[must_use]
    pub fn ruleset(&self) -> Option<BorrowedFd<'_>> {
        self.ruleset.as_ref().map(|ruleset| ruleset.as_fd())
    }

    /// What this kernel can do of it; changes nothing.
    #[must_use]
    pub fn outlook() -> Report {
        let signals = signals_refused().is_ok();
        let mut report = Report::default();
        for (what, has, linux) in [
            ("no look into one another", signals || looks_refused().is_ok(), "5.19 with Landlock"),
            ("no signal to one another", signals, "6.12 with Landlock"),
        ] {
            if has {
                report.in_force.push(what.to_owned());
            } else {
                report.missing.push(format!("{what}: needs Linux {linux}"));
            }
        }
        report
    }
}

/// Whoever is in a domain looks into nobody outside it. This one also refuses signals, and no file.
pub(super) fn signals_refused() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement).scope(Scope::Signal)?.create()
}

/// A ruleset has to be about something: what every ruleset about files is about anyway, and this one allows everywhere.
pub(super) fn looks_refused() -> Result<RulesetCreated, RulesetError> {
    let refer = AccessFs::Refer;
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(refer)?.create()?;
    // Without its root there is no host to have commands on.
    let Ok(root) = PathFd::new("/") else { return Ok(ruleset) };
    ruleset.add_rule(PathBeneath::new(root, refer))
}
