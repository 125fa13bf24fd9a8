//! Promise S10: it leaves when there is nothing to do, and nobody notices; and while it stays, it sleeps.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use super::{listened_to, passing, told};
use crate::support::{DEADLINE, Daemon, eventually, full, within};

/// A service manager of the test's own: it holds the socket, and starts the daemon whenever somebody connects.
struct Keeper {
    daemon: Daemon,
    listener: UnixListener,
    starts: usize,
}

impl Keeper {
    fn with(configuration: &str) -> Self {
        let daemon = Daemon::unstarted(configuration);
        fs::create_dir(daemon.path("run")).unwrap();
        fs::set_permissions(daemon.path("run"), fs::Permissions::from_mode(0o700)).unwrap();
        let listener = UnixListener::bind(daemon.socket()).unwrap();
        Self { daemon, listener, starts: 0 }
    }

    /// Waits a moment for a connection, and has the daemon answer it until it leaves.
    fn turn(&mut self) {
        let mut waiting = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, 20u16).unwrap() > 0 {
            self.start();
            assert!(self.daemon.reap().success(), "{}", self.daemon.log());
        }
    }

    fn start(&mut self) {
        self.starts += 1;
        let passed = self.listener.try_clone().unwrap().into();
        let command = passing(&self.daemon, passed, "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=control");
        self.daemon.spawn_with(command);
    }
}

/// One request as any client makes it: connect, send, read to the end. Returns the status and the body.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let length = body.len();
    let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json";
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(format!("cut off: {answer:?}")))?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.ok_or_else(|| io::Error::other(head.to_owned()))?, body.to_owned()))
}

/// A client that submits a task a round, each time about when the daemon leaves; the answers.
fn submit_now_and_then(socket: &Path, rounds: usize, beat: &Barrier, seed: u64) -> Vec<io::Result<(u16, String)>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let round = |_| {
        beat.wait();
        thread::sleep(Duration::from_millis(random.u64(150..400)));
        let answer = ask(socket, "POST", "/v1/tasks", r#"{"tasks":[{"command":["true"],"directory":"/"}]}"#);
        // Until the task has ended, nobody leaves.
        drop(ask(socket, "GET", "/v1/status", ""));
        answer
    };
    (0..rounds).map(round).collect()
}

