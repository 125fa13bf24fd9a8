//! What is asked and answered at once.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::events::Events;
use super::follow::Patience;
use super::http::Connection;
use super::output::{Output, OutputRequest};
use super::target::{ListRequest, Target, escaped};
use super::wait::Waiting;
use super::{ClientError, Result};
use crate::task::{QueueName, TaskId};
use crate::wire::api::{
    Accepted, ActRequest, Done, EventsPage, HealthDocument, PruneRequest, QueueDocument, QueueRequest, QueuesPage,
    ReloadDocument, ScheduleDocument, ScheduleRequest, SchedulesPage, StatusDocument, SubmitRequest, TaskDetail,
    TasksPage, UpgradeDocument, UpgradeRequest, Verb, WaitRequest,
};

/// How long an answer may take unless [`Client::set_timeout`] says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// After this long a kept connection may have been closed by the daemon, and a new one is made.
const IDLE: Duration = Duration::from_secs(2);
/// How often the same is asked where the daemon ends each connection before it has taken the request.
const MOST_ASKED: u32 = 5;

/// A way to the daemon behind one socket.
///
/// # Errors
/// Every method fails with a [`ClientError`]: [`ClientError::Problem`] where the daemon refused, else where
/// there was no answer.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    timeout: Option<Duration>,
    kept: Option<(Connection, Instant)>,
}

impl Client {
    /// Connects to the daemon's socket.
    pub fn connect(path: &Path) -> Result<Self> {
        Self::connect_within(path, TIMEOUT)
    }

