//! The reload: the configuration read anew, and taken into force where it is faultless.

use tracing::{error, info};

use super::logging::level;
use super::organs::Organs;
use crate::api::{ReloadFailure, ReloadTo};
use crate::config::{self, Environment, Flags, Settings};
use crate::daemon::log;
use crate::daemon::log::in_full;
use crate::engine::Reply;
use crate::wire::api::ReloadDocument;

/// What a reload reads again.
pub(super) struct Reloader {
    pub(super) environment: Environment,
    pub(super) flags: Flags,
    pub(super) log: log::Handle,
    /// What is in force until a restart, of what changes only then.
    pub(super) started: Settings,
}

impl Reloader {
    /// Reads the configuration anew; only a faultless one comes into force, and only where the engine takes it. `done`
    /// is called with what is in force from now on, or nothing, and then `replies` are told what became of it.
    pub(super) fn reload(
        &self,
        organs: &Organs,
        settings: &Settings,
        replies: Vec<ReloadTo>,
        done: impl FnOnce(Option<Box<Settings>>) + Send + 'static,
    ) {
        if let Err(error) = self.log.reopen() {
            let error = &error as &dyn std::error::Error;
            error!(error, "the log file cannot be opened again; the old one goes on");
        }
        let answer = move |new: Option<Box<Settings>>, result: Result<ReloadDocument, ReloadFailure>| {
            done(new);
            for reply in replies {
                reply(result.clone());
            }
        };
        let new = match config::load(&self.environment, &self.flags) {
            Ok(new) => new,
            Err(error) => return answer(None, Err(ReloadFailure { faults: faults(&error) })),
        };
        let document = ReloadDocument {
            changed: changed(settings, &new),
            needs_restart: new.restart_needed(&self.started).iter().map(ToString::to_string).collect(),
            remarks: Vec::new(),
        };
        let (log, taken) = (self.log.clone(), Box::new(new.clone()));
        let then = move |reply: Result<Reply, _>| match reply {
            Ok(Reply::Reconfigured { kept }) => {
                log.set_level(level(taken.log.level));
                let remarks = kept.iter().map(|queue| format!("queue {queue} is kept, because tasks need it"));
                answer(Some(taken), Ok(ReloadDocument { remarks: remarks.collect(), ..document }));
            }
            Ok(other) => {
                answer(None, Err(ReloadFailure { faults: vec![format!("the engine answered {other:?}")] }));
            }
            Err(refusal) => answer(None, Err(ReloadFailure { faults: vec![in_full(&refusal)] })),
        };
        organs.reconfigure(&new, Box::new(then));
    }
}

fn changed(old: &Settings, new: &Settings) -> Vec<String> {
    let was = |key| old.values().iter().find(|entry| entry.key == key).map(|entry| &entry.text);
    let values = new.values().iter().filter(|entry| was(entry.key.clone()) != Some(&entry.text));
    values.map(|entry| entry.key.to_string()).collect()
}

fn faults(error: &config::ConfigError) -> Vec<String> {
    error.faults().iter().map(ToString::to_string).collect()
}

/// What became of a reload that nobody waits for.
pub(super) fn log_reload(result: Result<ReloadDocument, ReloadFailure>) {
    match result {
        Ok(done) => info!(changed = ?done.changed, needs_restart = ?done.needs_restart, "reloaded"),
        Err(failure) => {
            for fault in failure.faults {
                error!(%fault, "not reloaded; the old configuration stays in force");
            }
        }
    }
}
