//! Promise P2 where nothing is to start, or nothing can: without an init, forbidden by policy, in another root, and where
//! what the service needs is taken.

use crate::host::Host;
use crate::package;
use crate::stories::stories;

stories! {
    an_image_is_built_without_an_init_and_runs_at_its_first_boot on [systemd_252, systemd_257, sysvinit];
    another_root_is_installed_into_from_outside on [systemd_252];
    a_policy_that_forbids_starting_is_obeyed on [systemd_252, sysvinit];
    a_daemon_that_holds_the_queue_is_told_and_left_alone on [systemd_252, systemd_257, sysvinit];
    a_socket_that_is_taken_is_told_and_left_alone on [sysvinit];
    a_port_that_is_taken_is_told_and_left_alone on [sysvinit];
}

const IS_UP: &str = "pgrep -f 'bin/[t]askdaemon'";

fn an_image_is_built_without_an_init_and_runs_at_its_first_boot(host: &mut Host) {
    host.put(package::deb(), "/root/taskdaemon.deb");
    // The same root without its /run: whoever looks there finds no init.
    host.run("mount --bind / /mnt && mount -t proc proc /mnt/proc");
    host.run("chroot /mnt apt-get install --yes /root/taskdaemon.deb");
    host.fails(1, IS_UP);
    assert_eq!(host.run("dpkg-query --show --showformat='${db:Status-Status}' taskdaemon"), "installed");
    host.run("umount /mnt/proc /mnt");
    host.reboot();
    host.run("taskdaemon --system status --wait 30");
    host.run("taskdaemon submit --wait -- true");
}

fn another_root_is_installed_into_from_outside(host: &mut Host) {
    host.put(package::deb(), "/root/taskdaemon.deb");
    host.run("mount -t tmpfs tmpfs /mnt && mkdir /mnt/upper /mnt/work /mnt/root");
    host.run("mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root");
    host.run("dpkg --root=/mnt/root --force-script-chrootless --install /root/taskdaemon.deb");
    host.run("test -x /mnt/root/usr/bin/taskdaemon && test -L /mnt/root/etc/systemd/system/sockets.target.wants/taskdaemon.socket");
    host.run("grep ^taskdaemon-runner: /mnt/root/etc/passwd && test -d /mnt/root/var/lib/taskdaemon");
    // Nothing of it is here.
    host.fails(1, IS_UP);
    host.fails(2, "getent passwd taskdaemon");
    host.run("test ! -e /var/lib/taskdaemon && test ! -e /run/taskdaemon");
    host.run("dpkg --root=/mnt/root --force-script-chrootless --purge taskdaemon");
    host.run("test ! -e /mnt/root/var/lib/taskdaemon && test ! -e /mnt/root/etc/taskdaemon");
}

fn a_policy_that_forbids_starting_is_obeyed(host: &mut Host) {
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
    host.run("chmod +x /usr/sbin/policy-rc.d");
    host.put(package::deb(), "/root/taskdaemon.deb");
    host.run("apt-get install --yes /root/taskdaemon.deb");
    host.fails(1, IS_UP);
    host.run("rm /usr/sbin/policy-rc.d");
    // It is registered all the same, and so starts with the host.
    host.reboot();
    host.run("taskdaemon --system status --wait 30");
}

fn a_daemon_that_holds_the_queue_is_told_and_left_alone(host: &mut Host) {
    // Somebody installed it from source before, made the two users as its own words say, and started it by hand.
    host.put(package::deb(), "/root/taskdaemon.deb");
    host.run("dpkg-deb --extract /root/taskdaemon.deb /opt/own && mv /opt/own/usr/bin/taskdaemon /usr/local/bin");
    host.run("adduser --quiet --system --group --no-create-home --home /nonexistent taskdaemon");
    host.run("adduser --quiet --system --group --no-create-home --home /nonexistent taskdaemon-runner");
    host.run("/usr/local/bin/taskdaemon --system start");
    let id = host.run("taskdaemon submit -- sleep 600");
    host.wait_until(&format!("taskdaemon list --state running | grep -q '{id}'"));

    let told = host.fails(100, "apt-get install --yes /root/taskdaemon.deb");
    assert!(told.contains("started by hand") && told.contains("dpkg --configure taskdaemon"), "{told}");
    // The other one serves its clients as before.
    assert!(host.run("/usr/local/bin/taskdaemon list --state running").contains(&id));
    host.run("/usr/local/bin/taskdaemon submit --wait -- true");

    // As it was told.
    host.run("/usr/local/bin/taskdaemon stop --grace 1s && dpkg --configure taskdaemon");
    host.run("/usr/bin/taskdaemon --system status --wait 30");
    host.run(&format!("taskdaemon show {id}"));
}

/// Installs where another program listens at `place`, as it tells Perl by `words`. It is told, and goes on; once it is
/// gone, so does the installation.
fn install_beside(host: &Host, kind: &str, words: &str, place: &str) {
    host.put(package::deb(), "/root/taskdaemon.deb");
    let script = format!("$socket = IO::Socket::{kind}->new({words}, Listen => 5) or die; 1 while $socket->accept");
    let mut other = host.spawn(&format!("exec perl -MIO::Socket::{kind} -e '{script}'"));
    host.wait_until(&format!("grep --quiet --word-regexp '{place}' /proc/net/unix /proc/net/tcp"));
    let told = host.fails(100, "apt-get install --yes /root/taskdaemon.deb");
    let process = host.run("pgrep -x perl");
    assert!(told.contains(&format!("process {process} (perl) listens")), "{told}");
    host.fails(3, "service taskdaemon status");
    host.run(&format!("kill {process} && rm -rf /run/taskdaemon"));
    host.run("dpkg --configure taskdaemon && taskdaemon submit --wait -- true");
    other.wait().unwrap();
}

// Under systemd it is systemd that listens there: it takes the path away from whoever had it.
fn a_socket_that_is_taken_is_told_and_left_alone(host: &mut Host) {
    host.run("mkdir /run/taskdaemon");
    let path = "/run/taskdaemon/control.sock";
    install_beside(host, "UNIX", &format!("Local => \"{path}\""), path);
}

// Under systemd the daemon has no network, and a port is passed in.
fn a_port_that_is_taken_is_told_and_left_alone(host: &mut Host) {
    host.run("mkdir -p /etc/taskdaemon/config.d");
    host.write("/etc/taskdaemon/config.d/port.yml", "health:\n  listen: 127.0.0.1:9876\n");
    install_beside(host, "INET", "LocalAddr => \"127.0.0.1:9876\"", "0100007F:2694");
}
