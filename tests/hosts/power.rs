//! Promise T6 on a machine whose plug is pulled: what was accepted is there, ends, and never runs twice at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::machine::Machine;

/// How often it is pulled.
const CUTS: u32 = 20;

/// Where the emulator is slow, so long and no longer; `scripts/test --full` takes the time that it takes.
const BUDGET: Duration = Duration::from_secs(240);

/// Submits until the power goes. What is said on the line leaves the machine only after the client had the ID. Each task
/// holds a lock while it runs, and ends with 99 where another of the same name holds it.
const LOAD: &str = r#"
for ((i = 0; ; i++)); do
    task='exec 9>/var/tmp/lock-$TASKDAEMON_TASK_ID; flock --nonblock 9 || exit 99; sleep 0.'$((i % 3))
    for j in 1 2 3 4; do printf '{"shell": "%s"}\n' "$task"; done |
        taskdaemon submit --label load --batch | sed 's/.*/accepted &./' >/dev/ttyS2
done
"#;

#[test]
#[allow(clippy::print_stderr, reason = "says how often it was done")]
fn t6_a_machine_loses_nothing_accepted_when_its_power_is_cut() {
    let Some(mut machine) = Machine::with_taskdaemon() else { return };
    machine.run(&format!("cat >/root/load <<'EOF'{LOAD}EOF\nsync"));
    let is_full = std::env::var_os("TASKDAEMON_FULL").is_some();
    let mut accepted = BTreeSet::new();
    let (start, mut cuts) = (Instant::now(), 0);
    while cuts < CUTS && (is_full || start.elapsed() < BUDGET) {
        machine.run("for i in 1 2 3; do bash /root/load </dev/null >/dev/null 2>&1 & done");
        // A different moment each time: the load decides what that is in the middle of.
        let mut said = vec![machine.next_word()];
        std::thread::sleep(Duration::from_millis(u64::from(cuts * 397 % 1000)));
        said.extend(machine.cut_power());
        // The full stop tells a line that was cut off.
        accepted.extend(said.iter().filter_map(|line| number(line)));
        cuts += 1;

        machine.power_on();
        machine.run("taskdaemon status --wait 60 >/dev/null");
        let found = machine.run("taskdaemon list --label load --limit 0 | wc -l");
        assert!(found.parse::<usize>().unwrap() >= accepted.len(), "{found} of {}", accepted.len());
    }
    eprintln!("{cuts} power cuts in {:?}, {} tasks accepted", start.elapsed(), accepted.len());
    machine.attempt("taskdaemon wait --label load --deadline 200s >/dev/null");
    let listed = machine.run("taskdaemon list --label load --limit 0 --state succeeded | awk '{ print $1 }'");
    let succeeded: BTreeSet<u64> = listed.lines().map(|line| line.parse().unwrap()).collect();
    let lost: Vec<&u64> = accepted.difference(&succeeded).collect();
    assert!(lost.is_empty(), "accepted and lost: {lost:?}");
    // Neither twice at once, which is 99, nor cut off and told as a failure.
    let others = "failed,timed-out,cancelled,interrupted,queued,running";
    assert_eq!(machine.run(&format!("taskdaemon list --label load --limit 0 --state {others}")), "");
}

/// The task that a line says was accepted.
fn number(line: &str) -> Option<u64> {
    line.strip_prefix("accepted ")?.strip_suffix('.')?.parse().ok()
}
