//! Paths and queries.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::Failure;
use crate::engine::Caller;
use crate::task::{QueueName, TaskId};

/// A query, read strictly: unknown names and wrong values are refused in words.
pub(super) struct Params<Q>(pub(super) Q);

impl<S: Sync, Q: DeserializeOwned> FromRequestParts<S> for Params<Q> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::<Q>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => {
                let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                Err(Failure::malformed(format!("the query is not as expected: {cause}")))
            }
        }
    }
}

/// The caller of this connection.
pub(super) struct By(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(Self(*caller)),
            None => Err(Failure::new(403, "stranger", "Forbidden", "the kernel did not tell who calls")),
        }
    }
}

/// A task's ID in a path.
pub(super) fn task_id(text: &str) -> Result<TaskId, Failure> {
    match TaskId::from_str(text) {
        Ok(id) if id.0 > 0 => Ok(id),
        Ok(_) | Err(_) => Err(Failure::malformed(format!("{text:?} is not a task's ID: a positive number"))),
    }
}

/// A queue's name in a path.
pub(super) fn queue_name(text: &str) -> Result<QueueName, Failure> {
    text.parse().map_err(|error: crate::task::NameError| Failure::malformed(error.to_string()))
}
