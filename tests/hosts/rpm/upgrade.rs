//! Another version takes over while tasks run and clients come, or does not and says so.

use std::path::PathBuf;

use super::{another, dnf, place, put, start};
use crate::host::{Host, finish, told};
use crate::package;
use crate::stories::stories;

stories! {
    an_upgrade_keeps_tasks_clients_and_configuration on [rpm];
    a_version_that_does_not_run_leaves_the_old_one on [rpm];
    a_version_that_cannot_read_the_queue_is_not_installed on [rpm];
}

/// Tasks that run during the upgrade.
const TASKS: usize = 20;

/// The processes of the service, daemon and runner.
const PROCESSES: &str = "systemctl show --property=MainPID --value taskdaemon.service taskdaemon-runner.service";

/// Succeeds where both are the program that is installed, and not the one before it.
const CURRENT: &str = "for unit in taskdaemon taskdaemon-runner; do
    test /usr/bin/taskdaemon -ef /proc/$(systemctl show --property=MainPID --value $unit.service)/exe || exit
    done";

/// Writes a file of this machine.
fn written(name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = place().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn an_upgrade_keeps_tasks_clients_and_configuration(host: &mut Host) {
    let shipped = std::fs::read_to_string(package::source().join("etc/config.yml")).unwrap();
    let newer = another("0.9.0", &[("etc/config.yml", &written("config.yml", format!("# Newer.\n{shipped}")))]);
    start(host);
    let edited = shipped.replace("  #slots: auto\n", &format!("  slots: {}\n", 2 * TASKS));
    assert_ne!(edited, shipped);
    host.write("/etc/taskdaemon/config.yml", &edited);
    host.run("taskdaemon reload");
    for _ in 0..TASKS {
        host.run("taskdaemon submit --label long --shell 'until test -e /etc/taskdaemon/go; do sleep 0.1; done'");
    }
    host.wait_until(&format!("test $(taskdaemon list --label long --state running --limit 0 | wc -l) -eq {TASKS}"));
    let before = host.run(PROCESSES);
    // One that waits, and one that submits again and again.
    let waiting = host.spawn("taskdaemon wait --label long");
    let coming = host.spawn("until test -e /root/upgraded; do taskdaemon submit -- true || exit; done");
    dnf(host, "upgrade", &newer);
    host.run(CURRENT);
    host.run("touch /root/upgraded");
    finish(coming);
    assert_eq!(host.run(PROCESSES), before);
    assert_eq!(host.run("rpm --query --queryformat '%{VERSION}' taskdaemon"), "0.9.0");
    assert_eq!(host.read("/etc/taskdaemon/config.yml"), edited.as_bytes());
    host.run("head --lines=1 /etc/taskdaemon/config.yml.rpmnew | grep --quiet Newer");
    host.run("touch /etc/taskdaemon/go");
    finish(waiting);
    assert_eq!(host.run("taskdaemon list --label long --state succeeded --limit 0 | wc -l"), TASKS.to_string());
    host.run("systemctl is-enabled taskdaemon.service && test -z \"$(systemctl --failed --quiet)\"");
}

fn a_version_that_does_not_run_leaves_the_old_one(host: &mut Host) {
    let broken = written("broken", "#!/bin/sh\necho 'a library is missing' >&2\nexit 127\n");
    let broken = another("0.9.1", &[("taskdaemon", &broken)]);
    let repaired = another("0.9.2", &[]);
    start(host);
    let id = host.run("taskdaemon submit --shell 'until test -e /etc/taskdaemon/go; do sleep 0.1; done; echo done'");
    host.wait_until(&format!("taskdaemon show --json {id} | grep --quiet '\"state\":\"running\"'"));
    let before = host.run(PROCESSES);
    put(host, &broken);
    let said = told(&host.attempt("dnf upgrade /root/taskdaemon.rpm"));
    for words in ["a library is missing", "The old one goes on", "scriptlet failed"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(host.run(PROCESSES), before);
    host.run("curl --silent --fail --unix-socket /run/taskdaemon/control.sock http://localhost/v1/tasks");
    dnf(host, "upgrade", &repaired);
    assert_eq!(host.run(PROCESSES), before);
    host.run(CURRENT);
    host.run("touch /etc/taskdaemon/go");
    host.run(&format!("taskdaemon wait {id}"));
    assert_eq!(host.run(&format!("taskdaemon logs {id}")), "done");
}

fn a_version_that_cannot_read_the_queue_is_not_installed(host: &mut Host) {
    start(host);
    // As a later version would have left it.
    host.run("systemctl stop taskdaemon.socket taskdaemon.service");
    host.run("sqlite3 /var/lib/taskdaemon/queue.db 'PRAGMA user_version = 99'");
    put(host, &another("0.0.9", &[]));
    let said = told(&host.attempt("dnf downgrade /root/taskdaemon.rpm"));
    assert!(said.contains("this version cannot read the queue"), "{said}");
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(host.run("rpm --query --queryformat '%{VERSION}\\n' taskdaemon"), own);
    host.run("rpm --verify taskdaemon");
}
