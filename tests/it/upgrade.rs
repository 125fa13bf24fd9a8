//! Promise D10: daemon and runner each become the new binary, and nobody notices.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::support::{Daemon, eventually, kill};

/// The program itself, and the client.
const REAL: &str = env!("CARGO_BIN_EXE_taskdaemon");

/// A daemon that runs a copy of the program, which can be replaced as a package does.
pub(crate) fn with_copy(configuration: &str) -> (Daemon, PathBuf) {
    started(Daemon::unstarted(configuration))
}

/// The same without its sandbox, from inside which no script can stand in for a program.
fn without_sandbox() -> (Daemon, PathBuf) {
    let daemon = Daemon::unstarted("");
    daemon.configure_security("  sandbox: off\n");
    started(daemon)
}

fn started(mut daemon: Daemon) -> (Daemon, PathBuf) {
    let program = daemon.path("taskdaemon");
    install(Path::new(REAL), &program);
    start(&mut daemon, &program);
    (daemon, program)
}

/// Starts it from there.
fn start(daemon: &mut Daemon, program: &Path) {
    let mut command = Command::new(program);
    daemon.point(command.args(["start", "--foreground"]));
    daemon.spawn_by(command);
    daemon.wait_ready();
}

/// Puts another file in the program's place, as dpkg(1) and rpm(8) do.
pub(crate) fn replace(program: &Path, with: &Path) {
    let new = program.with_extension("new");
    install(with, &new);
    fs::rename(&new, program).unwrap();
}

/// Copies a program, in a process of its own: a file that this one still writes to, or that a child of another test has
/// inherited, could not be executed.
fn install(from: &Path, to: &Path) {
    assert!(Command::new("install").args(["-m", "755"]).args([from, to]).status().unwrap().success());
}

/// Puts a shell script in the program's place; `$REAL` is the program as it was.
fn replace_by_script(program: &Path, script: &str) {
    let path = program.with_extension("sh");
    fs::write(&path, format!("#!/bin/bash\nREAL={REAL}\n{script}\n")).unwrap();
    replace(program, &path);
}

/// The inode of the program that a process runs.
fn program_of(pid: i32) -> u64 {
    fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino()
}

fn failed(output: &Output, code: i32) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    errors
}

/// The lines that a client prints, as they come.
fn follow(daemon: &Daemon, arguments: &[&str]) -> (Child, impl Iterator<Item = String>) {
    let mut child = daemon.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

#[test]
fn d10_the_daemon_becomes_the_file_that_replaced_its_own() {
    let (daemon, program) = with_copy("");
    let (pid, before) = (daemon.pid(), program_of(daemon.pid()));
    let since = daemon.get("/v1/status")["started_at"].clone();
    replace(&program, &program);
    let said = daemon.ok(&["upgrade"]);
    let version = env!("CARGO_PKG_VERSION");
    assert!(said.starts_with(&format!("upgraded: version {version} became {version}")), "{said}");
    assert_ne!(program_of(pid), before);
    assert_eq!(program_of(pid), fs::metadata(&program).unwrap().ino());
    assert_eq!(daemon.get("/v1/status")["started_at"], since, "it has not been away");
    let lock = fs::read_to_string(daemon.path("run/daemon.lock")).unwrap();
    assert!(lock.contains(&format!(" pid={pid} ")) && lock.contains(" phase=running "), "{lock}");
    assert_eq!(fs::read_to_string(daemon.path("run/daemon.pid")).unwrap(), format!("{pid}\n"));
    assert!(!daemon.run(&["start", "--foreground"]).status.success(), "the locks are still held");
}

#[test]
fn d10_usr2_upgrades_too_and_a_stop_afterwards_leaves_nothing_behind() {
    let (mut daemon, program) = with_copy("");
    for round in 1..=3 {
        replace(&program, &program);
        daemon.signal(12);
        eventually("the upgrade", || {
            let upgrade = daemon.get("/v1/upgrade");
            (upgrade["number"] == round && upgrade["state"] == "done").then_some(())
        });
    }
    assert!(daemon.stop().success(), "{}", daemon.log());
    assert!(!daemon.path("run/daemon.pid").exists() && !daemon.socket().exists());
    assert_eq!(fs::read_to_string(daemon.path("run/daemon.lock")).unwrap(), "");
}

#[test]
fn d10_waiting_and_following_clients_notice_nothing() {
    let (daemon, program) = with_copy("");
    let go_on = daemon.path("go-on");
    let script = format!("echo first; until test -e {}; do sleep 0.01; done; echo last; exit 7", go_on.display());
    let (mut events, mut told) = follow(&daemon, &["events", "-f", "--json"]);
    let waiting = daemon.command(&["submit", "--wait", "--", "/bin/sh", "-c", &script]).spawn();
    let mut waiting = waiting.unwrap();
    eventually("the task", || (daemon.get("/v1/status")["counts"]["running"] == 1).then_some(()));
    let (mut logs, mut written) = follow(&daemon, &["logs", "-f", "1"]);
    assert_eq!(written.next().as_deref(), Some("first"));
    for _ in 0..3 {
        replace(&program, &program);
        daemon.ok(&["upgrade"]);
    }
    fs::write(&go_on, "").unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(7));
    assert_eq!(written.next().as_deref(), Some("last"));
    assert_eq!(written.next(), None);
    assert!(logs.wait().unwrap().success());
    let task = daemon.task("1");
    assert_eq!(task["history"].as_array().unwrap().len(), 1, "{task}");
    assert_eq!(task["history"][0]["outcome"]["code"], 7, "{task}");
    let seen: Vec<i64> = told
        .by_ref()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap())
        .take_while(|event| event["event"] != "ended" && event["kind"] != "ended")
        .map(|event| event["seq"].as_i64().unwrap())
        .take(3)
        .collect();
    assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    events.kill().unwrap();
    events.wait().unwrap();
}

