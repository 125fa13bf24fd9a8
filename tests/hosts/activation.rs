//! Promises S3, S10, T9 and C3 for the sockets that systemd keeps.

use crate::host::{Host, finish};
use crate::stories::stories;

stories! {
    whoever_connects_while_it_is_stopped_starts_it on [systemd_252, systemd_257];
    a_port_for_health_is_passed_in on [systemd_252, systemd_257];
}

fn whoever_connects_while_it_is_stopped_starts_it(host: &mut Host) {
    host.install();
    host.run("systemctl stop taskdaemon");
    host.wait_until("! systemctl --quiet is-active taskdaemon-runner");
    let clients: Vec<_> = (0..20).map(|_| host.spawn("taskdaemon submit -- true")).collect();
    clients.into_iter().for_each(|client| drop(finish(client)));
    host.run("taskdaemon wait --all");
    assert_eq!(host.run("taskdaemon status --json | jq .counts.succeeded"), "20");

    // It leaves by itself, and so does the runner; the next one brings both back.
    host.write("/etc/taskdaemon/config.d/story.yml", "host: {idle_exit: 1s}\n");
    host.run("systemctl reload taskdaemon");
    host.wait_until("! systemctl --quiet is-active taskdaemon && ! systemctl --quiet is-active taskdaemon-runner");
    host.run("systemctl is-active taskdaemon.socket taskdaemon-runner.socket");
    host.run("taskdaemon submit --wait -- true");
}

fn a_port_for_health_is_passed_in(host: &mut Host) {
    host.install();
    host.run("systemctl enable taskdaemon-health.socket && systemctl restart taskdaemon");
    host.run("curl --fail --silent --max-time 20 http://127.0.0.1:9779/health");
    host.run("curl --fail --silent --max-time 20 http://127.0.0.1:9779/metrics | grep --quiet '^# EOF'");
    host.fails(22, "curl --fail --silent --max-time 20 http://127.0.0.1:9779/v1/tasks");

    // Its own way to one is closed, and it says what to do.
    host.run("systemctl disable --now taskdaemon-health.socket");
    host.write("/etc/taskdaemon/config.d/story.yml", "health: {listen: \"127.0.0.1:9779\"}\n");
    host.fails(1, "systemctl restart taskdaemon");
    let told = host.run("systemctl status --no-pager --full --lines=20 taskdaemon || true");
    assert!(told.contains("may open no port by itself; have its manager open it"), "{told}");
}
