//! The lock, `inspect` and `stop` together, against everything that can lie in the directory.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::{
    LOCK_FILE, Left, Lock, LockError, PID_FILE, Phase, Record, RecordError, Status, StopError, Stopped, inspect, stop,
    while_vacant,
};
use crate::sys::procfs;

const NOW: i64 = 1_700_000_000_000_000;
const GRACE: Duration = Duration::from_secs(20);

fn acquire(directory: &TempDir) -> Result<Lock, LockError> {
    Lock::acquire(directory.path(), "1.0", NOW)
}

fn pid_file(directory: &TempDir) -> Option<String> {
    fs::read_to_string(directory.path().join(PID_FILE)).ok()
}

/// Another process, with the lock of a directory in its hands and a record that names it.
struct Daemon {
    process: Child,
    record: Record,
}

impl Daemon {
    /// Runs `script` in a shell that inherits the lock, up to the line that it prints.
    fn start(directory: &TempDir, script: &str) -> Self {
        let lock = File::create(directory.path().join(LOCK_FILE)).unwrap();
        lock.try_lock().unwrap();
        let shell = Command::new("/bin/sh").args(["-c", script]).stdin(lock).stdout(Stdio::piped()).spawn();
        let mut process = shell.unwrap();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        let pid = i32::try_from(process.id()).unwrap();
        let start_ticks = procfs::process(pid).unwrap().start_ticks;
        let own = Record::of_this_process("1.0", NOW).unwrap();
        let daemon = Self { process, record: Record { pid, start_ticks, phase: Phase::Running, ..own } };
        daemon.record(directory, &daemon.record);
        fs::write(directory.path().join(PID_FILE), format!("{pid}\n")).unwrap();
        daemon
    }

    fn record(&self, directory: &TempDir, record: &Record) {
        fs::write(directory.path().join(LOCK_FILE), record.to_string()).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn d3_of_a_hundred_starts_in_the_same_instant_one_gets_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (start, end) = (Barrier::new(100), Barrier::new(100));
    let won = thread::scope(|scope| {
        let starts: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let lock = acquire(&directory);
                    end.wait();
                    match lock {
                        Ok(_) => true,
                        Err(LockError::AlreadyRunning { .. }) => false,
                        Err(other) => panic!("{other}"),
                    }
                })
            })
            .collect();
        starts.into_iter().filter_map(|start| start.join().unwrap().then_some(())).count()
    });
    assert_eq!(won, 1);
}

#[test]
fn d3_d4_a_daemon_is_told_through_its_whole_life() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(inspect(directory.path()), Status::Stopped));
    let mut lock = acquire(&directory).unwrap();
    assert_eq!(pid_file(&directory), Some(format!("{}\n", std::process::id())));
    assert!(matches!(inspect(directory.path()), Status::Starting(_)));
    lock.set_phase(Phase::Running).unwrap();
    let status = inspect(directory.path());
    assert_eq!((status.exit_code(), status.record()), (0, Some(lock.record())));
    assert!(matches!(status, Status::Running(_)));

    let told = acquire(&directory).unwrap_err();
    let LockError::AlreadyRunning { pid, since_us, version } = told else { panic!("{told}") };
    assert_eq!((pid, since_us, version.as_str()), (lock.record().pid, NOW, "1.0"));

    lock.set_phase(Phase::Stopping).unwrap();
    assert!(matches!(inspect(directory.path()), Status::Stopping(_)));
    lock.release().unwrap();
    assert_eq!(inspect(directory.path()).exit_code(), 3);
    assert_eq!(pid_file(&directory), None);
    assert_eq!(acquire(&directory).unwrap().predecessor().unwrap_err(), RecordError::Empty);
}

