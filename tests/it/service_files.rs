//! Promise S8: the service files for people without the package. What is installed for real is, on hosts of its own, in
//! `tests/hosts/`: here nothing is but told (`print`, `--dry-run`).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::support::Daemon;

fn service(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_taskdaemon")).arg("service").args(arguments).output().unwrap()
}

fn printed(manager: &str) -> String {
    let output = service(&["print", manager, "--program", "/opt/here/taskdaemon"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Why an installation is refused; nothing would be done even if it were not.
fn refused(program: &Path) -> String {
    let output = service(&["install", "systemd-user", "--dry-run", "--program", program.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn s8_what_is_printed_is_what_packages_ship_with_the_program_in_its_place() {
    let shipped = |path: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        text.replace("/usr/bin/taskdaemon", "/opt/here/taskdaemon")
    };
    for (manager, file) in [("sysv", "initd/taskdaemon"), ("openrc", "initd/taskdaemon.openrc")] {
        assert!(printed(manager).starts_with(&shipped(file)), "{manager}");
    }
    let (system, user) = (printed("systemd"), printed("systemd-user"));
    for unit in ["taskdaemon.service", "taskdaemon.socket", "taskdaemon-runner.service", "taskdaemon-runner.socket"] {
        assert!(system.contains(&shipped(&format!("systemd/{unit}"))), "{unit}");
        assert!(user.contains(&shipped(&format!("systemd/user/{unit}"))), "{unit} of a user");
    }
}

#[test]
fn s8_a_script_is_printed_so_that_a_shell_takes_it() {
    for manager in ["sysv", "openrc"] {
        let mut shell = Command::new("sh").arg("-n").stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut shell.stdin.take().unwrap(), printed(manager).as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{manager}");
    }
}

#[test]
fn s8_launchds_file_is_a_property_list() {
    let text = printed("launchd");
    let mut open: Vec<&str> = Vec::new();
    // What stands in the innermost dictionary, in turn.
    let mut keys = vec![0];
    let mut rest = text.as_str();
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').expect("each tag ends");
        rest = after;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_suffix('/') {
            assert!(["true", "false"].contains(&name), "{name}");
        } else if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "tags close in order");
            if name == "dict" {
                assert_eq!(keys.pop().unwrap() % 2, 0, "each key has a value");
            }
        } else {
            let name = tag.split(' ').next().unwrap();
            assert!(["plist", "dict", "array", "key", "string", "integer"].contains(&name), "{name}");
            open.push(name);
        }
        let parent = if tag.starts_with('/') { open.last() } else { None };
        if parent == Some(&"dict") || (tag.ends_with('/') && open.last() == Some(&"dict")) {
            *keys.last_mut().unwrap() += 1;
            assert_eq!(keys.last().unwrap() % 2 == 1, tag == "/key", "keys and values take turns: {tag}");
        }
        if tag == "dict" {
            keys.push(0);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(text.contains("<string>/opt/here/taskdaemon</string>") && text.contains("Never tried"), "{text}");
    let installed = service(&["install", "launchd", "--dry-run", "--program", "/usr/bin/true"]);
    assert!(String::from_utf8_lossy(&installed.stderr).contains("text alone"), "{installed:?}");
}

#[test]
fn s8_a_program_that_others_could_change_is_refused() {
    // Of a checkout below /tmp that would be told first.
    let ours = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let is_unfit = ["/tmp", "/var/tmp"].iter().any(|unfit| ours.starts_with(unfit));
    let directory =
        tempfile::tempdir_in(if is_unfit { std::env::home_dir().unwrap() } else { ours.to_owned() }).unwrap();
    let program: PathBuf = directory.path().join("bin/taskdaemon");
    fs::create_dir(program.parent().unwrap()).unwrap();
    fs::copy("/bin/true", &program).unwrap();
    for place in [program.parent().unwrap(), &program] {
        let before = fs::metadata(place).unwrap().permissions();
        fs::set_permissions(place, fs::Permissions::from_mode(0o777)).unwrap();
        let told = refused(&program);
        assert!(told.contains(&format!("{}:", place.display())) && told.contains("mode 0777"), "{told}");
        fs::set_permissions(place, before).unwrap();
    }
    let link = directory.path().join("link");
    symlink(&program, &link).unwrap();
    assert!(refused(&link).contains("symbolic link"));
    let temporary = Path::new("/tmp").join(format!("taskdaemon-it-{}", std::process::id()));
    fs::copy("/bin/true", &temporary).unwrap();
    let told = refused(&temporary);
    fs::remove_file(&temporary).unwrap();
    assert!(told.contains("/tmp is no place"), "{told}");
    assert!(refused(Path::new("/usr/bin/no such program")).contains("cannot name it"));
}

#[test]
fn s8_without_the_privilege_it_says_so_and_what_to_run() {
    // Root may: it is told as another user.
    let mut daemon = Daemon::unstarted("");
    if nix::unistd::geteuid().is_root() {
        daemon.hand_over(65_534, 65_534);
    }
    for verb in ["install", "uninstall"] {
        let mut command = daemon.command(&["service", verb, "systemd"]);
        if nix::unistd::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(77), "{told}");
        assert!(told.contains("root's") && told.contains(&format!("service {verb} systemd")), "{told}");
    }
}
