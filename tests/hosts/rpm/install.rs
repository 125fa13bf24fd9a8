//! Installed, enabled or not, used, removed, installed again.

use super::{dnf, settle, start};
use crate::host::Host;
use crate::package;
use crate::stories::stories;

stories! {
    dnf_installs_and_starts_nothing on [rpm];
    a_preset_enables_it on [rpm];
    members_of_the_group_submit on [rpm];
    removal_stops_it_and_keeps_the_queue on [rpm];
    what_was_never_used_leaves_nothing on [rpm];
}

/// What is where, whose, and how.
const FILES: &str = "\
root root 755 directory /etc/taskdaemon
root root 755 directory /etc/taskdaemon/config.d
root root 644 regular file /etc/taskdaemon/config.yml
root root 755 regular file /usr/bin/taskdaemon
root root 644 regular file /usr/lib/systemd/system/taskdaemon.service
taskdaemon taskdaemon 700 directory /var/lib/taskdaemon
taskdaemon taskdaemon 750 directory /var/log/taskdaemon";

fn dnf_installs_and_starts_nothing(host: &mut Host) {
    settle(host);
    dnf(host, "install", package::rpm());
    let paths: Vec<&str> = FILES.lines().filter_map(|line| line.split_once(" /").map(|(_, path)| path)).collect();
    assert_eq!(host.run(&format!("cd / && stat --format='%U %G %a %F /%n' {}", paths.join(" "))), FILES);
    host.run("rpm --verify taskdaemon");
    host.run("systemd-analyze verify --man=no taskdaemon.service taskdaemon.socket taskdaemon-runner.service");
    let accounts = host.run("getent passwd taskdaemon taskdaemon-runner | cut -d: -f1,5-");
    assert_eq!(
        accounts,
        "taskdaemon:Durable task queue:/nonexistent:/usr/sbin/nologin\n\
        taskdaemon-runner:Durable task queue, its tasks:/nonexistent:/usr/sbin/nologin"
    );
    for unit in ["taskdaemon.service", "taskdaemon.socket", "taskdaemon-runner.socket", "taskdaemon-health.socket"] {
        assert_eq!(host.fails(1, &format!("systemctl is-enabled {unit}")).trim(), "disabled");
        assert_eq!(host.fails(3, &format!("systemctl is-active {unit}")).trim(), "inactive");
    }
    assert_eq!(host.run("ls /etc/systemd/user/*.wants 2>/dev/null | grep taskdaemon | cat"), "");
    host.run("systemctl enable --now taskdaemon.service");
    host.run("taskdaemon status --wait 30");
    assert_eq!(host.run("taskdaemon submit --follow -- id -un"), "taskdaemon-runner");
    host.run("test -z \"$(systemctl --failed --quiet)\"");
}

fn a_preset_enables_it(host: &mut Host) {
    settle(host);
    host.run("mkdir -p /etc/systemd/system-preset");
    host.write("/etc/systemd/system-preset/50-site.preset", "enable taskdaemon.service\n");
    dnf(host, "install", package::rpm());
    host.run("systemctl is-enabled taskdaemon.service taskdaemon.socket taskdaemon-runner.socket");
    host.fails(3, "systemctl is-active taskdaemon.service");
    host.reboot();
    host.run("taskdaemon status --wait 30");
    // What the administrator says afterwards outlives an upgrade.
    host.run("systemctl disable taskdaemon.service taskdaemon.socket taskdaemon-runner.socket");
    dnf(host, "reinstall", package::rpm());
    host.fails(1, "systemctl is-enabled taskdaemon.service");
    host.run("taskdaemon status");
}

fn members_of_the_group_submit(host: &mut Host) {
    start(host);
    host.run("useradd --create-home --groups taskdaemon anna && useradd --create-home ben");
    assert_eq!(host.run_as("anna", "taskdaemon submit --follow -- echo hello"), "hello");
    let refused = host.fails(77, "runuser --user ben -- taskdaemon --system submit -- true");
    assert!(refused.contains("group taskdaemon"), "{refused}");
}

fn removal_stops_it_and_keeps_the_queue(host: &mut Host) {
    start(host);
    let id = host.run("taskdaemon submit --hold -- echo kept");
    host.run("sed -i 's/^  #slots: auto$/  slots: 3/' /etc/taskdaemon/config.yml && taskdaemon reload");
    host.run("dnf remove taskdaemon");
    host.fails(1, "pgrep --exact taskdaemon");
    host.run("! systemctl --quiet is-active taskdaemon.service && test -z \"$(systemctl --failed --quiet)\"");
    host.fails(1, "systemctl cat taskdaemon.service");
    host.run("test ! -e /run/taskdaemon && test -s /var/lib/taskdaemon/queue.db");
    host.run("grep --quiet 'slots: 3' /etc/taskdaemon/config.yml.rpmsave");
    host.run("getent passwd taskdaemon taskdaemon-runner");
    dnf(host, "install", package::rpm());
    host.run("systemctl enable --now taskdaemon.service && taskdaemon status --wait 30");
    host.run(&format!("taskdaemon release {id} && taskdaemon wait {id}"));
    assert_eq!(host.run(&format!("taskdaemon logs {id}")), "kept");
}

fn what_was_never_used_leaves_nothing(host: &mut Host) {
    settle(host);
    dnf(host, "install", package::rpm());
    host.run("rm /root/taskdaemon.rpm && dnf remove taskdaemon && systemctl is-system-running");
    let left = host.run("find / -xdev -name '*taskdaemon*' -not -path '/var/log/journal/*'");
    assert_eq!(left, "");
}
