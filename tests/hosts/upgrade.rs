//! Promises P3 and D10 in packages: an upgrade costs nobody anything, and one that cannot be changes nothing.

use crate::host::{Host, as_user, finish};
use crate::stories::stories;
use crate::version::{NOW, Version};

stories! {
    an_upgrade_under_load_is_noticed_by_nobody on [systemd_252, systemd_257, sysvinit];
    a_broken_version_leaves_the_old_one_serving_and_a_good_one_repairs on [systemd_252, systemd_257, sysvinit];
    a_faulty_configuration_makes_an_upgrade_wait on [systemd_252, sysvinit];
    a_downgrade_goes_as_far_as_the_queue_can_be_read on [systemd_252, sysvinit];
    a_disk_that_fills_up_during_an_upgrade_costs_nothing on [systemd_252, sysvinit];
    an_upgrade_with_a_full_queue_disk_goes_on on [systemd_252, sysvinit];
}

const RUNNING: usize = 50;
const CLIENTS: usize = 20;

/// What apt says to an upgrade that nobody is asked about.
const INSTALL: &str = "apt-get install --yes --allow-downgrades -o Dpkg::Options::=--force-confold /root/next.deb";

fn runner(host: &Host) -> String {
    host.run("taskdaemon status --json | jq .runner.pid")
}

/// Asserts that daemon and runner are that version's program, whatever file that is by now.
#[track_caller]
fn runs(host: &Host, version: &str) {
    let told = host.run(
        "daemon=/proc/$(cat /run/taskdaemon/daemon.pid)/exe
        runner=/proc/$($daemon --system status --json | jq .runner.pid)/exe
        $daemon --version && $runner --version",
    );
    assert_eq!(told, format!("taskdaemon {version}\ntaskdaemon {version}"));
}

fn package_state(host: &Host) -> String {
    host.run("dpkg-query --show --showformat '${db:Status-Status} ${Version}' taskdaemon")
}

/// Tasks that run until /run/go is there, which they may look at and nobody but root can make.
fn submit_running(host: &Host, count: usize) {
    host.run(&format!(
        "for i in $(seq {count}); do
            taskdaemon submit --label long -- sh -c 'until [ -e /run/go ]; do sleep 1; done'
        done"
    ));
    host.wait_until(&format!("[ $(taskdaemon list --label long --state running --limit 0 | wc -l) -eq {count} ]"));
}

/// Has them end, each at its first attempt.
#[track_caller]
fn end_running(host: &Host, count: usize) {
    host.run("touch /run/go && taskdaemon wait --label long --deadline 60s");
    let first = "taskdaemon list --json --label long --limit 0 | jq '[.[] | select(.attempts == 1 and .state == \"succeeded\")] | length'";
    assert_eq!(host.run(first), count.to_string());
}

fn an_upgrade_under_load_is_noticed_by_nobody(host: &mut Host) {
    host.install();
    host.run("adduser --quiet --disabled-password --gecos '' --ingroup taskdaemon member");
    host.run("sed -i 's/#slots: auto/slots: 60/' /etc/taskdaemon/config.yml && taskdaemon reload");
    submit_running(host, RUNNING);
    let processes = (host.daemon(), runner(host));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let line = "until [ -e /run/stop ]; do taskdaemon submit --label short -- true || exit; done";
            host.spawn(&as_user("member", line))
        })
        .collect();
    let submitted = || host.run("taskdaemon list --label short --limit 0 | wc -l").parse::<usize>().unwrap();
    host.wait_until("[ $(taskdaemon list --label short --limit 0 | wc -l) -gt 50 ]");

    let next = Version::with_program("0.2.0-1", "0.2.0");
    next.edit("etc/taskdaemon/config.yml", |text| format!("# Another comment.\n{text}"));
    host.put(&next.deb(), "/root/next.deb");
    host.run(INSTALL);

    let then = submitted();
    assert_eq!((host.daemon(), runner(host)), processes);
    runs(host, "0.2.0");
    assert_eq!(package_state(host), "installed 0.2.0-1");
    host.run("grep -qx '  slots: 60' /etc/taskdaemon/config.yml");
    host.wait_until(&format!("[ $(taskdaemon list --label short --limit 0 | wc -l) -gt {} ]", then + 50));
    host.run("touch /run/stop");
    // Each of them would have ended with the first refusal.
    let mut ids: Vec<String> =
        clients.into_iter().flat_map(|client| finish(client).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let accepted = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), submitted()), (accepted, accepted));
    host.run("taskdaemon wait --label short --deadline 60s");
    end_running(host, RUNNING);
}

