//! The runner becomes another program.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::mpsc;

use taskdaemon::executor::{Cause, ExitStatus};
use taskdaemon::sys::socket;
use taskdaemon::wire::runner::packet::{MAX_PACKET_BYTES, Packet, Received, receive};
use taskdaemon::wire::runner::{FromRunner, ToRunner};

use crate::host::{Daemon, Host, PATIENCE, alive, assert_ended, sh};

/// Has the runner become the program at `path`, and returns what it says of that.
fn replace(daemon: &Daemon, path: &std::path::Path) -> Result<String, String> {
    let (told, tells) = mpsc::channel();
    let program: OwnedFd = File::open(path).unwrap().into();
    daemon.link.replacer().replace(program, Box::new(move |result| told.send(result).unwrap()));
    tells.recv_timeout(PATIENCE).unwrap()
}

fn copy(host: &Host) -> std::path::PathBuf {
    let path = host.path("copy");
    let done = Command::new("install").args(["-m", "755", env!("CARGO_BIN_EXE_taskdaemon")]).arg(&path).status();
    assert!(done.unwrap().success());
    path
}

#[test]
fn what_runs_goes_on_and_the_link_does_not_break() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let path = copy(&host);
    let go_on = host.path("go-on");
    let script = format!("echo before; until test -e {}; do sleep 0.01; done; echo after; exit 4", go_on.display());
    let runs = daemon.start(1, sh(&script));
    let (pid, _) = daemon.start_of(runs);
    let detached = daemon.start(2, sh("setsid sleep 1000 & echo $!; sleep 1000"));
    daemon.await_output(detached, "\n");
    let stray: i32 = daemon.text(detached).trim().parse().unwrap();
    for _ in 0..3 {
        assert_eq!(replace(&daemon, &path), Ok(env!("CARGO_PKG_VERSION").to_owned()));
    }
    let program = std::fs::metadata(format!("/proc/{}/exe", host.runner.id())).unwrap().ino();
    assert_eq!(program, std::fs::metadata(&path).unwrap().ino());
    assert!(alive(pid) && alive(stray));
    std::fs::write(&go_on, "").unwrap();
    assert_ended(&daemon.end_of(runs), ExitStatus::Exited(4), Cause::Itself);
    assert_eq!(daemon.text(runs), "before\nafter\n");
    daemon.stop(detached, 1_000);
    daemon.end_of(detached);
    assert!(!alive(stray), "what detached before is still known as its own");
    assert_ended(&daemon.run(3, "exit 5"), ExitStatus::Exited(5), Cause::Itself);
}

#[test]
fn a_program_that_is_none_or_anybodys_is_refused_and_nothing_is_lost() {
    let host = Host::new();
    let mut daemon = host.daemon();
    let runs = daemon.start(1, sh("sleep 0.3; exit 6"));
    daemon.start_of(runs);
    let junk = host.path("junk");
    std::fs::write(&junk, "no program").unwrap();
    std::fs::set_permissions(&junk, std::fs::Permissions::from_mode(0o755)).unwrap();
    let reason = replace(&daemon, &junk).unwrap_err();
    assert!(reason.starts_with("execute the new program: "), "{reason}");
    std::fs::set_permissions(&junk, std::fs::Permissions::from_mode(0o777)).unwrap();
    let reason = replace(&daemon, &junk).unwrap_err();
    assert!(reason.contains("only root or this user could change"), "{reason}");
    assert_ended(&daemon.end_of(runs), ExitStatus::Exited(6), Cause::Itself);
    assert_eq!(replace(&daemon, &copy(&host)), Ok(env!("CARGO_PKG_VERSION").to_owned()));
}

#[test]
fn ends_that_nobody_acknowledged_are_told_by_the_new_program() {
    let host = Host::new();
    let mut first = host.daemon();
    let ends = first.start(1, sh("exit 7"));
    first.end_of(ends);
    assert!(replace(&first, &copy(&host)).is_ok());
    drop(first);
    let mut second = host.unlinked_daemon();
    assert_eq!(second.link().known, [ends]);
    assert_ended(&second.end_of(ends), ExitStatus::Exited(7), Cause::Itself);
}

#[test]
fn a_daemon_of_version_1_hears_nothing_that_it_does_not_know() {
    let host = Host::new();
    let socket = socket::connect(&host.socket()).unwrap();
    // As version 1 said it, byte for byte.
    socket::send(&socket, &[0, 0, 1, 2, b'a', b'b'], &[]).unwrap();
    let mut buffer = vec![0; MAX_PACKET_BYTES];
    let mut hear = || {
        crate::host::eventually("an answer", || readable(&socket));
        match receive::<FromRunner>(&socket, &mut buffer).unwrap() {
            Received::Messages(messages, _) => messages,
            other => panic!("{other:?}"),
        }
    };
    let welcome = hear();
    assert!(matches!(welcome.as_slice(), [FromRunner::Welcome(welcome)] if welcome.version == 1), "{welcome:?}");
    // A second greeting breaks the rules: had anything else been said, it would come before the end.
    Packet::new(&[ToRunner::Hello { version: 1, instance: "ab".into() }], Vec::new()).unwrap().send(&socket).unwrap();
    crate::host::eventually("the end", || readable(&socket));
    assert!(matches!(receive::<FromRunner>(&socket, &mut buffer).unwrap(), Received::End));
}

fn readable(socket: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
}
