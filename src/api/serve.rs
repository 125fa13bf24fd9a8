//! The API's thread: accepts, serves, and ends in good order.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::connection::{self, Admission};
use super::context::{Context, Services};
use super::door::{Door, Doorkeeper};
use super::{Settings, TermsInForce, loopback, peer, routes};

/// Threads for what would keep the reactor: parsing large bodies, reading long outputs.
const HELPERS: usize = 4;

/// How long the engine may take, when the API is to stop, to answer what it has been asked: a commit may wait for a slow
/// disk.
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);

/// How long those answers may take to be read.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Where clients arrive.
#[derive(Debug)]
pub struct Listeners {
    /// Those who may ask for anything that is theirs.
    pub control: StdListener,
    /// Those who may ask how the daemon is, and nothing else.
    pub loopback: Option<StdTcpListener>,
}

impl Listeners {
    /// The same sockets once more: what arrives goes to whoever accepts first.
    ///
    /// # Errors
    /// Where descriptors run out.
    pub fn try_clone(&self) -> io::Result<Self> {
        let loopback = self.loopback.as_ref().map(StdTcpListener::try_clone).transpose()?;
        Ok(Self { control: self.control.try_clone()?, loopback })
    }
}

/// A running API.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
    door: Door,
    terms: TermsInForce,
    thread: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// The way in, for whoever watches it.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// What requests for new tasks are held to, for whoever changes it.
    #[must_use]
    pub fn terms(&self) -> TermsInForce {
        self.terms.clone()
    }

    /// Whether its thread still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Accepts nothing more, ends streams, lets short requests finish within [`Settings::stop_patience`] and what the
    /// engine was asked as long as that takes, within reason; returns once the thread has ended.
    pub fn stop(self) {
        self.stop.send_replace(true);
        match self.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "the API failed"),
            Err(_) => tracing::error!("the API panicked"),
        }
    }
}

/// Serves those who arrive on a thread of its own.
///
/// # Errors
/// Where the thread or what it needs cannot be had.
pub fn spawn(listeners: Listeners, settings: Settings, services: Services) -> io::Result<Serving> {
    listeners.control.set_nonblocking(true)?;
    if let Some(loopback) = &listeners.loopback {
        loopback.set_nonblocking(true)?;
    }
    let (stop, stopping) = watch::channel(false);
    let (door, keeper) = Door::new();
    let terms = TermsInForce::new(services.terms.clone());
    let context = Context::new(settings, services, terms.clone(), stopping);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(HELPERS)
        .thread_keep_alive(Duration::from_secs(5))
        .thread_name("api-helper")
        .build()?;
    let thread = std::thread::Builder::new().name("api".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let loopback = listeners.loopback.map(TcpListener::from_std).transpose()?;
            let loopback = loopback.map(|port| tokio::spawn(loopback::serve(port, context.clone())));
            serve(UnixListener::from_std(listeners.control)?, keeper, context).await;
            match loopback {
                Some(loopback) => loopback.await.map_err(io::Error::other),
                None => Ok(()),
            }
        })
    })?;
    Ok(Serving { stop, door, terms, thread })
}

async fn serve(listener: UnixListener, mut keeper: Doorkeeper, context: Context) {
    let router = routes::router(context.clone());
    let most = context.settings.max_connections;
    let seats = Arc::new(Semaphore::new(most));
    let users = Users::default();
    loop {
        let (stream, seat) = tokio::select! {
            () = context.stopped() => break,
            () = keeper.answer() => continue,
            accepted = accept(&listener, &seats), if keeper.lets_in() => accepted,
        };
        let visit = keeper.visit();
        let Some((admission, place)) = admit(&stream, &context, &users) else { continue };
        let (router, context) = (router.clone(), context.clone());
        tokio::spawn(async move {
            connection::serve(stream, admission, router, context).await;
            drop((seat, place, visit));
        });
    }
    // Connections that come from now on wait in the kernel's queue for the next daemon, if it inherits the socket.
    drop(listener);
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    if tokio::time::timeout(context.settings.stop_patience, seats.acquire_many(all)).await.is_ok() {
        return;
    }
    // What the engine has been asked is committed, however slow the disk is, and who asked is to hear of it.
    let _ = tokio::time::timeout(ENGINE_PATIENCE, context.answered()).await;
    if tokio::time::timeout(LAST_WORD, seats.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

/// The next connection, once there is a seat for it.
async fn accept(listener: &UnixListener, seats: &Arc<Semaphore>) -> (UnixStream, OwnedSemaphorePermit) {
    loop {
        let seat = Arc::clone(seats).acquire_owned().await;
        match (listener.accept().await, seat) {
            (Ok((stream, _)), Ok(seat)) => return (stream, seat),
            (Err(error), _) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept a connection");
                // Descriptors may have run out; somebody has to close one first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Ok(_), Err(_)) => tokio::task::yield_now().await,
        }
    }
}

fn admit(stream: &UnixStream, context: &Context, users: &Users) -> Option<(Admission, Option<Place>)> {
    let identity = match peer::identify(stream, context.about.uid, context.settings.allowed_gid) {
        Ok(identity) => identity,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "identify a client");
            return None;
        }
    };
    let caller = match identity {
        Ok(caller) => caller,
        Err(stranger) => return Some((Admission::Stranger(stranger), None)),
    };
    if caller.privileged {
        return Some((Admission::Caller(caller), None));
    }
    match users.place(caller.uid, context.settings.max_connections_per_user) {
        Some(place) => Some((Admission::Caller(caller), Some(place))),
        None => Some((Admission::Crowd, None)),
    }
}

/// Connections by user.
#[derive(Debug, Clone, Default)]
struct Users(Arc<Mutex<HashMap<u32, usize>>>);

/// One connection of a user, until dropped.
#[derive(Debug)]
struct Place {
    users: Users,
    uid: u32,
}

impl Users {
    fn place(&self, uid: u32, most: usize) -> Option<Place> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(uid).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { users: self.clone(), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.users.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_connections_and_no_more() {
        let users = Users::default();
        let first = users.place(1, 1);
        assert!(first.is_some() && users.place(1, 1).is_none() && users.place(2, 1).is_some());
        drop(first);
        assert!(users.place(1, 1).is_some());
        assert!(users.0.lock().unwrap().is_empty());
    }
}
