//! Asking the service manager for patience while something takes long.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Manager;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(5);
/// For how long each time.
const BY: Duration = Duration::from_secs(20);

/// Keeps the service manager from giving the daemon up, until dropped or until `most` has passed.
#[derive(Debug)]
pub struct Extension {
    /// Its end is the end of the thread.
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Extension {
    /// Asks at once, and again and again for `most` at most: EXTEND_TIMEOUT_USEC=, sd_notify(3). Where there is no
    /// manager, there is no thread either.
    #[must_use]
    pub fn begin(manager: &Manager, most: Duration) -> Self {
        if !manager.is_present() {
            return Self { over: None, thread: None };
        }
        manager.extend(BY.min(most));
        let (over, ended) = channel::<()>();
        let manager = manager.clone();
        let deadline = Instant::now() + most;
        let thread = thread::Builder::new().name("patience".into()).spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                manager.extend(BY.min(left));
            }
        });
        // Without the thread there is less patience, and nothing worse.
        Self { over: Some(over), thread: thread.ok() }
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        self.over = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell, not even of a panic.
            let _ = thread.join();
        }
    }
}
