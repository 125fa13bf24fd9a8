//! Promises S5 and T5 where control groups are real: the package's own units on a machine, and tasks that take too much.

use crate::machine::Machine;

/// The control group of the runner's unit.
const UNIT: &str = "/sys/fs/cgroup/system.slice/taskdaemon-runner.service";

#[test]
fn s5_t5_a_machine_holds_each_task_to_its_limits() {
    let Some(mut machine) = Machine::with_taskdaemon() else { return };
    each_task_has_a_group_that_it_cannot_leave(&mut machine);
    a_task_is_limited_as_a_whole(&mut machine);
    what_all_its_processes_used_is_recorded(&mut machine);
    the_limits_of_the_units_bite(&mut machine);
    a_cancelled_task_leaves_nothing(&mut machine);
    groups_outlast_an_upgrade(&mut machine);
    a_dead_runner_leaves_nothing(&mut machine);
}

fn each_task_has_a_group_that_it_cannot_leave(machine: &mut Machine) {
    let status = machine.run("taskdaemon status");
    assert!(status.contains("tasks: a control group for each (memory, pids, cpu)"), "{status}");
    let place = machine.run("taskdaemon submit --follow -- cat /proc/self/cgroup");
    assert!(place.contains("/system.slice/taskdaemon-runner.service/task-"), "{place}");
    let enters = format!("echo 0 >{UNIT}/runner/cgroup.procs");
    let kills = format!("echo 1 >{UNIT}/runner/cgroup.kill");
    let makes = "mkdir $(find /sys/fs/cgroup -name 'task-*')/another";
    for crime in [enters.as_str(), &kills, makes] {
        let said = machine.attempt(&format!("taskdaemon submit --follow --shell \"{}\"", crime.replace('$', "\\$")));
        assert!(said.status != 0 && said.text.contains("Read-only file system"), "{crime}: {}", said.text);
    }
}

