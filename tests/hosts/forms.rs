//! Promise S4 for the other forms of the service: one unit of Type=forking, and a login user's own.

use crate::host::{Host, as_user, finish};
use crate::package;
use crate::stories::stories;
use crate::units::{about, property, until_told, wait_for_successor};

stories! {
    one_unit_that_forks_serves_as_well on [systemd_252, systemd_257];
    a_user_has_one_of_their_own on [systemd_252, systemd_257];
}

fn one_unit_that_forks_serves_as_well(host: &mut Host) {
    host.install();
    host.run("systemctl disable --now taskdaemon.service taskdaemon.socket taskdaemon-runner.socket");
    let example = package::source().join("systemd/examples/single/taskdaemon.service");
    host.put(&example, "/etc/systemd/system/taskdaemon.service");
    host.run("systemctl daemon-reload && systemd-analyze verify --man=no taskdaemon.service");
    host.run("systemctl start taskdaemon");
    assert_eq!(property(host, "taskdaemon", "MainPID"), host.run("cat /run/taskdaemon.pid"));
    assert_eq!(host.run("stat --format=%U:%a /run/taskdaemon.pid"), "root:644");
    host.run("taskdaemon status --wait 30");
    assert_eq!(host.run("taskdaemon submit --follow -- id --user --name"), "taskdaemon-runner");

    host.write("/etc/taskdaemon/config.d/story.yml", "host:\n  slots: many\n");
    host.fails(1, "systemctl reload taskdaemon");
    host.write("/etc/taskdaemon/config.d/story.yml", "host:\n  slots: 7\n");
    host.run("systemctl reload taskdaemon");

    let id = until_told(host);
    // What it says before systemd has read the PID file counts for nothing; this is said later.
    host.wait_until("systemctl show --property=StatusText taskdaemon | grep --quiet '1 running'");
    for signal in ["KILL", "STOP"] {
        if signal == "STOP" {
            host.run("mkdir --parents /run/systemd/system/taskdaemon.service.d");
            host.write(
                "/run/systemd/system/taskdaemon.service.d/story.conf",
                "[Service]\nWatchdogSec=6s\nTimeoutAbortSec=1s\n",
            );
            // The running one was told 30 s; the next one is told this.
            host.run("systemctl daemon-reload");
            let daemon = property(host, "taskdaemon", "MainPID");
            host.run(&format!("kill -KILL {daemon}"));
            wait_for_successor(host, "taskdaemon", &daemon);
        }
        let daemon = property(host, "taskdaemon", "MainPID");
        host.run(&format!("kill -{signal} {daemon}"));
        wait_for_successor(host, "taskdaemon", &daemon);
        assert_eq!(about(host, &id, ".state, .attempts"), "running\n1", "{signal}");
    }
    host.run("systemctl stop taskdaemon");
    assert_eq!(property(host, "taskdaemon", "Result"), "success");
    host.fails(1, "pgrep --uid taskdaemon,taskdaemon-runner");
    host.fails(1, "pgrep taskdaemon");
    host.run("touch /srv/go && systemctl start taskdaemon");
    host.run(&format!("taskdaemon wait {id}"));
}

fn a_user_has_one_of_their_own(host: &mut Host) {
    host.install();
    // logind wants to be asked from within the host's control groups.
    host.run("useradd --create-home alice && systemd-run --quiet --wait loginctl enable-linger alice");
    host.wait_until("systemctl --quiet is-active user@$(id --user alice).service");
    let alice =
        |line: &str| as_user("alice", &format!("cd && export XDG_RUNTIME_DIR=/run/user/$(id --user) && {line}"));
    host.run(&alice("systemctl --user enable --now taskdaemon.socket taskdaemon-runner.socket"));
    host.fails(3, &alice("systemctl --user is-active taskdaemon.service"));
    // The first connection starts it; both hosts' and alice's go on beside each other.
    assert_eq!(host.run(&alice("taskdaemon --user submit --follow -- id --user --name")), "alice");
    assert_eq!(host.run("taskdaemon submit --follow -- id --user --name"), "taskdaemon-runner");
    host.run(&alice("systemctl --user is-active taskdaemon.service taskdaemon-runner.service"));

    let id = host.run(&alice("taskdaemon --user submit --shell \"until [ -e go ]; do sleep 0.1; done\""));
    host.wait_until(&alice(&format!("taskdaemon --user show --json {id} | jq --exit-status .history[0].pid")));
    let waits = host.spawn(&alice(&format!("taskdaemon --user wait {id}")));
    host.run(&alice("systemctl --user kill --signal=KILL --kill-whom=main taskdaemon.service"));
    host.wait_until(&alice(
        "systemctl --user show --property=NRestarts --value taskdaemon | grep --quiet --line-regexp 1",
    ));
    host.run(&alice("touch go"));
    finish(waits);
    assert_eq!(host.run(&alice(&format!("taskdaemon --user show --json {id} | jq .attempts"))), "1");

    host.run(&alice(
        "mkdir --parents .config/taskdaemon && printf \"host:\\n  slots: many\\n\" >.config/taskdaemon/config.yml",
    ));
    host.fails(1, &alice("systemctl --user reload taskdaemon"));
    host.run(&alice("printf \"host:\\n  slots: 7\\n\" >.config/taskdaemon/config.yml"));
    host.run(&alice("systemctl --user reload taskdaemon"));
    host.run(&alice("systemctl --user stop taskdaemon"));
    host.wait_until(&alice("! systemctl --user --quiet is-active taskdaemon-runner"));
    host.run(&alice("systemctl --user is-active taskdaemon.socket"));
}
