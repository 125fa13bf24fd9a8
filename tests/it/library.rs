//! Promise L1: a daemon of somebody else's, made of the library: `examples/minimal.rs`.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use taskdaemon::daemon::{Status, Stopped, inspect, stop};

use super::support::{DEADLINE, eventually, kill};

/// The example, which `cargo test` builds; where a single test was asked for it does not.
fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = Path::new(env!("CARGO_BIN_EXE_taskdaemon")).with_file_name("examples").join("minimal");
        let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/minimal.rs");
        if changed(&program) < changed(&source) {
            let build = ["build", "--quiet", "--example", "minimal"];
            let built = Command::new(env!("CARGO")).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).status();
            assert!(built.unwrap().success());
        }
        program
    })
}

fn run(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(example());
    command.arg(place).args(arguments).env_remove("NOTIFY_SOCKET").stdin(Stdio::null()).output().unwrap()
}

/// Waits until this stands in its log.
fn logged(place: &Path, words: &str) -> String {
    let read = || fs::read_to_string(place.join("log")).unwrap_or_default();
    eventually(&format!("{words:?} is logged"), || Some(read()).filter(|log| log.contains(words)))
}

#[test]
fn l1_a_daemon_made_of_the_library_starts_reloads_tells_its_health_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    let output = run(&place, &[]);
    assert!(output.status.success(), "{output:?}");
    let Status::Running(record) = inspect(&place) else { panic!("it is ready: {:?}", inspect(&place)) };
    assert_eq!(fs::read_to_string(place.join("daemon.pid")).unwrap(), format!("{}\n", record.pid));
    logged(&place, "ready greeting=hello");

    let second = run(&place, &[]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&record.pid.to_string()), "who has the lock is named: {said}");

    fs::write(place.join("greeting"), "good evening\n").unwrap();
    kill(record.pid, 1);
    logged(&place, "in force greeting=\"good evening\"");
    fs::write(place.join("greeting"), "\n").unwrap();
    kill(record.pid, 1);
    logged(&place, "the old one stays in force error=");
    kill(record.pid, 10);
    let log = logged(&place, "as it stands health=degraded");
    assert!(log.contains("says nothing"), "{log}");

    assert_eq!(stop(&place, DEADLINE).unwrap(), Stopped::Terminated { pid: record.pid });
    assert!(!place.join("daemon.pid").exists());
    logged(&place, "stopped");
}

#[test]
fn l1_a_daemon_made_of_the_library_tells_the_service_manager() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let ear = UnixDatagram::bind(&socket).unwrap();
    ear.set_read_timeout(Some(DEADLINE)).unwrap();
    let hear = |wanted: &str| loop {
        let mut words = [0; 4096];
        let length = ear.recv(&mut words).unwrap_or_else(|error| panic!("{wanted} is not told: {error}"));
        if String::from_utf8_lossy(&words[..length]).contains(wanted) {
            return;
        }
    };
    let place = directory.path().join("place");
    let mut command = Command::new(example());
    let command = command.arg(&place).arg("--foreground").env("NOTIFY_SOCKET", &socket).stdin(Stdio::null());
    let mut daemon = command.stderr(Stdio::null()).spawn().unwrap();
    hear("READY=1");
    let pid = i32::try_from(daemon.id()).unwrap();
    kill(pid, 1);
    hear("RELOADING=1");
    hear("READY=1");
    kill(pid, 15);
    hear("STOPPING=1");
    let status = eventually("it ends", || daemon.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn l1_a_start_that_fails_is_told_where_it_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("greeting"), "\n").unwrap();
    let output = run(directory.path(), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("says nothing"), "{said}");
    assert!(matches!(inspect(directory.path()), Status::Stopped | Status::Stale { .. }));
}
