//! The door: it shows that the API moves, and closes while nobody is inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the thread that serves is asked between two connections.
enum Ask {
    Sign(Box<dyn FnOnce() + Send>),
    Close(Box<dyn FnOnce(bool) + Send>),
    Open,
}

/// The way in, from outside; cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    asks: UnboundedSender<Ask>,
    visits: Arc<AtomicU64>,
}

/// The same from inside.
pub(super) struct Doorkeeper {
    asks: UnboundedReceiver<Ask>,
    visits: Arc<AtomicU64>,
    inside: Arc<()>,
    open: bool,
}

impl Door {
    pub(super) fn new() -> (Self, Doorkeeper) {
        let (sender, asks) = unbounded_channel();
        let visits = Arc::new(AtomicU64::new(0));
        let keeper = Doorkeeper { asks, visits: Arc::clone(&visits), inside: Arc::new(()), open: true };
        (Self { asks: sender, visits }, keeper)
    }

    /// Calls `alive` on the thread that serves, between two connections, as soon as it gets to it.
    pub fn prove(&self, alive: Box<dyn FnOnce() + Send>) {
        self.ask(Ask::Sign(alive));
    }

    /// Lets nobody in any more, if nobody is inside: whoever comes waits in the kernel's queue, for whoever listens
    /// next. `then` is told on the thread that serves whether it is so.
    pub fn close(&self, then: Box<dyn FnOnce(bool) + Send>) {
        self.ask(Ask::Close(then));
    }

    /// Lets clients in again, those first that have come meanwhile.
    pub fn open(&self) {
        self.ask(Ask::Open);
    }

    /// How many clients have ever been let in.
    #[must_use]
    pub fn visits(&self) -> u64 {
        self.visits.load(Ordering::Relaxed)
    }

    fn ask(&self, ask: Ask) {
        // A thread that has ended says nothing and lets nobody in; its end is told elsewhere.
        let _ = self.asks.send(ask);
    }
}

impl Doorkeeper {
    /// Answers the next question.
    pub(super) async fn answer(&mut self) {
        match self.asks.recv().await {
            Some(Ask::Sign(alive)) => alive(),
            Some(Ask::Close(then)) => {
                self.open = Arc::strong_count(&self.inside) > 1;
                then(!self.open);
            }
            Some(Ask::Open) => self.open = true,
            None => std::future::pending().await,
        }
    }

    /// Whether clients are let in.
    pub(super) fn lets_in(&self) -> bool {
        self.open
    }

    /// Lets one in, who is inside until what is returned is dropped.
    pub(super) fn visit(&self) -> Arc<()> {
        self.visits.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.inside)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn it_closes_only_while_nobody_is_inside() {
        let (door, mut keeper) = Door::new();
        let (tell, told) = channel();
        let close = || {
            let tell = tell.clone();
            door.close(Box::new(move |closed| tell.send(closed).unwrap()));
        };
        let visit = keeper.visit();
        close();
        keeper.answer().await;
        assert_eq!((told.recv(), keeper.lets_in()), (Ok(false), true));
        drop(visit);
        close();
        keeper.answer().await;
        assert_eq!((told.recv(), keeper.lets_in(), door.visits()), (Ok(true), false, 1));
        door.open();
        keeper.answer().await;
        assert!(keeper.lets_in());
    }

    #[tokio::test]
    async fn a_sign_is_given_by_the_one_who_serves() {
        let (door, mut keeper) = Door::new();
        let (tell, told) = channel();
        door.prove(Box::new(move || tell.send(()).unwrap()));
        assert!(told.try_recv().is_err());
        keeper.answer().await;
        told.try_recv().unwrap();
    }
}
