//! Promise P3 where an installation, an upgrade or a removal is cut short: each ends in a working state.

use crate::host::Host;
use crate::package;
use crate::stories::stories;
use crate::version::Version;

stories! {
    an_installation_that_is_cut_short_leaves_nothing_and_can_be_repeated on [systemd_252, sysvinit];
    an_upgrade_that_is_cut_short_after_unpacking_is_finished_later on [systemd_252, sysvinit];
    a_removal_that_is_called_off_starts_the_service_again on [systemd_252, systemd_257, sysvinit];
}

fn an_installation_that_is_cut_short_leaves_nothing_and_can_be_repeated(host: &mut Host) {
    let small = "/usr/share/zsh/vendor-completions";
    host.run(&format!("mkdir -p {small} && mount -t tmpfs -o size=16k none {small}"));
    host.put(package::deb(), "/root/taskdaemon.deb");
    let told = host.fails(100, "apt-get install --yes /root/taskdaemon.deb");
    assert!(told.contains("No space left on device"), "{told}");
    host.run("test ! -e /usr/bin/taskdaemon && test ! -e /etc/taskdaemon && test ! -e /var/lib/taskdaemon");
    host.run(&format!("umount {small}"));
    host.install();
    host.run("taskdaemon submit --wait -- true");
}

fn an_upgrade_that_is_cut_short_after_unpacking_is_finished_later(host: &mut Host) {
    host.install();
    let id = host.run("taskdaemon submit --on-interrupt end -- sh -c 'until [ -e /run/go ]; do sleep 0.2; done'");
    host.wait_until(&format!("taskdaemon list --state running | grep -q '^{id}'"));
    host.put(&Version::with_program("0.2.0-1", "0.2.0").deb(), "/root/next.deb");
    host.run("dpkg --unpack /root/next.deb");
    assert_eq!(host.run("taskdaemon status --json | jq --raw-output .program"), "replaced");
    // Whatever starts the daemon now starts the new program, and it takes the task over.
    host.run("kill -KILL $(cat /run/taskdaemon/daemon.pid)");
    if !host.kind.has_systemd() {
        host.run("service taskdaemon start");
    }
    host.run("taskdaemon --system status --wait 30");
    host.run("dpkg --configure --pending");
    assert_eq!(host.run("taskdaemon status --json | jq --raw-output .program"), "current");
    host.run(&format!("touch /run/go && taskdaemon wait {id}"));
}

fn a_removal_that_is_called_off_starts_the_service_again(host: &mut Host) {
    host.install();
    // It stops the service, and then something goes wrong.
    host.run("echo 'exit 1' >>/var/lib/dpkg/info/taskdaemon.prerm");
    host.fails(1, "dpkg --remove taskdaemon");
    assert_eq!(host.run("dpkg-query --show --showformat='${db:Status-Status}' taskdaemon"), "installed");
    host.run("taskdaemon --system status --wait 30");
    host.run("taskdaemon submit --wait -- true");
}