#[test]
fn s10_no_request_is_lost_in_the_moment_of_leaving() {
    let rounds = if full() { 400 } else { 25 };
    let mut keeper = Keeper::with("host:\n  idle_exit: 100ms\n  slots: 2\n");
    let socket = keeper.daemon.socket();
    let beat = Barrier::new(3);
    let answers = thread::scope(|scope| {
        let client = |seed| {
            let (socket, beat) = (&socket, &beat);
            scope.spawn(move || submit_now_and_then(socket, rounds, beat, seed))
        };
        let clients: Vec<_> = (0..3).map(client).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            keeper.turn();
        }
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(keeper.starts > rounds / 8, "it left {} times", keeper.starts);
    keeper.start();
    keeper.daemon.wait_ready();
    for answer in answers {
        let (code, answer) = answer.expect("nobody is refused, and all are answered");
        assert_eq!(code, 201, "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        keeper.daemon.wait_state(&answer["ids"][0].to_string(), "succeeded");
    }
}

#[test]
fn s10_the_runner_leaves_too_and_the_socket_stays() {
    let mut keeper = Keeper::with("host:\n  idle_exit: 300ms\n");
    keeper.start();
    keeper.daemon.wait_ready();
    let runner = keeper.daemon.runner_pid();
    assert!(keeper.daemon.reap().success());
    eventually("the runner leaves", || (!fs::exists(format!("/proc/{runner}")).unwrap()).then_some(()));
    assert!(keeper.daemon.socket().exists());
    assert_eq!(keeper.daemon.run(&["config", "show"]).status.code(), Some(0));
}

#[test]
fn s10_it_stays_for_whoever_is_connected_and_for_all_that_will_run_by_itself() {
    let mut keeper = Keeper::with("host:\n  idle_exit: 1s\n  slots: 1\n");
    keeper.start();
    keeper.daemon.wait_ready();
    let visitor = UnixStream::connect(keeper.daemon.socket()).unwrap();
    let stays = |daemon: &Daemon, why: &str| {
        let process = format!("/proc/{}", daemon.pid());
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(2500) {
            let stat = fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
            assert!(!stat.is_empty() && !stat.contains(") Z "), "it left: {why}; {}", daemon.log());
            thread::sleep(Duration::from_millis(20));
        }
    };
    stays(&keeper.daemon, "somebody is connected");
    let scheduled = keeper.daemon.submit(&["--delay", "1h", "--", "true"]);
    drop(visitor);
    stays(&keeper.daemon, "a task is due in an hour");
    keeper.daemon.ok(&["cancel", &scheduled]);
    keeper.daemon.submit(&["--", "sleep", "4"]);
    stays(&keeper.daemon, "a task runs");
    within(Duration::from_secs(30), "it leaves", || keeper.daemon.log().contains("nothing to do").then_some(()));
    assert!(keeper.daemon.reap().success());
}

#[test]
fn s10_a_daemon_that_nobody_would_start_again_stays() {
    let mut daemon = Daemon::with("host:\n  idle_exit: 100ms\n");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(daemon.http("GET", "/v1/status", "").0, 200);
    assert!(daemon.stop().success());
}

/// How often all threads of a process went to sleep.
fn naps(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let of_thread = |path: &Path| {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    threads.map(|thread| of_thread(&thread.path())).sum()
}

#[test]
fn an_idle_daemon_and_its_runner_do_not_wake_up() {
    let daemon = Daemon::new();
    daemon.ok(&["submit", "--wait", "--", "true"]);
    let runner = daemon.runner_pid();
    let asleep = Duration::from_secs(if full() { 60 } else { 5 });
    within(asleep * 4 + DEADLINE, "nothing wakes up", || {
        let before = (naps(daemon.pid()), naps(runner));
        thread::sleep(asleep);
        (before == (naps(daemon.pid()), naps(runner))).then_some(())
    });
}

/// How much of its program a process has mapped but never wrote to, and how much of that lies in its memory, in KiB.
fn program(pid: i32) -> (u64, u64) {
    let (mut size, mut resident, mut counts) = (0, 0, false);
    for line in fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap().lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [_, rights, _, _, _, path] => counts = !rights.contains('w') && path.ends_with("/taskdaemon"),
            ["Size:", kib, _] if counts => size += kib.parse::<u64>().unwrap(),
            ["Rss:", kib, _] if counts => resident += kib.parse::<u64>().unwrap(),
            _ => {}
        }
    }
    (size, resident)
}

#[test]
fn a_quiet_daemon_gives_back_what_only_its_start_needed() {
    let daemon = Daemon::new();
    eventually("little of the program stays in memory", || {
        let (size, resident) = program(daemon.pid());
        assert!(size > 0, "the program is mapped");
        (resident < size / 2).then_some(())
    });
}

#[test]
fn an_idle_daemon_that_is_watched_wakes_up_for_the_watchdog_alone() {
    let (mut daemon, ear) = listened_to("");
    let mut command = told(&daemon);
    command.env("WATCHDOG_USEC", "2000000");
    daemon.spawn_by(command);
    ear.wait("READY=1");
    ear.wait("STATUS=");
    eventually("it has come to rest", || (ear.count("STATUS=", Duration::from_secs(2)) == 0).then_some(()));
    ear.wait("WATCHDOG=1");
    let before = naps(daemon.pid());
    (0..5).for_each(|_| drop(ear.wait("WATCHDOG=1")));
    let naps = naps(daemon.pid()) - before;
    // The main loop, the engine and the API, each once a turn; one more where two of them met at a lock.
    assert!(naps <= 5 * 4, "{naps} in five turns");
}
