//! Promises P2 and P3 for a package's life: installed, used, removed, installed again, purged.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use crate::host::{DEADLINE, Host, as_user, told};
use crate::stories::stories;

stories! {
    a_host_boots_and_boots_again on [systemd_252, systemd_257, sysvinit, openrc];
    a_host_ends_with_whoever_booted_it_and_leaves_nothing on [systemd_252, sysvinit];
    an_installed_package_runs on [systemd_252, systemd_257, sysvinit];
    a_member_of_the_group_submits_and_a_stranger_is_refused on [systemd_252, systemd_257, sysvinit];
    the_status_of_the_service_is_what_the_standard_says on [systemd_252, systemd_257, sysvinit];
    removing_keeps_the_queue_and_purging_leaves_nothing on [systemd_252, systemd_257, sysvinit];
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

fn a_host_ends_with_whoever_booted_it_and_leaves_nothing(host: &mut Host) {
    let leftovers = |name: &str| {
        let processes = Command::new("pgrep").args(["-f", &format!("up/{name}( |/|$)")]).output().unwrap();
        (Host::is_listed(name), told(&processes))
    };
    let mut other = Host::boot(host.kind);
    let name = other.name().to_owned();
    assert!(Host::is_listed(&name), "{name} is not among\n{}", Host::list());
    other.run("sleep 1000 >/dev/null 2>&1 &");
    // As when the tests are killed: nobody has the time to clean up.
    other.kill_keeper();
    drop(other);
    let start = Instant::now();
    while leftovers(&name) != (false, String::new()) {
        assert!(start.elapsed() < DEADLINE, "left of {name}: {:?}", leftovers(&name));
    }
    host.run("true");
}

fn an_installed_package_runs(host: &mut Host) {
    host.install();
    if host.kind.has_systemd() {
        host.run("systemctl is-enabled taskdaemon.service taskdaemon.socket taskdaemon-runner.socket");
        host.run("systemctl is-active taskdaemon.service taskdaemon.socket taskdaemon-runner.service");
        assert_eq!(host.run("systemctl --failed --quiet --no-legend"), "");
    } else {
        host.run("service taskdaemon status");
        host.run("ls /etc/rc2.d/S*taskdaemon /etc/rc0.d/K*taskdaemon /etc/rc6.d/K*taskdaemon");
    }
    assert_eq!(host.run("taskdaemon submit --follow -- id -un"), "taskdaemon-runner");

    let stat = |path: &str| host.run(&format!("stat -c '%U:%G %a' {path}"));
    assert_eq!(stat("/var/lib/taskdaemon"), "taskdaemon:taskdaemon 700");
    assert_eq!(stat("/var/log/taskdaemon"), "taskdaemon:taskdaemon 750");
    assert_eq!(stat("/run/taskdaemon"), "taskdaemon:taskdaemon 755");
    assert_eq!(stat("/run/taskdaemon/control.sock"), "taskdaemon:taskdaemon 660");
    assert_eq!(stat("/var/lib/taskdaemon/queue.db"), "taskdaemon:taskdaemon 600");
    assert_eq!(stat("/etc/taskdaemon/config.yml"), "root:root 644");
    for user in ["taskdaemon", "taskdaemon-runner"] {
        assert_eq!(host.run(&format!("id -Gn {user}")), user, "it is in its own group alone");
        let entry = host.run(&format!("getent passwd {user}"));
        assert!(entry.ends_with(":/nonexistent:/usr/sbin/nologin"), "{entry}");
        assert!(host.run(&format!("id -u {user}")).parse::<u32>().is_ok_and(|number| number < 1000), "{entry}");
        assert!(matches!(host.run(&format!("passwd --status {user} | cut -d' ' -f2")).as_str(), "L"), "{entry}");
    }
    let users = host.run("ps -e -o user:32= -o args= | grep 'bin/[t]askdaemon'");
    let daemon = users.lines().find(|line| line.contains(" start ")).unwrap();
    assert!(daemon.starts_with("taskdaemon "), "{users}");
    // Where no systemd starts it, a keeper does, which is root and does nothing else.
    let runner = users.lines().find(|line| line.contains(" runner ") && !line.contains(" --keep ")).unwrap();
    assert!(runner.starts_with("taskdaemon-runner "), "{users}");
}

fn a_member_of_the_group_submits_and_a_stranger_is_refused(host: &mut Host) {
    host.install();
    host.run("useradd --create-home alice && useradd --create-home bob");
    let told = host.fails(77, &as_user("alice", "taskdaemon --system submit -- true"));
    assert!(told.contains("group taskdaemon"), "it says how to be let in: {told}");
    host.run("usermod --append --groups taskdaemon alice");

    let id = host.run_as("alice", "taskdaemon --system submit -- sleep 600");
    host.wait_until(&as_user("alice", &format!("taskdaemon --system list --state running | grep -q '{id}'")));
    // She handles what is hers, and does not see what is the administrator's.
    let of_root = host.run("taskdaemon submit --hold -- true");
    host.fails(66, &as_user("alice", &format!("taskdaemon --system cancel {of_root}")));
    host.fails(77, &as_user("alice", "taskdaemon --system stop"));
    host.fails(77, &as_user("bob", &format!("taskdaemon --system cancel {id}")));
    host.run_as("alice", &format!("taskdaemon --system cancel {id}"));
    host.run("taskdaemon status");
}

fn the_status_of_the_service_is_what_the_standard_says(host: &mut Host) {
    // The Linux Standard Base: 0 runs, 1 dead with a PID file, 2 dead with a lock, 3 does not run, 4 unknown.
    let status = "service taskdaemon status";
    host.install();
    host.run(status);
    if host.kind.has_systemd() {
        // It knows no dead ones: it would have started them again.
        host.run("systemctl stop taskdaemon.service");
        host.fails(3, status);
    } else {
        host.run("kill -KILL $(cat /run/taskdaemon.pid)");
        host.wait_until("service taskdaemon status; test $? -eq 1");
        host.run("rm /run/taskdaemon.pid /run/taskdaemon/*.pid");
        host.fails(2, status);
        host.run("service taskdaemon start && service taskdaemon status && service taskdaemon stop");
        host.fails(3, status);
    }
    host.run("apt-get remove --yes taskdaemon");
    // Removed, its script is still there, being configuration.
    let script = if host.kind.has_systemd() { status } else { "sh /etc/init.d/taskdaemon status" };
    host.fails(4, script);
}

/// What there is on the host, but for what the system and the packager keep for themselves: paths with owner and mode,
/// links with their targets, and the contents of what is configured.
fn inventory(host: &Host) -> BTreeSet<String> {
    let told = host.run(
        "find / -xdev -regextype egrep -regex '/(root|tmp|var/(tmp|cache|lib/(dpkg|apt)|log/(journal|apt)))' -prune \
             -o -not -name '*-' -not -name dpkg.log -printf '%p %y %u:%g %m %l\\n'; \
         find /run -regextype egrep -regex '/run/(systemd|user|adduser|agetty.reload)' -prune -o -printf '%p %y %u:%g %m\\n'; \
         find /etc -type f -not -name 'passwd*' -not -name 'group*' -not -name '*shadow*' -not -name '*-' \
             -not -name '.depend.*' -not -name ld.so.cache -exec sha256sum {} +",
    );
    told.lines().map(str::to_owned).collect()
}

fn removing_keeps_the_queue_and_purging_leaves_nothing(host: &mut Host) {
    let is_up = "pgrep -f 'bin/[t]askdaemon'";
    let before = inventory(host);
    host.install();
    let id = host.run("taskdaemon submit --hold -- echo kept");
    let long = host.run("taskdaemon submit -- sleep 600");
    host.wait_until(&format!("taskdaemon list --state running | grep -q '{long}'"));

    host.run("apt-get remove --yes taskdaemon");
    host.fails(1, is_up);
    host.fails(1, "pgrep -x sleep");
    host.run("test ! -e /usr/bin/taskdaemon && test -s /var/lib/taskdaemon/queue.db");
    host.run("test -s /etc/taskdaemon/config.yml");

    host.install();
    host.run(&format!("taskdaemon cancel {long} && taskdaemon release {id} && taskdaemon wait {id}"));
    assert_eq!(host.run(&format!("taskdaemon logs {id}")), "kept");

    host.run("apt-get purge --yes taskdaemon");
    host.fails(1, is_up);
    let after = inventory(host);
    let left: Vec<_> = after.difference(&before).collect();
    let gone: Vec<_> = before.difference(&after).collect();
    assert!(left.is_empty() && gone.is_empty(), "left: {left:#?}, gone: {gone:#?}");
    // The two accounts stay, locked: tasks may have left files anywhere, which the next user of their numbers would own.
    host.run("getent passwd taskdaemon taskdaemon-runner");
    if host.kind.has_systemd() {
        assert_eq!(host.run("systemctl list-units --all --quiet --no-legend 'taskdaemon*'"), "");
        assert_eq!(host.run("systemctl --failed --quiet --no-legend"), "");
    }

    // And it can come back.
    host.install();
    host.run("taskdaemon submit --wait -- true");
}
