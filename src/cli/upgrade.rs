//! `upgrade`: the daemon and its runner become another program in place.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::args::Upgrade;
use super::exit::Code;
use super::failure::Failure;
use super::session::Session;
use crate::client::{Client, ClientError};
use crate::task::Bytes;
use crate::wire::api::{RunnerUpgradeDocument, UpgradeDocument, UpgradeRequest, UpgradeState};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the runner may keep everybody waiting, once the daemon is the new program.
const RUNNER: Duration = Duration::from_secs(15);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Upgrades the daemon in place, and tells how that went.
pub(super) fn run(session: &mut Session<'_>, options: &Upgrade) -> anyhow::Result<Code> {
    let binary = options.binary.as_deref().map(absolute).transpose()?;
    let mut client = session.client()?;
    client.set_timeout(Some(PATIENCE));
    let begun = client.upgrade(&UpgradeRequest { binary })?;
    let ended = follow(&mut client, begun)?;
    if session.output.is_json() {
        session.output.document(&ended)?;
    } else if ended.state != UpgradeState::Failed {
        session.output.line(told(&ended))?;
    }
    match (ended.state, ended.runner.and_then(|runner| runner.reason)) {
        (UpgradeState::Done, None) => Ok(Code::Success),
        (UpgradeState::Done, Some(reason)) => Err(Failure::RunnerStays(reason).into()),
        (UpgradeState::Failed, _) => Err(Failure::Upgrade(ended.reason.unwrap_or_default()).into()),
        (UpgradeState::ReplacingRunner, _) => Err(Failure::RunnerStays("it has not answered yet".to_owned()).into()),
        (UpgradeState::None | UpgradeState::Trying | UpgradeState::Replacing, _) => Err(Failure::UpgradeLost.into()),
    }
}

fn absolute(path: &Path) -> Result<Bytes, Failure> {
    let path: PathBuf = std::path::absolute(path).map_err(Failure::Directory)?;
    Ok(Bytes::from(path.as_os_str().as_bytes().to_vec()))
}

/// Looks until it is over. Connections wait while the new program takes over, so that none is refused.
fn follow(client: &mut Client, begun: UpgradeDocument) -> anyhow::Result<UpgradeDocument> {
    let since = Instant::now();
    let mut alone_since = None;
    let mut last = begun;
    loop {
        match client.upgrade_state() {
            // One that was started afresh knows nothing of it. One that is at a later upgrade has become that program.
            Ok(document) if document.number < last.number => return Err(Failure::UpgradeLost.into()),
            Ok(document) if document.state.is_over() => return Ok(document),
            Ok(document) => last = document,
            Err(ClientError::StaleSocket { .. } | ClientError::NotListening { .. }) => {
                return Err(Failure::UpgradeLost.into());
            }
            Err(error) if error.is_absence() => {}
            Err(error) => return Err(error.into()),
        }
        if last.state == UpgradeState::ReplacingRunner {
            alone_since.get_or_insert_with(Instant::now);
        }
        if since.elapsed() >= PATIENCE || alone_since.is_some_and(|since| since.elapsed() >= RUNNER) {
            return Ok(last);
        }
        thread::sleep(PAUSE);
    }
}

fn told(document: &UpgradeDocument) -> String {
    let UpgradeDocument { from, to, runner, .. } = document;
    let daemon = format!("upgraded: version {from} became {}", to.as_deref().unwrap_or("unknown"));
    match runner {
        Some(RunnerUpgradeDocument { version: Some(version), reason: None }) => {
            format!("{daemon}, and the runner {version}")
        }
        Some(RunnerUpgradeDocument { .. }) | None => daemon,
    }
}
