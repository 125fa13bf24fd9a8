//! Promises T1, T3, T5, T8, T12, T13: what a task gets, and how the awkward ones end.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use super::support::{Daemon, eventually, full};

#[test]
fn t1_arguments_travel_exactly_even_where_they_are_not_utf8() {
    let daemon = Daemon::new();
    let argument = OsStr::from_bytes(b"a b\xff\"'$(x)\n\\");
    let mut client = daemon.command(&["submit", "--follow", "--", "printf", "%s"]);
    let output = client.arg(argument).output().unwrap();
    assert_eq!(output.stdout, argument.as_bytes());
    assert!(output.status.success());
}

#[test]
fn t1_directory_and_umask_are_the_submitters() {
    let daemon = Daemon::new();
    let odd = daemon.path("").join(OsStr::from_bytes(b"d\xe9"));
    fs::create_dir(&odd).unwrap();
    let mut client = daemon.command(&["submit", "--follow", "--umask", "027", "--", "sh", "-c", "pwd; umask"]);
    let output = client.current_dir(&odd).output().unwrap();
    let mut expected = fs::canonicalize(&odd).unwrap().into_os_string();
    expected.push("\n0027\n");
    assert_eq!(OsStr::from_bytes(&output.stdout), expected);
}

#[test]
fn t1_ten_megabytes_of_standard_input_arrive() {
    let daemon = Daemon::new();
    let input: Vec<u8> = (0..10_000_000_u32).map(|n| n.to_le_bytes()[1] ^ n.to_le_bytes()[0]).collect();
    let mut client = daemon.command(&["submit", "--follow", "--stdin", "--", "sha256sum"]);
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let told = child.wait_with_output().unwrap();
    fs::write(daemon.path("input"), &input).unwrap();
    let file = fs::File::open(daemon.path("input")).unwrap();
    let expected = Command::new("sha256sum").stdin(file).output().unwrap();
    assert_eq!(told.stdout, expected.stdout);
}

#[test]
fn t1_standard_input_is_empty_unless_asked_for() {
    let daemon = Daemon::new();
    assert_eq!(daemon.submit(&["--follow", "--", "wc", "-c"]), "0");
}

#[test]
fn t12_a_large_environment_travels_and_is_chosen_not_swallowed() {
    let daemon = Daemon::new();
    let large = "x".repeat(128 * 1024 - 100);
    let mut client = daemon.command(&["submit", "--follow", "--env", "LARGE", "--env", "SMALL=1", "--", "sh", "-c"]);
    client.arg("echo ${#LARGE} $SMALL ${UNASKED:-unset}").env("LARGE", &large).env("UNASKED", "here");
    let output = client.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{} 1 unset\n", large.len()));
    let mut client = daemon.command(&["submit", "--follow", "--env-all", "--", "sh", "-c", "echo $UNASKED"]);
    assert_eq!(client.env("UNASKED", "here").output().unwrap().stdout, b"here\n");
}

#[test]
fn t12_secrets_are_shown_nowhere_and_state_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::new();
    let id = daemon.submit(&["--env", "API_TOKEN=hunter2hunter2", "--", "true"]);
    daemon.wait_state(&id, "succeeded");
    for arguments in
        [&["list"][..], &["show", &id], &["show", &id, "--json"], &["list", "--json"], &["events", "--json"]]
    {
        assert!(!daemon.ok(arguments).contains("hunter2"), "{arguments:?}");
    }
    assert!(!daemon.log().contains("hunter2"));
    let mut seen = 0;
    let mut folders = vec![daemon.state()];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0, "{}", folder.display());
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            seen += 1;
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(seen > 1);
}