#[test]
fn d3_what_a_dead_daemon_left_is_told_and_taken_over_even_when_its_number_is_used_again() {
    let own = Record::of_this_process("0.9", NOW).unwrap();
    // This process lives, but started at another time, or in another boot: a recycled number.
    let recycled = Record { start_ticks: own.start_ticks + 1, ..own.clone() };
    let rebooted = Record { boot_id: "another".to_owned(), ..own };
    for record in [recycled, rebooted] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(LOCK_FILE), record.to_string()).unwrap();
        let status = inspect(directory.path());
        assert!(matches!(status, Status::Stale { pid: Some(_), left: Left::Lock }), "{status:?}");
        assert_eq!(status.exit_code(), 2);

        fs::write(directory.path().join(PID_FILE), format!("{}\n", record.pid)).unwrap();
        let status = inspect(directory.path());
        assert!(matches!(status, Status::Stale { left: Left::PidFile, .. }), "{status:?}");
        assert_eq!(status.exit_code(), 1);
        assert_eq!(acquire(&directory).unwrap().predecessor(), Ok(&record));
    }
}

#[test]
fn d3_an_empty_or_nonsensical_pid_file_or_a_strangers_number_keeps_nothing_from_starting() {
    for text in ["", "nonsense\n", "1\n"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(PID_FILE), text).unwrap();
        let status = inspect(directory.path());
        assert!(matches!(status, Status::Stale { left: Left::PidFile, .. }), "{text:?}: {status:?}");
        let lock = acquire(&directory).unwrap();
        assert_eq!(pid_file(&directory), Some(format!("{}\n", lock.record().pid)));
    }
}

#[test]
fn d3_a_torn_or_forged_record_is_told_and_taken_over_where_nobody_holds_the_lock() {
    let line = Record::of_this_process("1.0", NOW).unwrap().to_string();
    let forged = line.replace("pid=", "pid=1");
    for text in [&line[..line.len() / 2], forged.as_str(), "\n", "garbage"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(LOCK_FILE), text).unwrap();
        let status = inspect(directory.path());
        assert!(matches!(status, Status::Stale { pid: None, left: Left::Lock }), "{text:?}: {status:?}");
        assert_eq!(acquire(&directory).unwrap().predecessor(), Err(RecordError::Torn));
    }
}

#[test]
fn d3_a_held_lock_with_a_torn_record_may_be_a_daemon_and_is_neither_signalled_nor_doubled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(LOCK_FILE);
    fs::write(&path, "daemon-lock-1 pid=1 sta").unwrap();
    let held = File::open(&path).unwrap();
    held.try_lock().unwrap();
    assert_eq!(inspect(directory.path()).exit_code(), 4);
    let told = stop(directory.path(), GRACE).unwrap_err();
    assert!(matches!(told, StopError::Lock(LockError::HeldByStranger { .. })), "{told}");
    assert!(told.to_string().contains(&format!("is locked by process {} (", std::process::id())), "{told}");
    assert!(matches!(acquire(&directory), Err(LockError::HeldByStranger { .. })));
}

#[test]
fn d3_one_who_only_looks_keeps_no_daemon_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(LOCK_FILE), "").unwrap();
    let looking = File::open(directory.path().join(LOCK_FILE)).unwrap();
    looking.try_lock_shared().unwrap();
    thread::scope(|scope| {
        let start = scope.spawn(|| acquire(&directory).map(drop));
        drop(looking);
        start.join().unwrap().unwrap();
    });
}