/// The most memory that the only task of this label had at once, in bytes.
fn max_rss(machine: &mut Machine, label: &str) -> u64 {
    let shown = machine.run(&format!("taskdaemon show --json $(taskdaemon list -l {label} | awk '{{print $1}}')"));
    let rest = shown.split("\"max_rss_bytes\":").nth(1).expect("it is recorded").trim_start();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn a_task_is_limited_as_a_whole(machine: &mut Machine) {
    let eats = "head -c 100M /dev/zero | tail >/dev/null";
    let said = machine.attempt(&format!("taskdaemon submit --wait --label eater --limit-memory 32M --shell '{eats}'"));
    assert_eq!(said.status, 137, "{}", said.text);
    assert!(said.text.contains("killed for want of memory"), "{}", said.text);
    let shown = machine.run("taskdaemon show $(taskdaemon list -l eater | awk '{print $1}')");
    assert!(shown.contains("failed: killed for want of memory"), "{shown}");
    // Its last pages may be asked for several at once, and be refused so.
    let peak = max_rss(machine, "eater");
    assert!((30 << 20..=32 << 20).contains(&peak), "{peak}");

    // Too little to execute anything, and little enough to fail at any step of it: none of that ends whoever starts it.
    let runner = machine.run("systemctl show -P MainPID taskdaemon-runner");
    let said = machine.attempt("taskdaemon submit --wait --limit-memory 1 -- true");
    assert!(said.status == 126 && said.text.contains("Cannot allocate memory"), "{} {}", said.status, said.text);
    machine.run("for size in 4 16 32 64 96 128 192 256; do taskdaemon submit --limit-memory ${size}K -- true; done");
    machine.run("taskdaemon wait --all --deadline 60s; test $? != 79");
    assert_eq!(machine.run("systemctl show -P MainPID taskdaemon-runner"), runner);

    let forks = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done";
    let said = machine.attempt(&format!("taskdaemon submit --follow --limit-processes 5 --shell '{forks}'"));
    assert!(said.status != 0 && said.text.contains("Cannot fork"), "{}", said.text);
}

fn what_all_its_processes_used_is_recorded(machine: &mut Machine) {
    let used = |machine: &mut Machine, name: &str, command: &str| {
        machine.run(&format!("taskdaemon submit --wait --label {name} --shell '{command}'"));
        max_rss(machine, name)
    };
    // By wait4(2) it would be the size that the runner had when it started this one.
    let tiny = used(machine, "tiny", ":");
    assert!(tiny < 2 << 20, "{tiny}");
    // Its parent does not wait for it, so that wait4(2) would not count it.
    let large = used(
        machine,
        "large",
        "(setsid head -c 40M /dev/zero | tail >/dev/null; echo >/tmp/eaten) & sleep 0.1; until test -e /tmp/eaten; do sleep 0.1; done",
    );
    assert!(large > 40 << 20, "{large}");
}

fn the_limits_of_the_units_bite(machine: &mut Machine) {
    // As they are shipped.
    let shown = machine.run("systemctl show -p TasksMax -p LimitNOFILE -p Delegate taskdaemon-runner; systemctl show -p LimitNOFILE -p CPUQuotaPerSecUSec -p MemoryMax taskdaemon");
    for line in ["TasksMax=4096", "LimitNOFILE=65536", "Delegate=yes", "CPUQuotaPerSecUSec=2s", "MemoryMax=1073741824"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    machine.run("grep -q '^Max open files *65536 *65536' /proc/$(systemctl show -P MainPID taskdaemon)/limits");
    assert_eq!(machine.run(&format!("cat {UNIT}/pids.max")), "4096");
    let opens = "for i in $(seq 2000); do exec {fd}</dev/null || exit 9; done";
    let said = machine.attempt(&format!("taskdaemon submit --follow -- bash -c '{opens}'"));
    assert!(said.status != 0 && said.text.contains("Too many open files"), "{}", said.text);
    let said = machine.attempt("taskdaemon submit --follow --shell 'ulimit -n 65536 && ulimit -n 65537'");
    assert!(said.status != 0, "{}", said.text);

    // Lower, so that it takes no minute to get there.
    machine.run("systemctl set-property --runtime taskdaemon-runner TasksMax=300 MemoryMax=150M CPUQuota=50%");
    let bomb = "mkfifo /tmp/never; while :; do (: </tmp/never) & done";
    let said = machine.attempt(&format!("taskdaemon submit --follow --shell '{bomb}'"));
    assert!(said.status != 0 && said.text.contains("Cannot fork"), "{}", said.text);
    machine.run(&format!("test $(cat {UNIT}/pids.current) -lt 10"));

    let bystander = machine.run("taskdaemon submit -- sleep 1000");
    let said = machine.attempt("taskdaemon submit --wait --shell 'head -c 300M /dev/zero | tail >/dev/null'");
    assert!(said.text.contains("killed for want of memory"), "{}", said.text);
    assert!(machine.run("taskdaemon list -s running").contains("sleep 1000"));
    machine.run(&format!("taskdaemon cancel {bystander}"));

    machine.attempt("taskdaemon submit --wait --timeout 2s --shell 'while :; do :; done & while :; do :; done'");
    machine.run(&format!("grep -q 'nr_throttled [1-9]' {UNIT}/cpu.stat"));
    machine.run("systemctl revert taskdaemon-runner; systemctl set-property --runtime taskdaemon-runner TasksMax=4096 MemoryMax=90% CPUQuota=");
}

/// One that detached, left its process group, cleared its environment and lost its parent.
const FUGITIVE: &str = r#"(setsid env -i sh -c "sleep 4321 & sleep 4321" &); sleep 4321"#;

fn begin_fugitive(machine: &mut Machine) -> String {
    let task = machine.run(&format!("taskdaemon submit --shell '{FUGITIVE}'"));
    machine.wait_until("test $(pgrep -fcx 'sleep 4321') = 3");
    task
}

fn a_cancelled_task_leaves_nothing(machine: &mut Machine) {
    let task = begin_fugitive(machine);
    machine.run(&format!("taskdaemon cancel {task}; taskdaemon wait {task}; test $? = 143"));
    machine.run(&format!("! pgrep -fx 'sleep 4321' && ! ls -d {UNIT}/task-*"));
}

fn groups_outlast_an_upgrade(machine: &mut Machine) {
    let task = begin_fugitive(machine);
    machine.run("taskdaemon upgrade");
    assert!(machine.run("taskdaemon status").contains("tasks: a control group for each"));
    assert!(machine.run("taskdaemon submit --follow -- cat /proc/self/cgroup").contains("/task-"));
    machine.run(&format!("taskdaemon cancel {task}; taskdaemon wait {task}; test $? = 143"));
    machine.run(&format!("! pgrep -fx 'sleep 4321' && ! ls -d {UNIT}/task-*"));
}

fn a_dead_runner_leaves_nothing(machine: &mut Machine) {
    let task = begin_fugitive(machine);
    machine.run("pgrep -fx 'sleep 4321' >/run/before; kill -KILL $(systemctl show -P MainPID taskdaemon-runner)");
    // It is cut off, and runs again: in a group of its own, with none of the first ones beside it.
    machine.wait_until(&format!("ls -d {UNIT}/task-{task}.2 && test $(pgrep -fcx 'sleep 4321') = 3"));
    machine.run("for pid in $(cat /run/before); do ! kill -0 $pid 2>/dev/null || exit 1; done");
    assert!(machine.run(&format!("taskdaemon show {task}")).contains("cut off, "));
    machine.run(&format!("taskdaemon cancel {task}; taskdaemon wait {task}; test $? = 143"));
    machine.run(&format!("! pgrep -fx 'sleep 4321' && ! ls -d {UNIT}/task-*"));
}