#[test]
fn t8_output_past_the_cap_is_dropped_and_said_and_the_task_goes_on() {
    let daemon = Daemon::new();
    let megabytes: u64 = if full() { 1024 } else { 200 };
    let script = format!("head -c {megabytes}M /dev/zero; echo done >&2; exit 3");
    let output = daemon.run(&["submit", "--wait", "--output-cap", "1M", "--", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let cost = daemon.get("/v1/tasks")["tasks"][0]["id"].to_string();
    let attempt = daemon.task(&cost)["history"][0].clone();
    assert_eq!(attempt["cost"]["output_bytes"], 1 << 20, "{attempt}");
    assert_eq!(attempt["cost"]["dropped_bytes"], (megabytes << 20) + 5 - (1 << 20));
    let logs = daemon.run(&["logs", &cost]);
    assert_eq!(logs.stdout.len(), 1 << 20);
    assert!(!logs.stderr.is_empty(), "that something is missing is said");
}

#[test]
fn t13_a_task_holds_no_descriptor_but_its_three() {
    let daemon = Daemon::new();
    assert_eq!(daemon.submit(&["--follow", "--", "sh", "-c", "ls /proc/$$/fd"]), "0\n1\n2");
}

#[test]
fn t3_limits_nice_and_signals_are_set_as_asked() {
    let daemon = Daemon::new();
    let told = daemon.submit(&[
        "--follow",
        "--nice",
        "5",
        "--limit-files",
        "77",
        "--limit-cpu",
        "9",
        "--limit-file-size",
        "1M",
        "--limit-memory",
        "4G",
        "--limit-processes",
        "5000",
        "--",
        "sh",
        "-c",
        "nice; ulimit -n; ulimit -t; ulimit -f; ulimit -v; grep -E 'Sig(Blk|Ign)' /proc/self/status",
    ]);
    let zero = "0000000000000000";
    assert_eq!(told, format!("5\n77\n9\n2048\n4194304\nSigBlk:\t{zero}\nSigIgn:\t{zero}"));
}

#[test]
fn t3_a_command_that_cannot_start_fails_with_its_reason() {
    let daemon = Daemon::new();
    let plain = daemon.path("plain");
    fs::write(&plain, "x").unwrap();
    let gone = daemon.path("gone");
    fs::create_dir(&gone).unwrap();
    let gone_text = gone.to_str().unwrap();
    let missing = daemon.submit(&["--", "no-such-command-anywhere"]);
    let not_executable = daemon.submit(&["--", plain.to_str().unwrap()]);
    daemon.ok(&["queue", "pause", "default"]);
    let homeless = daemon.submit(&["--directory", gone_text, "--", "true"]);
    fs::remove_dir(&gone).unwrap();
    daemon.ok(&["queue", "resume", "default"]);
    for (id, code, words) in [
        (missing, 127, ["no-such-command-anywhere", "not found"]),
        (not_executable, 126, [plain.to_str().unwrap(), "execut"]),
        (homeless, 126, [gone_text, "directory"]),
    ] {
        assert_eq!(daemon.run(&["wait", &id]).status.code(), Some(code));
        let shown = daemon.ok(&["show", &id]);
        assert!(words.iter().all(|word| shown.contains(word)), "{words:?}: {shown}");
    }
}

#[test]
fn t3_a_timeout_ends_a_task_that_ignores_term() {
    let daemon = Daemon::new();
    let script = "trap '' TERM; while :; do sleep 0.1; done";
    let output = daemon.run(&["submit", "--wait", "--timeout", "300ms", "--grace", "200ms", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(124));
}

#[test]
fn t5_cancelling_ends_what_detached_too() {
    let daemon = Daemon::new();
    let pids = daemon.path("pids");
    let detach =
        format!("(setsid sh -c 'echo $$ >>{0}; exec sleep 1000' &) ; echo $$ >>{0}; exec sleep 1000", pids.display());
    let id = daemon.submit(&["--", "sh", "-c", &detach]);
    let pids = eventually("both tell their pid", || {
        let text = fs::read_to_string(&pids).ok()?;
        let pids: Vec<String> = text.lines().map(str::to_owned).collect();
        (pids.len() == 2).then_some(pids)
    });
    daemon.ok(&["cancel", &id]);
    daemon.wait_state(&id, "cancelled");
    for pid in pids {
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "{pid} is left");
    }
}

#[test]
fn t5_what_a_task_leaves_behind_at_its_own_end_is_ended() {
    let daemon = Daemon::new();
    let pid = daemon.path("pid");
    let script =
        format!("setsid sh -c 'echo $$ >{0}; exec sleep 1000' & until test -s {0}; do sleep 0.01; done", pid.display());
    assert_eq!(daemon.run(&["submit", "--wait", "--grace", "1s", "--", "sh", "-c", &script]).status.code(), Some(0));
    let left = fs::read_to_string(pid).unwrap();
    assert!(!fs::exists(format!("/proc/{}", left.trim())).unwrap(), "{left} is left");
}

#[test]
fn t5_a_stopped_task_can_be_cancelled() {
    let daemon = Daemon::new();
    let id = daemon.submit(&["--grace", "30s", "--", "sh", "-c", "kill -STOP $$; sleep 1000"]);
    daemon.wait_state(&id, "running");
    daemon.ok(&["cancel", &id]);
    daemon.wait_state(&id, "cancelled");
}

#[test]
fn t5_a_task_that_closes_its_descriptors_runs_on_until_it_exits() {
    let daemon = Daemon::new();
    let flag = daemon.path("flag");
    let script = format!("exec <&- >&- 2>&-; until test -e {}; do sleep 0.01; done; exit 4", flag.display());
    let id = daemon.submit(&["--", "sh", "-c", &script]);
    daemon.wait_state(&id, "running");
    fs::write(flag, "").unwrap();
    assert_eq!(daemon.run(&["wait", &id]).status.code(), Some(4));
}

#[test]
fn t5_cpu_time_and_memory_are_recorded() {
    let daemon = Daemon::new();
    let id = daemon.submit(&["--", "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
    daemon.wait_state(&id, "succeeded");
    let attempt = daemon.task(&id)["history"][0].clone();
    assert!(attempt["cost"]["user_us"].as_u64().unwrap() > 1000, "{attempt}");
    assert!(attempt["cost"]["max_rss_bytes"].as_u64().unwrap() > 100_000, "{attempt}");
}

#[test]
fn t7_signals_reach_the_task() {
    let daemon = Daemon::new();
    let ready = daemon.path("ready");
    let script = format!("trap 'exit 9' USR1; touch {}; while :; do sleep 0.05; done", ready.display());
    let id = daemon.submit(&["--", "sh", "-c", &script]);
    eventually("the task is ready", || ready.exists().then_some(()));
    daemon.ok(&["signal", "USR1", &id]);
    assert_eq!(daemon.run(&["wait", &id]).status.code(), Some(9));
}

#[test]
fn t7_logs_follow_a_running_task_to_its_end() {
    let daemon = Daemon::new();
    let flag = daemon.path("flag");
    let script = format!("echo one; until test -e {}; do sleep 0.01; done; echo two", flag.display());
    let id = daemon.submit(&["--", "sh", "-c", &script]);
    let mut follower = daemon.command(&["logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = std::io::BufReader::new(follower.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert_eq!(line, "one\n", "it comes while the task runs");
    fs::write(flag, "").unwrap();
    line.clear();
    std::io::Read::read_to_string(&mut told, &mut line).unwrap();
    assert_eq!(line, "two\n");
    assert!(follower.wait().unwrap().success());
}
