//! Promises D1, D2, D12, S9: the daemon leaves the terminal, and whoever started it is told the truth.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use super::support::{Daemon, await_watching, eventually, has_ended, kill};

/// A field of /proc/PID/status.
fn status_field(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

/// A field of /proc/PID/stat by its number in proc_pid_stat(5), 3 and up.
fn stat_field(pid: i32, number: usize) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.rsplit_once(") ").unwrap().1.split(' ').nth(number - 3).unwrap().parse().unwrap()
}

/// Waits for the end of a daemon.
fn gone(pid: i32) {
    eventually("the daemon is gone", || has_ended(pid).then_some(()));
}

#[test]
fn d1_it_leaves_session_terminal_directory_umask_and_stray_descriptors_behind() {
    let daemon = Daemon::unstarted("");
    let stray = daemon.path("stray");
    fs::write(&stray, "").unwrap();
    let mut command = Command::new("sh");
    // And a umask that would open its files to all.
    let script = "umask 0; exec 7<&0 9<&0; exec \"$0\" start --json";
    daemon.point(command.args(["-c", script, env!("CARGO_BIN_EXE_taskdaemon")]).stdin(fs::File::open(&stray).unwrap()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let pid = i32::try_from(said["pid"].as_i64().unwrap()).unwrap();

    let session = stat_field(pid, 6);
    assert_ne!(session, stat_field(i32::try_from(std::process::id()).unwrap(), 6), "a session of its own");
    assert_ne!(session, pid, "and it does not lead it: it can never get a terminal");
    assert_eq!(stat_field(pid, 7), 0, "no terminal");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    assert_eq!(status_field(pid, "Umask"), "0077");
    let standard = |number: i32| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    assert_eq!(standard(0).to_str(), Some("/dev/null"));
    assert_eq!((standard(1), standard(2)), (daemon.path("log"), daemon.path("log")));
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().flat_map(|fd| fs::read_link(fd.path()));
    assert!(!open.into_iter().any(|target| target == stray), "what it inherited is closed");
    assert_eq!(fs::read_to_string(daemon.path("run/daemon.pid")).unwrap(), format!("{pid}\n"));
    daemon.ok(&["stop"]);
}

#[test]
fn d2_start_returns_once_the_daemon_answers_and_recovers_what_it_had() {
    let daemon = Daemon::unstarted("");
    for _ in 0..20 {
        let pid = daemon.start_in_background();
        assert_eq!(
            daemon.get("/v1/status")["pid"],
            pid,
            "the first request is answered, by the process that was named"
        );
        daemon.ok(&["submit", "--hold", "--", "true"]);
        kill(pid, 9);
        gone(pid);
    }
    daemon.start_in_background();
    assert_eq!(daemon.get("/v1/status")["counts"]["held"], 20);
    daemon.ok(&["stop"]);
}

#[test]
fn d2_a_failure_has_the_words_and_the_status_that_it_has_in_the_foreground() {
    type Spoil = fn(&Daemon);
    let spoilt: [(&str, Spoil); 6] = [
        ("a fault in the configuration", |daemon| daemon.configure("hots: 1\n")),
        ("a store that is damaged", |daemon| {
            fs::create_dir(daemon.state()).unwrap();
            fs::write(daemon.state().join("queue.db"), "nonsense").unwrap();
        }),
        ("a runtime directory that is a file", |daemon| fs::write(daemon.path("run"), "").unwrap()),
        ("a lock that is a directory", |daemon| fs::create_dir_all(daemon.path("run/daemon.lock")).unwrap()),
        ("a PID file that is a link", |daemon| {
            fs::create_dir(daemon.path("run")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", daemon.path("run/daemon.pid")).unwrap();
        }),
        ("a socket that is a file", |daemon| {
            fs::create_dir(daemon.path("run")).unwrap();
            fs::write(daemon.socket(), "").unwrap();
        }),
    ];
    for (name, spoil) in spoilt {
        let words = |arguments: &[&str]| {
            let daemon = Daemon::unstarted("");
            spoil(&daemon);
            let output = daemon.run(arguments);
            let told = String::from_utf8(output.stderr).unwrap().replace(daemon.path("").to_str().unwrap(), "/");
            let told: Vec<String> =
                told.lines().filter(|line| line.starts_with("taskdaemon: ")).map(str::to_owned).collect();
            (output.status.code(), told)
        };
        let foreground = words(&["start", "--foreground"]);
        assert_ne!(foreground.0, Some(0), "{name}");
        assert!(!foreground.1.is_empty(), "{name}");
        assert_eq!(words(&["start"]), foreground, "{name}");
    }
}

#[test]
fn d2_a_start_that_fails_shows_the_last_lines_of_the_log_and_writes_them_down() {
    let daemon = Daemon::unstarted("");
    let pid = daemon.start_in_background();
    kill(pid, 9);
    gone(pid);
    fs::write(daemon.state().join("queue.db"), "nonsense").unwrap();
    let output = daemon.run(&["start"]);
    let words = String::from_utf8_lossy(&output.stderr);
    let line = "the daemon before this one did not end in good order";
    let (log, failure) = (words.find(line).unwrap(), words.find("taskdaemon: ").unwrap());
    assert!(log < failure, "{words}");
    let log = daemon.log();
    assert!(log.contains(line) && log.contains("the daemon failed"), "{log}");
}

#[test]
fn d12_a_second_start_is_refused_with_the_process_that_has_the_lock() {
    let daemon = Daemon::unstarted("");
    let pid = daemon.start_in_background();
    let output = daemon.run(&["start"]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains(&format!("already running as process {pid}")), "{words}");
    daemon.ok(&["stop"]);
    gone(pid);
}

#[test]
fn d12_a_socket_that_is_taken_is_told_with_who_has_it_and_left_alone() {
    let daemon = Daemon::unstarted("");
    fs::create_dir(daemon.path("run")).unwrap();
    let listener = UnixListener::bind(daemon.socket()).unwrap();
    let output = daemon.run(&["start"]);
    let words = String::from_utf8_lossy(&output.stderr);
    let expected = format!("process {} (", std::process::id());
    assert!(words.contains(&expected) && words.contains("listens at"), "{words}");
    assert!(!daemon.path("run/daemon.lock").exists(), "it was told before anything was made");
    assert!(listener.as_raw_fd() > 2 && daemon.socket().exists());
}

/// `taskdaemon start`, with something done to the daemon when it begins to listen.
struct Tampered(Child);

impl Tampered {
    fn start(daemon: &Daemon, with: &str, arguments: &[&str]) -> Self {
        let mut strace = Command::new("strace");
        daemon.point(strace.args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "trace=listen",
            "-e",
            &format!("inject=listen:{with}"),
        ]));
        strace.arg(env!("CARGO_BIN_EXE_taskdaemon")).arg("start").args(arguments);
        Self(strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace runs"))
    }

    /// The exit status, and what was said.
    fn end(self) -> (Option<i32>, String) {
        let output = self.0.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// The process of a daemon that is not ready, from its PID file.
fn starting(daemon: &Daemon) -> i32 {
    let text = || fs::read_to_string(daemon.path("run/daemon.pid")).ok();
    eventually("the daemon has its lock", || text()?.trim().parse().ok())
}

#[test]
fn d2_a_daemon_that_dies_before_it_is_ready_is_told_with_how() {
    let daemon = Daemon::unstarted("");
    let (code, words) = Tampered::start(&daemon, "signal=SIGKILL", &[]).end();
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("ended before it was ready, by SIGKILL"), "{words}");
    assert_eq!(daemon.run(&["status"]).status.code(), Some(1), "it left its files");
    daemon.start_in_background();
    daemon.ok(&["stop"]);
}

#[test]
fn d2_d4_a_start_that_hangs_is_shown_as_starting_and_given_up_when_its_starter_is_told_to_end() {
    let daemon = Daemon::unstarted("");
    let hanging = Tampered::start(&daemon, "signal=SIGSTOP", &[]);
    let pid = starting(&daemon);
    let status = daemon.run(&["status", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((status.status.code(), &said["state"]), (Some(0), &"starting".into()), "{said}");
    // Until it is ready the daemon is a child of whoever waits for it.
    kill(stat_field(pid, 4), 2);
    let (code, words) = hanging.end();
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("SIGINT came before the daemon") && words.contains("it was ended"), "{words}");
    gone(pid);
}

#[test]
fn d2_d13_a_start_that_takes_too_long_is_ended_and_told() {
    let daemon = Daemon::unstarted("");
    let hanging = Tampered::start(&daemon, "signal=SIGSTOP", &["--timeout", "1"]);
    let pid = starting(&daemon);
    let (code, words) = hanging.end();
    assert_eq!(code, Some(79), "{words}");
    assert!(words.contains("not ready within 1 s"), "{words}");
    gone(pid);
}

#[test]
fn s9_a_log_that_logrotate_moves_is_opened_again_on_hup_and_on_reload() {
    let daemon = Daemon::unstarted("");
    let pid = daemon.start_in_background();
    for (number, reload) in [(1, false), (2, true)] {
        fs::rename(daemon.path("log"), daemon.path(&format!("log.{number}"))).unwrap();
        if reload {
            daemon.ok(&["reload"]);
        } else {
            kill(pid, 1);
        }
        eventually("the log is made again", || daemon.path("log").exists().then_some(()));
        let standard = || fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
        eventually("standard error is the new one too", || (standard() == daemon.path("log")).then_some(()));
    }
    daemon.ok(&["stop"]);
    assert!(daemon.log().contains("stopped"), "{}", daemon.log());
}

#[test]
fn s9_a_log_on_a_full_disk_stops_nothing_and_what_was_lost_is_counted() {
    let daemon = Daemon::unstarted("");
    let small = daemon.path("small");
    fs::create_dir(&small).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&small).status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("left out: only root can mount the small file system that this test fills");
        return;
    }
    let log = small.join("log");
    let started = daemon.command(&["start"]).env("TASKDAEMON_LOG_FILE", &log).output().unwrap();
    assert!(started.status.success(), "{started:?}");
    let pid = starting(&daemon);
    fs::write(small.join("ballast"), vec![0; 64 << 10]).unwrap_err();
    for _ in 0..100 {
        kill(pid, 10);
        daemon.ok(&["reload"]);
    }
    assert_eq!(daemon.get("/v1/status")["pid"], pid, "it goes on");
    fs::remove_file(small.join("ballast")).unwrap();
    kill(pid, 10);
    eventually("what was lost is counted", || {
        fs::read_to_string(&log).unwrap().contains("lines could not be logged and are lost").then_some(())
    });
    daemon.ok(&["stop"]);
    Command::new("umount").arg("-l").arg(&small).status().unwrap();
}

#[test]
fn s9_what_cannot_be_logged_to_is_refused_in_words() {
    let daemon = Daemon::unstarted("log:\n  target: stderr\n");
    let output = daemon.run(&["start"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("log.target"), "{output:?}");

    let daemon = Daemon::unstarted("log:\n  target: file\n");
    std::os::unix::fs::symlink("/etc/passwd", daemon.path("log")).unwrap();
    for arguments in [&["start"][..], &["start", "--foreground"]] {
        let output = daemon.run(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains("it is a symbolic link"), "{words}");
    }
}

#[test]
fn d5_restart_is_stop_and_start_and_fails_loudly() {
    let daemon = Daemon::unstarted("");
    let restart = || {
        let said: serde_json::Value = serde_json::from_str(&daemon.ok(&["restart", "--json"])).unwrap();
        (said["stopped"]["result"].as_str().unwrap().to_owned(), i32::try_from(said["pid"].as_i64().unwrap()).unwrap())
    };
    let (stopped, first) = restart();
    assert_eq!(stopped, "not-running", "what does not run is started");
    let (stopped, second) = restart();
    assert_eq!(stopped, "terminated");
    assert_ne!(first, second);
    assert_eq!(daemon.get("/v1/status")["pid"], second);
    kill(second, 9);
    gone(second);
    let (stopped, third) = restart();
    assert_eq!(stopped, "stale-cleaned");

    daemon.configure("hots: 1\n");
    assert_eq!(daemon.run(&["restart"]).status.code(), Some(78));
    assert_eq!(daemon.get("/v1/status")["pid"], third, "a bad configuration costs nobody the daemon");

    daemon.configure("");
    let taken = daemon.path("elsewhere");
    let _listener = UnixListener::bind(&taken).unwrap();
    let output = daemon.run(&["restart", "--socket", taken.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("terminated"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("listens at"), "{output:?}");
}

#[test]
fn d11_a_new_program_on_disk_is_shown_by_status() {
    let mut daemon = Daemon::unstarted("");
    daemon.use_own_binary();
    daemon.start_in_background();
    let program =
        || serde_json::from_str::<serde_json::Value>(&daemon.ok(&["status", "--json"])).unwrap()["program"].clone();
    assert_eq!(program(), "current");
    let new = daemon.path("new");
    assert!(Command::new("cp").arg(daemon.binary()).arg(&new).status().unwrap().success());
    fs::rename(new, daemon.binary()).unwrap();
    assert_eq!(program(), "replaced");
    assert!(daemon.ok(&["status"]).contains("another one is on disk"));
    daemon.ok(&["upgrade"]);
    eventually("it runs what is on disk", || (program() == "current").then_some(()));
    daemon.ok(&["stop"]);
}

#[test]
fn d10_a_daemon_in_the_background_stays_there_through_an_upgrade() {
    let daemon = Daemon::unstarted("");
    let mut start = Command::new(env!("CARGO_BIN_EXE_taskdaemon"));
    daemon.point(start.args(["start", "--json", "--config", "config.yml"]));
    let said = start.env_remove("TASKDAEMON_CONFIG").output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let pid = i32::try_from(said["pid"].as_i64().unwrap()).unwrap();
    daemon.ok(&["upgrade"]);
    assert_eq!(daemon.get("/v1/status")["pid"], pid, "the configuration that was named by a relative path is found");
    assert!(daemon.log().contains("upgraded"), "the log goes on: {}", daemon.log());
    fs::rename(daemon.path("log"), daemon.path("log.1")).unwrap();
    kill(pid, 1);
    eventually("and is opened again on HUP", || daemon.path("log").exists().then_some(()));
    daemon.ok(&["stop"]);
}

#[test]
fn d4_status_tells_that_a_daemon_is_stopping_while_it_still_answers() {
    let daemon = Daemon::unstarted("host:\n  stop_grace: 1m\n  shutdown_timeout: 2m\n  slots: 2\n");
    let pid = daemon.start_in_background();
    let state = || {
        let status = daemon.run(&["status", "--json"]);
        assert_eq!(status.status.code(), Some(0));
        serde_json::from_slice::<serde_json::Value>(&status.stdout).unwrap()["state"].clone()
    };
    assert_eq!(state(), "running");
    let id = daemon.submit(&["--", "sleep", "1000"]);
    daemon.wait_state(&id, "running");
    kill(pid, 15);
    eventually("it is stopping", || (state() == "stopping").then_some(()));
    kill(pid, 15);
    gone(pid);
}

#[test]
fn d2_a_start_waits_for_a_daemon_that_is_on_its_way_out_and_leaves_it_its_time() {
    let daemon = Daemon::unstarted("host:\n  stop_grace: 1m\n  shutdown_timeout: 2m\n  slots: 2\n");
    let first = daemon.start_in_background();
    let go = daemon.path("go");
    let script = format!("trap '' TERM; until test -e {}; do sleep 0.01; done", go.display());
    let id = daemon.submit(&["--grace", "1m", "--", "sh", "-c", &script]);
    daemon.wait_state(&id, "running");
    kill(first, 15);
    eventually("it is stopping", || daemon.ok(&["status", "--json"]).contains("\"stopping\"").then_some(()));
    // Not for ever.
    let output = daemon.run(&["start", "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains(&format!("already running as process {first}")), "{words}");
    // Not longer than whoever started it wants to.
    let waiting = || {
        let start = daemon.command(&["start"]).spawn().unwrap();
        let pid = i32::try_from(start.id()).unwrap();
        await_watching(pid);
        (start, pid)
    };
    let (mut start, pid) = waiting();
    kill(pid, 15);
    assert_eq!(start.wait().unwrap().signal(), Some(15), "a signal ends it as it does any client");
    let (mut start, _) = waiting();
    assert!(!has_ended(first), "nobody ends it");
    fs::write(&go, "").unwrap();
    assert!(start.wait().unwrap().success());
    assert!(has_ended(first));
    assert_ne!(daemon.get("/v1/status")["pid"], first);
    daemon.ok(&["stop"]);
}

#[test]
fn d5_a_daemon_that_is_stopped_before_it_has_met_its_runner_leaves_none_behind() {
    let mut daemon = Daemon::unstarted("");
    daemon.use_own_binary();
    for _ in 0..5 {
        daemon.start_in_background();
        daemon.ok(&["stop"]);
    }
    nothing_runs_it(&daemon);
}

/// Waits until no process is left of a daemon with a program of its own.
fn nothing_runs_it(daemon: &Daemon) {
    let program = fs::canonicalize(daemon.binary()).unwrap();
    let runs_it = |process: &fs::DirEntry| fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe == program);
    eventually("nothing runs the program any more", || {
        let mut processes = fs::read_dir("/proc").unwrap().flatten();
        (!processes.any(|process| runs_it(&process))).then_some(())
    });
}

#[test]
fn d11_a_fault_in_the_configuration_keeps_nobody_from_stopping_the_daemon() {
    let daemon = Daemon::unstarted("");
    daemon.ok(&["start"]);
    std::fs::write(daemon.path("config.yml"), "host:\n  slots: many\n").unwrap();
    let stopped = daemon.run(&["stop"]);
    let told = String::from_utf8(stopped.stderr).unwrap();
    assert_eq!(stopped.status.code(), Some(0), "{told}");
    assert!(told.contains("host.slots"), "the fault is told all the same: {told}");
    assert_eq!(daemon.run(&["stop"]).status.code(), Some(78), "nothing runs: now the fault is the answer");
}

#[test]
fn d2_a_daemon_that_does_not_come_to_work_leaves_no_socket_and_no_runner_behind() {
    let mut daemon = Daemon::unstarted("");
    daemon.use_own_binary();
    daemon.ok(&["start"]);
    daemon.ok(&["stop"]);
    fs::write(daemon.state().join("queue.db"), "no queue").unwrap();
    let refused = daemon.run(&["start"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    for socket in ["run/control.sock", "run/runner.sock"] {
        assert!(!daemon.path(socket).exists(), "{socket} stays");
    }
    nothing_runs_it(&daemon);
}
