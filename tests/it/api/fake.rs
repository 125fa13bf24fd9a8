//! An engine that answers from a table, behind the real API.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use taskdaemon::api::{
    About, Hub, Listeners, ReloadFailure, Services, Serving, Settings, Terms, Upgrade, UpgradeFailure, spawn,
};
use taskdaemon::client::Client;
use taskdaemon::daemon::health::{Finding, Registry};
use taskdaemon::daemon::lifecycle::Lifecycle;
use taskdaemon::daemon::program::Program;
use taskdaemon::engine::{Caller, Command, Handle, Message, Part, Query, Refusal, Reply, RunnerState, Status};
use taskdaemon::task::{Event, EventKind, QueueName, State, TaskId, Timestamp};
use taskdaemon::wire::api::{SandboxDocument, UpgradeDocument};
use tempfile::TempDir;

/// An API on a socket of its own.
pub(super) struct Api {
    pub(super) hub: Hub,
    pub(super) serving: Option<Serving>,
    engine: Handle,
    directory: TempDir,
}

impl Api {
    /// An API whose engine answers so.
    pub(super) fn start(answers: impl FnMut(Caller, Command) -> Result<Reply, Refusal> + Send + 'static) -> Self {
        Self::with(Settings::default(), answers)
    }

    pub(super) fn with(
        settings: Settings,
        mut answers: impl FnMut(Caller, Command) -> Result<Reply, Refusal> + Send + 'static,
    ) -> Self {
        let (engine, inbox) = Handle::new();
        std::thread::spawn(move || {
            while let Ok(Message::Command(envelope)) = inbox.recv() {
                (envelope.reply)(answers(envelope.caller, envelope.command));
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let mut api = Self { hub: Hub::new(), serving: None, engine, directory };
        api.serve(settings);
        api
    }

    /// Takes no request of more than 1 MiB from now on.
    pub(super) fn take_less(&self) {
        let terms = Terms { max_body: 1 << 20, ..Terms::default() };
        self.serving.as_ref().unwrap().terms().set(terms);
    }

    /// Serves, again where it has stopped.
    pub(super) fn serve(&mut self, settings: Settings) {
        let _ = std::fs::remove_file(self.socket());
        let listener = UnixListener::bind(self.socket()).unwrap();
        let services = Services {
            engine: self.engine.clone(),
            hub: self.hub.clone(),
            health: Registry::new(),
            reload: Arc::new(|answer| answer(Err(ReloadFailure { faults: vec!["config.yml:3:1: no".to_owned()] }))),
            upgrade: Upgrade {
                begin: Arc::new(|_, answer| answer(Err(UpgradeFailure::Unfit("it does not run".to_owned())))),
                look: Arc::new(UpgradeDocument::default),
            },
            state: Lifecycle::new().seen(),
            about: About {
                version: "1.2.3".to_owned(),
                program: Program::of_this_process(std::env::current_exe().unwrap()).unwrap(),
                socket: self.socket().into_os_string().into(),
                started_at: Timestamp(0),
                uid: nix::unistd::geteuid().as_raw(),
                sandbox: SandboxDocument::default(),
            },
            terms: Terms::default(),
        };
        self.serving = Some(spawn(Listeners { control: listener, loopback: None }, settings, services).unwrap());
    }

    pub(super) fn stop(&mut self) {
        self.serving.take().unwrap().stop();
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub(super) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    /// Sends these bytes, and reads all that comes until the daemon closes.
    pub(super) fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        read_all(stream)
    }

    /// Asks on a connection of its own.
    pub(super) fn ask(&self, method: &str, target: &str, body: &str) -> String {
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        self.say(&[head.as_bytes(), body.as_bytes()].concat())
    }
}

pub(super) fn read_all(mut stream: UnixStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// What was answered to a client that never stopped sending: in the end it is cut off, but not before it can read.
pub(super) fn read_until_cut_off(mut stream: UnixStream) -> String {
    let mut text = Vec::new();
    if let Err(error) = stream.read_to_end(&mut text) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8(text).unwrap()
}

/// Answers nothing but submissions, with IDs counting up from 1, and what a client asks on its way.
pub(super) fn counting() -> impl FnMut(Caller, Command) -> Result<Reply, Refusal> + Send + 'static {
    let mut last = 0;
    move |_, command| match command {
        Command::Submit(tasks) => {
            let first = last + 1;
            last += i64::try_from(tasks.len()).unwrap();
            Ok(Reply::Accepted((first..=last).map(|id| (TaskId(id), false)).collect()))
        }
        Command::Read(Query::Status) => Ok(Reply::Status(Box::new(status(0)))),
        Command::Read(Query::States(ids)) => {
            Ok(Reply::States(ids.into_iter().map(|id| (id, State::Running, None)).collect()))
        }
        Command::Read(Query::Show(id)) => Err(Refusal::NoTask(id)),
        other => panic!("unexpected {other:?}"),
    }
}

pub(super) fn status(last_event: i64) -> Status {
    Status {
        findings: vec![(Part::Runner, Finding::degraded("the runner is away", "wait"))],
        counts: [(State::Queued, 3)].into(),
        slots: (1, 4),
        runner: RunnerState::Lost { reason: "it left".to_owned() },
        intake: true,
        stopping: false,
        free_bytes: 5,
        output_bytes: 6,
        since: Timestamp(0),
        last_event,
    }
}

pub(super) fn event(seq: i64, task: i64, kind: EventKind) -> Event {
    let queue = QueueName::default();
    Event { seq, at: Timestamp(seq), task: Some(TaskId(task)), owner: Some(0), queue, kind }
}

pub(super) fn ended(seq: i64, task: i64, state: State) -> Event {
    event(seq, task, EventKind::Ended { attempt: 1, outcome: None, state, due: None, reason: None })
}
