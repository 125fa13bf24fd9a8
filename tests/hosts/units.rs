//! Promises S4 and S5 for the units: what systemd thinks of them, and what they are like when things go wrong.

use crate::host::{Host, Kind};
use crate::package;
use crate::stories::stories;

stories! {
    the_units_are_sound_and_expose_little on [systemd_252, systemd_257];
    what_is_killed_comes_back_by_itself on [systemd_252, systemd_257];
    what_hangs_is_started_again_and_tasks_live on [systemd_252, systemd_257];
    a_stop_leaves_tasks_their_grace_and_the_next_start_tries_again on [systemd_252, systemd_257];
    a_daemon_that_hangs_in_its_stop_leaves_nothing_running on [systemd_252, systemd_257];
    a_reboot_goes_on_with_the_queue on [systemd_252, systemd_257];
}

/// What `systemctl` knows of a unit.
pub(crate) fn property(host: &Host, unit: &str, name: &str) -> String {
    host.run(&format!("systemctl show --property={name} --value {unit}"))
}

/// Submits a command of the shell, and gives its ID once it runs.
pub(crate) fn running(host: &Host, script: &str) -> String {
    let id = host.run(&format!("taskdaemon submit --shell '{script}'"));
    host.wait_until(&format!("taskdaemon show --json {id} | jq --exit-status '.history[-1].pid'"));
    id
}

/// Submits a task that runs until the host has the file `/srv/go`, and gives its ID once it runs.
pub(crate) fn until_told(host: &Host) -> String {
    running(host, "until [ -e /srv/go ]; do sleep 0.1; done")
}

/// What `jq` finds about a task.
pub(crate) fn about(host: &Host, id: &str, what: &str) -> String {
    host.run(&format!("taskdaemon show --json {id} | jq --raw-output '{what}'"))
}

/// A drop-in for a unit, in force at its next start.
pub(crate) fn drop_in(host: &Host, unit: &str, words: &str) {
    host.run(&format!("mkdir --parents /etc/systemd/system/{unit}.d"));
    host.write(&format!("/etc/systemd/system/{unit}.d/story.conf"), words);
    host.run("systemctl daemon-reload");
}

/// Waits until a unit has another main process than `before`, which works.
pub(crate) fn wait_for_successor(host: &Host, unit: &str, before: &str) {
    host.wait_until(&format!(
        "[ \"$(systemctl show --property=MainPID --value {unit})\" != {before} ] && systemctl --quiet is-active {unit}"
    ));
}

fn the_units_are_sound_and_expose_little(host: &mut Host) {
    host.install();
    // There is no man(1) to look the pages up with.
    host.run("systemd-analyze verify --man=no /usr/lib/systemd/system/taskdaemon*");
    host.run("XDG_RUNTIME_DIR=/run systemd-analyze verify --user --man=no /usr/lib/systemd/user/taskdaemon*");
    // In tenths.
    for (unit, most) in [("taskdaemon", 5), ("taskdaemon-runner", 15)] {
        let options = format!("--offline=yes --no-pager --threshold={most}");
        let told = host.run(&format!("systemd-analyze security {options} /usr/lib/systemd/system/{unit}.service"));
        println!("{}", told.lines().last().unwrap_or_default());
    }
    let examples = package::source().join("systemd/examples");
    let limits = std::fs::read_to_string(examples.join("limits.conf")).unwrap();
    drop_in(host, "taskdaemon-runner.service", &limits);
    host.run("systemd-analyze verify --man=no taskdaemon-runner.service");
    assert_eq!(property(host, "taskdaemon-runner", "CPUQuotaPerSecUSec"), "2s", "in force without a restart");
    if host.kind == Kind::Systemd257 {
        drop_in(host, "taskdaemon.service", &std::fs::read_to_string(examples.join("backoff.conf")).unwrap());
        host.run("systemd-analyze verify --man=no taskdaemon.service");
    }
    // Its own sandbox is in force on top of that.
    assert_eq!(host.run("taskdaemon status --json | jq --compact-output .sandbox.missing"), "[]");
    let [daemon, runner] = ["taskdaemon", "taskdaemon-runner"].map(|unit| {
        let pid = property(host, unit, "MainPID");
        (host.run(&format!("stat --format=%U /proc/{pid}")), host.run(&format!("readlink /proc/{pid}/ns/net")))
    });
    let first = host.run("readlink /proc/1/ns/net");
    assert_eq!((daemon.0.as_str(), runner.1.as_str()), ("taskdaemon", first.as_str()));
    assert_ne!(daemon.1, first, "the daemon has no network");
    assert_eq!(host.run("taskdaemon submit --follow -- id --user --name"), "taskdaemon-runner");
    // Nobody but the daemon gets to the runner: neither a member of the group nor a task.
    host.run("useradd --groups taskdaemon member");
    for user in ["member", "taskdaemon-runner"] {
        let told = host.attempt(&format!(
            "runuser --user {user} -- python3 -c 'import socket; \
             socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(\"/run/taskdaemon/runner.sock\")'"
        ));
        assert!(crate::host::told(&told).contains("PermissionError"), "{user}");
    }
}

