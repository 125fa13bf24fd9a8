//! What one file says: fragments in which every value is optional and knows its line.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::error::{Fault, Reason, hint};
use super::leaf::{Count, Leaf, Limit, Nice, Size, Span, wrong};
use super::lists::{Command, Queues};
use super::names::{AbsolutePath, AccountName, Loopback};
use super::source::{Key, Position, Source, Sourced};
use super::words::{Format, Gains, Interrupted, Level, LogTarget, RootTasks, RunnerStart, Sandbox, Slots};
use super::yaml::{Name, Node, Value, parse};
use crate::task::{QueueName, Signal};

/// A value that may be missing.
pub(super) type Maybe<T> = Option<Sourced<T>>;

/// Anything that a key can hold: a single value, a section, or the queues.
pub(super) trait Slot: Default {
    /// Reads it, noting every fault.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Self;

    /// Lets what a later file says replace what this one said.
    fn merge(&mut self, later: Self);
}

impl<T: Leaf> Slot for Maybe<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Self {
        match T::read(&node.value) {
            Ok(value) => Some(Sourced { value, source: reader.source(Some(node.at)) }),
            Err(reason) => {
                reader.fault(reason, node.at);
                None
            }
        }
    }

    fn merge(&mut self, later: Self) {
        if later.is_some() {
            *self = later;
        }
    }
}

/// Declares a section. An empty one is accepted: its lines may all be remarks.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $kind:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name { $(pub(super) $key: $kind,)+ }

        impl Slot for $name {
            fn read(node: &Node, reader: &mut Reader<'_>) -> Self {
                let mut section = Self::default();
                for (name, node) in reader.entries(node) {
                    reader.enter(&name.text);
                    match name.text.as_str() {
                        $(stringify!($key) => section.$key = Slot::read(node, reader),)+
                        unknown => {
                            let hint = hint(unknown, &[$(stringify!($key)),+]);
                            reader.fault(Reason::Unknown { hint }, name.at);
                        }
                    }
                    reader.leave();
                }
                section
            }

            fn merge(&mut self, later: Self) {
                $(self.$key.merge(later.$key);)+
            }
        }
    };
}

/// An hour in milliseconds, for bounds.
const HOUR: u64 = 3_600_000;
/// A century in milliseconds: more is a slip of the pen.
const CENTURY: u64 = 876_600 * HOUR;
/// A mebibyte, for bounds.
const MIB: u64 = 1 << 20;

/// The grace between two signals.
pub(super) type Grace = Span<0, { 24 * HOUR }>;

section! {
    /// A whole file.
    Fragment {
        paths: PathsFragment,
        log: LogFragment,
        host: HostFragment,
        tasks: TasksFragment,
        queues: QueuesFragment,
        intake: IntakeFragment,
        retention: RetentionFragment,
        api: ApiFragment,
        health: HealthFragment,
        hooks: HooksFragment,
        store: StoreFragment,
        runner: RunnerFragment,
        security: SecurityFragment,
    }
}

section! {
    /// Where things are.
    PathsFragment {
        state_directory: Maybe<AbsolutePath>,
        runtime_directory: Maybe<AbsolutePath>,
        socket: Maybe<AbsolutePath>,
    }
}

section! {
    /// What is told.
    LogFragment {
        level: Maybe<Level>,
        format: Maybe<Format>,
        target: Maybe<LogTarget>,
        file: Maybe<AbsolutePath>,
    }
}

section! {
    /// The daemon as a whole.
    HostFragment {
        slots: Maybe<Slots>,
        stop_grace: Maybe<Grace>,
        shutdown_timeout: Maybe<Span<1000, { 24 * HOUR }>>,
        idle_exit: Maybe<Limit<Span<100, CENTURY>>>,
    }
}

section! {
    /// What holds for a task that does not say otherwise.
    TasksFragment {
        timeout: Maybe<Limit<Span<1, CENTURY>>>,
        stop_signal: Maybe<Signal>,
        stop_grace: Maybe<Grace>,
        output_cap: Maybe<Size<0>>,
        nice: Maybe<Nice>,
        on_interrupt: Maybe<Interrupted>,
        interruptions: Maybe<Count<1, 1_000_000>>,
        limits: LimitsFragment,
    }
}

section! {
    /// Limits of resources, as setrlimit(2) and cgroups know them.
    LimitsFragment {
        cpu_time: Maybe<Limit<Span<1000, CENTURY>>>,
        memory: Maybe<Limit<Size<MIB>>>,
        open_files: Maybe<Limit<Count<3, 1_048_576>>>,
        processes: Maybe<Limit<Count<1, 4_194_304>>>,
        file_size: Maybe<Limit<Size<0>>>,
    }
}

section! {
    /// One queue.
    QueueFragment {
        slots: Maybe<Limit<Count<1, 65_536>>>,
        max_length: Maybe<Limit<Count<1, { u32::MAX }>>>,
        breaker: BreakerFragment,
    }
}

section! {
    /// When a queue pauses by itself.
    BreakerFragment {
        failures: Maybe<Limit<Count<1, 1_000_000>>>,
        cooldown: Maybe<Span<1000, CENTURY>>,
    }
}

