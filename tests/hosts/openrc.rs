//! Promise S6 under OpenRC: the script of its own, which has a supervisor.

use crate::host::Host;
use crate::stories::stories;

stories! {
    openrc_supervises_a_daemon_of_its_own_script on [openrc];
}

#[track_caller]
fn service(host: &Host, action: &str, status: i32) -> String {
    host.fails(status, &format!("rc-service taskdaemon {action}"))
}

fn openrc_supervises_a_daemon_of_its_own_script(host: &mut Host) {
    host.put_program();
    host.run("mkdir -p /etc/conf.d");
    host.write("/etc/conf.d/taskdaemon", "healthcheck_delay=1\nhealthcheck_timer=2\nrespawn_delay=1\n");
    host.run("taskdaemon service install openrc");
    assert!(host.run("rc-update show default").contains("taskdaemon"));
    assert!(service(host, "status", 0).contains("started"));
    service(host, "start", 0);
    assert!(service(host, "reload", 0).contains("nothing changed"));
    let id = host.run("taskdaemon submit --grace 1s -- sleep 100000");
    let runs = format!("taskdaemon show {id} --json | grep -q '\"state\":\"running\"'");
    host.wait_until(&runs);
    let task = host.run("pgrep -x -u taskdaemon-runner sleep");

    // One that is killed comes back by itself, and so does one that hangs. The task goes on.
    for signal in ["KILL", "STOP"] {
        let before = host.daemon();
        host.run(&format!("kill -{signal} {before}"));
        host.wait_until(&format!("test $(cat /run/taskdaemon/daemon.pid) -ne {before} && taskdaemon list"));
        host.wait_until(&runs);
        assert_eq!(host.run("pgrep -x -u taskdaemon-runner sleep"), task, "after {signal}");
    }
    // Its log is where it belongs, though it is in the foreground.
    host.run("grep -q ready /var/log/taskdaemon/daemon.log");

    // A fault in the configuration stops nothing, and is told.
    host.run("mkdir -p /etc/taskdaemon; echo 'host: {slotz: 3}' >/etc/taskdaemon/config.yml");
    let before = host.daemon();
    assert!(service(host, "reload", 1).contains("config.yml:1:8"));
    assert_eq!(host.daemon(), before);
    service(host, "stop", 0);
    host.fails(1, "pgrep -u taskdaemon,taskdaemon-runner");
    service(host, "status", 3);
    assert!(service(host, "start", 1).contains("config.yml:1:8"));
    host.run("rm /etc/taskdaemon/config.yml");

    // What else keeps it from starting is told too, and nothing is left trying.
    host.run("cd /var/lib/taskdaemon && mv queue.db kept && rm -f queue.db-wal");
    host.run("runuser --user taskdaemon -- sh -c 'echo none >/var/lib/taskdaemon/queue.db'");
    assert!(service(host, "start", 1).contains("is damaged"));
    host.fails(1, "pgrep -x supervise-daemo");
    host.run("cd /var/lib/taskdaemon && mv kept queue.db");
    service(host, "start", 0);
    host.wait_until(&runs);

    // A supervisor that was killed leaves nothing that a stop would not end.
    host.run("kill -9 $(cat /run/supervise-taskdaemon.pid)");
    service(host, "stop", 0);
    host.fails(1, "pgrep -u taskdaemon,taskdaemon-runner");
    service(host, "start", 0);
    host.reboot();
    host.wait_until("rc-service taskdaemon status");
    host.wait_until(&runs);
}
