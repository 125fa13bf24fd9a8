//! The runner: the parent of every task, in a process of its own.
//!
//! [`serve()`] is all that others see. Inside, `serve` is the loop, `link` speaks with the daemon, `attempt` is what
//! runs, `spawn` starts, now or in the place of another, `reap` collects ends and finds what detached, `stop` ends what
//! runs, `leave` the runner itself, `sweep` what a dead runner left, `handover` makes another program of it.
//!
//! The rules:
//! - Whatever runs goes on when the daemon goes away, and its end is kept until a daemon acknowledges it.
//! - A daemon is read to its end before the next one is welcomed: no command is lost between two.
//! - An attempt has ended when its main process is collected and all that it left is gone. What it left is
//!   asked to end by its stop signal and, after its grace, killed.
//! - What detaches is found among the orphans that the kernel gives to this process (it is a subreaper), told
//!   apart by its process group, by having been seen below its task when that was stopped, or by the
//!   [`Mark`](crate::wire::runner::mark::Mark) that the runner puts on every environment. A process that left
//!   its group, cleared its environment and lost its parent before its task was stopped stays out of sight, unless
//!   the attempt has a control group: that holds everything.
//! - It leaves when told to or by SIGTERM, and else stays, even without a daemon and with nothing to keep. A
//!   daemon that was killed between a claim and its order has to meet the same runner again: that this one does
//!   not know the attempt proves that it never started, where a new runner would make an interruption of it.
//!   With nothing to do it sleeps, and nothing wakes it but a daemon, an orphan's end or a signal.
//! - Nothing that a task does makes this process wait: it starts beside this one, and its output is moved or thrown
//!   away, never held back. Only a file system that hangs does (the output on a dead network share; the program of a
//!   task whose memory is limited, which is waited for).
//!
//! It must not know queues, retries, the store, the configuration or who submitted what.

mod attempt;
mod handover;
mod leave;
mod link;
mod reap;
mod serve;
mod spawn;
mod stop;
mod sweep;

use std::io;

pub use handover::Table;

use crate::sys::{fd, process, signal};

/// The thread that does everything needs little: no recursion, no large arrays.
const STACK_BYTES: usize = 256 * 1024;

/// Why the runner cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Before anything ran.
    #[error("prepare the runner: {step}")]
    Prepare {
        /// What could not be done.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// While it waited for events.
    #[error("wait for events")]
    Wait(#[source] io::Error),
    /// A fault in the runner itself; tasks go on without it, until the next runner sweeps them up.
    #[error("the runner failed; please report this")]
    Panicked,
}

/// Serves daemons that connect to the socket of `table`, until told to leave or ended by SIGTERM.
///
/// Changes the whole process: signals, descriptors and orphans. Call it first, in a process that does
/// nothing else and has no other threads.
///
/// # Errors
/// Where the kernel lacks something that the runner needs; named in the error.
pub fn serve(table: Table) -> Result<(), Error> {
    let prepare = |step| move |source| Error::Prepare { step, source };
    signal::ignore_none();
    // Also before the thread starts, so that a signal to the process waits for its descriptor.
    signal::block_all().map_err(prepare("block signals"))?;
    fd::occupy_standard().map_err(prepare("open /dev/null"))?;
    fd::close_all_on_exec().map_err(prepare("keep descriptors from tasks"))?;
    process::adopt_orphans().map_err(prepare("become the parent of orphans"))?;
    process::set_name(c"taskdaemon-run").map_err(prepare("name the process"))?;
    // Tasks are started from a thread that is not the first one, and orphans are given to the first: so
    // the first one's list of children holds orphans alone, and "are there any" is one short read.
    let run = move || serve::Runner::new(table).and_then(serve::Runner::run);
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).map_err(prepare("start a thread"))?;
    thread.join().unwrap_or(Err(Error::Panicked))
}
