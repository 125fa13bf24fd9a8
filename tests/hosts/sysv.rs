//! Promise S6: the init script of a package, as an administrator of a host with sysvinit meets it.

use crate::host::{Host, finish, told};
use crate::stories::stories;

stories! {
    every_action_has_the_exit_status_of_the_standard on [sysvinit, openrc];
    a_start_that_fails_says_why_at_once on [sysvinit];
    pid_files_that_lie_cost_nobody_anything on [sysvinit];
    a_daemon_that_was_killed_or_hangs_is_told_and_comes_back on [sysvinit];
    the_queue_goes_on_after_a_reboot on [sysvinit];
    policy_and_a_strange_environment_are_kept_to on [sysvinit];
}

/// A fault that the program names with its place.
const FAULT: &str = "mkdir -p /etc/taskdaemon/config.d; echo 'host: {slotz: 3}' >/etc/taskdaemon/config.d/fault.yml";
const NO_FAULT: &str = "rm -f /etc/taskdaemon/config.d/fault.yml";

/// `service taskdaemon ACTION`, which must end so; all it said.
#[track_caller]
fn service(host: &Host, action: &str, status: i32) -> String {
    host.fails(status, &format!("service taskdaemon {action}"))
}

fn every_action_has_the_exit_status_of_the_standard(host: &mut Host) {
    host.install();
    let pid = || host.run("cat /run/taskdaemon.pid");
    // 0, whether there is something to do or not.
    let first = pid();
    service(host, "start", 0);
    assert_eq!(pid(), first, "one that runs is left alone");
    assert!(service(host, "status", 0).contains("running"));
    for action in ["reload", "force-reload"] {
        assert!(service(host, action, 0).contains("nothing changed"));
    }
    assert_eq!(pid(), first, "a reload starts nothing");
    for action in ["restart", "try-restart"] {
        let before = pid();
        service(host, action, 0);
        assert_ne!(pid(), before, "{action}");
    }
    service(host, "stop", 0);
    service(host, "stop", 0);
    // 3 and 7: it does not run.
    assert!(service(host, "status", 3).contains("stopped"));
    service(host, "try-restart", 0);
    service(host, "status", 3);
    for action in ["reload", "force-reload"] {
        assert!(service(host, action, 7).contains("does not run"));
    }
    service(host, "restart", 0);
    // 2 and 3: wrong usage, and an action that there is not.
    let script = "/etc/init.d/taskdaemon";
    assert!(host.fails(2, script).contains("usage:"));
    host.fails(2, &format!("{script} start now"));
    host.fails(3, &format!("{script} fly"));
    // 4: not permitted; or it cannot be told.
    for action in ["start", "stop", "restart", "try-restart", "reload", "force-reload"] {
        let said = host.fails(4, &format!("runuser --user nobody -- {script} {action}"));
        assert!(said.contains("only root") && said.contains("sudo"), "{said}");
    }
    assert!(host.fails(4, &format!("runuser --user nobody -- {script} status")).contains("unknown"));
    // 6: not configured. What runs goes on, and can be stopped.
    host.run(FAULT);
    let first = pid();
    for action in ["reload", "restart", "try-restart", "force-reload"] {
        let said = service(host, action, 6);
        assert!(said.contains("fault.yml:1:8") && said.contains("slots?"), "{said}");
    }
    assert_eq!(pid(), first);
    for (action, status) in [("start", 0), ("status", 0), ("stop", 0), ("stop", 0), ("status", 3), ("start", 6)] {
        service(host, action, status);
    }
    host.run(NO_FAULT);
    host.run("echo 'A=\"' >>/etc/default/taskdaemon");
    service(host, "start", 6);
    host.run("rm -f /etc/default/taskdaemon");
    service(host, "start", 0);
    service(host, "stop", 0);
    // 5: not installed.
    host.run("mv /usr/bin/taskdaemon /usr/bin/elsewhere");
    for (action, status) in [("start", 5), ("stop", 5), ("reload", 5), ("status", 4)] {
        assert!(service(host, action, status).contains("not installed"));
    }
    host.run("mv /usr/bin/elsewhere /usr/bin/taskdaemon");
}

