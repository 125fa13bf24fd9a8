//! Promise P6: a host that knows nothing but the repository installs from it and upgrades, and believes no other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::host::{Host, Kind, told};
use crate::package;
use crate::rpm::{another, place, settle, sure};
use crate::stories::stories;
use crate::units::property;
use crate::version::{NOW, Version};

stories! {
    apt_installs_and_upgrades on [systemd_252, systemd_257];
    apt_refuses_what_was_tampered_with on [systemd_252];
    dnf_installs_and_upgrades on [rpm];
    dnf_refuses_what_was_tampered_with on [rpm];
}

/// Where a host finds the repository; the documents name an address instead.
const INSIDE: &str = "/srv/taskdaemon";
const ADDRESS: &str = "https://packages.example.org";

/// A version later than ours.
const NEWER: &str = "0.9.3";

/// Runs `scripts/repository` on a directory with packages.
fn publish(directory: &Path, packages: &[&Path]) -> String {
    let mut command = Command::new(package::source().join("scripts/repository"));
    sure(command.args(["--url", &format!("file://{INSIDE}")]).arg(directory).args(packages))
}

/// Our `.deb` with another version.
fn newer_deb() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = place().join("newer.deb");
        std::fs::copy(Version::with_program(&format!("{NEWER}-1"), NEWER).deb(), &made).unwrap();
        made
    })
}

/// The repositories of the stories, made once: with our packages, and with newer ones added to it.
fn repositories() -> &'static (PathBuf, PathBuf) {
    static MADE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    MADE.get_or_init(|| {
        let (first, second) = (place().join("repository"), place().join("repository.later"));
        let told = publish(&first, &[package::deb(), package::rpm()]);
        for line in ["apt", "dnf"].into_iter().flat_map(documented) {
            assert!(told.lines().any(|printed| printed == line), "{line:?} is printed, too:\n{told}");
        }
        sure(Command::new("cp").arg("-a").args([&first, &second]));
        let told = publish(&second, &[newer_deb(), package::rpm(), &another(NEWER, &[])]);
        assert_eq!(told.matches("added ").count(), 2, "what is there is not added again:\n{told}");
        (first, second)
    })
}

/// Puts a repository on the host, in the place of the one before it.
fn put(host: &Host, directory: &Path) {
    let archive = Command::new("tar").arg("-C").arg(directory).args(["-cf", "-", "."]).output().unwrap();
    assert!(archive.status.success(), "{}", String::from_utf8_lossy(&archive.stderr));
    host.write("/root/repository.tar", archive.stdout);
    host.run(&format!("rm -rf {INSIDE} && mkdir -p {INSIDE} && tar -C {INSIDE} -xf /root/repository.tar"));
}

/// The lines that the README has for a host with this program, with the address of this test in them.
fn documented(program: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(package::source().join("README.md")).unwrap();
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let wanted = format!("{program} install taskdaemon");
    let block = blocks.into_iter().find(|block| block.contains(&wanted)).expect("the README says how to install");
    let lines = block.lines().filter_map(|line| line.strip_prefix("# "));
    lines.map(|line| line.split(" #").next().unwrap_or(line).replace(ADDRESS, &format!("file://{INSIDE}"))).collect()
}

/// Does what the README says.
fn install_as_documented(host: &Host, program: &str) {
    for line in documented(program) {
        host.run(&line);
    }
}

/// A task that runs until it is let go on, and its number.
fn begin(host: &Host) -> String {
    let id = host.run("taskdaemon submit --shell 'until test -e /etc/taskdaemon/go; do sleep 0.1; done; echo done'");
    host.wait_until(&format!("taskdaemon show --json {id} | grep --quiet '\"state\":\"running\"'"));
    id
}

/// The task goes on, and ends well.
fn end(host: &Host, id: &str) {
    host.run("touch /etc/taskdaemon/go");
    host.run(&format!("taskdaemon wait {id}"));
    assert_eq!(host.run(&format!("taskdaemon logs {id}")), "done");
}

fn apt_installs_and_upgrades(host: &mut Host) {
    let (first, second) = repositories();
    assert_eq!(host.run("cat /etc/apt/sources.list; ls /etc/apt/sources.list.d"), "");
    host.run("echo 'APT::Get::Assume-Yes \"true\";' >/etc/apt/apt.conf.d/90yes");
    put(host, first);
    install_as_documented(host, "apt");
    host.run("taskdaemon status --wait 30");
    let id = begin(host);
    let before = property(host, "taskdaemon", "MainPID");
    put(host, second);
    host.run("apt update && apt upgrade");
    assert_eq!(host.run("dpkg-query --show --showformat='${Version}' taskdaemon"), format!("{NEWER}-1"));
    assert_eq!(property(host, "taskdaemon", "MainPID"), before);
    end(host, &id);
    // Who wants the one before it gets it.
    host.run(&format!("cd /root && apt-get download taskdaemon={NOW}-1"));
}