#[test]
fn d3_what_is_planted_in_place_of_the_lock_is_refused_and_left_alone() {
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 4] = [
        ("a symbolic link", |path, victim| symlink(victim, path).unwrap()),
        ("a directory", |path, _| fs::create_dir(path).unwrap()),
        ("a pipe", |path, _| mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap()),
        ("a file that has another name too", |path, victim| fs::hard_link(victim, path).unwrap()),
    ];
    for (name, plant) in plants {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        plant(&directory.path().join(LOCK_FILE), &victim);
        let told = acquire(&directory).unwrap_err();
        assert!(matches!(told, LockError::Planted { .. }) && told.to_string().contains(name), "{name}: {told}");
        assert_eq!(inspect(directory.path()).exit_code(), 4, "{name}");
        assert!(stop(directory.path(), GRACE).is_err(), "{name}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}

#[test]
fn d3_what_is_planted_in_place_of_the_pid_file_is_refused_and_the_lock_given_back() {
    let directory = tempfile::tempdir().unwrap();
    symlink("/etc/passwd", directory.path().join(PID_FILE)).unwrap();
    assert!(matches!(acquire(&directory), Err(LockError::PidFile(_))));
    assert_eq!(inspect(directory.path()).exit_code(), 4);
    fs::remove_file(directory.path().join(PID_FILE)).unwrap();
    drop(acquire(&directory).unwrap());
}

#[test]
fn d3_a_lock_file_that_was_removed_and_made_again_is_not_locked_twice() {
    let directory = tempfile::tempdir().unwrap();
    let first = acquire(&directory).unwrap();
    fs::remove_file(directory.path().join(LOCK_FILE)).unwrap();
    // The first daemon's lock is gone from the directory; the next one is on the new file.
    let second = acquire(&directory).unwrap();
    assert!(matches!(acquire(&directory), Err(LockError::AlreadyRunning { .. })));
    drop(first);
    assert!(pid_file(&directory).is_some(), "it is the second one's");
    assert_eq!(inspect(directory.path()).record(), Some(second.record()));
}

#[test]
fn d3_a_directory_can_be_locked_without_a_pid_file() {
    let directory = tempfile::tempdir().unwrap();
    let lock = Lock::acquire_without_pid_file(directory.path(), "1.0", NOW).unwrap();
    assert!(matches!(acquire(&directory), Err(LockError::AlreadyRunning { .. })));
    assert_eq!(pid_file(&directory), None);
    drop(lock);
    assert_eq!(inspect(directory.path()).exit_code(), 3);
}

#[test]
fn d3_what_is_done_while_there_is_no_daemon_keeps_one_out_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let lock = acquire(&directory).unwrap();
    assert!(matches!(while_vacant(directory.path(), || panic!("there is one")), Ok(None)));
    lock.release().unwrap();
    let is_locked = || File::open(directory.path().join(LOCK_FILE)).unwrap().try_lock().is_err();
    assert!(matches!(while_vacant(directory.path(), is_locked), Ok(Some(true))));
    acquire(&directory).unwrap().release().unwrap();
}

#[test]
fn d5_stop_tells_which_of_the_four_happened_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    assert_eq!(stop(path, GRACE).unwrap(), Stopped::NotRunning);

    fs::write(path.join(PID_FILE), "1\n").unwrap();
    assert_eq!(stop(path, GRACE).unwrap(), Stopped::StaleCleaned);
    assert_eq!(inspect(path).exit_code(), 3);

    let polite = Daemon::start(&directory, "echo ready; exec sleep 600");
    assert!(matches!(inspect(path), Status::Running(_)));
    assert_eq!(stop(path, GRACE).unwrap(), Stopped::Terminated { pid: polite.record.pid });
    assert_eq!(inspect(path).exit_code(), 3);

    let deaf = Daemon::start(&directory, "trap '' TERM; echo ready; exec sleep 600");
    assert_eq!(stop(path, Duration::from_millis(50)).unwrap(), Stopped::Killed { pid: deaf.record.pid });
    assert_eq!(inspect(path).exit_code(), 3);
    assert_eq!(pid_file(&directory), None);
}

#[test]
fn d3_stop_signals_no_stranger_that_has_the_number_now() {
    let directory = tempfile::tempdir().unwrap();
    let mut stranger = Daemon::start(&directory, "echo ready; exec sleep 600");
    let recycled = Record { start_ticks: stranger.record.start_ticks + 1, ..stranger.record.clone() };
    stranger.record(&directory, &recycled);
    assert!(stop(directory.path(), GRACE).is_err());
    assert_eq!(stranger.process.try_wait().unwrap(), None);
}

#[test]
fn d3_a_record_that_names_another_users_process_is_not_believed() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // Whoever owns the lock file could write the number of any process into it.
    let directory = tempfile::tempdir().unwrap();
    let mut victim = Daemon::start(&directory, "echo ready; exec sleep 600");
    chown(directory.path().join(LOCK_FILE), Some(4242), None).unwrap();
    assert_eq!(inspect(directory.path()).exit_code(), 4);
    assert!(stop(directory.path(), GRACE).is_err());
    assert_eq!(victim.process.try_wait().unwrap(), None);
}