fn what_is_killed_comes_back_by_itself(host: &mut Host) {
    host.install();
    let id = until_told(host);
    let waits = host.spawn(&format!("taskdaemon wait {id}"));

    let daemon = property(host, "taskdaemon", "MainPID");
    host.run(&format!("kill -KILL {daemon}"));
    wait_for_successor(host, "taskdaemon", &daemon);
    assert_eq!(about(host, &id, ".state, .attempts"), "running\n1");

    let runner = property(host, "taskdaemon-runner", "MainPID");
    host.run(&format!("kill -KILL {runner}"));
    wait_for_successor(host, "taskdaemon-runner", &runner);
    host.wait_until(&format!("taskdaemon show --json {id} | jq --exit-status '.attempts == 2 and .history[1].pid'"));
    assert_eq!(about(host, &id, ".history[0].outcome.how"), "interrupted");

    host.run("touch /srv/go");
    crate::host::finish(waits);
    assert_eq!(about(host, &id, ".state, .attempts"), "succeeded\n2");
}

/// Stops the thread of a process that has this name, and keeps it stopped until the process is gone.
const FREEZE: &str = r#"
import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
pid, name = sys.argv[1:]
[thread] = [t for t in os.listdir(f"/proc/{pid}/task") if open(f"/proc/{pid}/task/{t}/comm").read().strip() == name]
for request in 0x4206, 0x4207:  # PTRACE_SEIZE, PTRACE_INTERRUPT
    assert ptrace(request, int(thread), 0, 0) == 0, os.strerror(ctypes.get_errno())
try:
    while True:
        os.waitpid(int(thread), 0x40000000)  # __WALL
except ChildProcessError:
    pass
"#;

fn what_hangs_is_started_again_and_tasks_live(host: &mut Host) {
    host.install();
    drop_in(host, "taskdaemon.service", "[Service]\nWatchdogSec=6s\nTimeoutAbortSec=1s\n");
    host.run("systemctl restart taskdaemon");
    host.write("/root/freeze", FREEZE);
    let id = until_told(host);
    for (what, freeze) in [("the engine", "python3 /root/freeze {} engine"), ("all of it", "kill -STOP {}")] {
        let daemon = property(host, "taskdaemon", "MainPID");
        let mut frozen = host.spawn(&freeze.replace("{}", &daemon));
        wait_for_successor(host, "taskdaemon", &daemon);
        let ended = frozen.wait().expect("it ends");
        assert!(ended.success(), "{what} was not frozen: {ended}");
        assert_eq!(about(host, &id, ".state, .attempts"), "running\n1", "{what}");
    }
    assert_eq!(property(host, "taskdaemon", "NRestarts"), "2");
    host.run("journalctl --unit=taskdaemon --grep='Watchdog timeout'");
    host.run(&format!("touch /srv/go && taskdaemon wait {id}"));
    assert_eq!(about(host, &id, ".attempts"), "1");
}

