//! Every figure with its name, its kind and what it means.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::api::context::About;
use crate::daemon::health::Level;
use crate::engine::{BOUNDS, Metrics, RunnerState, Work};
use crate::sys::usage::Usage;
use crate::task::{Breaker, Mode, QueueName, State};

/// The figures of one moment.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) figures: Metrics,
    pub(super) about: About,
    pub(super) usage: Usage,
}

type Written = Result<(), Error>;
type Labels<const N: usize> = [(&'static str, String); N];

impl Collector for Sample {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Written {
        let mut page = Page { encoder };
        self.daemon(&mut page)?;
        self.tasks(&mut page)?;
        self.queues(&mut page)?;
        self.durations(&mut page)?;
        self.store(&mut page)?;
        self.process(&mut page)
    }
}

impl Sample {
    fn daemon(&self, page: &mut Page<'_>) -> Written {
        let status = &self.figures.status;
        page.info("taskdaemon_build", "The daemon's version.", [("version", self.about.version.clone())])?;
        let linked = match status.runner {
            RunnerState::Linked { .. } => 1,
            RunnerState::Lost { .. } => 0,
        };
        page.gauge("taskdaemon_runner_up", "Whether the runner answers.", None, linked)?;
        page.gauge("taskdaemon_intake_open", "Whether tasks are taken in.", None, u64::from(status.intake))?;
        let parts = status.findings.iter().map(|(part, finding)| {
            let level: u64 = match finding.level {
                Level::Healthy => 0,
                Level::Degraded => 1,
                Level::Unhealthy => 2,
            };
            ([("part", part.word().to_owned())], level)
        });
        page.gauges("taskdaemon_health_level", "0 healthy, 1 degraded, 2 unhealthy.", parts)?;
        page.gauge("taskdaemon_slots", "Slots of the whole host.", None, u64::from(status.slots.1))?;
        page.gauge("taskdaemon_slots_taken", "Slots that running tasks take.", None, u64::from(status.slots.0))
    }

    fn tasks(&self, page: &mut Page<'_>) -> Written {
        let count = |state| self.figures.status.counts.get(&state).copied().unwrap_or(0);
        let states = State::ALL.into_iter().map(|state| ([("state", state.as_str().to_owned())], count(state)));
        page.gauges("taskdaemon_tasks", "Tasks that are kept, by state.", states)?;
        self.counted(page, "taskdaemon_tasks_submitted", "Tasks taken in.", |work| work.submitted)?;
        self.counted(page, "taskdaemon_tasks_started", "Attempts started.", |work| work.started)?;
        let ended = self.figures.tally.work.iter().flat_map(|(queue, work)| {
            let label = |state: &State| [("queue", queue.to_string()), ("state", state.as_str().to_owned())];
            work.ended.iter().map(move |(state, count)| (label(state), *count))
        });
        page.counters("taskdaemon_tasks_ended", "Tasks that ended for good.", None, ended)
    }

    fn queues(&self, page: &mut Page<'_>) -> Written {
        let queues = || self.figures.queues.iter();
        let depth = queues().map(|(queue, counts)| {
            let open = counts.iter().filter(|(state, _)| !state.is_ended()).map(|(_, count)| count).sum();
            (of(&queue.name), open)
        });
        page.gauges("taskdaemon_queue_depth", "Tasks of the queue that have not ended.", depth)?;
        let open = queues().map(|(queue, _)| {
            let open: u64 = match queue.mode {
                Mode::Open => 1,
                Mode::Paused | Mode::Draining => 0,
            };
            (of(&queue.name), open)
        });
        page.gauges("taskdaemon_queue_open", "Whether people let the queue start tasks.", open)?;
        let breakers = queues().flat_map(|(queue, _)| {
            let is = match queue.breaker {
                Breaker::Closed { .. } => "closed",
                Breaker::Open { .. } => "open",
                Breaker::Probing { .. } => "probing",
            };
            let labels = move |state: &str| [("queue", queue.name.to_string()), ("state", state.to_owned())];
            ["closed", "open", "probing"].into_iter().map(move |state| (labels(state), u64::from(state == is)))
        });
        page.gauges("taskdaemon_queue_breaker", "1 at the state of the queue's circuit breaker.", breakers)?;
        let waited = self.figures.longest_wait.unwrap_or_default().as_secs_f64();
        let help = "How long the first task that could start has waited.";
        page.gauge("taskdaemon_longest_wait", help, Some(Unit::Seconds), waited)
    }

    fn durations(&self, page: &mut Page<'_>) -> Written {
        let help = "How long attempts took that have ended.";
        let unit = Some(Unit::Seconds);
        let kind = MetricType::Histogram;
        let mut family = page.encoder.encode_descriptor("taskdaemon_task_duration", help, unit.as_ref(), kind)?;
        for (queue, Work { spans, .. }) in &self.figures.tally.work {
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(spans.counts).collect();
            let labels = of(queue);
            let mut one = family.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(spans.seconds, spans.counts.iter().sum(), &buckets, None)?;
        }
        Ok(())
    }

    fn store(&self, page: &mut Page<'_>) -> Written {
        let (status, tally) = (&self.figures.status, &self.figures.tally);
        page.counter("taskdaemon_commits", "Commits to the queue.", None, tally.commits)?;
        page.counter("taskdaemon_commit_failures", "Commits that failed.", None, tally.failed_commits)?;
        let written = tally.work.iter().map(|(queue, work)| (of(queue), work.output_bytes));
        page.counters("taskdaemon_output", "What attempts wrote that have ended.", Some(Unit::Bytes), written)?;
        page.gauge("taskdaemon_output_kept", "Output that is kept.", Some(Unit::Bytes), status.output_bytes)?;
        page.gauge("taskdaemon_state_free", "Room where the queue is kept.", Some(Unit::Bytes), status.free_bytes)
    }

    /// As every program that is watched by Prometheus names them.
    fn process(&self, page: &mut Page<'_>) -> Written {
        let Usage { cpu, resident_bytes, virtual_bytes, threads, open_fds, max_fds } = self.usage;
        if let Some(cpu) = cpu {
            page.counter("process_cpu", "Time on the CPU, the daemon's own.", Some(Unit::Seconds), cpu.as_secs_f64())?;
        }
        let sizes = [
            ("process_resident_memory", "Memory in use.", Some(Unit::Bytes), resident_bytes),
            ("process_virtual_memory", "Address space.", Some(Unit::Bytes), virtual_bytes),
            ("process_threads", "Threads.", None, threads),
            ("process_open_fds", "Open file descriptors.", None, open_fds),
            ("process_max_fds", "File descriptors that may be open.", None, max_fds),
        ];
        for (name, help, unit, value) in sizes {
            if let Some(value) = value {
                page.gauge(name, help, unit, value)?;
            }
        }
        let started = std::time::Duration::from_micros(u64::try_from(self.about.started_at.0).unwrap_or(0));
        let help = "When the daemon started, since 1970.";
        page.gauge("process_start_time", help, Some(Unit::Seconds), started.as_secs_f64())
    }

    fn counted(&self, page: &mut Page<'_>, name: &str, help: &str, count: impl Fn(&Work) -> u64) -> Written {
        let all = self.figures.tally.work.iter().map(|(queue, work)| (of(queue), count(work)));
        page.counters(name, help, None, all)
    }
}

fn of(queue: &QueueName) -> Labels<1> {
    [("queue", queue.to_string())]
}

/// Where the figures are written; a unit is appended to the name, as the format has it.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn info<const N: usize>(&mut self, name: &str, help: &str, labels: Labels<N>) -> Written {
        self.encoder.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: impl EncodeGaugeValue) -> Written {
        self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<N>, u64)>,
    ) -> Written {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<Unit>, value: impl EncodeCounterValue) -> Written {
        let mut counter = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        counter.encode_counter(&value, None::<&Exemplar<NoLabelSet, u64>>)
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl Iterator<Item = (Labels<N>, u64)>,
    ) -> Written {
        let mut family = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_counter(&value, None::<&Exemplar<NoLabelSet, u64>>)?;
        }
        Ok(())
    }
}