#[test]
fn d10_a_program_that_cannot_start_leaves_the_old_one_in_charge() {
    let (daemon, program) = without_sandbox();
    let (pid, before) = (daemon.pid(), program_of(daemon.pid()));
    let cases = [
        ("exit 3", "failed its trial (exit status: 3)"),
        ("kill -KILL $$", "failed its trial (signal: 9"),
        ("echo hello", "is not one that can take over"),
        (r#"exec $REAL "${@/\"schema\":1/\"schema\":99}""#, "has schema 99, and this version knows 1"),
        (r#"exec $REAL "${@/\"form\":1/\"form\":99}""#, "hands over in form 99"),
    ];
    for (script, reason) in cases {
        replace_by_script(&program, script);
        let said = failed(&daemon.run(&["upgrade"]), 1);
        assert!(said.contains(reason), "{script}: {said}");
        assert!(daemon.log().contains("this program stays in charge"), "{}", daemon.log());
    }
    fs::write(&program, "no program at all").unwrap();
    let said = failed(&daemon.run(&["upgrade"]), 1);
    assert!(said.contains("run the new program"), "{said}");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(failed(&daemon.run(&["upgrade"]), 1).contains("only root or this user could change"));
    fs::remove_file(&program).unwrap();
    let real = ["upgrade", "--binary", "nowhere"];
    assert!(failed(&daemon.run(&real), 1).contains("open the new program"));
    assert_eq!((daemon.pid(), program_of(pid)), (pid, before));
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
}

#[test]
fn d10_a_program_that_refuses_the_configuration_says_where() {
    let (daemon, program) = with_copy("");
    daemon.configure("host:\n  slots: many\n");
    replace(&program, &program);
    let said = failed(&daemon.run(&["upgrade"]), 78);
    assert!(said.contains("config.yml:2:"), "{said}");
    daemon.configure(&format!("paths:\n  state_directory: {}\n", daemon.path("elsewhere").display()));
    daemon.configure("");
    daemon.ok(&["upgrade"]);
}

#[test]
fn d10_a_program_that_cannot_be_executed_after_all_leaves_the_old_one_in_charge() {
    let (daemon, program) = without_sandbox();
    let (pid, before) = (daemon.pid(), program_of(daemon.pid()));
    // It stands its trial, and then nobody may execute it.
    replace_by_script(&program, r#"$REAL "$@"; status=$?; chmod 600 "$0"; exit $status"#);
    let real = Path::new(REAL);
    let said = failed(&daemon.run(&["upgrade"]), 1);
    assert!(said.contains("execute the new program: Permission denied"), "{said}");
    assert_eq!(program_of(pid), before);
    replace(&program, real);
    assert_eq!(daemon.run(&["submit", "--wait", "--", "sh", "-c", "exit 5"]).status.code(), Some(5));
    // It is another file than the one that stood the trial.
    replace_by_script(&program, r#"$REAL "$@"; status=$?; echo >>"$0"; exit $status"#);
    let said = failed(&daemon.run(&["upgrade"]), 1);
    assert!(said.contains("was changed while it was tried out"), "{said}");
    replace(&program, real);
    daemon.ok(&["upgrade"]);
    assert_ne!(program_of(pid), before);
}

#[test]
fn d10_a_program_that_fails_after_the_exchange_is_a_crash_and_costs_no_task_anything() {
    let (mut daemon, program) = without_sandbox();
    let go_on = daemon.path("go-on");
    let script = format!("until test -e {}; do sleep 0.01; done; exit 7", go_on.display());
    let id = daemon.submit(&["--", "/bin/sh", "-c", &script]);
    daemon.wait_state(&id, "running");
    replace_by_script(&program, r#"case "$*" in *--trial*) exec $REAL "$@";; esac; exit 9"#);
    let said = failed(&daemon.run(&["upgrade"]), 69);
    assert!(said.contains("ended while the new program took over"), "{said}");
    assert_eq!(daemon.reap().code(), Some(9));
    replace(&program, Path::new(REAL));
    start(&mut daemon, &program);
    fs::write(&go_on, "").unwrap();
    daemon.wait_state(&id, "failed");
    assert_eq!(daemon.task(&id)["history"].as_array().unwrap().len(), 1);
}

#[test]
fn d10_a_runner_that_dies_where_a_link_leads_to_the_next_version_by_now_comes_back_as_that() {
    let mut daemon = Daemon::unstarted("");
    let versions = ["old", "new"].map(|version| daemon.path(version).join("taskdaemon"));
    for version in &versions {
        fs::create_dir(version.parent().unwrap()).unwrap();
        install(Path::new(REAL), version);
    }
    let [old, new] = versions;
    let (program, turned) = (daemon.path("taskdaemon"), daemon.path("turned"));
    symlink(&old, &program).unwrap();
    start(&mut daemon, &program);
    let runner = daemon.runner_pid();
    symlink(&new, &turned).unwrap();
    fs::rename(&turned, &program).unwrap();
    fs::remove_file(&old).unwrap();
    kill(runner, 9);
    let next = eventually("another runner", || Some(daemon.runner_pid()).filter(|next| *next != runner));
    assert_eq!(fs::read_link(format!("/proc/{next}/exe")).unwrap(), fs::canonicalize(new).unwrap());
}

#[test]
fn d10_a_stop_in_the_middle_of_an_upgrade_is_obeyed() {
    let (mut daemon, program) = without_sandbox();
    // While the new program is tried out.
    replace_by_script(&program, "exec sleep 1000");
    let upgrade = daemon.command(&["upgrade"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the trial", || (daemon.get("/v1/upgrade")["state"] == "trying").then_some(()));
    assert!(daemon.stop().success(), "{}", daemon.log());
    assert!(failed(&upgrade.wait_with_output().unwrap(), 1).contains("the daemon is stopping"));
    // While it takes over: whoever is in charge then obeys.
    replace(&program, Path::new(REAL));
    start(&mut daemon, &program);
    replace(&program, &program);
    daemon.signal(12);
    eventually("the exchange", || daemon.log().contains("is tried out").then_some(()));
    kill(daemon.pid(), 15);
    assert!(daemon.reap().success(), "{}", daemon.log());
    assert!(!daemon.socket().exists());
}

#[test]
fn d10_a_daemon_in_the_background_stays_there_and_can_be_found() {
    let daemon = Daemon::unstarted("");
    let program = daemon.path("taskdaemon");
    install(Path::new(REAL), &program);
    let mut command = Command::new(&program);
    daemon.point(command.arg("start"));
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    let pid: i32 = fs::read_to_string(daemon.path("run/daemon.pid")).unwrap().trim().parse().unwrap();
    for _ in 0..2 {
        replace(&program, &program);
        daemon.ok(&["upgrade"]);
        assert_eq!(program_of(pid), fs::metadata(&program).unwrap().ino());
    }
    assert_eq!(fs::read_to_string(daemon.path("run/daemon.pid")).unwrap(), format!("{pid}\n"));
    assert_eq!(daemon.get("/v1/status")["pid"], pid);
    assert_eq!(daemon.run(&["submit", "--wait", "--", "sh", "-c", "exit 5"]).status.code(), Some(5));
    let stopped = daemon.ok(&["stop"]);
    assert!(stopped.contains(&format!("process {pid} has ended")), "{stopped}");
    assert_eq!(daemon.run(&["status"]).status.code(), Some(3));
}

#[test]
fn d10_the_loopback_port_is_taken_along() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (daemon, program) = with_copy(&format!("health:\n  listen: {free}\n"));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(free).unwrap();
                stream.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                answers += 1;
            }
            answers
        });
        for _ in 0..3 {
            replace(&program, &program);
            daemon.ok(&["upgrade"]);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 3);
    });
}

#[test]
fn d10_whoever_may_not_handle_the_daemon_may_not_upgrade_it() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("left out: only root can be several users");
        return;
    }
    let mut daemon = Daemon::unstarted("api:\n  group: nogroup\n");
    daemon.hand_over(4343, 65_534);
    daemon.spawn_as(4343, 65_534);
    daemon.wait_ready();
    let ask = |uid: u32| {
        let mut command = daemon.command(&["upgrade"]);
        command.uid(uid).gid(65_534).output().unwrap()
    };
    let said = failed(&ask(4444), 77);
    assert!(said.contains("may not upgrade the daemon") || said.contains("upgrade the daemon"), "{said}");
    assert_eq!(daemon.get("/v1/upgrade")["number"], 0);
    let own = ask(4343);
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    assert_eq!(daemon.get("/v1/upgrade")["number"], 1);
}

