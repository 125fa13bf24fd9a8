//! Files that grow: one inotify(7) instance and one thread for all who follow an output, while anybody does.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::sync::watch;

/// How often a file is looked at where the kernel does not tell: before Linux 6.4 splice(2) tells nobody.
const LOOK: Duration = Duration::from_millis(200);

/// The files that are watched.
#[derive(Debug)]
pub(super) struct Growth {
    watcher: Shared,
    /// Whether the kernel tells of what splice(2) writes.
    told: bool,
}

/// Nothing while nobody follows.
type Shared = Arc<Mutex<Option<Watcher>>>;

#[derive(Debug)]
struct Watcher {
    inotify: Arc<Inotify>,
    files: HashMap<WatchDescriptor, watch::Sender<()>>,
}

/// One who watches a file; dropping it ends that.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Shared,
    watched: Option<(WatchDescriptor, watch::Receiver<()>)>,
    told: bool,
}

fn lock(watcher: &Shared) -> MutexGuard<'_, Option<Watcher>> {
    // Nothing is left half done under this lock, so a panic elsewhere does no harm here.
    watcher.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Growth {
    pub(super) fn new() -> Self {
        Self { watcher: Shared::default(), told: tells_of_splice() }
    }

    /// Watches an open file. Where that is not to be had, [`Watch::grown`] returns from time to time instead.
    pub(super) fn watch(&self, file: &File) -> Watch {
        let watched = add(&self.watcher, file);
        if let Err(error) = &watched {
            tracing::debug!(error = error as &dyn std::error::Error, "watch an output");
        }
        Watch { watcher: Arc::clone(&self.watcher), watched: watched.ok(), told: self.told }
    }
}

fn add(shared: &Shared, file: &File) -> io::Result<(WatchDescriptor, watch::Receiver<()>)> {
    let mut slot = lock(shared);
    let watcher = match &mut *slot {
        Some(watcher) => watcher,
        None => {
            let inotify = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?);
            let (shared, reader) = (Arc::clone(shared), Arc::clone(&inotify));
            std::thread::Builder::new().name("api-inotify".to_owned()).spawn(move || listen(&shared, &reader))?;
            slot.insert(Watcher { inotify, files: HashMap::new() })
        }
    };
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let descriptor = watcher.inotify.add_watch(&path, AddWatchFlags::IN_MODIFY)?;
    let file = watcher.files.entry(descriptor).or_insert_with(|| watch::Sender::new(()));
    Ok((descriptor, file.subscribe()))
}

/// Passes on what the kernel tells, until nobody watches: the removal of the last watch is told too.
fn listen(shared: &Shared, inotify: &Inotify) {
    loop {
        let events = inotify.read_events();
        let mut slot = lock(shared);
        match (events, &*slot) {
            (Ok(events), Some(watcher)) if !watcher.files.is_empty() => {
                for file in events.iter().filter_map(|event| watcher.files.get(&event.wd)) {
                    file.send_replace(());
                }
            }
            (Err(Errno::EINTR), _) => {}
            (Ok(_) | Err(_), _) => {
                *slot = None;
                return;
            }
        }
    }
}

impl Watch {
    /// Waits until the file may have grown since the last call.
    pub(super) async fn grown(&mut self) {
        let changed = match &mut self.watched {
            Some((_, changed)) if self.told => changed.changed().await,
            Some((_, changed)) => tokio::time::timeout(LOOK, changed.changed()).await.unwrap_or(Ok(())),
            None => return tokio::time::sleep(LOOK).await,
        };
        if changed.is_err() {
            self.watched = None;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some((descriptor, receiver)) = self.watched.take() else { return };
        drop(receiver);
        let mut slot = lock(&self.watcher);
        let Some(watcher) = &mut *slot else { return };
        if watcher.files.get(&descriptor).is_some_and(|file| file.receiver_count() == 0) {
            watcher.files.remove(&descriptor);
            // A file that is gone took its watch with it.
            let _ = watcher.inotify.rm_watch(descriptor);
        }
    }
}

fn tells_of_splice() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.trim().parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 4)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn growth_is_told_and_the_thread_ends_with_the_last_watch() {
        let growth = Growth::new();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut watch = growth.watch(&File::open(file.path()).unwrap());
        file.write_all(b"more").unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch.grown()).await.unwrap();
        drop(watch);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while lock(&growth.watcher).is_some() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    }
}