fn a_start_that_fails_says_why_at_once(host: &mut Host) {
    host.install();
    service(host, "stop", 0);
    // Somebody listens where the daemon would.
    let taken = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un($ARGV[0])) or die $!; \
        listen(S, 128); chmod 0777, $ARGV[0]; sleep 1000";
    host.run(&format!("setsid perl -e '{taken}' /run/taskdaemon/control.sock </dev/null >/dev/null 2>&1 &"));
    host.wait_until("test -S /run/taskdaemon/control.sock");
    let said = service(host, "start", 1);
    assert!(said.contains("(perl) listens at /run/taskdaemon/control.sock"), "{said}");
    host.run("pgrep -x perl >/dev/null && pkill -x perl; rm -f /run/taskdaemon/control.sock");
    // A queue that is none.
    host.run("cd /var/lib/taskdaemon && mv queue.db kept && rm -f queue.db-wal");
    host.run("runuser --user taskdaemon -- sh -c 'echo none >/var/lib/taskdaemon/queue.db'");
    let said = service(host, "start", 1);
    assert!(said.contains("is damaged") && said.contains("left untouched"), "{said}");
    service(host, "status", 3);
    host.run("cd /var/lib/taskdaemon && mv kept queue.db");
    // Two starts in the same instant: one daemon, and both are right.
    let twice = "service taskdaemon start & service taskdaemon start";
    let one = |started: &str| {
        host.run(started);
        assert_eq!(host.run("pgrep -c -u taskdaemon -f 'taskdaemon --system start'"), "1");
    };
    for _ in 0..3 {
        one(&format!("{twice} & wait %1 && wait %2"));
        service(host, "stop", 0);
    }
    // One that is slower than the other, which was not there when it looked.
    host.write("/etc/default/taskdaemon", ": >/var/tmp/slow; until taskdaemon status >/dev/null; do sleep 0.1; done\n");
    let slow = host.spawn("service taskdaemon start");
    host.wait_until("test -e /var/tmp/slow");
    host.run("rm /etc/default/taskdaemon");
    service(host, "start", 0);
    let pid = host.run("cat /run/taskdaemon.pid");
    finish(slow);
    assert_eq!(host.run("cat /run/taskdaemon.pid"), pid, "nobody ends the daemon of another start");
    // Two beside one that is on its way out.
    let id = host.run("taskdaemon submit --shell 'until [ -e /var/tmp/go ]; do sleep 0.1; done'");
    host.wait_until(&format!("taskdaemon show {id} --json | grep -q '\"state\":\"running\"'"));
    host.run("kill $(cat /run/taskdaemon.pid)");
    host.wait_until("taskdaemon status --json | grep -q '\"state\":\"stopping\"'");
    one(&format!("{twice} & touch /var/tmp/go; wait %1 && wait %2"));
}

