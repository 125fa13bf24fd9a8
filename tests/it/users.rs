//! Promises D7, T13, T6 and C2 where root starts the daemon: it becomes one user, its tasks are another.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::support::{Daemon, eventually, parent};

/// Numbers of `mail` and `games`, as this host has them.
fn numbers(name: &str) -> (u32, u32) {
    let user = nix::unistd::User::from_name(name).unwrap().expect("every host has it");
    let group = nix::unistd::Group::from_name(name).unwrap().expect("every host has it");
    (user.uid.as_raw(), group.gid.as_raw())
}

/// A daemon of two users, ready and linked; `None` where the tests are not root's.
pub(super) fn two_users(configuration: &str) -> Option<Daemon> {
    let mut daemon = Daemon::unstarted("");
    if !daemon.configure_two_users(configuration) {
        return None;
    }
    daemon.start();
    daemon.runner_pid();
    Some(daemon)
}

/// What the kernel says of every thread of a process.
pub(super) fn statuses(pid: i32) -> Vec<BTreeMap<String, String>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let lines = |text: String| {
        let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        text.lines().filter_map(pair).collect()
    };
    threads.map(|thread| lines(fs::read_to_string(thread.path().join("status")).unwrap())).collect()
}

fn assert_has_nothing(pid: i32, user: &str) {
    let (uid, gid) = numbers(user);
    for status in statuses(pid) {
        let four = |number: u32| [number.to_string().as_str(); 4].join("\t");
        assert_eq!((&status["Uid"], &status["Gid"]), (&four(uid), &four(gid)), "{status:?}");
        assert_eq!(status["Groups"], gid.to_string(), "{status:?}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&status[set], 16), Ok(0), "{set}: {status:?}");
        }
        assert_eq!(status["NoNewPrivs"], "1", "{status:?}");
    }
}

#[test]
fn d7_every_thread_of_daemon_and_runner_is_its_own_user_and_has_no_rights_left() {
    let Some(daemon) = two_users("") else { return };
    assert_has_nothing(daemon.pid(), "mail");
    assert!(statuses(daemon.pid()).len() > 1, "the threads were looked at too");
    assert_has_nothing(daemon.runner_pid(), "games");
    let words = daemon.ok(&["submit", "--follow", "--", "sh", "-c", "id -u; id -G; grep NoNewPrivs /proc/self/status"]);
    let (uid, gid) = numbers("games");
    assert_eq!(words.lines().collect::<Vec<_>>().join(" "), format!("{uid} {gid} NoNewPrivs:\t1"));
}

#[test]
fn d7_tasks_may_gain_rights_where_the_configuration_says_so() {
    let mut daemon = Daemon::unstarted("");
    if !daemon.configure_two_users("") {
        return;
    }
    daemon.configure_security("  task_privileges: setuid\n");
    daemon.start();
    let script = "grep -E '^(CapPrm|CapEff|CapInh|NoNewPrivs)' /proc/self/status";
    let words = daemon.ok(&["submit", "--follow", "--", "sh", "-c", script]);
    let sets: Vec<&str> = words.lines().filter_map(|line| line.split_once(":\t")).map(|pair| pair.1).collect();
    assert_eq!(sets, ["0000000000000000", "0000000000000000", "0000000000000000", "0"], "{words}");
}

