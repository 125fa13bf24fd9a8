//! Promises D3, D4, D5: one daemon per directory, whatever lies in the directory, and whoever put it there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::support::{Daemon, eventually, kill, within};

/// A process that has nothing to do with the daemon.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn assert_untouched(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "a stranger was ended");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

#[test]
fn d3_of_a_hundred_starts_in_the_same_instant_one_becomes_the_daemon_and_the_others_are_told_its_process() {
    let daemon = Daemon::unstarted("");
    let starts: Vec<Child> = (0..100)
        .map(|_| {
            let mut start = daemon.command(&["start"]);
            start.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<Output> = starts.into_iter().map(|start| start.wait_with_output().unwrap()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
    assert_eq!(won.len(), 1, "{}", won.iter().chain(&lost).map(|output| words(output)).collect::<String>());
    let pid = fs::read_to_string(daemon.path("run/daemon.pid")).unwrap().trim().to_owned();
    assert!(words(won[0]).contains(&format!("process {pid} is ready")), "{}", words(won[0]));
    for output in lost {
        assert_eq!(output.status.code(), Some(1));
        assert!(words(output).contains(&format!("already running as process {pid}")), "{}", words(output));
    }
    assert_eq!(daemon.get("/v1/status")["pid"].to_string(), pid);
    daemon.ok(&["stop"]);
}

#[test]
fn d3_what_is_planted_in_the_directory_is_named_and_left_alone() {
    type Plant = fn(&Path, &Path);
    let kinds: [(&str, Plant); 4] = [
        ("it is a symbolic link", |path, victim| symlink(victim, path).unwrap()),
        ("it is a directory", |path, _| fs::create_dir(path).unwrap()),
        ("it is a pipe", |path, _| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("it is a socket", |path, _| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ];
    for file in ["daemon.lock", "daemon.pid"] {
        for (found, plant) in kinds {
            let daemon = Daemon::unstarted("");
            let victim = daemon.path("victim");
            fs::write(&victim, "precious").unwrap();
            fs::create_dir(daemon.path("run")).unwrap();
            plant(&daemon.path("run").join(file), &victim);
            let found = if (file, found) == ("daemon.lock", "it is a socket") { "a pipe or a socket" } else { found };
            for (arguments, code) in
                [(&["start"][..], 1), (&["start", "--foreground"], 1), (&["stop"], 1), (&["status"], 4)]
            {
                let output = daemon.run(arguments);
                assert_eq!(output.status.code(), Some(code), "{file}, {found}, {arguments:?}: {}", words(&output));
                let told = words(&output);
                assert!(
                    told.contains(file) && told.contains(found) && told.contains("remove it"),
                    "{arguments:?}: {told}"
                );
            }
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        }
    }
}

#[test]
fn d3_a_pid_file_or_a_record_that_names_a_stranger_costs_nobody_anything() {
    let mut stranger = Stranger::new();
    let daemon = Daemon::unstarted("");
    fs::create_dir(daemon.path("run")).unwrap();
    let (pid_file, lock) = (daemon.path("run/daemon.pid"), daemon.path("run/daemon.lock"));
    let pid = stranger.pid();
    for record in
        ["", "garbage", &format!("daemon-lock-1 pid={pid} start=1 boot=x since=1 phase=running version=1 sum=0\n")]
    {
        for text in [format!("{pid}\n"), "1\n".to_owned(), String::new(), "nonsense".to_owned()] {
            fs::write(&pid_file, &text).unwrap();
            fs::write(&lock, record).unwrap();
            assert_eq!(daemon.run(&["status"]).status.code(), Some(1), "{record:?}, {text:?}");
            assert!(words(&daemon.run(&["stop"])).contains("stale cleaned"), "{record:?}, {text:?}");
            assert_eq!(daemon.run(&["status"]).status.code(), Some(3));

            fs::write(&pid_file, &text).unwrap();
            fs::write(&lock, record).unwrap();
            daemon.start_in_background();
            daemon.ok(&["stop"]);
            stranger.assert_untouched();
        }
    }
}

#[test]
fn d3_a_lock_that_somebody_else_holds_is_told_with_who_and_nobody_is_signalled() {
    let daemon = Daemon::unstarted("");
    fs::create_dir(daemon.path("run")).unwrap();
    let lock = fs::File::create(daemon.path("run/daemon.lock")).unwrap();
    lock.lock().unwrap();
    let expected = format!("is locked by process {} (", std::process::id());
    for (arguments, code) in [(&["start"][..], 1), (&["stop"], 1), (&["status"], 4)] {
        let output = daemon.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains(&expected), "{arguments:?}: {}", words(&output));
    }
}

#[test]
fn d3_a_lock_file_that_is_removed_under_a_daemon_makes_no_second_one_of_the_same_queue() {
    let daemon = Daemon::unstarted("");
    let pid = daemon.start_in_background();
    fs::remove_dir_all(daemon.path("run")).unwrap();
    let output = daemon.run(&["start"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains(&format!("already running as process {pid}")), "{}", words(&output));
    kill(pid, 15);
    eventually("it ends all the same", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
    daemon.start_in_background();
    daemon.ok(&["stop"]);
}

#[test]
fn d3_directories_of_others_or_open_to_others_are_refused() {
    let refused = |spoil: &dyn Fn(&Path), expected: &str| {
        let daemon = Daemon::unstarted("");
        let run = daemon.path("run");
        fs::create_dir(&run).unwrap();
        spoil(&run);
        let output = daemon.run(&["start"]);
        let told = words(&output);
        assert!(
            !output.status.success() && told.contains(daemon.path("").to_str().unwrap()) && told.contains(expected),
            "{told}"
        );
    };
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    refused(&|run| open(run, 0o777), "everyone may write to it");
    let others = "others may change the directory that it is in";
    refused(&|run| open(run.parent().unwrap(), 0o777), others);
    let shared = Daemon::unstarted("");
    open(&shared.path(""), 0o1777);
    shared.start_in_background();
    shared.ok(&["stop"]);
    if is_root() {
        refused(&|run| chown(run, Some(64_009), None).unwrap(), "it belongs to user 64009");
    }
}

#[test]
fn d3_a_read_only_or_full_file_system_is_told_as_such() {
    if !is_root() {
        eprintln!("left out: only root can do what this test does");
        return;
    }
    for (options, expected) in [("ro", "Read-only file system"), ("size=4k,nr_inodes=2", "No space left on device")] {
        let daemon = Daemon::unstarted("");
        let run = daemon.path("run");
        fs::create_dir(&run).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("mode=700,{options}"), "tmpfs"])
            .arg(&run)
            .status();
        assert!(mount.unwrap().success());
        fs::write(run.join("ballast"), [0; 4096]).ok();
        let output = daemon.run(&["start"]);
        assert!(Command::new("umount").arg("-l").arg(&run).status().unwrap().success());
        assert!(!output.status.success() && words(&output).contains(expected), "{}", words(&output));
    }
}

#[test]
fn d4_whoever_may_not_look_is_told_who_may() {
    if !is_root() {
        eprintln!("left out: only root can do what this test does");
        return;
    }
    let mut daemon = Daemon::unstarted("");
    daemon.start_in_background();
    daemon.use_own_binary();
    fs::set_permissions(daemon.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(daemon.path("run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(daemon.socket()).unwrap();
    for (verb, code) in [("stop", 77), ("status", 4)] {
        let output = daemon.command(&["--system", verb]).current_dir("/").uid(64_003).gid(64_003).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", words(&output));
        assert!(words(&output).contains("only root or its owner may"), "{}", words(&output));
    }
    daemon.ok(&["stop"]);
}

/// Kills a daemon, gives its number to a stranger, and looks what the next command does. Process 1 of its own numbers.
const RECYCLE: &str = r#"
set -eu
program=$0
recycled() {
    "$program" start >&2
    pid=$(cat run/daemon.pid)
    kill -9 "$pid"
    # As process 1 this shell collects it with the next one that it waits for.
    while [ -e "/proc/$pid" ]; do sleep 0.01; done
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
        sleep 1000 &
        [ $! -ne "$pid" ] || return 0
        kill $!
    done
    echo "no process got the number $pid" >&2
    exit 99
}
recycled
"$program" status && exit 1 || echo "status $?"
"$program" stop
kill -0 "$pid"
recycled
"$program" start
[ "$(cat run/daemon.pid)" -ne "$pid" ]
kill -0 "$pid"
"$program" stop
kill -0 "$pid"
echo untouched
"#;

#[test]
fn d3_a_number_that_another_process_has_by_now_is_told_from_the_daemon() {
    if !is_root() {
        eprintln!("left out: only root can do what this test does");
        return;
    }
    let daemon = Daemon::unstarted("");
    let mut unshare = Command::new("unshare");
    daemon.point(unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", RECYCLE]));
    let output = unshare.arg(env!("CARGO_BIN_EXE_taskdaemon")).stdin(Stdio::null()).output().unwrap();
    let told = words(&output);
    assert!(output.status.success(), "{told}");
    let said = String::from_utf8_lossy(&output.stdout);
    for expected in ["stale: process", "status 1", "stale cleaned", "is ready", "terminated", "untouched"] {
        assert!(said.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn d5_a_daemon_that_will_not_end_is_killed_after_the_grace_and_the_next_start_finds_order() {
    let daemon = Daemon::unstarted("");
    let pid = daemon.start_in_background();
    kill(pid, 19);
    let said = daemon.ok(&["stop", "--grace", "1", "--json"]);
    assert!(said.contains("\"killed\"") && said.contains(&pid.to_string()), "{said}");
    within(Duration::from_secs(5), "it is gone", || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(()));
    assert_eq!(daemon.run(&["status"]).status.code(), Some(3));
    assert!(daemon.ok(&["stop"]).contains("not running"), "to stop what is stopped is a success");
    daemon.start_in_background();
    daemon.ok(&["stop"]);
}
