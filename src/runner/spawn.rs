//! The start of an attempt: at once, or in the place of another.
//!
//! What stands by starts where another succeeds, so that these two are a moment apart, whatever the daemon has to do. The
//! daemon gave a place to what runs, and the place is passed on: as many run as before. Where anything but a success
//! comes, what stands by is given back, for then the daemon may want something else; with the link it is forgotten.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::ftruncate;

use super::attempt::Attempt;
use super::leave::Leaving;
use super::serve::Runner;
use crate::sys::program::{Door, Program};
use crate::sys::pump::Pump;
use crate::sys::{cgroup, clock, fd};
use crate::wire::runner::mark::Mark;
use crate::wire::runner::{End, Ended, FromRunner, Running, Spawn};

/// What to start, with its descriptors.
pub(super) type Order = (Box<Spawn>, Vec<OwnedFd>);

/// What stands by, first to start first.
pub(super) type Standby = VecDeque<Order>;

impl Runner {
    /// Tells of a success, and starts what stands by first; on the way out there is no place to pass on.
    pub(super) fn succeed(&mut self, by: Ended) {
        let leaves = matches!(self.leaving, Leaving::Terminated { .. });
        let Some(next) = self.standby.pop_front().filter(|_| !leaves) else {
            return self.say(FromRunner::Ended(by));
        };
        let left = u32::try_from(self.standby.len()).unwrap_or(u32::MAX);
        self.say(FromRunner::Succeeded { by, next: next.0.key, left });
        // Whoever finds the output later can tell by its age that this began.
        let _ = next.1.first().map(|output| ftruncate(output, 0));
        self.spawn(next);
    }

    /// Gives back what stands by, if anything does.
    pub(super) fn recall(&mut self) {
        let keys: Vec<_> = self.standby.drain(..).map(|(spawn, _)| spawn.key).collect();
        if !keys.is_empty() {
            self.say(FromRunner::Recalled { keys });
        }
    }

    /// Starts an attempt, unless it is known.
    pub(super) fn spawn(&mut self, (spawn, descriptors): Order) {
        // While it leaves it starts nothing: whoever runs next will be asked again.
        let leaves = matches!(self.leaving, Leaving::Terminated { .. });
        if leaves || self.attempt(spawn.key).is_some() || self.table.ended.contains_key(&spawn.key) {
            return;
        }
        let started_at_us = clock::now_us();
        match self.start(&spawn, descriptors, started_at_us) {
            Ok(running) => self.say(FromRunner::Started(running)),
            Err(end) => self.keep(Ended::new(spawn.key, end, started_at_us, clock::now_us())),
        }
    }

    fn start(&mut self, spawn: &Spawn, descriptors: Vec<OwnedFd>, started_at_us: i64) -> Result<Running, End> {
        let mut descriptors = descriptors.into_iter();
        let (file, input) = (descriptors.next(), descriptors.next());
        let Some(file) = file.filter(|_| input.is_some() == spawn.has_input) else {
            return Err(End::exhausted(io::Error::from_raw_os_error(libc::EBADF)));
        };
        let (pipe, writer) = fd::pipe().map_err(End::exhausted)?;
        self.events.add(&pipe, self.table.next_serial).map_err(End::exhausted)?;
        let tree = self.table.tree.as_ref();
        let (ceilings, limits) = spawn.limits.divided(tree, spawn.nice);
        let (group, door) = cgroup::make(tree, &spawn.key.group(), &ceilings).unzip();
        // Where there may be no more groups, it is limited as it would be without any.
        let limits = if group.is_some() { limits } else { spawn.limits };
        let program = Program {
            arguments: &spawn.arguments,
            environment: &Mark { instance: self.table.instance.clone(), key: spawn.key }.put_on(&spawn.environment),
            directory: &spawn.directory,
            umask: spawn.umask,
            nice: spawn.nice,
            limits: &limits.of_process(self.table.open_files),
            input: input.as_ref().unwrap_or(&self.null).as_fd(),
            output: writer.as_fd(),
            domain: self.table.commands.ruleset(),
            door: door.as_ref().map(|procs| Door { procs: procs.as_fd(), starves: ceilings.memory_bytes.is_some() }),
        };
        let started = self.starter.start(&program).map_err(|error| {
            cgroup::remove(tree, group.as_ref());
            End::not_started(error, spawn.arguments.first().unwrap_or(&spawn.directory))
        })?;
        let running = Running { key: spawn.key, pid: started.pid, start_ticks: started.start_ticks, started_at_us };
        let output = Pump::new((pipe, writer), file, spawn.output_cap_bytes);
        self.table.attempts.insert(self.table.next_serial, Attempt::new(spawn, running, output, group));
        self.table.next_serial += 1;
        Ok(running)
    }
}