#[test]
fn d7_a_missing_user_is_told_with_the_command_that_makes_it() {
    let mut daemon = Daemon::unstarted("");
    if !daemon.configure_two_users("") {
        return;
    }
    let users = "security:\n  user: no-such-user\n  group: mail\n";
    fs::write(daemon.path("config.yml"), users).unwrap();
    let output = daemon.run(&["start", "--foreground"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("there is no user no-such-user") && words.contains("useradd --system"), "{words}");
    assert!(!daemon.state().exists(), "nothing was made");
}

#[test]
fn d7_what_the_daemon_keeps_belongs_to_it_and_the_pid_file_of_roots_scripts_to_root() {
    let Some(mut daemon) = two_users("") else { return };
    let id = daemon.submit(&["--wait", "--", "echo", "private"]);
    let (uid, gid) = numbers("mail");
    let of = |path: &str| {
        let found = fs::symlink_metadata(daemon.path(path)).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    };
    assert_eq!(of("state"), (uid, gid, 0o700));
    assert_eq!(of(&format!("state/output/0/{id}.1")), (uid, gid, 0o600));
    assert_eq!(of("state/queue.db"), (uid, gid, 0o600));
    assert_eq!((of("run").0, of("run").2 & 0o022), (uid, 0));
    assert_eq!(of("run/runner.sock"), (uid, gid, 0o600));
    assert_eq!(of("run.pid"), (0, of("run.pid").1, 0o644));
    assert_eq!(fs::read_to_string(daemon.path("run.pid")).unwrap().trim(), daemon.pid().to_string());
    daemon.ok(&["stop"]);
    daemon.reap();
    assert!(!daemon.path("run.pid").exists());
}

#[test]
fn d7_root_follows_no_link_that_is_planted_where_its_directories_are_to_be() {
    let mut daemon = Daemon::unstarted("");
    if !daemon.configure_two_users("") {
        return;
    }
    let precious = daemon.path("precious");
    fs::create_dir(&precious).unwrap();
    std::os::unix::fs::symlink(&precious, daemon.state()).unwrap();
    let output = daemon.run(&["start", "--foreground"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("symbolic link"), "{output:?}");
    assert_eq!(fs::metadata(&precious).unwrap().uid(), 0);
}

/// A script's attempts, by name, and whether each one got through. `strace` and `perl` do what a shell cannot.
pub(super) fn attempts(daemon: &Daemon, script: &str) -> BTreeMap<String, bool> {
    let head =
        "try() { name=$1; shift; if \"$@\" >/dev/null 2>&1; then echo \"$name yes\"; else echo \"$name no\"; fi; }\n";
    let words = daemon.ok(&["submit", "--follow", "--directory", "/", "--", "sh", "-c", &format!("{head}{script}")]);
    let pair = |line: &str| line.split_once(' ').map(|(name, verdict)| (name.to_owned(), verdict == "yes"));
    words.lines().filter_map(pair).collect()
}

pub(super) fn assert_none_succeeds(attempts: &BTreeMap<String, bool>, expected: usize) {
    assert_eq!(attempts.len(), expected, "all were tried: {attempts:?}");
    assert!(attempts.values().all(|through| !through), "{attempts:?}");
}

#[test]
fn t13_a_task_tries_in_vain_to_read_or_change_the_queue_and_what_other_tasks_wrote() {
    let Some(daemon) = two_users("") else { return };
    let other = daemon.submit(&["--wait", "--", "echo", "private"]);
    let (state, run) = (daemon.state(), daemon.path("run"));
    let (state, run) = (state.display(), run.display());
    let found = attempts(
        &daemon,
        &format!(
            "try list ls {state}\n\
             try database cat {state}/queue.db\n\
             try output cat {state}/output/0/{other}.1\n\
             try own-output-by-name cat {state}/output/0/$TASKDAEMON_TASK_ID.1\n\
             try plant touch {state}/planted\n\
             try plant-run touch {run}/planted\n\
             try lock cat {run}/daemon.lock\n\
             try remove rm -f {run}/control.sock\n\
             try replace mv {run} {run}.old\n\
             try pid-file sh -c 'echo 1 >{run}.pid'\n"
        ),
    );
    assert_none_succeeds(&found, 10);
    assert_eq!(daemon.ok(&["logs", &other]), "private");
}

#[test]
fn t13_a_task_tries_in_vain_to_signal_trace_or_look_into_the_daemon() {
    let Some(daemon) = two_users("") else { return };
    let pid = daemon.pid();
    let keeper = parent(daemon.runner_pid());
    let found = attempts(
        &daemon,
        &format!(
            "try signal kill -0 {pid}\n\
             try kill kill -9 {pid}\n\
             try trace timeout 5 strace -p {pid} -o /dev/null -e trace=none\n\
             try memory head -c1 /proc/{pid}/mem\n\
             try maps head -c1 /proc/{pid}/maps\n\
             try environment head -c1 /proc/{pid}/environ\n\
             try descriptors ls /proc/{pid}/fd/\n\
             try keeper kill -9 {keeper}\n"
        ),
    );
    assert_none_succeeds(&found, 8);
    assert_eq!(daemon.http("GET", "/v1/status", "").0, 200);
}

#[test]
fn t13_a_task_tries_in_vain_to_reach_the_runner_and_its_descriptors() {
    let Some(daemon) = two_users("") else { return };
    let runner = daemon.runner_pid();
    let socket = daemon.path("run/runner.sock");
    let found = attempts(
        &daemon,
        &format!(
            "try connect perl -MSocket -e 'socket(S, AF_UNIX, SOCK_SEQPACKET, 0) && connect(S, \
             sockaddr_un($ARGV[0])) or exit 1' {}\n\
             try trace timeout 5 strace -p {runner} -o /dev/null -e trace=none\n\
             try memory head -c1 /proc/{runner}/mem\n\
             try environment head -c1 /proc/{runner}/environ\n\
             try descriptors ls /proc/{runner}/fd/\n",
            socket.display()
        ),
    );
    assert_none_succeeds(&found, 5);
}

#[test]
fn c2_a_task_may_use_the_control_socket_only_where_its_user_is_in_the_group() {
    for (group, code) in [("users", 77), ("games", 0)] {
        let Some(daemon) = two_users(&format!("api:\n  group: {group}\n")) else { return };
        let script = format!("{} --socket {} list", daemon.path("taskdaemon").display(), daemon.socket().display());
        let output = daemon.run(&["submit", "--wait", "--directory", "/", "--", "sh", "-c", &script]);
        assert_eq!(output.status.code(), Some(code), "{group}: {output:?}");
    }
}

#[test]
fn t1_a_directory_that_is_closed_to_the_tasks_user_is_told() {
    let Some(daemon) = two_users("") else { return };
    let closed = daemon.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let id = daemon.ok(&["submit", "--directory", closed.to_str().unwrap(), "--", "true"]);
    daemon.wait_state(&id, "failed");
    let task = daemon.task(&id);
    let reason = task["history"][0]["outcome"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("closed may not be entered by "), "{task}");
}

#[test]
fn t6_after_a_crash_of_all_what_is_left_of_a_task_is_ended_by_group_before_it_runs_again() {
    let Some(mut daemon) = two_users("") else { return };
    let pids = daemon.path("pids");
    fs::write(&pids, "").unwrap();
    fs::set_permissions(&pids, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let script = format!("sleep 1000 & env -i sleep 1000 & echo $$ $(jobs -p) $! >>{}; wait", pids.display());
    let id = daemon.submit(&["--", "/bin/bash", "-c", &script]);
    let line = |number: usize| -> Vec<i32> {
        eventually("the task tells its processes", || {
            let text = fs::read_to_string(&pids).unwrap();
            let line = text.split_inclusive('\n').nth(number).filter(|line| line.ends_with('\n'))?;
            Some(line.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
        })
    };
    let first = line(0);
    assert!(first.len() >= 3, "{first:?}");
    daemon.wait_state(&id, "running");
    daemon.kill_all();
    let alive = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
    assert!(first.iter().all(alive), "nobody ended the task with its runner");
    daemon.start();
    let second = line(1);
    assert!(!first.iter().any(alive), "the first run was ended before the second began");
    assert!(second.iter().all(alive));
    assert_eq!(daemon.task(&id)["history"][0]["outcome"]["how"], "interrupted");
    assert_has_nothing(daemon.pid(), "mail");
    daemon.ok(&["cancel", &id]);
}

#[test]
fn t13_a_runner_that_dies_is_started_again_as_its_own_user_though_the_daemon_could_not() {
    let Some(daemon) = two_users("") else { return };
    let first = daemon.runner_pid();
    super::support::kill(first, 9);
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
    assert_ne!(daemon.runner_pid(), first);
    assert_has_nothing(daemon.runner_pid(), "games");
}

#[test]
fn d1_in_the_background_it_is_the_same_and_its_log_is_its_own() {
    let mut daemon = Daemon::unstarted("");
    if !daemon.configure_two_users("api:\n  group: users\n") {
        return;
    }
    let started = daemon.command(&["start"]).env("TASKDAEMON_LOG_FILE", daemon.path("logs/daemon.log")).output();
    assert!(started.as_ref().is_ok_and(|output| output.status.success()), "{started:?}");
    let pid = fs::read_to_string(daemon.path("run.pid")).unwrap().trim().parse().unwrap();
    assert_has_nothing(pid, "mail");
    assert_has_nothing(daemon.runner_pid(), "games");
    let of = |path: &str| {
        let found = fs::symlink_metadata(daemon.path(path)).unwrap();
        (found.uid(), found.mode() & 0o777)
    };
    let (uid, _) = numbers("mail");
    assert_eq!(of("logs"), (uid, 0o700));
    assert_eq!(of("logs/daemon.log").0, uid);
    assert_eq!(of("run"), (uid, 0o755));
    assert_eq!(of("run.pid"), (0, 0o644));
    super::support::kill(pid, 1);
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
    daemon.ok(&["stop"]);
}

#[test]
fn d10_an_upgrade_keeps_the_users_and_the_runner() {
    let Some(daemon) = two_users("") else { return };
    let runner = daemon.runner_pid();
    let id = daemon.submit(&["--", "sleep", "1000"]);
    daemon.wait_state(&id, "running");
    daemon.ok(&["upgrade"]);
    assert_eq!(daemon.runner_pid(), runner);
    assert_has_nothing(daemon.pid(), "mail");
    assert_eq!(daemon.task_state(&id), "running");
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
    daemon.ok(&["cancel", &id]);
}

#[test]
fn d5_a_stop_ends_the_runner_and_its_keeper_too() {
    let Some(mut daemon) = two_users("") else { return };
    let runner = daemon.runner_pid();
    let keeper = parent(runner);
    daemon.ok(&["stop"]);
    assert!(daemon.reap().success());
    for pid in [runner, keeper] {
        eventually("both leave", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
    }
    daemon.start();
    assert_eq!(daemon.run(&["submit", "--wait", "--", "true"]).status.code(), Some(0));
}
