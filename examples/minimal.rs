//! A whole daemon: one per directory, in the background or under a service manager, with a log, a configuration that is
//! read again on HUP, health checks told on USR1, and an orderly end on TERM.
//!
//! ```sh
//! cargo run --example minimal -- /tmp/greeter               # returns once it is ready
//! echo "good evening" > /tmp/greeter/greeting && kill -HUP "$(cat /tmp/greeter/daemon.pid)"
//! kill -USR1 "$(cat /tmp/greeter/daemon.pid)" && kill "$(cat /tmp/greeter/daemon.pid)" && cat /tmp/greeter/log
//! cargo run --example minimal -- /tmp/greeter --foreground  # as a unit of Type=notify has it
//! ```
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use taskdaemon::daemon::directory::{self, Access};
use taskdaemon::daemon::health::{Finding, Registry};
use taskdaemon::daemon::lifecycle::{Event, Lifecycle};
use taskdaemon::daemon::log::{self, Style, Target};
use taskdaemon::daemon::process::{Background, Detached, Output};
use taskdaemon::daemon::service::Manager;
use taskdaemon::daemon::signals::{self, Blocked, Signal, Source};
use taskdaemon::daemon::{Lock, Phase, Readiness};
use tracing::{info, level_filters::LevelFilter, warn};

type Done = Result<(), Box<dyn Error>>;

/// What is taken up before the fork and before the first thread.
struct Process {
    place: PathBuf,
    manager: Manager,
    log: log::Handle,
    blocked: Blocked,
}

fn main() -> Done {
    let mut arguments = std::env::args().skip(1);
    let place = std::path::absolute(arguments.next().ok_or("usage: minimal DIRECTORY [--foreground]")?)?;
    let foreground = arguments.next().is_some_and(|argument| argument == "--foreground");
    let (manager, log) = (Manager::of_environment()?, log::install(LevelFilter::INFO)?);
    let process = Process { place, manager, log, blocked: signals::block_all()? };
    if foreground {
        return process.live(&Target::Stderr(Style::for_people()), &Readiness::unheard());
    }
    let keep = process.manager.descriptor().into_iter().collect();
    let (directory, patience) = (PathBuf::from("/"), Duration::from_secs(10));
    let background =
        Background { umask: 0o077, directory, output: Output::Null, keep, patience, since: Instant::now() };
    match background.detach(&process.blocked)? {
        Detached::Started { .. } => Ok(()),
        Detached::Daemon(ready) => {
            let file = process.place.join("log");
            let target = Target::File { path: file, mode: 0o600, style: Style::Text, standard: true };
            // Whoever started it says why there is no daemon.
            process.live(&target, &ready).inspect_err(|error| ready.failed(1, &error.to_string()))
        }
    }
}

impl Process {
    /// Tells the service manager why it has failed, if it has.
    fn live(&self, target: &Target, ready: &Readiness) -> Done {
        self.serve(target, ready).inspect_err(|error| self.manager.failed(&error.to_string(), None))
    }

    /// From the lock to its release.
    fn serve(&self, target: &Target, ready: &Readiness) -> Done {
        let Self { place, manager, log, blocked } = self;
        directory::prepare(place, Access::Private)?;
        let since = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
        let mut lock = Lock::acquire(place, env!("CARGO_PKG_VERSION"), since)?;
        log.open(target)?;
        let mut life = Lifecycle::new();
        manager.follow(&mut life);
        life.take(Event::Start)?;
        let health = Registry::new();
        let file = place.join("greeting");
        let mut greeting = read(&file)?;
        health.register("greeting", Duration::from_secs(1), {
            let file = file.clone();
            move || match read(&file) {
                Ok(greeting) => Finding::healthy(format!("there is one: {greeting}")),
                Err(error) => Finding::degraded(error.to_string(), "write one into the file"),
            }
        });
        let source = Source::new(blocked)?;
        life.take(Event::Ready)?;
        lock.set_phase(Phase::Running)?;
        ready.ready();
        info!(greeting, "ready");
        // A watchdog is fed at half of its time, by the thread that does the work.
        let pause = manager.watchdog().map_or(Duration::from_secs(3600), |time| time / 2);
        loop {
            match source.wait(pause)? {
                Some(Signal::Reload) => {
                    life.take(Event::Reload)?;
                    log.reopen()?;
                    match read(&file) {
                        Ok(new) => greeting = new,
                        Err(error) => warn!(%error, greeting, "not reloaded; the old one stays in force"),
                    }
                    life.take(Event::Reloaded)?;
                    info!(greeting, "in force");
                }
                Some(Signal::Dump) => {
                    let report = health.run();
                    report.checks.iter().for_each(|check| info!(check.name, says = check.finding.says, "checked"));
                    info!(health = %report.level(), "as it stands");
                }
                Some(Signal::Terminate | Signal::Interrupt) => break,
                Some(Signal::Upgrade) | None => {}
            }
            manager.alive();
        }
        life.take(Event::Drain)?;
        life.take(Event::Stop)?;
        lock.release()?;
        life.take(Event::Ended)?;
        info!("stopped");
        Ok(())
    }
}

/// The configuration: a file of one line that says something.
fn read(file: &Path) -> Result<String, Box<dyn Error>> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "hello".to_owned(),
        text => text?,
    };
    let line = text.trim();
    if line.is_empty() { Err(format!("{} says nothing", file.display()).into()) } else { Ok(line.to_owned()) }
}
