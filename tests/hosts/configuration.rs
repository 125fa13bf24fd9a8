//! Promises D9 and S4 for the configuration of a service: reloaded, refused, and told where an administrator looks.

use crate::host::Host;
use crate::package;
use crate::stories::stories;
use crate::units::{drop_in, property};

stories! {
    a_reload_takes_what_is_good_and_fails_with_what_is_not on [systemd_252, systemd_257];
    a_fault_keeps_it_from_starting_and_is_told on [systemd_252, systemd_257];
    sighup_is_enough_where_systemd_waits_for_it on [systemd_257];
}

const FILE: &str = "/etc/taskdaemon/config.d/story.yml";
const FAULT: &str = "story.yml:2:10: host.slots: needs auto, or a whole number";

fn slots(host: &Host) -> String {
    host.run("taskdaemon status --json | jq .slots.all")
}

/// What `systemctl status` shows, which has an exit status of its own.
fn status(host: &Host) -> String {
    host.run("systemctl status --no-pager --full --lines=20 taskdaemon || true")
}

fn a_reload_takes_what_is_good_and_fails_with_what_is_not(host: &mut Host) {
    host.install();
    let daemon = property(host, "taskdaemon", "MainPID");
    host.write(FILE, "host:\n  slots: 7\n");
    host.run("systemctl reload taskdaemon");
    // In force when it returns.
    assert_eq!(slots(host), "7");
    host.write(FILE, "host:\n  slots: many\n");
    host.fails(1, "systemctl reload taskdaemon");
    let told = status(host);
    assert!(told.contains(FAULT) && told.contains("active (running)"), "{told}");
    assert_eq!((slots(host).as_str(), property(host, "taskdaemon", "MainPID")), ("7", daemon));
}

fn a_fault_keeps_it_from_starting_and_is_told(host: &mut Host) {
    host.install();
    host.write(FILE, "host:\n  slots: many\n");
    host.fails(1, "systemctl restart taskdaemon");
    let told = status(host);
    assert!(told.contains(FAULT) && told.contains("status=78"), "{told}");
    assert_eq!(property(host, "taskdaemon", "NRestarts"), "0", "no restart helps");
    // A client is not left waiting.
    host.fails(69, "taskdaemon submit -- true");
    host.write(FILE, "host:\n  slots: 7\n");
    host.run("systemctl restart taskdaemon");
    assert_eq!(slots(host), "7");
    host.run("taskdaemon submit --wait -- true");
    host.run("systemctl is-active taskdaemon.socket");
}

fn sighup_is_enough_where_systemd_waits_for_it(host: &mut Host) {
    host.install();
    let example = package::source().join("systemd/examples/notify-reload.conf");
    drop_in(host, "taskdaemon.service", &std::fs::read_to_string(example).unwrap());
    host.run("systemd-analyze verify --man=no taskdaemon.service");
    host.run("systemctl restart taskdaemon");
    host.write(FILE, "host:\n  slots: 7\n");
    host.run("systemctl reload taskdaemon");
    assert_eq!(slots(host), "7");
    // The protocol has no word for it; the log has.
    host.write(FILE, "host:\n  slots: many\n");
    host.run("systemctl reload taskdaemon");
    assert_eq!(slots(host), "7");
    let told = status(host);
    assert!(told.contains(FAULT) && told.contains("active (running)"), "{told}");
}