    /// The same where neither the connection nor an answer may take longer than this.
    pub fn connect_within(path: &Path, timeout: Duration) -> Result<Self> {
        let connection = Connection::open(path, Some(timeout))?;
        Ok(Self { path: path.to_owned(), timeout: Some(timeout), kept: Some((connection, Instant::now())) })
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets how long an answer may take; `None` is without limit. Streams have a [`Patience`] of their own.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Asks anything, `target` being a path with its query; the answer's body is read as it comes.
    pub fn raw(&mut self, method: &str, target: &str, body: Option<&[u8]>) -> Result<Answer> {
        let connection = self.take_kept().map_or_else(|| Connection::open(&self.path, self.timeout), Ok)?;
        connection.ask(method, target, body, self.timeout)
    }

    /// The connection of the last answer, where it is not too old.
    fn take_kept(&mut self) -> Option<Connection> {
        let (connection, used) = self.kept.take()?;
        (used.elapsed() < IDLE).then_some(connection)
    }

    /// Asks, and reads a document.
    pub(super) fn document<D: DeserializeOwned>(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<D> {
        let mut asked = 1;
        let answer = loop {
            match self.raw(method, target, body)?.check() {
                Err(error) if error.was_not_taken() && asked < MOST_ASKED => asked += 1,
                answer => break answer?,
            }
        };
        self.read(answer)
    }

    /// Reads a document, and keeps the connection.
    fn read<D: DeserializeOwned>(&mut self, answer: Answer) -> Result<D> {
        let (body, connection) = answer.finish()?;
        self.kept = connection.map(|connection| (connection, Instant::now()));
        serde_json::from_slice(&body).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    fn send<D: DeserializeOwned>(&mut self, method: &str, target: &str, request: &impl Serialize) -> Result<D> {
        let body = serde_json::to_vec(request).map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.document(method, target, Some(&body))
    }

    /// Submits tasks: all are accepted, or none.
    pub fn submit(&mut self, request: &SubmitRequest) -> Result<Accepted> {
        self.send("POST", "/v1/tasks", request)
    }

    /// One page of tasks.
    pub fn list(&mut self, request: &ListRequest) -> Result<TasksPage> {
        self.document("GET", &request.target(), None)
    }

    /// One task; `values` asks for the values of its environment too, except those that look like secrets.
    pub fn show(&mut self, id: TaskId, values: bool) -> Result<TaskDetail> {
        let target = Target::new(format!("/v1/tasks/{id}")).with("environment", values.then_some("values"));
        self.document("GET", &target.into_text(), None)
    }

    /// Does something to tasks.
    pub fn act(&mut self, verb: Verb, request: &ActRequest) -> Result<Done> {
        self.send("POST", &format!("/v1/actions/{}", verb.as_str()), request)
    }

    /// Removes ended tasks.
    pub fn prune(&mut self, request: &PruneRequest) -> Result<Done> {
        self.send("POST", "/v1/prune", request)
    }

    /// Every queue.
    pub fn queues(&mut self) -> Result<QueuesPage> {
        self.document("GET", "/v1/queues", None)
    }

    /// Adds a queue, or sets its limits.
    pub fn set_queue(&mut self, name: &QueueName, limits: &QueueRequest) -> Result<QueueDocument> {
        self.send("PUT", &format!("/v1/queues/{name}"), limits)
    }

    /// Removes a queue, or takes a configured one back to its configuration: what it is then.
    pub fn remove_queue(&mut self, name: &QueueName) -> Result<QueuesPage> {
        self.document("DELETE", &format!("/v1/queues/{name}"), None)
    }

    /// Keeps a queue from starting tasks.
    pub fn pause_queue(&mut self, name: &QueueName) -> Result<QueueDocument> {
        self.document("POST", &format!("/v1/queues/{name}/pause"), None)
    }

    /// Lets a queue work again.
    pub fn resume_queue(&mut self, name: &QueueName) -> Result<QueueDocument> {
        self.document("POST", &format!("/v1/queues/{name}/resume"), None)
    }

    /// Lets what runs in a queue end; it takes nothing in.
    pub fn drain_queue(&mut self, name: &QueueName) -> Result<QueueDocument> {
        self.document("POST", &format!("/v1/queues/{name}/drain"), None)
    }

    /// Recurring tasks.
    pub fn schedules(&mut self) -> Result<SchedulesPage> {
        self.document("GET", "/v1/schedules", None)
    }

    /// Adds a recurring task.
    pub fn add_schedule(&mut self, request: &ScheduleRequest) -> Result<ScheduleDocument> {
        self.send("POST", "/v1/schedules", request)
    }

    /// Removes a recurring task, of `owner` where that is another user.
    pub fn remove_schedule(&mut self, name: &str, owner: Option<u32>) -> Result<SchedulesPage> {
        self.document("DELETE", &schedule(name, "", owner), None)
    }

    /// Pauses a recurring task, of `owner` where that is another user.
    pub fn pause_schedule(&mut self, name: &str, owner: Option<u32>) -> Result<ScheduleDocument> {
        self.document("POST", &schedule(name, "/pause", owner), None)
    }

    /// Lets a recurring task go on, of `owner` where that is another user.
    pub fn resume_schedule(&mut self, name: &str, owner: Option<u32>) -> Result<ScheduleDocument> {
        self.document("POST", &schedule(name, "/resume", owner), None)
    }

    /// The daemon at a glance.
    pub fn status(&mut self) -> Result<StatusDocument> {
        self.document("GET", "/v1/status", None)
    }

    /// What each of the daemon's checks finds now.
    pub fn health(&mut self) -> Result<HealthDocument> {
        let answer = self.raw("GET", "/health", None)?;
        // An unhealthy daemon answers with the same document, and a status that is no success.
        let is_told = answer.status() == 503 && answer.header("content-type") == Some("application/json");
        let answer = if is_told { answer } else { answer.check()? };
        self.read(answer)
    }

    /// Has the daemon read its configuration anew.
    pub fn reload(&mut self) -> Result<ReloadDocument> {
        self.document("POST", "/v1/reload", None)
    }

    /// Has the daemon become the program at `request`'s path; the answer tells that this has begun, and
    /// [`Client::upgrade_state`] how it goes on.
    pub fn upgrade(&mut self, request: &UpgradeRequest) -> Result<UpgradeDocument> {
        self.send("POST", "/v1/upgrade", request)
    }

    /// How the last upgrade went, or how far it is.
    pub fn upgrade_state(&mut self) -> Result<UpgradeDocument> {
        self.document("GET", "/v1/upgrade", None)
    }

    /// One page of the history after the event `after`.
    pub fn events_page(&mut self, after: i64, task: Option<TaskId>) -> Result<EventsPage> {
        let target = Target::new("/v1/events").with("after", Some(after)).with("task", task);
        self.document("GET", &target.into_text(), None)
    }

    /// What happens from now on, or since the event `after`, without end.
    pub fn events(&self, after: Option<i64>, task: Option<TaskId>, patience: Patience) -> Result<Events> {
        Events::open(self.path.clone(), after, task, patience)
    }

    /// Waits for tasks to end: one line for each, and a last one.
    pub fn wait(&mut self, request: WaitRequest, patience: Patience) -> Result<Waiting> {
        let kept = self.take_kept();
        Waiting::open(self.path.clone(), kept, request, patience)
    }

    /// What an attempt wrote.
    pub fn output(&self, request: OutputRequest, patience: Patience) -> Result<Output> {
        Output::open(self.path.clone(), request, self.timeout, patience)
    }
}

fn schedule(name: &str, action: &str, owner: Option<u32>) -> String {
    Target::new(format!("/v1/schedules/{}{action}", escaped(name))).with("owner", owner).into_text()
}
