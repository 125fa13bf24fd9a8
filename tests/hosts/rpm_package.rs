//! Promises P1, P4 and S4 for the rpm as a file: what it holds, what it needs of a host, what lint has to say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::package;
use crate::rpm::{place, sure};

/// The C library of RHEL 9, the oldest system that the rpm is for.
const OLDEST_GLIBC: (u32, u32) = (2, 34);

/// What it may load: a part of every system with rpm.
const LIBRARIES: &[&str] =
    &["ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6"];

/// Asks rpm about the package.
fn query(arguments: &[&str]) -> String {
    sure(Command::new("rpm").args(["--query", "--package"]).args(arguments).arg(package::rpm()))
}

/// The files of the package, unpacked.
fn unpacked() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = place().join("unpacked");
        std::fs::create_dir(&root).unwrap();
        let line = "rpm2cpio \"$1\" | cpio --extract --make-directories --quiet --directory=\"$2\"";
        sure(Command::new("sh").args(["-euc", line, "sh"]).arg(package::rpm()).arg(&root));
        root
    })
}

fn program() -> PathBuf {
    unpacked().join("usr/bin/taskdaemon")
}

#[test]
fn the_program_runs_on_the_oldest_c_library() {
    let symbols = sure(Command::new("objdump").arg("-T").arg(program()));
    let newer: Vec<&str> = symbols
        .lines()
        .filter(|line| {
            let version =
                line.split_once("GLIBC_").and_then(|(_, rest)| rest.split_once(')')).map(|(version, _)| version);
            let Some(version) = version else { return false };
            let mut parts = version.split('.').map(|part| part.parse().unwrap_or(u32::MAX));
            (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(0)) > OLDEST_GLIBC
        })
        .collect();
    assert!(symbols.contains("(GLIBC_"), "there are symbols of the C library:\n{symbols}");
    assert!(newer.is_empty(), "newer than glibc {OLDEST_GLIBC:?}:\n{}", newer.join("\n"));
}

#[test]
fn the_program_loads_nothing_that_a_host_may_lack() {
    let headers = sure(Command::new("objdump").arg("-p").arg(program()));
    let needed = headers.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")).map(str::trim);
    let others: Vec<&str> = needed.filter(|library| !LIBRARIES.contains(library)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(!headers.contains("RPATH") && !headers.contains("RUNPATH"), "{headers}");
}

#[test]
fn the_program_is_stripped_and_tells_its_version_and_its_crates() {
    let sections = sure(Command::new("objdump").arg("-h").arg(program()));
    assert!(!sections.contains(".debug_info") && sections.contains(".dep-v0"), "{sections}");
    assert!(sure(Command::new("objdump").arg("-t").arg(program())).contains("no symbols"));
    let version = sure(Command::new(program()).arg("--version"));
    assert_eq!(version.trim(), concat!("taskdaemon ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn configuration_is_kept_and_documents_are_known_as_such() {
    let flags = query(&["--queryformat", "[%{FILEFLAGS:fflags} %{FILENAMES}\\n]"]);
    let with = |flag: &str| -> BTreeSet<&str> {
        let lines = flags.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(flags, _)| *flags == flag).map(|(_, path)| path).collect()
    };
    assert_eq!(with("cn"), BTreeSet::from(["/etc/logrotate.d/taskdaemon", "/etc/taskdaemon/config.yml"]));
    assert!(with("d").contains("/usr/share/man/man1/taskdaemon.1.gz"), "{flags}");
    assert!(!flags.contains("/etc/init.d"), "systemd would not look at an init script:\n{flags}");
    for section in ["5/taskdaemon.yml.5", "7/taskdaemon.7", "8/taskdaemon.8"] {
        assert!(with("d").contains(format!("/usr/share/man/man{section}.gz").as_str()), "{flags}");
    }
}

#[test]
fn all_belongs_to_root_and_nobody_else_may_write_it() {
    let files = query(&["--queryformat", "[%{FILEUSERNAME} %{FILEGROUPNAME} %{FILEMODES:perms} %{FILENAMES}\\n]"]);
    for line in files.lines() {
        let program = line.ends_with(" /usr/bin/taskdaemon");
        let wanted = if program { "root root -rwxr-xr-x" } else { "root root -rw-r--r--" };
        assert!(line.starts_with(wanted), "{line}");
    }
}

#[test]
fn both_ways_to_make_the_accounts_say_the_same() {
    let read = |path: &str| std::fs::read_to_string(package::source().join(path)).unwrap();
    let (sysusers, script) = (read("systemd/sysusers.d/taskdaemon.conf"), read("rpm/pre"));
    let lines: Vec<&str> = sysusers.lines().filter(|line| line.starts_with("u ")).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let parts: Vec<&str> = line.split('"').collect();
        let name = parts[0].split_whitespace().nth(1).unwrap();
        assert!(script.contains(&format!("make_account {name} \"{}\"\n", parts[1])), "{line}");
        assert_eq!(parts[2].split_whitespace().collect::<Vec<_>>(), ["/nonexistent", "/usr/sbin/nologin"]);
        assert!(script.contains("--home-dir /nonexistent") && script.contains("--shell /usr/sbin/nologin"));
    }
    // By these rpm 4.19 and later make them.
    let provided = query(&["--provides"]);
    assert!(provided.contains("user(taskdaemon) = ") && provided.contains("user(taskdaemon-runner) = "), "{provided}");
}

#[test]
fn rpmlint_finds_nothing() {
    let configuration = package::source().join("rpm/rpmlint.toml");
    let told = sure(Command::new("rpmlint").arg("--config").arg(configuration).arg(package::rpm()));
    assert!(told.contains("0 errors, 0 warnings"), "{told}");
}
