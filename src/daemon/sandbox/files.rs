//! Files, signals and the network: landlock(7).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Report, Sandbox};

/// The newest that this program knows; older kernels do what they can.
const NEWEST: ABI = ABI::V6;

const READ: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// Restricts the calling thread, and those that it starts.
pub(super) fn restrict(sandbox: &Sandbox, report: &mut Report) {
    match enforce(sandbox) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => tell(effective_abi, report),
        Ok(LandlockStatus::NotEnabled) => {
            report.missing.push("files: Landlock is not enabled in this kernel (lsm=landlock,…)".to_owned());
        }
        Ok(LandlockStatus::NotImplemented) => {
            report.missing.push("files: this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK)".to_owned());
        }
        Err(error) => report.note("files", Err(error)),
    }
}

fn tell(abi: ABI, report: &mut Report) {
    let mut part = |what: &str, since: ABI, linux: &str| {
        if abi >= since {
            report.in_force.push(what.to_owned());
        } else {
            report.missing.push(format!("{what}: needs Linux {linux}"));
        }
    };
    part("its own files alone", ABI::V1, "5.13");
    part("no file cut short outside them", ABI::V3, "6.2");
    part("no connection to the network", ABI::V4, "6.7");
    part("no signal to other processes", ABI::V6, "6.12");
}

fn enforce(sandbox: &Sandbox) -> Result<LandlockStatus, RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let write = all & !AccessFs::Execute;
    let rules = rules(&sandbox.read, READ)
        .chain(rules(&sandbox.execute, READ | AccessFs::Execute))
        .chain(rules(&sandbox.remove, AccessFs::RemoveFile.into()))
        .chain(rules(&sandbox.write, write));
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::ConnectTcp)?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(status.landlock)
}

type PathRule = Result<PathBeneath<PathFd>, RulesetError>;

/// One rule for each path that is there; what it is not, a directory, has no entries to be made or removed.
fn rules(paths: &[PathBuf], access: BitFlags<AccessFs>) -> impl Iterator<Item = PathRule> {
    paths.iter().filter_map(move |path| {
        let opened = PathFd::new(path).ok()?;
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
        Some(Ok(PathBeneath::new(opened, access)))
    })
}

/// Where the libraries lie that this process has loaded, and the loader that would load them for a program that it
/// executes: not every host has them in /usr/lib.
#[must_use]
pub fn library_directories() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(5)).map(Path::new);
    let libraries = files.filter(|path| path.to_str().is_some_and(|path| path.contains(".so")));
    let mut directories: Vec<PathBuf> = libraries.filter_map(|path| Some(path.parent()?.to_owned())).collect();
    directories.sort();
    directories.dedup();
    directories
}
