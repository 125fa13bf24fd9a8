//! Promises P2 and P3 for rpm and dnf, with Fedora's policy: a package enables what presets say, and starts nothing.
//!
//! The host is Debian's with its rpm and dnf. One package stands in for what RHEL 9 provides, and no more.

mod install;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::host::{Host, told};
use crate::package;

/// Runs a program of this machine, which must succeed.
#[track_caller]
pub(crate) fn sure(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where this run keeps what it makes. What runs before it made, a hundred megabytes each, goes.
pub(crate) fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for entry in std::fs::read_dir(all).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let Some(maker) = name.strip_prefix("rpm.") else { continue };
            if !Path::new("/proc").join(maker).exists() {
                // Another run may be at it.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let place = all.join(format!("rpm.{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        place
    })
}

/// The package that stands in for RHEL 9's.
fn enterprise() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let to = place().join("enterprise");
        sure(
            Command::new("rpmbuild")
                .args(["--quiet", "-bb", "--define", &format!("_topdir {}", to.display())])
                .arg(package::source().join("tests/hosts/rpm/enterprise-9.spec")),
        );
        package::only(&to.join("RPMS").join(std::env::consts::ARCH), "enterprise-9-", ".rpm")
    })
}

/// Another version of our package, with other files in it: `("taskdaemon", FILE)` or `("etc/config.yml", FILE)`.
pub(crate) fn another(version: &str, replacements: &[(&str, &Path)]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock();
    let to = place().join(format!("{version}.{}", replacements.len()));
    let name = format!("taskdaemon-{version}-");
    if !to.is_dir() {
        let mut command = Command::new(package::source().join("scripts/package"));
        command.args(["--version", version, "--to"]).arg(&to);
        for (name, file) in replacements {
            command.arg("--replace").arg(format!("{name}={}", file.display()));
        }
        sure(command.arg("rpm"));
    }
    package::only(&to, &name, ".rpm")
}

/// Makes of the host what a new one with RHEL 9 is, as far as our package looks at it.
pub(crate) fn settle(host: &Host) {
    host.put(enterprise(), "/root/enterprise-9.rpm");
    host.run("rpm --install /root/enterprise-9.rpm");
    host.run("mkdir -p /etc/yum.repos.d /etc/dnf/vars && echo 9 >/etc/dnf/vars/releasever && echo assumeyes=1 >>/etc/dnf/dnf.conf");
    // Both distributions leave everything disabled that they do not name.
    host.run(
        "for kind in system user; do mkdir -p /usr/lib/systemd/$kind-preset &&
        echo 'disable *' >/usr/lib/systemd/$kind-preset/99-default-disable.preset || exit; done",
    );
}

/// Puts our package on the host, or another one, and has dnf act on it.
#[track_caller]
pub(crate) fn dnf(host: &Host, verb: &str, rpm: &Path) {
    put(host, rpm);
    host.run(&format!("dnf {verb} /root/taskdaemon.rpm"));
}

/// Puts a package on the host.
pub(crate) fn put(host: &Host, rpm: &Path) {
    host.put(rpm, "/root/taskdaemon.rpm");
}

/// Installs our package, enables and starts its service.
pub(crate) fn start(host: &Host) {
    settle(host);
    dnf(host, "install", package::rpm());
    host.run("systemctl enable --now taskdaemon.service");
    host.run("taskdaemon status --wait 30");
}
