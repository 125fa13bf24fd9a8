//! What a task gets, and why it does not start.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use taskdaemon::executor::{Cause, Executor, ExitStatus, Start};
use taskdaemon::task::{Bytes, Limits, Spec};

use crate::host::{Host, assert_ended, key, sh, spec};

fn reason(host: &Host, spec: Spec) -> (String, i32) {
    let mut daemon = host.daemon();
    let key = daemon.start(1, spec);
    match daemon.end_of(key).status {
        ExitStatus::NotStarted { reason, code } => {
            daemon.link.acknowledge(&[key]);
            daemon.link.flush();
            (reason, code)
        }
        other => panic!("{other:?}"),
    }
}

fn in_directory(directory: &str) -> Spec {
    Spec { directory: Bytes::from(directory), ..spec(&["true"]) }
}

#[test]
fn a_command_that_cannot_run_fails_with_its_reason() {
    let host = Host::new();
    let script = host.path("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let forbidden = host.path("forbidden");
    fs::write(&forbidden, "#!/bin/sh\n").unwrap();
    let text = host.path("text");
    fs::write(&text, "no program\n").unwrap();
    for path in [&script, &text] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let shown = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let told = |command: &str| reason(&host, spec(&[command]));
    assert_eq!(told("no-such-command"), ("command not found: no-such-command".into(), 127));
    assert_eq!(told("/no/such/command"), ("command not found: /no/such/command".into(), 127));
    assert_eq!(told("/usr"), ("/usr is a directory, not a command".into(), 126));
    assert!(told(&shown(&forbidden)).0.contains("may not be executed"));
    assert!(told(&shown(&script)).0.starts_with("the interpreter or loader that"));
    assert!(told(&shown(&text)).0.contains("is no program"));
    assert_eq!(told("").1, 127);
}

#[test]
fn a_directory_that_cannot_be_entered_is_told() {
    let host = Host::new();
    let file = host.path("file");
    fs::write(&file, "").unwrap();
    assert_eq!(reason(&host, in_directory("/no/such")).0, "the working directory /no/such does not exist");
    assert!(reason(&host, in_directory(file.to_str().unwrap())).0.ends_with("is not a directory"));
    if !nix::unistd::geteuid().is_root() {
        let closed = host.path("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        assert!(reason(&host, in_directory(closed.to_str().unwrap())).0.contains(" may not be entered by "));
    }
}

#[test]
fn arguments_larger_than_the_kernel_takes_are_told() {
    let host = Host::new();
    let long = "x".repeat(200_000);
    assert_eq!(reason(&host, spec(&["true", &long])).1, 126);
}

#[test]
fn a_task_has_three_descriptors_and_its_own_group_and_default_signals() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let end =
        daemon.run(1, "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status; ps -o pid=,pgid= -p $$ | xargs");
    assert_ended(&end, ExitStatus::Exited(0), Cause::Itself);
    let text = daemon.text(key(1));
    // The fourth is ls's own, for the listing.
    assert!(text.starts_with("0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), "{text}");
    if let Some((pid, group)) = text.lines().last().and_then(|line| line.split_once(' ')) {
        assert_eq!(pid, group, "{text}");
    }
}

#[test]
fn limits_nice_umask_and_directory_are_as_asked() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let limits = Limits {
        cpu_seconds: Some(7),
        memory_bytes: Some(1 << 30),
        open_files: Some(99),
        processes: Some(5_000),
        file_bytes: Some(1 << 20),
    };
    let script = "umask; pwd; nice; awk '/cpu|Max file size|open files|processes|address/ {print $1, $(NF-2), $(NF-1)}' /proc/self/limits";
    let spec = Spec { umask: 0o077, nice: 4, directory: Bytes::from("/usr"), limits, ..sh(script) };
    let key = daemon.start(1, spec);
    assert_ended(&daemon.end_of(key), ExitStatus::Exited(0), Cause::Itself);
    let text = daemon.text(key);
    assert!(text.starts_with("0077\n/usr\n4\n"), "{text}");
    let wanted = ["Max 7 8", "Max 1048576 1048576", "Max 5000 5000", "Max 99 99", "Max 1073741824 1073741824"];
    assert_eq!(text.lines().skip(3).collect::<Vec<_>>(), wanted);
}

#[test]
fn the_runners_raised_limit_on_open_files_is_not_inherited() {
    let host = Host::new();
    let mut daemon = host.daemon();
    daemon.run(1, "ulimit -Sn");
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(daemon.text(key(1)).trim(), soft.to_string());
}

#[test]
fn a_task_knows_its_name_and_cannot_be_given_another() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let mut spec = sh("echo $TASKDAEMON_TASK_ID $TASKDAEMON_ATTEMPT $TASKDAEMON_INSTANCE");
    spec.environment.push((Bytes::from("TASKDAEMON_TASK_ID"), Bytes::from("999")));
    let key = daemon.start(42, spec);
    daemon.end_of(key);
    assert_eq!(daemon.text(key), format!("42 1 {}\n", host.instance()));
}

#[test]
fn bytes_that_are_not_utf8_and_a_large_environment_arrive_exactly() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let mut spec = spec(&["sh", "-c", "printf %s \"$1\"; printf %s \"$BIG\" | wc -c; echo $#", "sh"]);
    spec.argv.push(Bytes::from(vec![0xff, 0xfe, b'\n']));
    spec.argv.extend((0..10_000).map(|number| Bytes::from(number.to_string().as_str())));
    spec.environment.push((Bytes::from("BIG"), Bytes::from("x".repeat(127 * 1024).as_str())));
    spec.environment.push((Bytes::from("ODD"), Bytes::from(vec![0x80])));
    let key = daemon.start(1, spec);
    assert_ended(&daemon.end_of(key), ExitStatus::Exited(0), Cause::Itself);
    assert_eq!(daemon.output(key), b"\xff\xfe\n130048\n10001\n");
}

#[test]
fn ten_megabytes_of_standard_input_arrive() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let key = key(1);
    let stdin = vec![b'i'; 10 << 20];
    daemon.link.start(Start { key, spec: sh("wc -c"), stdin: Some(stdin) });
    daemon.end_of(key);
    assert_eq!(daemon.text(key).trim(), (10 << 20).to_string());
}
