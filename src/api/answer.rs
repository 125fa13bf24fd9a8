//! From results to HTTP.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::engine::{Refusal, Reply, StoreError};
use crate::wire::api::{Fault, Problem};

/// A problem on its way out.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Box<Problem>);

impl Failure {
    pub(super) fn new(status: u16, word: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status, word, title, detail)))
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", "Malformed request", detail)
    }

    pub(super) fn fault(fault: Fault, task: Option<usize>) -> Self {
        let mut failure = Self::new(422, "invalid-task", "Invalid task", fault.what);
        failure.0.field = fault.field.map(str::to_owned);
        failure.0.task = task;
        failure
    }

    /// The engine answered something else than it was asked.
    pub(super) fn unexpected(reply: &Reply) -> Self {
        tracing::error!(?reply, "the engine answered something else than it was asked");
        Self::new(500, "internal", "Internal error", "the engine answered something else than it was asked")
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, word, title) = kind(&refusal);
        if status == 500 {
            tracing::error!(error = &refusal as &dyn std::error::Error, "request failed");
        }
        let mut failure = Self::new(status, word, title, refusal.to_string());
        failure.0.id = match &refusal {
            Refusal::NoTask(id) | Refusal::NoDependency(id) => Some(*id),
            Refusal::NoAttempt { task, .. }
            | Refusal::NoOutput { task, .. }
            | Refusal::NotNow { task, .. }
            | Refusal::KeyTaken { task, .. } => Some(*task),
            _ => None,
        };
        let mut cause = std::error::Error::source(&refusal);
        while let Some(error) = cause {
            failure.0.causes.push(error.to_string());
            cause = error.source();
        }
        failure
    }
}

fn kind(refusal: &Refusal) -> (u16, &'static str, &'static str) {
    match refusal {
        Refusal::NoTask(_) => (404, "no-task", "No such task"),
        Refusal::NoAttempt { .. } => (404, "no-attempt", "No such attempt"),
        Refusal::NoOutput { .. } => (404, "no-output", "No output"),
        Refusal::NoQueue { .. } => (404, "no-queue", "No such queue"),
        Refusal::NoSchedule(_) => (404, "no-schedule", "No such schedule"),
        Refusal::ScheduleName(_) => (422, "invalid-schedule", "Invalid schedule"),
        Refusal::KeyTaken { .. } => (409, "key-taken", "Key taken"),
        Refusal::ScheduleExists(_) => (409, "schedule-exists", "Schedule exists"),
        Refusal::Calendar { .. } => (422, "invalid-calendar", "Invalid calendar expression"),
        Refusal::Interval => (422, "invalid-schedule", "Invalid schedule"),
        Refusal::NoDependency(_) => (422, "no-dependency", "No such dependency"),
        Refusal::Forbidden(_) => (403, "forbidden", "Forbidden"),
        Refusal::NotNow { .. } => (409, "not-now", "Not in this state"),
        Refusal::QueueFull { .. } => (429, "queue-full", "Queue full"),
        Refusal::Reserved(_) => (422, "queue-reserved", "Queue reserved"),
        Refusal::QueueDraining(_) => (409, "queue-draining", "Queue draining"),
        Refusal::QueueNeeded { .. } => (409, "queue-needed", "Queue needed"),
        Refusal::TooManySlots { .. } => (422, "invalid-task", "Invalid task"),
        Refusal::TooManyTasks(_) => (429, "too-many-tasks", "Too many tasks"),
        Refusal::DiskFull { .. } | Refusal::Store(StoreError::Full { .. }) => (507, "disk-full", "Disk full"),
        Refusal::Stopping => (503, "stopping", "Stopping"),
        Refusal::Gone => (503, "gone", "Engine gone"),
        Refusal::Store(
            StoreError::Damaged { .. }
            | StoreError::Newer { .. }
            | StoreError::InUse { .. }
            | StoreError::File { .. }
            | StoreError::Database { .. },
        ) => (500, "store", "Store failed"),
        Refusal::Spec(_) => (422, "invalid-task", "Invalid task"),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        // The body is written last, when the path that was asked is at hand.
        response.extensions_mut().insert(*self.0);
        response
    }
}

/// The mark of an answer that says everything by itself, whatever its status.
#[derive(Debug, Clone, Copy)]
struct Whole;

/// A JSON answer that is no problem document though its status may be that of an error.
pub(super) fn whole(status: StatusCode, document: &impl Serialize) -> Response {
    let mut response = json(status, document);
    response.extensions_mut().insert(Whole);
    response
}

/// Gives an error its problem document, whoever made it.
pub(super) fn finish(mut response: Response, path: &str) -> Response {
    let status = response.status();
    if response.extensions_mut().remove::<Whole>().is_some() {
        return response;
    }
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.unwrap_or_else(|| plain(status.as_u16(), path));
    let problem = Problem { instance: Some(path.to_owned()), ..problem };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(parts, Body::from(bytes(&problem)))
}

/// The problem for a status that comes without words of its own.
pub(super) fn plain(status: u16, path: &str) -> Problem {
    match status {
        404 => {
            Problem::new(404, "no-route", "Not found", format!("there is nothing at {path}; GET / lists what there is"))
        }
        405 => {
            Problem::new(405, "no-method", "Method not allowed", format!("{path} does not take this method; see Allow"))
        }
        408 => Problem::new(408, "too-slow", "Request timeout", "the request took too long to arrive"),
        413 => Problem::new(413, "too-large", "Content too large", "the body is too large"),
        414 => Problem::new(414, "too-long", "URI too long", "the path and query are too long"),
        431 => Problem::new(431, "head-too-large", "Header fields too large", "the head of the request is too large"),
        500.. => Problem::new(status, "internal", "Internal error", "the request failed; the daemon's log says why"),
        _ => Problem::new(status, "malformed", "Malformed request", "this is not a request of HTTP/1.1"),
    }
}

/// A document as bytes.
pub(super) fn bytes(document: &impl Serialize) -> Vec<u8> {
    // Documents have string keys only, so that writing one cannot fail.
    serde_json::to_vec(document).unwrap_or_default()
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    typed(status, "application/json", Body::from(Bytes::from(bytes(document))))
}

/// An answer of that media type.
pub(super) fn typed(status: StatusCode, media_type: &'static str, body: Body) -> Response {
    let headers: [(HeaderName, HeaderValue); 1] = [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))];
    (status, headers, body).into_response()
}
