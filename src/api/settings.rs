//! The API's own section of the configuration.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::wire::api::TaskDefaults;

/// What the API holds to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a client may take for the head of a request, and stay idle between two.
    pub header_timeout: Duration,
    /// How long a body may take beyond one second per MiB, and the engine for an answer.
    pub request_timeout: Duration,
    /// Bytes of large bodies in memory at once, over all connections.
    pub max_bodies: usize,
    /// Connections at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Connections of one user at once, root and the service's user aside; further ones are told 503.
    pub max_connections_per_user: usize,
    /// Tasks of one request.
    pub max_batch: usize,
    /// Tasks of one page.
    pub max_page: usize,
    /// Users outside this group are told 403, root and the service's user aside; `None` leaves it to the
    /// socket's mode.
    pub allowed_gid: Option<u32>,
    /// How long requests may take to end once the API is to stop.
    pub stop_patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            max_bodies: 128 << 20,
            max_connections: 2_048,
            max_connections_per_user: 1_024,
            max_batch: 10_000,
            max_page: 1_000,
            allowed_gid: None,
            stop_patience: Duration::from_secs(2),
        }
    }
}

/// What requests for new tasks are held to; unlike [`Settings`], it changes while the API serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What tasks have where nobody says otherwise.
    pub defaults: TaskDefaults,
    /// The longest body, in bytes.
    pub max_body: usize,
    /// The longest standard input of a task, in bytes.
    pub max_stdin: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self { defaults: TaskDefaults::default(), max_body: 32 << 20, max_stdin: 16 << 20 }
    }
}

/// The terms that are in force; all clones are the same.
#[derive(Debug, Clone)]
pub struct TermsInForce(Arc<RwLock<Arc<Terms>>>);

impl TermsInForce {
    pub(super) fn new(terms: Terms) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(terms))))
    }

    /// Those of now.
    pub(super) fn get(&self) -> Arc<Terms> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Holds requests to these from now on.
    pub fn set(&self, terms: Terms) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
    }
}
