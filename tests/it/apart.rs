//! Promise T13 among tasks: where they gain no rights, they are kept from one another, from the runner and from what is
//! the host's, and from nothing else.

use std::collections::BTreeMap;

use super::support::{Daemon, eventually};
use super::users::{assert_none_succeeds, attempts, statuses, two_users};

/// A task that sleeps, and its process.
fn sleeper(daemon: &Daemon) -> (String, i32) {
    let id = daemon.submit(&["--", "sleep", "1000"]);
    let pid = eventually("it runs", || daemon.task(&id)["history"][0]["pid"].as_i64());
    (id, pid.try_into().unwrap())
}

/// What one process can try on another of the same user.
fn tries(pid: i32) -> String {
    format!(
        "try look readlink /proc/{pid}/fd/1\n\
         try write sh -c ': >>/proc/{pid}/fd/1'\n\
         try memory sh -c ': </proc/{pid}/mem'\n\
         try environment head -c1 /proc/{pid}/environ\n\
         try trace strace -qq -p {pid} -o /dev/null -e trace=none\n\
         try signal kill -0 {pid}\n\
         try kill kill -9 {pid}\n\
         try group kill -9 -- -{pid}\n"
    )
}

/// What the kernel says of every task of the daemon's runner: no new privileges, and a filter.
fn assert_filtered(status: &BTreeMap<String, String>) {
    assert_eq!((status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()), ("1", "2"), "{status:?}");
}

fn assert_are_apart(daemon: &Daemon) {
    let (id, pid) = sleeper(daemon);
    assert_filtered(&statuses(pid)[0]);
    assert_none_succeeds(&attempts(daemon, &tries(pid)), 8);
    assert_eq!(daemon.task_state(&id), "running");
    daemon.ok(&["cancel", &id]);
    daemon.wait_state(&id, "cancelled");
}

#[test]
fn t13_a_task_tries_in_vain_to_signal_trace_or_look_into_another() {
    let Some(daemon) = two_users("") else { return };
    assert_are_apart(&daemon);
    let status = daemon.get("/v1/status")["sandbox"].to_string();
    assert!(status.contains("tasks: no look into one another"), "{status}");
    assert!(status.contains("tasks: no signal to one another"), "{status}");
}

#[test]
fn t13_a_task_tries_in_vain_to_end_the_runner() {
    let Some(daemon) = two_users("") else { return };
    let runner = daemon.runner_pid();
    assert_none_succeeds(&attempts(&daemon, &format!("try term kill {runner}\ntry kill kill -9 {runner}\n")), 2);
    assert_eq!(daemon.runner_pid(), runner);
    statuses(runner).iter().for_each(assert_filtered);
}

#[test]
fn t13_a_task_does_with_its_own_children_what_it_likes() {
    let Some(daemon) = two_users("") else { return };
    let script = "sleep 1000 & child=$!\n\
                  try look readlink /proc/$child/fd/1\n\
                  try environment head -c1 /proc/$child/environ\n\
                  try trace strace -qq -o /dev/null -e trace=none true\n\
                  try signal kill -0 $child\n\
                  try kill kill -9 $child\n\
                  try timeout sh -c 'timeout 0.1 sleep 1000; test $? = 124'\n";
    let found = attempts(&daemon, script);
    assert!(found.len() == 6 && found.values().all(|through| *through), "{found:?}");
}

#[test]
fn t13_what_is_the_hosts_is_refused_and_everyday_commands_work() {
    let Some(daemon) = two_users("") else { return };
    // What this host does not have is left out.
    let script = "cd $(mktemp -d) && export HOME=$PWD\n\
                  have() { if command -v $1 >/dev/null; then try $1 \"$@\"; fi; }\n\
                  have python3 -c 'import subprocess, threading; subprocess.check_call([\"true\"])'\n\
                  have node -e 'require(\"fs\").writeFileSync(\"node\", \"x\")'\n\
                  have tar -cf etc.tar /etc/passwd\n\
                  echo b >file; echo a >>file; mkdir away\n\
                  have sort -o sorted file\n\
                  have sed -i s/a/b/ file\n\
                  have mv file away\n\
                  have cp -a away again\n\
                  have mkfifo pipe\n\
                  have nice -n 5 true\n\
                  have taskset -c 0 true\n\
                  have timeout 5 true\n\
                  echo 'int main(void) { return 0; }' >c.c\n\
                  have gcc -o c c.c\n\
                  have git init repository\n\
                  have xz -k away/file\n\
                  have perl -MSocket -e 'socket(S, AF_INET, SOCK_DGRAM, 0) or exit 1'\n";
    let found = attempts(&daemon, script);
    assert!(found.len() > 8 && found.values().all(|through| *through), "{found:?}");
    // In a user namespace of its own a task is root, and may still not do what no everyday command does.
    let found = attempts(
        &daemon,
        "try name unshare --user --map-root-user --uts hostname other\n\
         try mount unshare --user --map-root-user --mount true\n",
    );
    assert_none_succeeds(&found, 2);
}

#[test]
fn t13_tasks_are_still_signalled_stopped_and_timed_out() {
    let Some(daemon) = two_users("") else { return };
    let script = "trap 'echo got it; exit 7' USR1; echo ready; while :; do sleep 0.05; done";
    let id = daemon.submit(&["--", "sh", "-c", script]);
    eventually("it is ready", || daemon.ok(&["logs", &id]).contains("ready").then_some(()));
    daemon.ok(&["signal", "USR1", &id]);
    daemon.wait_state(&id, "failed");
    assert!(daemon.ok(&["logs", &id]).contains("got it"));
    let detached = "trap '' TERM; setsid sleep 1000 & echo $!; sleep 1000";
    let output = daemon.run(&["submit", "--wait", "--timeout", "1s", "--grace", "1s", "--", "sh", "-c", detached]);
    assert_eq!(output.status.code(), Some(124), "{output:?}");
}

#[test]
fn t13_a_runner_that_becomes_another_program_keeps_tasks_apart_with_no_second_filter() {
    let Some(daemon) = two_users("") else { return };
    let (id, pid) = sleeper(&daemon);
    let runner = daemon.runner_pid();
    let filters = || statuses(runner)[0]["Seccomp_filters"].clone();
    let before = filters();
    for _ in 0..2 {
        daemon.ok(&["upgrade"]);
    }
    assert_eq!(daemon.runner_pid(), runner);
    assert_eq!(filters(), before);
    assert_none_succeeds(&attempts(&daemon, &tries(pid)), 8);
    daemon.ok(&["cancel", &id]);
    daemon.wait_state(&id, "cancelled");
    assert_are_apart(&daemon);
}

#[test]
fn t13_tasks_of_one_user_are_apart_where_the_configuration_lets_them_gain_nothing() {
    let mut daemon = Daemon::unstarted("");
    daemon.configure_security("  task_privileges: none\n");
    daemon.start();
    let (id, pid) = sleeper(&daemon);
    assert_filtered(&statuses(pid)[0]);
    let found = attempts(&daemon, &format!("try signal kill -0 {pid}\ntry look readlink /proc/{pid}/fd/1\n"));
    assert_none_succeeds(&found, 2);
    daemon.ok(&["cancel", &id]);
}