fn pid_files_that_lie_cost_nobody_anything(host: &mut Host) {
    host.install();
    host.run("setsid sleep 100000 </dev/null >/dev/null 2>&1 & echo $! >/root/victim; cp /root/victim /root/precious");
    let (root, own) = ("/run/taskdaemon.pid", "/run/taskdaemon/daemon.pid");
    let lies = [
        ("forged", "cat /root/victim >FILE"),
        ("of another user, for everybody to write", "cat /root/victim >FILE; chown nobody FILE; chmod 666 FILE"),
        ("torn", "printf '%.1s' \"$(cat /root/victim)\" >FILE"),
        ("empty", ": >FILE"),
        ("no number", "echo '-1 or so' >FILE"),
        ("the first process", "echo 1 >FILE"),
        ("gone", "rm -f FILE"),
        ("a link", "ln -sf /root/precious FILE"),
    ];
    for (lie, plant) in lies {
        for file in [root, own] {
            let plant = plant.replace("FILE", file);
            // Beside a daemon that runs: it is found, and stopped, and nobody else.
            host.run(&plant);
            assert!(service(host, "status", 0).contains("running"), "{lie}: {file}");
            let pid = host.run("taskdaemon status --json | sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'");
            let stopped = host.attempt("service taskdaemon stop");
            assert!(!host.attempt(&format!("kill -0 {pid}")).status.success(), "{lie}: {file}: {}", told(&stopped));
            // Where none runs: no stranger is taken for it.
            host.run(&plant);
            assert_ne!(host.attempt("service taskdaemon status").status.code(), Some(0), "{lie}: {file}");
            host.attempt("service taskdaemon stop");
            host.run("kill -0 $(cat /root/victim) && cmp /root/victim /root/precious");
            // A link is refused, in words; anything else is written anew.
            host.run(&plant);
            if lie == "a link" {
                let said = service(host, "start", 1);
                assert!(said.contains("symbolic link") && said.contains("remove it"), "{said}");
                host.run(&format!("rm -f {file}"));
            }
            service(host, "start", 0);
            host.run("kill -0 $(cat /root/victim) && cmp /root/victim /root/precious");
        }
    }
    assert_eq!(host.run("stat -c '%U %a' /run/taskdaemon.pid"), "root 644");
}

fn a_daemon_that_was_killed_or_hangs_is_told_and_comes_back(host: &mut Host) {
    host.install();
    let id = host.run("taskdaemon submit --grace 1s -- sleep 100000");
    let state =
        |state: &str| host.wait_until(&format!("taskdaemon show {id} --json | grep -q '\"state\":\"{state}\"'"));
    let task = || host.run("pgrep -x -u taskdaemon-runner sleep");
    state("running");
    let first = task();
    // Nobody starts it again, which status tells; its task goes on, and the next daemon takes it over.
    host.run("kill -9 $(cat /run/taskdaemon.pid)");
    assert!(service(host, "status", 1).contains("died and left its files"));
    service(host, "restart", 0);
    state("running");
    assert_eq!(task(), first, "the same process goes on");
    // One that hangs is told after some seconds, and a stop kills it in the end, with its tasks.
    host.run("kill -STOP $(cat /run/taskdaemon.pid)");
    assert!(service(host, "status", 0).contains("does not answer"));
    host.run("mkdir -p /etc/taskdaemon/config.d; echo 'host: {stop_grace: 1s, shutdown_timeout: 3s}' >/etc/taskdaemon/config.d/quick.yml");
    service(host, "stop", 0);
    host.fails(1, "pgrep -u taskdaemon,taskdaemon-runner");
    service(host, "status", 3);
    // A stop with a long task: its grace, then its end; and it runs again after the start.
    service(host, "start", 0);
    state("running");
    service(host, "stop", 0);
    host.fails(1, "pgrep -u taskdaemon,taskdaemon-runner");
    service(host, "start", 0);
    state("running");
    assert!(host.run(&format!("taskdaemon show {id} --json")).contains("interrupted"));
    // The same where the daemon died before.
    host.run("kill -9 $(cat /run/taskdaemon.pid)");
    service(host, "stop", 0);
    host.fails(1, "pgrep -u taskdaemon,taskdaemon-runner");
}

