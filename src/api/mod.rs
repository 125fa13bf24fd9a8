//! The daemon's face: HTTP/1.1 with JSON over a Unix socket.
//!
//! [`spawn`] serves a listener on a thread of its own; every request becomes a [`crate::engine::Command`], and
//! every refusal an RFC 9457 problem. [`Hub`] carries events from the engine to those who follow or wait.
//! Who calls is read from the kernel.
//!
//! It must not know the store's tables, the executor, configuration files or processes.

mod answer;
mod body;
mod connection;
mod context;
mod documents;
mod door;
mod examine;
mod growth;
mod hub;
mod loopback;
mod metrics;
mod openapi;
mod params;
mod peer;
mod routes;
mod serve;
mod settings;
mod stream;

pub use context::{About, Reload, ReloadFailure, ReloadTo, Services, Upgrade, UpgradeFailure, UpgradeTo};
pub use door::Door;
pub use hub::Hub;
pub use openapi::document as openapi_document;
pub use serve::{Listeners, Serving, spawn};
pub use settings::{Settings, Terms, TermsInForce};

pub use crate::wire::api::TaskDefaults;