#[test]
fn d10_a_runner_whose_tasks_ended_meanwhile_still_tells_how() {
    let (mut daemon, program) = with_copy("host:\n  slots: 8\n");
    let ids: Vec<String> =
        (0..8).map(|code| daemon.submit(&["--", "/bin/sh", "-c", &format!("sleep 0.{code}; exit 1{code}")])).collect();
    ids.iter().for_each(|id| {
        eventually("it runs", || (daemon.task_state(id) != "queued").then_some(()));
    });
    // Ends that nobody acknowledges wait in the runner, whichever program it is.
    for _ in 0..3 {
        replace(&program, &program);
        daemon.ok(&["upgrade"]);
    }
    daemon.kill();
    start(&mut daemon, &program);
    for (code, id) in ids.iter().enumerate() {
        daemon.wait_state(id, "failed");
        let task = daemon.task(id);
        assert_eq!(task["history"][0]["outcome"]["code"], 10 + code, "{task}");
        assert_eq!(task["history"].as_array().unwrap().len(), 1, "{task}");
    }
}

#[test]
fn d10_a_timeout_and_a_stop_under_way_go_on_in_the_new_runner() {
    let (daemon, program) = with_copy("");
    let late = daemon.submit(&["--timeout", "2s", "--", "sleep", "1000"]);
    let script = "trap '' TERM; while :; do sleep 0.05; done";
    let stubborn = daemon.submit(&["--grace", "2s", "--", "/bin/sh", "-c", script]);
    daemon.wait_state(&late, "running");
    daemon.wait_state(&stubborn, "running");
    daemon.ok(&["cancel", &stubborn]);
    replace(&program, &program);
    daemon.ok(&["upgrade"]);
    daemon.wait_state(&late, "timed-out");
    daemon.wait_state(&stubborn, "cancelled");
}

#[test]
fn d10_of_upgrades_that_are_asked_for_at_once_each_is_told_its_end() {
    let (daemon, program) = with_copy("");
    let pid = daemon.pid();
    replace(&program, &program);
    let asked: Vec<Output> = thread::scope(|scope| {
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(|| daemon.run(&["upgrade"]))).collect();
        asking.into_iter().map(|asks| asks.join().unwrap()).collect()
    });
    let (done, refused): (Vec<_>, Vec<_>) = asked.iter().partition(|output| output.status.success());
    assert!(!done.is_empty(), "{refused:?}");
    for output in refused {
        assert!(failed(output, 1).contains("another upgrade is under way"), "{output:?}");
    }
    assert_eq!(program_of(pid), fs::metadata(&program).unwrap().ino());
    assert_eq!(daemon.get("/v1/upgrade")["state"], "done");
    assert_eq!(daemon.run(&["submit", "--wait", "--", "sh", "-c", "exit 5"]).status.code(), Some(5));
}