fn the_queue_goes_on_after_a_reboot(host: &mut Host) {
    host.install();
    assert_eq!(
        host.run("cd /etc && ls rc?.d/*taskdaemon | tr '0-9' '#' | sort -u | tr '\\n' ' '").trim(),
        "rc#.d/K##taskdaemon rc#.d/S##taskdaemon"
    );
    assert_eq!(host.run("cd /etc && ls -d rc[016].d/K*taskdaemon rc[2345].d/S*taskdaemon | wc -l"), "7");
    // At shutdown it ends its tasks itself, before everything that still runs is killed.
    host.run("test $(ls /etc/rc6.d | grep -n taskdaemon | cut -d: -f1) -lt $(ls /etc/rc6.d | grep -n sendsigs | cut -d: -f1)");
    let long = host.run("taskdaemon submit --grace 1s -- sh -c 'echo begun >>/var/tmp/ledger; sleep 100000'");
    let queued = host.run("taskdaemon submit --hold -- echo later");
    host.wait_until("test -s /var/tmp/ledger");
    host.reboot();
    host.wait_until("service taskdaemon status");
    host.wait_until("test $(wc -l </var/tmp/ledger) -eq 2");
    let task = host.run(&format!("taskdaemon show {long} --json"));
    assert!(task.contains("interrupted") && task.contains("\"state\":\"running\""), "{task}");
    host.run(&format!("taskdaemon release {queued}; taskdaemon wait {queued}"));
    // It was an end in good order, and its log is where it belongs.
    let log = host.run("cat /var/log/taskdaemon/daemon.log");
    assert!(log.contains("draining") && !log.contains("did not end in good order"), "{log}");
    // Which logrotate moves away, and the daemon follows.
    host.run("logrotate --force /etc/logrotate.d/taskdaemon");
    host.run("test -s /var/log/taskdaemon/daemon.log.1");
    host.run("kill -USR1 $(cat /run/taskdaemon.pid)");
    host.wait_until("grep -q . /var/log/taskdaemon/daemon.log");
    assert_eq!(host.run("stat -c '%U:%G %a' /var/log/taskdaemon/daemon.log"), "taskdaemon:taskdaemon 640");
}

fn policy_and_a_strange_environment_are_kept_to(host: &mut Host) {
    host.install();
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
    host.run("chmod 755 /usr/sbin/policy-rc.d");
    let pid = host.run("cat /run/taskdaemon.pid");
    host.run("invoke-rc.d taskdaemon restart");
    host.run("invoke-rc.d taskdaemon stop");
    assert_eq!(host.run("cat /run/taskdaemon.pid"), pid, "policy-rc.d keeps it from being touched");
    host.run("rm /usr/sbin/policy-rc.d; invoke-rc.d taskdaemon stop");
    service(host, "status", 3);
    // Whatever surrounds root, the host's daemon is meant, and sees none of it.
    let strange =
        "TASKDAEMON_CONFIG=/nowhere TASKDAEMON_SOCKET=/nowhere TMPDIR=/nowhere SECRET=word PATH=/nowhere:$PATH";
    host.run(&format!("cd /tmp && {strange} /etc/init.d/taskdaemon start"));
    host.run("! tr '\\0' '\\n' </proc/$(cat /run/taskdaemon.pid)/environ | grep -e SECRET -e nowhere");
    assert_eq!(host.run("readlink /proc/$(cat /run/taskdaemon.pid)/cwd"), "/");
    assert_eq!(host.run("stat -c '%U:%G %a' /run/taskdaemon"), "taskdaemon:taskdaemon 755");
    // Its settings reach it; without them, and without its directories, it starts too.
    host.run("echo TASKDAEMON_LOG_LEVEL=debug >/etc/default/taskdaemon");
    service(host, "restart", 0);
    host.run("grep -q TASKDAEMON_LOG_LEVEL=debug /proc/$(cat /run/taskdaemon.pid)/environ");
    service(host, "stop", 0);
    host.run("rm -rf /etc/default/taskdaemon /run/taskdaemon /run/taskdaemon.pid");
    service(host, "start", 0);
    // Where there is no start-stop-daemon, nor the functions of the standard.
    service(host, "stop", 0);
    host.run("chmod -x /sbin/start-stop-daemon; mv /lib/lsb /lib/lsb.away");
    service(host, "start", 0);
    service(host, "status", 0);
    service(host, "stop", 0);
}