section! {
    /// What is let in.
    IntakeFragment {
        min_free: Maybe<Size<0>>,
        max_body: Maybe<Size<4096>>,
        max_stdin: Maybe<Size<0>>,
        max_tasks: Maybe<Limit<Count<1, { u32::MAX }>>>,
    }
}

section! {
    /// What is kept.
    RetentionFragment {
        max_age: Maybe<Limit<Span<0, CENTURY>>>,
        max_tasks: Maybe<Limit<Count<0, { u32::MAX }>>>,
        max_output: Maybe<Limit<Size<0>>>,
    }
}

section! {
    /// The door for clients.
    ApiFragment {
        header_timeout: Maybe<Span<100, HOUR>>,
        request_timeout: Maybe<Span<100, HOUR>>,
        max_connections: Maybe<Count<4, 65_536>>,
        group: Maybe<AccountName>,
    }
}

section! {
    /// What counts as well.
    HealthFragment {
        listen: Maybe<Limit<Loopback>>,
        timeout: Maybe<Span<100, { HOUR / 60 }>>,
        min_free: Maybe<Size<0>>,
        min_free_inodes: Maybe<Count<0, { u32::MAX }>>,
        max_wait: Maybe<Limit<Span<1000, CENTURY>>>,
        runner_away: Maybe<Span<0, { 24 * HOUR }>>,
        watch_every: Maybe<Span<1000, { 24 * HOUR }>>,
    }
}

section! {
    /// What is run when something happens.
    HooksFragment {
        failed: FailedFragment,
        degraded: HookFragment,
        started: HookFragment,
        stopped: HookFragment,
        slots: Maybe<Count<1, 1024>>,
        max_waiting: Maybe<Count<1, 1_000_000>>,
        timeout: Maybe<Span<1000, { 24 * HOUR }>>,
    }
}

section! {
    /// One hook.
    HookFragment {
        command: Maybe<Limit<Command>>,
    }
}

section! {
    /// The hook on tasks that failed.
    FailedFragment {
        command: Maybe<Limit<Command>>,
        queues: Maybe<Queues>,
    }
}

section! {
    /// The database.
    StoreFragment {
        cache: Maybe<Size<{ 64 * 1024 }>>,
    }
}

section! {
    /// The parent of the tasks.
    RunnerFragment {
        start: Maybe<RunnerStart>,
    }
}

section! {
    /// Who the processes are, and what they may.
    SecurityFragment {
        user: Maybe<AccountName>,
        group: Maybe<AccountName>,
        runner_user: Maybe<AccountName>,
        runner_group: Maybe<AccountName>,
        sandbox: Maybe<Sandbox>,
        task_privileges: Maybe<Gains>,
        allow_root_tasks: Maybe<RootTasks>,
    }
}

/// The queues by name.
#[derive(Debug, Default)]
pub(super) struct QueuesFragment(pub(super) BTreeMap<QueueName, QueueFragment>);

impl Slot for QueuesFragment {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Self {
        let mut queues = Self::default();
        for (name, node) in reader.entries(node) {
            reader.enter(&name.text);
            // A queue with a name that is none is read all the same, for the faults in it.
            let queue = QueueFragment::read(node, reader);
            match name.text.parse::<QueueName>() {
                Ok(queue) if queue.is_of_hooks() => reader.fault(Reason::Reserved, name.at),
                Ok(name) => drop(queues.0.insert(name, queue)),
                Err(cause) => reader.fault(Reason::QueueName(cause), name.at),
            }
            reader.leave();
        }
        queues
    }

    fn merge(&mut self, later: Self) {
        for (name, queue) in later.0 {
            self.0.entry(name).or_default().merge(queue);
        }
    }
}

/// Reads the bytes of one file, noting every fault.
pub(super) fn read(path: &Arc<Path>, bytes: &[u8], faults: &mut Vec<Fault>) -> Fragment {
    let mut reader = Reader { path, key: Key::default(), faults };
    let (root, form) = parse(bytes);
    for fault in form {
        let key = fault.key.iter().fold(Key::default(), |key, part| key.join(part));
        let source = reader.source(fault.at);
        reader.faults.push(Fault { source, key, reason: fault.reason });
    }
    root.map(|root| Fragment::read(&root, &mut reader)).unwrap_or_default()
}

/// Where the reading stands, and what was found wrong so far.
pub(super) struct Reader<'a> {
    path: &'a Arc<Path>,
    key: Key,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn entries<'n>(&mut self, node: &'n Node) -> &'n [(Name, Node)] {
        match &node.value {
            Value::Mapping(entries) => entries,
            Value::Null => &[],
            other => {
                self.fault(wrong("a section of keys", other), node.at);
                &[]
            }
        }
    }

    fn enter(&mut self, part: &str) {
        self.key = self.key.join(part);
    }

    fn leave(&mut self) {
        self.key = self.key.parent();
    }

    fn source(&self, position: Option<Position>) -> Source {
        Source::File { path: Arc::clone(self.path), position }
    }

    fn fault(&mut self, reason: Reason, at: Position) {
        let fault = Fault { source: self.source(Some(at)), key: self.key.clone(), reason };
        self.faults.push(fault);
    }
}
