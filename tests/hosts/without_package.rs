//! Promise S8: `taskdaemon service install` and `uninstall`, on hosts where no package brought the service along.

use crate::host::Host;
use crate::stories::stories;

stories! {
    a_service_is_installed_and_leaves_nothing_when_it_is_removed on [systemd_252, sysvinit, openrc];
    a_service_that_does_not_come_to_run_is_taken_back on [systemd_252, sysvinit, openrc];
    what_a_package_brought_is_left_to_it on [systemd_252, sysvinit];
    a_user_installs_a_service_of_their_own on [systemd_252];
}

/// What stands in /etc, but for the accounts, which stay.
fn configuration(host: &Host) -> String {
    host.run("cd /etc && find . \\( -type f -o -type l \\) ! -name '*passwd*' ! -name '*shadow*' ! -name '*group*' ! -name 'sub[ug]id*' | sort")
}

fn a_service_is_installed_and_leaves_nothing_when_it_is_removed(host: &mut Host) {
    host.put_program();
    let before = configuration(host);
    let said = host.fails(77, "runuser --user nobody -- taskdaemon service install systemd");
    assert!(said.contains("sudo /usr/local/bin/taskdaemon service install systemd"), "{said}");
    host.run("taskdaemon service install --dry-run | grep 'would write /etc/'");
    assert_eq!(configuration(host), before, "it was only told");

    let said = host.run("taskdaemon service install");
    assert!(said.contains("write /etc/") && said.contains("installed: process"), "{said}");
    assert_eq!(host.run("taskdaemon submit --follow -- id -un"), "taskdaemon-runner");
    let pid = host.daemon();
    assert!(
        host.run("taskdaemon service install").contains(&format!("process {pid} runs")),
        "twice is as good as once"
    );
    host.reboot();
    host.run("taskdaemon status --wait 30");
    assert_eq!(host.run("taskdaemon submit --follow -- echo again"), "again");

    // A file that somebody changed is left alone, and so is all else.
    let file =
        if host.kind.has_systemd() { "/etc/systemd/system/taskdaemon.service" } else { "/etc/init.d/taskdaemon" };
    host.run(&format!("cp -p {file} /root/kept; echo '# mine' >>{file}"));
    let said = host.fails(1, "taskdaemon service uninstall");
    assert!(said.contains(file) && said.contains("was changed"), "{said}");
    assert!(host.fails(1, "taskdaemon service install").contains("was changed"));
    host.run("taskdaemon submit --wait -- true");
    host.run(&format!("cp -p /root/kept {file}"));

    assert!(host.run("taskdaemon service uninstall").contains("removed"));
    host.fails(1, "pgrep -x taskdaemon");
    assert_eq!(configuration(host), before);
    assert!(host.run("taskdaemon service uninstall").contains("nothing to remove"));
    host.run("test -s /var/lib/taskdaemon/queue.db");
}

fn a_service_that_does_not_come_to_run_is_taken_back(host: &mut Host) {
    host.put_program();
    host.run("mkdir -p /etc/taskdaemon && echo 'host: {slotz: 3}' >/etc/taskdaemon/config.yml");
    let before = configuration(host);
    let said = host.fails(1, "taskdaemon service install");
    assert!(said.contains("removed again") && said.contains("config.yml:1:8"), "{said}");
    assert_eq!(configuration(host), before);
    host.fails(1, "pgrep -x taskdaemon");
    host.run("rm /etc/taskdaemon/config.yml");
    // What anybody could put another program in the place of is no program for a service.
    host.run("mkdir -m 777 /opt/open && cp /usr/local/bin/taskdaemon /opt/open && cp /usr/local/bin/taskdaemon /root");
    for (program, why) in [("/opt/open/taskdaemon", "mode 0777"), ("/root/taskdaemon", "/root is no place")] {
        let said = host.fails(1, &format!("{program} service install"));
        assert!(said.contains(why), "{said}");
    }
    // A daemon that was started by hand is not taken for the service.
    host.run("taskdaemon start || { useradd -r taskdaemon; useradd -r taskdaemon-runner; taskdaemon start; }");
    let said = host.fails(1, "taskdaemon service install");
    assert!(said.contains("is a daemon already") && said.contains("taskdaemon stop"), "{said}");
    assert!(configuration(host).lines().all(|line| before.contains(line)));
    host.run("taskdaemon stop && taskdaemon service install && taskdaemon service uninstall");
}

fn what_a_package_brought_is_left_to_it(host: &mut Host) {
    host.install();
    let before = configuration(host);
    let said = host.fails(1, "taskdaemon service install");
    assert!(said.contains("package"), "{said}");
    if !host.kind.has_systemd() {
        let said = host.fails(1, "taskdaemon service uninstall");
        assert!(said.contains("belongs to the package taskdaemon"), "{said}");
    }
    assert_eq!(configuration(host), before);
    host.run("taskdaemon submit --wait -- true");
}

fn a_user_installs_a_service_of_their_own(host: &mut Host) {
    host.put_program();
    host.run("useradd --create-home alice");
    // Not by a login, which would bring her systemd along.
    let alice = |line: &str| {
        let hers = "HOME=/home/alice XDG_RUNTIME_DIR=/run/user/$(id -u alice)";
        format!("cd /home/alice && runuser --user alice -- env {hers} sh -c '{line}'")
    };
    let said = host.fails(1, &alice("taskdaemon service install"));
    assert!(said.contains("systemctl --user daemon-reload") && said.contains("removed again"), "{said}");
    host.run("loginctl enable-linger alice");
    host.wait_until("test -S /run/user/$(id -u alice)/systemd/private");
    // A program of hers, in her home.
    host.run("install -D --owner alice --group alice /usr/local/bin/taskdaemon /home/alice/bin/taskdaemon");
    let said = host.run(&alice("~/bin/taskdaemon service install"));
    assert!(said.contains("runs under systemd-user"), "{said}");
    assert_eq!(host.run(&alice("taskdaemon --user submit --follow -- id -un")), "alice");
    assert!(host.run("readlink /proc/$(pgrep -u alice -f user.--foreground)/exe").contains("/home/alice/bin"));
    host.run(&alice("~/bin/taskdaemon service uninstall"));
    host.fails(1, "pgrep -u alice -x taskdaemon");
    host.run("! find /home/alice/.config/systemd -name 'taskdaemon*' | grep .");
}