fn a_broken_version_leaves_the_old_one_serving_and_a_good_one_repairs(host: &mut Host) {
    host.install();
    submit_running(host, 1);
    let pid = host.daemon();
    // One whose program does not even run, and one that is found out when it is tried.
    for (script, words) in [
        ("#!/bin/sh\necho no such library >&2\nexit 127\n", "does not run here: no such library"),
        ("#!/bin/sh\ncase \"$*\" in *--trial*) exit 3 ;; esac\nexec taskdaemon.real \"$@\"\n", "could not take over"),
    ] {
        let broken = Version::new("0.2.0-1");
        broken.wrap_program(script);
        host.put(&broken.deb(), "/root/next.deb");
        let told = host.fails(100, INSTALL);
        assert!(told.contains(words) && told.contains("Whatever ran before goes on"), "{told}");
        assert_eq!(package_state(host), "half-configured 0.2.0-1");
        assert_eq!(host.daemon(), pid);
        runs(host, NOW);
        host.run(&format!("/proc/{pid}/exe submit --wait -- true"));
    }
    let good = Version::with_program("0.3.0-1", "0.3.0");
    host.put(&good.deb(), "/root/next.deb");
    host.run(INSTALL);
    assert_eq!(package_state(host), "installed 0.3.0-1");
    assert_eq!(host.daemon(), pid);
    runs(host, "0.3.0");
    end_running(host, 1);
}

fn a_faulty_configuration_makes_an_upgrade_wait(host: &mut Host) {
    host.install();
    let pid = host.daemon();
    host.write("/etc/taskdaemon/config.d/mine.yml", "host:\n  slots: many\n");
    host.put(&Version::with_program("0.2.0-1", "0.2.0").deb(), "/root/next.deb");
    let told = host.fails(100, INSTALL);
    assert!(told.contains("/etc/taskdaemon/config.d/mine.yml:2:"), "{told}");
    assert_eq!(host.daemon(), pid);
    runs(host, NOW);
    host.write("/etc/taskdaemon/config.d/mine.yml", "host:\n  slots: 3\n");
    host.run("dpkg --configure taskdaemon");
    assert_eq!(host.daemon(), pid);
    runs(host, "0.2.0");
}

fn a_downgrade_goes_as_far_as_the_queue_can_be_read(host: &mut Host) {
    host.install();
    submit_running(host, 1);
    let pid = host.daemon();
    let older = Version::with_program("0.0.9-1", "0.0.9");
    host.put(&older.deb(), "/root/next.deb");
    host.run(INSTALL);
    assert_eq!(host.daemon(), pid);
    runs(host, "0.0.9");

    let oldest = Version::with_program("0.0.1-1", "0.0.1");
    oldest.edit("DEBIAN/preinst", |script| script.replace("schema=1", "schema=0"));
    host.put(&oldest.deb(), "/root/next.deb");
    let told = host.fails(100, INSTALL);
    assert!(told.contains("cannot read the queue"), "{told}");
    assert_eq!(package_state(host), "installed 0.0.9-1");
    assert_eq!(host.daemon(), pid);
    runs(host, "0.0.9");
    end_running(host, 1);
}

fn a_disk_that_fills_up_during_an_upgrade_costs_nothing(host: &mut Host) {
    host.install();
    submit_running(host, 1);
    let pid = host.daemon();
    // It comes after the program in the package, whose new file is on the disk by then.
    let small = "/usr/share/zsh/vendor-completions";
    host.run(&format!("mount -t tmpfs -o size=16k none {small}"));
    host.put(&Version::with_program("0.2.0-1", "0.2.0").deb(), "/root/next.deb");
    let told = host.fails(100, INSTALL);
    assert!(told.contains("No space left on device"), "{told}");
    assert_eq!(package_state(host), format!("installed {NOW}-1"));
    assert_eq!(host.daemon(), pid);
    runs(host, NOW);
    host.run("taskdaemon submit --wait -- true");
    host.run(&format!("umount {small} && {INSTALL}"));
    assert_eq!(host.daemon(), pid);
    runs(host, "0.2.0");
    end_running(host, 1);
}

fn an_upgrade_with_a_full_queue_disk_goes_on(host: &mut Host) {
    host.run("mkdir /var/lib/taskdaemon && mount -t tmpfs -o size=80M,mode=700 none /var/lib/taskdaemon");
    host.install();
    submit_running(host, 1);
    let pid = host.daemon();
    host.attempt("cat /dev/zero >/var/lib/taskdaemon/filler");
    host.fails(75, "taskdaemon submit -- true");
    host.put(&Version::with_program("0.2.0-1", "0.2.0").deb(), "/root/next.deb");
    host.run(INSTALL);
    assert_eq!(host.daemon(), pid);
    runs(host, "0.2.0");
    end_running(host, 1);
    host.run("rm /var/lib/taskdaemon/filler");
    host.run("taskdaemon submit --wait -- true");
}