fn apt_refuses_what_was_tampered_with(host: &mut Host) {
    let (first, _) = repositories();
    put(host, first);
    host.run(&format!("cp {INSIDE}/taskdaemon.sources /etc/apt/sources.list.d/ && apt-get update"));
    host.run(&format!("for deb in {INSIDE}/apt/pool/main/taskdaemon_*.deb; do printf x >>$deb; done"));
    let said = host.fails(100, "apt-get install --yes taskdaemon");
    assert!(said.contains("Hash Sum mismatch") || said.contains("unexpected size"), "{said}");
    // An index that its maker has not signed, on a host that has seen none before.
    put(host, first);
    host.run(&format!("sed -i 's/^Suite: stable/Suite: stabile/' {INSIDE}/apt/dists/stable/InRelease"));
    let said = host.fails(100, "rm -rf /var/lib/apt/lists/* && apt-get update");
    assert!(said.contains("not signed") || said.contains("invalid"), "{said}");
    // One that is signed, and by another.
    put(host, &strangers());
    let said = host.fails(100, "rm -rf /var/lib/apt/lists/* && apt-get update");
    assert!(said.contains("NO_PUBKEY"), "{said}");
    host.run("test ! -e /usr/bin/taskdaemon");
}

/// A repository of the same packages that another key has signed.
fn strangers() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock();
    let (directory, keys) = (place().join("strangers"), place().join("strangers.keys"));
    if !directory.is_dir() {
        sure(Command::new("install").args(["-d", "-m", "700"]).arg(&keys));
        let gpg = |program: &str| {
            let mut command = Command::new(program);
            command.env("GNUPGHOME", &keys);
            command
        };
        sure(gpg("gpg").args(["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "Mallory", "rsa3072"]));
        let mut script = gpg(package::source().join("scripts/repository").to_str().unwrap());
        script.args(["--key", "Mallory", "--url", &format!("file://{INSIDE}")]).arg(&directory);
        sure(script.args([package::deb(), package::rpm()]));
        sure(gpg("gpgconf").args(["--kill", "all"]));
    }
    directory
}

fn dnf_installs_and_upgrades(host: &mut Host) {
    let (first, second) = repositories();
    settle(host);
    put(host, first);
    install_as_documented(host, "dnf");
    host.run("taskdaemon status --wait 30");
    let id = begin(host);
    let before = property(host, "taskdaemon", "MainPID");
    put(host, second);
    host.run("dnf --refresh upgrade");
    assert_eq!(host.run("rpm --query --queryformat '%{VERSION}' taskdaemon"), NEWER);
    assert_eq!(property(host, "taskdaemon", "MainPID"), before);
    end(host, &id);
    host.run(&format!("dnf list --showduplicates taskdaemon | grep --quiet ' {NOW}-1 '"));
}

fn dnf_refuses_what_was_tampered_with(host: &mut Host) {
    let (first, _) = repositories();
    settle(host);
    let install = format!(
        "rm -rf /var/cache/dnf && cp {INSIDE}/taskdaemon.repo /etc/yum.repos.d/ && dnf --nodocs install taskdaemon"
    );
    put(host, first);
    host.run(&format!("for rpm in {INSIDE}/dnf/*/Packages/taskdaemon-*.rpm; do printf x >>$rpm; done"));
    let said = told(&host.attempt(&install));
    assert!(said.contains("checksum"), "{said}");
    // An index that its maker has not signed.
    put(host, first);
    host.run(&format!("sed -i 's/<revision>/<revision>1/' {INSIDE}/dnf/*/repodata/repomd.xml"));
    let said = told(&host.attempt(&install));
    assert!(said.contains("signature"), "{said}");
    // All of it is signed, and by another than the key that the host was told of.
    let key = host.read(&format!("{INSIDE}/taskdaemon.asc"));
    put(host, &strangers());
    host.write(&format!("{INSIDE}/taskdaemon.asc"), key);
    let said = told(&host.attempt(&install));
    assert!(said.contains("signature"), "{said}");
    host.fails(1, "rpm --query taskdaemon");
}

#[test]
fn what_was_published_never_changes_nor_does_the_key() {
    if crate::host::why_not(Kind::Rpm).is_some() {
        return;
    }
    let directory = place().join("kept");
    sure(Command::new("cp").arg("-a").args([&repositories().0, &directory]));
    let script = || Command::new(package::source().join("scripts/repository"));
    let refused = |command: &mut Command, words: &str| {
        let output = command.output().unwrap();
        assert!(!output.status.success() && told(&output).contains(words), "{}", told(&output));
    };
    // The same version, and something else.
    let changed = place().join("changed").join(package::deb().file_name().unwrap());
    std::fs::create_dir_all(changed.parent().unwrap()).unwrap();
    sure(
        Command::new("sh")
            .args(["-c", "cat \"$1\" - </dev/zero | head -c \"$(($(stat -c %s \"$1\") + 1))\" >\"$2\"", "sh"])
            .args([package::deb(), &changed]),
    );
    refused(script().arg(&directory).arg(&changed), "published already");
    let keys = place().join("strangers.keys");
    strangers();
    refused(
        script().env("GNUPGHOME", &keys).args(["--key", "Mallory"]).arg(&directory).arg(package::deb()),
        "is signed by",
    );
    sure(Command::new("gpgconf").env("GNUPGHOME", &keys).args(["--kill", "all"]));
    let secret = Command::new("grep").args(["-rl", "PRIVATE KEY"]).arg(&directory).output().unwrap();
    assert_eq!(told(&secret), "");
}
