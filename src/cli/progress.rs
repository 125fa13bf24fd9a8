//! How far a wait for many tasks is, drawn on standard error for people.
//!
//! Drawn by hand: a crate for it brings the mathematical library along, which then is loaded at each start of the program.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::human;
use super::output;

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_secs(1);

/// The least time between two drawings: nobody reads faster.
const PACE: Duration = Duration::from_millis(50);

/// How many columns the bar takes.
const BAR: usize = 30;

/// A line on standard error, for people who wait for many tasks.
pub(super) struct Progress(Option<Arc<Line>>);

struct Line {
    state: Mutex<State>,
    over: Condvar,
    width: usize,
    began: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    all: usize,
    ended: usize,
    failed: usize,
    /// When it was drawn last, and how many columns that took.
    drawn: Option<(Instant, usize)>,
    is_over: bool,
}

impl Progress {
    /// A line shorter than so many columns, or none where nobody would see it.
    pub(super) fn new(width: Option<u16>) -> Self {
        let began = Instant::now();
        let line = |width: u16| Line { state: Mutex::default(), over: Condvar::new(), width: width.into(), began };
        Self(width.map(line).map(Arc::new))
    }

    /// Shows how far it is.
    pub(super) fn show(&self, all: usize, ended: usize, failed: usize) {
        let Some(line) = self.0.as_ref().filter(|_| all > 0) else { return };
        let mut state = line.state();
        let is_first = state.all == 0;
        (state.all, state.ended, state.failed) = (all, ended, failed);
        if state.drawn.is_none_or(|(at, _)| at.elapsed() >= PACE) {
            line.draw(&mut state);
        }
        drop(state);
        if is_first {
            let line = Arc::clone(line);
            // Without a thread for it the time is drawn when something ends.
            let _ = thread::Builder::new().spawn(move || line.tick());
        }
    }

    /// Lets something be printed without tearing the line.
    pub(super) fn beside(&self, print: impl FnOnce()) {
        let Some(line) = &self.0 else { return print() };
        let mut state = line.state();
        clear(&mut state);
        print();
        if state.all > 0 {
            line.draw(&mut state);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            let mut state = line.state();
            state.is_over = true;
            clear(&mut state);
            line.over.notify_all();
        }
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the time anew, until it is over.
    fn tick(&self) {
        let mut state = self.state();
        while !state.is_over {
            state = self.over.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
            if !state.is_over {
                self.draw(&mut state);
            }
        }
    }

    fn draw(&self, state: &mut State) {
        // The last column stays free: a full line makes some terminals begin the next one.
        let text: String = text(*state, self.began.elapsed()).chars().take(self.width.saturating_sub(1)).collect();
        let columns = text.chars().count();
        let before = state.drawn.map_or(0, |(_, columns)| columns);
        output::draw(&format!("\r{text}{}", " ".repeat(before.saturating_sub(columns))));
        state.drawn = Some((Instant::now(), columns));
    }
}

fn clear(state: &mut State) {
    if let Some((_, columns)) = state.drawn.take() {
        output::draw(&format!("\r{}\r", " ".repeat(columns)));
    }
}

fn text(state: State, elapsed: Duration) -> String {
    let State { all, ended, failed, .. } = state;
    let full = (ended.saturating_mul(BAR) / all.max(1)).min(BAR);
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR - full));
    let failed = if failed > 0 { format!(", {failed} not succeeded") } else { String::new() };
    let elapsed = human::span(Duration::from_secs(elapsed.as_secs()));
    format!("{bar} {ended} of {all} tasks, {elapsed}{failed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_many_have_ended_and_how_many_of_them_badly() {
        let text =
            |all, ended, failed| text(State { all, ended, failed, ..State::default() }, Duration::from_millis(61_500));
        assert_eq!(text(4, 0, 0), format!("{} 0 of 4 tasks, 1m01s", "░".repeat(30)));
        assert_eq!(text(4, 2, 1), format!("{}{} 2 of 4 tasks, 1m01s, 1 not succeeded", "█".repeat(15), "░".repeat(15)));
        assert_eq!(text(4, 4, 0), format!("{} 4 of 4 tasks, 1m01s", "█".repeat(30)));
    }
}
