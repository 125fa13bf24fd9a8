//! Promises P2 and P3 for a package's life: installed, used, removed, installed again, purged.

use crate::host::Host;
use crate::stories::stories;

stories! {
    a_host_boots_and_boots_again on [systemd_252, systemd_257, sysvinit, openrc];
    an_installed_package_runs on [systemd_252, systemd_257, sysvinit];
}

fn a_host_boots_and_boots_again(host: &mut Host) {
    let boot = "cut -d' ' -f22 /proc/1/stat";
    let first = host.run(boot);
    host.write("/root/kept", "words\n");
    host.reboot();
    assert_ne!(host.run(boot), first);
    assert_eq!(host.read("/root/kept"), b"words\n");
    host.fails(3, "exit 3");
    assert_eq!(host.run_as("nobody", "echo \"it's $(id -un)\""), "it's nobody");
    host.wait_until("test -e /root/kept");
    host.power_off();
}

fn an_installed_package_runs(host: &mut Host) {
    host.install();
    if host.kind.has_systemd() {
        host.run("systemctl is-enabled taskdaemon.service taskdaemon.socket taskdaemon-runner.socket");
        host.run("systemctl is-active taskdaemon.service taskdaemon.socket taskdaemon-runner.service");
    } else {
        host.run("service taskdaemon status");
        host.run("ls /etc/rc2.d/S*taskdaemon /etc/rc0.d/K*taskdaemon");
    }
    assert_eq!(host.run("taskdaemon submit --follow -- id -un"), "taskdaemon-runner");
}
