//! A runner on a temporary directory, and a daemon's link to it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use taskdaemon::executor::{
    Cause, Connect, ConnectError, End, Executor, ExitStatus, Outputs, Report, RunnerLink, Start,
};
use taskdaemon::sys::socket;
use taskdaemon::task::{AttemptKey, Bytes, Limits, OnInterrupt, Retry, Signal, Spec, Stop, TaskId};
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Host {
    pub(crate) directory: TempDir,
    pub(crate) runner: Child,
}

impl Host {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runner = start_runner(&directory.path().join("runner.sock"));
        Self { directory, runner }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("runner.sock")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A daemon, linked.
    pub(crate) fn daemon(&self) -> Daemon {
        let mut daemon = self.unlinked_daemon();
        daemon.link();
        daemon
    }

    /// A daemon that has not heard of a runner yet.
    pub(crate) fn unlinked_daemon(&self) -> Daemon {
        self.daemon_of(&self.instance())
    }

    /// One of another state directory.
    pub(crate) fn foreign_daemon(&self) -> Daemon {
        self.daemon_of("another")
    }

    fn daemon_of(&self, instance: &str) -> Daemon {
        Daemon::new(self.directory.path(), instance, Box::new(Dial(self.socket())))
    }

    /// Unlike any other test's.
    pub(crate) fn instance(&self) -> String {
        self.directory.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    /// Kills the runner as a bug or the kernel would, and starts another.
    pub(crate) fn replace_runner(&mut self) {
        self.runner.kill().unwrap();
        self.runner.wait().unwrap();
        fs::remove_file(self.socket()).unwrap();
        self.runner = start_runner(&self.socket());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.runner.kill();
        let _ = self.runner.wait();
    }
}

fn start_runner(socket: &Path) -> Child {
    let listener: OwnedFd = socket::listen(socket).unwrap();
    let program = env!("CARGO_BIN_EXE_taskdaemon");
    Command::new(program).arg("runner").stdin(Stdio::from(listener)).spawn().unwrap()
}

struct Dial(PathBuf);

impl Connect for Dial {
    fn connect(&mut self) -> Result<OwnedFd, ConnectError> {
        socket::connect(&self.0).map_err(|source| ConnectError::Connect { path: self.0.clone(), source })
    }
}

pub(crate) struct Daemon {
    pub(crate) link: RunnerLink,
    pub(crate) reports: Receiver<Report>,
    state: PathBuf,
}

/// What a link begins with.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) runner: String,
    pub(crate) boot: String,
    pub(crate) known: Vec<AttemptKey>,
}

impl Daemon {
    pub(crate) fn new(state: &Path, instance: &str, connect: Box<dyn Connect>) -> Self {
        let (sender, reports) = mpsc::channel();
        let sink = Box::new(move |report| drop(sender.send(report)));
        let link = RunnerLink::new(instance, Outputs::new(state), connect, sink).unwrap();
        Self { link, reports, state: state.to_owned() }
    }

    /// Waits until a runner answers.
    pub(crate) fn link(&mut self) -> Greeting {
        let greeting = self.wait("a runner", |report| match report {
            Report::Linked { runner, boot, known, .. } => Some(Greeting { runner, boot, known }),
            Report::Lost { .. }
            | Report::Started { .. }
            | Report::Ended { .. }
            | Report::Recalled { .. }
            | Report::Holds(_)
            | Report::Swept { .. } => None,
        });
        self.link.adopt();
        greeting
    }

    /// Waits for the first report that `pick` takes.
    pub(crate) fn wait<T>(&self, what: &str, mut pick: impl FnMut(Report) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let report = self.reports.recv_timeout(left).unwrap_or_else(|_| panic!("no {what}"));
            if let Some(found) = pick(report) {
                return found;
            }
        }
    }

    pub(crate) fn end_of(&self, wanted: AttemptKey) -> End {
        self.wait("end", |report| match report {
            Report::Ended { key, end, .. } if key == wanted => Some(end),
            _ => None,
        })
    }

    /// Waits for the start; returns the process with its start time.
    pub(crate) fn start_of(&self, wanted: AttemptKey) -> (i32, u64) {
        self.wait("start", |report| match report {
            Report::Started { key, pid, pid_start, .. } if key == wanted => Some((pid, pid_start)),
            Report::Ended { key, end, .. } if key == wanted => panic!("{end:?}"),
            _ => None,
        })
    }

    pub(crate) fn start(&mut self, task: i64, spec: Spec) -> AttemptKey {
        let key = key(task);
        self.link.start(Start { key, spec, stdin: None });
        key
    }

    /// Runs a script to its end.
    pub(crate) fn run(&mut self, task: i64, script: &str) -> End {
        let key = self.start(task, sh(script));
        let end = self.end_of(key);
        self.link.acknowledge(&[key]);
        self.link.flush();
        end
    }

    pub(crate) fn output(&self, key: AttemptKey) -> Vec<u8> {
        let path = self.state.join(format!("output/{}/{key}", key.task.0 / 1000));
        fs::read(path).unwrap()
    }

    pub(crate) fn text(&self, key: AttemptKey) -> String {
        String::from_utf8(self.output(key)).unwrap()
    }

    /// Waits until an attempt has written `text`.
    pub(crate) fn await_output(&self, key: AttemptKey, text: &str) {
        eventually("output", || self.text(key).contains(text));
    }

    pub(crate) fn stop(&mut self, key: AttemptKey, grace_ms: u64) {
        self.link.stop(key, Stop { signal: Signal::TERM, grace_ms });
    }
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn key(task: i64) -> AttemptKey {
    AttemptKey { task: TaskId(task), attempt: 1 }
}

pub(crate) fn spec(argv: &[&str]) -> Spec {
    Spec {
        argv: argv.iter().map(|text| Bytes::from(*text)).collect(),
        directory: Bytes::from("/"),
        environment: vec![(Bytes::from("PATH"), Bytes::from("/usr/local/bin:/usr/bin:/bin"))],
        umask: 0o022,
        timeout_ms: None,
        stop: Stop { signal: Signal::TERM, grace_ms: 5_000 },
        retry: Retry::default(),
        on_interrupt: OnInterrupt::default(),
        limits: Limits::default(),
        nice: 0,
        output_cap_bytes: 1 << 20,
    }
}

pub(crate) fn sh(script: &str) -> Spec {
    spec(&["sh", "-c", script])
}

pub(crate) fn assert_ended(end: &End, status: ExitStatus, cause: Cause) {
    assert_eq!((&end.status, end.cause), (&status, cause), "{end:?}");
}

/// Whether a process is there and has not ended.
pub(crate) fn alive(pid: i32) -> bool {
    taskdaemon::sys::procfs::process(pid).is_ok_and(|process| !process.zombie)
}
