//! Promise S9: what is logged arrives in the journal with its fields, in syslog, or in the file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::support::{DEADLINE, Daemon, eventually, kill};

/// Puts a socket of the test's where the journal listens.
const JOURNAL: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && \
    touch /run/systemd/journal/socket && mount --bind log.sock /run/systemd/journal/socket";

/// Puts it where syslog listens.
const SYSLOG: &str = "mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && \
    touch /dev/log && mount --bind log.sock /dev/log";

/// Whoever is to hear what is logged.
struct Listener(UnixDatagram);

impl Listener {
    fn new(daemon: &Daemon) -> Self {
        let socket = UnixDatagram::bind(daemon.path("log.sock")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Passes over what was said so far.
    fn forget(&self) {
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut [0; 1]).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
    }

    /// The next message that says this.
    fn hear(&self, expected: &str) -> String {
        loop {
            let mut buffer = [0; 16 * 1024];
            let length = self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("no {expected:?}: {error}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.contains(expected) {
                return message;
            }
        }
    }
}

/// Runs `taskdaemon start` with file systems of its own; `None` where that is not permitted.
fn start_within(daemon: &Daemon, prepare: &str, arguments: &[&str]) -> Option<Output> {
    if !nix::unistd::Uid::effective().is_root() {
        return None;
    }
    let script = format!("set -e; {prepare}; exec \"$0\" start \"$@\"");
    let mut unshare = Command::new("unshare");
    daemon.point(unshare.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_taskdaemon")]).args(arguments));
    let stderr = fs::File::create(daemon.path("stderr")).unwrap();
    let found = stderr.metadata().unwrap();
    // As systemd names the stream that it reads.
    unshare.env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()));
    Some(unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).output().unwrap())
}

fn pid(daemon: &Daemon) -> i32 {
    fs::read_to_string(daemon.path("run/daemon.pid")).unwrap().trim().parse().unwrap()
}

/// The value of a field in the form that the journal takes.
fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn s9_under_systemd_the_journal_gets_each_field_and_the_file_nothing() {
    let daemon = Daemon::unstarted("host:\n  slots: 2\n");
    let journal = Listener::new(&daemon);
    let Some(output) = start_within(&daemon, JOURNAL, &[]) else {
        eprintln!("left out: only root can put a socket where the journal listens");
        return;
    };
    assert!(output.status.success(), "{output:?}: {}", fs::read_to_string(daemon.path("stderr")).unwrap());
    let message = journal.hear("MESSAGE=ready");
    assert_eq!(field(&message, "PRIORITY"), Some("6"));
    assert_eq!(field(&message, "SYSLOG_IDENTIFIER"), Some("taskdaemon"));
    assert_eq!(field(&message, "TASKDAEMON_SLOTS"), Some("2"), "{message}");
    assert_eq!(field(&message, "TASKDAEMON_SOCKET"), daemon.socket().to_str(), "{message}");
    assert!(!daemon.path("log").exists());

    let standard_error = fs::read_link(format!("/proc/{}/fd/2", pid(&daemon))).unwrap();
    assert_eq!(standard_error, daemon.path("stderr"), "what the journal reads stays connected to it");
    daemon.ok(&["upgrade"]);
    journal.hear("MESSAGE=upgraded");
    daemon.ok(&["stop"]);
    journal.hear("MESSAGE=stopped");
}

#[test]
fn s9_syslog_gets_lines_as_the_c_library_sends_them_and_may_come_back() {
    let daemon = Daemon::unstarted("log:\n  target: syslog\n");
    let syslog = Listener::new(&daemon);
    let Some(output) = start_within(&daemon, SYSLOG, &[]) else {
        eprintln!("left out: only root can put a socket where syslog listens");
        return;
    };
    assert!(output.status.success(), "{output:?}: {}", fs::read_to_string(daemon.path("stderr")).unwrap());
    let (message, pid) = (syslog.hear("ready"), pid(&daemon));
    assert!(message.starts_with("<30>") && message.contains(&format!(" taskdaemon[{pid}]: ready ")), "{message}");
    let time = &message[4..19];
    assert!(time.as_bytes()[3] == b' ' && time.matches(':').count() == 2, "{message}");

    // More than any socket holds while nobody reads: the daemon waits for nobody.
    for _ in 0..500 {
        kill(pid, 10);
        daemon.get("/v1/status");
    }
    assert_eq!(daemon.get("/v1/status")["pid"], pid);
    syslog.forget();
    kill(pid, 10);
    syslog.hear("lines could not be logged and are lost");
    daemon.ok(&["stop"]);
}

#[test]
fn s9_a_target_that_is_not_there_fails_the_start_in_words() {
    let daemon = Daemon::unstarted("log:\n  target: journal\n");
    if Path::new("/run/systemd/journal/socket").exists() {
        eprintln!("left out: this host has a journal");
        return;
    }
    for arguments in [&["start"][..], &["start", "--foreground"]] {
        let output = daemon.run(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains("/run/systemd/journal/socket") && words.contains("another target"), "{words}");
    }
}

#[test]
fn s9_the_log_file_is_for_its_owner_and_the_system_daemons_for_its_group_too() {
    for (option, mode) in [("--user", 0o600), ("--system", 0o640)] {
        let daemon = Daemon::unstarted("log:\n  target: file\n");
        daemon.ok(&["start", option]);
        assert_eq!(fs::metadata(daemon.path("log")).unwrap().mode() & 0o7777, mode, "{option}");
        daemon.ok(&["stop"]);
        let log = daemon.log();
        assert!(log.contains("ready") && log.contains("stopped"), "{log}");
    }
}

#[test]
fn s9_logrotate_moves_the_log_and_the_daemon_follows() {
    let daemon = Daemon::unstarted("");
    let shipped = include_str!("../../etc/logrotate.d/taskdaemon");
    let state = daemon.path("logrotate.state");
    if Command::new("logrotate").arg("--version").output().is_err() {
        eprintln!("left out: logrotate is not installed");
        return;
    }
    daemon.start_in_background();
    let script = format!("\"{}\" reload", env!("CARGO_BIN_EXE_taskdaemon"));
    let own = shipped.replace("/var/log/taskdaemon/daemon.log", daemon.path("log").to_str().unwrap());
    let own: String =
        own.lines().filter(|line| !line.trim_start().starts_with("su ")).map(|line| format!("{line}\n")).collect();
    let own = own.replace("taskdaemon --system reload", &script);
    assert_ne!(own, shipped);
    fs::write(daemon.path("logrotate.conf"), own).unwrap();
    let mut rotate = Command::new("logrotate");
    daemon.point(rotate.arg("--force").arg("--state").arg(&state).arg(daemon.path("logrotate.conf")));
    let output = rotate.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    kill(pid(&daemon), 10);
    eventually("it logs to the new file", || daemon.log().contains("as it stands").then_some(()));
    assert!(fs::read_to_string(daemon.path("log.1")).unwrap().contains("ready"));
    daemon.ok(&["stop"]);
}

#[test]
fn s9_a_supervisor_that_names_a_directory_for_logs_finds_them_there() {
    let mut daemon = Daemon::unstarted("");
    let mut command = daemon.command(&["start", "--foreground"]);
    command.env("LOGS_DIRECTORY", daemon.path("logs")).env_remove("TASKDAEMON_LOG_FILE");
    daemon.spawn_by(command);
    let log = daemon.path("logs/daemon.log");
    eventually("it is logged", || fs::read_to_string(&log).ok()?.contains("ready").then_some(()));
}