fn a_stop_leaves_tasks_their_grace_and_the_next_start_tries_again(host: &mut Host) {
    host.install();
    host.write("/etc/taskdaemon/config.d/story.yml", "host: {stop_grace: 2s, slots: 4}\ntasks: {stop_grace: 1s}\n");
    host.run("systemctl reload taskdaemon");
    let soon = running(host, "until systemctl is-active taskdaemon | grep -q deactivating; do sleep 0.1; done");
    let polite = running(host, r#"trap "exit 7" TERM; while :; do sleep 0.1; done"#);
    let stubborn = running(host, r#"trap "" TERM; while :; do sleep 0.1; done"#);
    host.run("systemctl stop taskdaemon");
    host.wait_until("! systemctl --quiet is-active taskdaemon-runner");
    assert_eq!(property(host, "taskdaemon", "Result"), "success");
    host.fails(1, "pgrep --uid taskdaemon,taskdaemon-runner");

    host.run("systemctl start taskdaemon");
    assert_eq!(about(host, &soon, ".state, .attempts"), "succeeded\n1");
    for id in [polite, stubborn] {
        host.wait_until(&format!(
            "taskdaemon show --json {id} | jq --exit-status '.attempts == 2 and .history[1].pid'"
        ));
        assert_eq!(about(host, &id, ".history[0].outcome.how"), "interrupted");
    }
}

fn a_daemon_that_hangs_in_its_stop_leaves_nothing_running(host: &mut Host) {
    host.install();
    drop_in(host, "taskdaemon.service", "[Service]\nTimeoutStopSec=2s\n");
    host.write("/root/freeze", FREEZE);
    let id = until_told(host);
    let daemon = property(host, "taskdaemon", "MainPID");
    // SIGSTOP would not do: a manager that ends something wakes it up first.
    let mut frozen = host.spawn(&format!("python3 /root/freeze {daemon} taskdaemon"));
    host.wait_until(&format!("grep --quiet '^State:.t' /proc/{daemon}/status"));
    host.run("systemctl stop taskdaemon");
    assert!(frozen.wait().expect("it ends").success());
    assert_eq!(property(host, "taskdaemon", "Result"), "timeout");
    host.wait_until("! systemctl --quiet is-active taskdaemon-runner");
    host.fails(1, "pgrep --uid taskdaemon,taskdaemon-runner");

    host.run("touch /srv/go && systemctl start taskdaemon");
    host.run(&format!("taskdaemon wait {id}"));
    assert_eq!(about(host, &id, ".attempts, .history[0].outcome.how"), "2\ninterrupted");
}

fn a_reboot_goes_on_with_the_queue(host: &mut Host) {
    host.install();
    host.run("printf 'host: {slots: 2, stop_grace: 1s}\n' >/etc/taskdaemon/config.d/story.yml");
    host.run("systemctl reload taskdaemon");
    let cut_off = [until_told(host), until_told(host)];
    let queued = host.run("for n in 1 2 3; do taskdaemon submit -- echo $n; done");
    host.reboot();
    host.run("taskdaemon status --wait 30");
    for id in &cut_off {
        host.wait_until(&format!(
            "taskdaemon show --json {id} | jq --exit-status '.attempts == 2 and .history[1].pid'"
        ));
        assert_eq!(about(host, id, ".history[0].outcome.how"), "interrupted");
    }
    host.run("touch /srv/go");
    host.run("taskdaemon wait --all");
    for id in queued.lines() {
        assert_eq!(about(host, id, ".state, .attempts"), "succeeded\n1");
    }
    // It started with the host, and nobody had to connect.
    let started = if host.kind == Kind::Systemd252 { "multi-user.target" } else { "default.target" };
    host.run(&format!("systemctl list-dependencies --plain {started} | grep --quiet taskdaemon.service"));
}
