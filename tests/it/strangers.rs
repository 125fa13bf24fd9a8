//! Promise T6: what has the number of a process that a dead runner left is not that process.

use std::process::{Command, Stdio};

use super::support::Daemon;

/// Kills everything while a task runs, gives the number of the task's process to a stranger who leads a process group of
/// that number, and starts again. Process 1 of its own numbers.
const RECYCLE: &str = r#"
set -eu
program=$0
"$program" start >&2
id=$("$program" submit -- sh -c 'echo $$ >>pids; exec sleep 1000')
"$program" status --wait 30 >&2
until [ -s pids ] && "$program" show "$id" --json | grep -q '"state": *"running"'; do sleep 0.01; done
pid=$(cat pids)
# All but process 1.
kill -9 -1
while [ -e "/proc/$pid" ]; do sleep 0.01; done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
    setsid sleep 1000 &
    [ $! -ne "$pid" ] || break
    kill $!
done
[ $! -eq "$pid" ] || exit 99
"$program" start >&2
until [ "$(wc -l <pids)" -eq 2 ]; do sleep 0.01; done
[ "$(tail -n 1 pids)" -ne "$pid" ]
kill -0 "$pid"
[ "$(cut -d' ' -f5 "/proc/$pid/stat")" -eq "$pid" ]
"$program" show "$id" --json | grep -o '"how": *"interrupted"'
"$program" cancel "$id" >&2
"$program" stop >&2
kill -0 "$pid"
echo untouched
"#;

#[test]
fn t6_a_stranger_with_the_number_of_a_dead_task_is_never_touched() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("left out: only root can choose the number of a process");
        return;
    }
    let daemon = Daemon::unstarted("");
    let mut unshare = Command::new("unshare");
    daemon.point(unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", RECYCLE]));
    let output = unshare.arg(env!("CARGO_BIN_EXE_taskdaemon")).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("interrupted") && said.contains("untouched"), "{said}");
}
