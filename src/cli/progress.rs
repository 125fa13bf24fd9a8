//! How far a wait for many tasks is, drawn on standard error for people.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_secs(1);

/// A bar on standard error, for people who wait for many tasks.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar, or none where nobody would see it.
    pub(super) fn new(visible: bool) -> Self {
        if !visible {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is a constant; were it wrong, the usual one would do.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} tasks, {elapsed}{msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows how far it is.
    pub(super) fn show(&self, all: usize, ended: usize, failed: usize) {
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        if all == 0 {
            return;
        }
        if self.0.length() != Some(all) {
            self.0.set_length(all);
            self.0.enable_steady_tick(TICK);
        }
        self.0.set_position(ended.try_into().unwrap_or(u64::MAX));
        if failed > 0 {
            self.0.set_message(format!(", {failed} not succeeded"));
        }
    }

    /// Lets something be printed without tearing the bar.
    pub(super) fn beside(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
