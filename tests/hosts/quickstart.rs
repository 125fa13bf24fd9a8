//! The README's first command, on hosts that an init runs.

use std::env::home_dir;
use std::path::PathBuf;

use crate::host::{Host, Kind};
use crate::package;
use crate::stories::stories;

stories! {
    the_quickstart_has_the_service_do_its_job_and_leaves_the_host_as_it_was on [builder, builder_sysvinit];
}

/// Where cargo or rustup keep what they have.
fn kept(variable: &str, usual: &str) -> PathBuf {
    let home = home_dir().expect("there is a home directory");
    std::env::var_os(variable).map_or_else(|| home.join(usual), PathBuf::from)
}

/// Boots a host that has this source, what was built from it, and Rust at their own paths: nothing is compiled again.
pub(crate) fn boot(kind: Kind) -> Host {
    package::deb();
    let source = package::source().display().to_string();
    let cargo = kept("CARGO_HOME", ".cargo").display().to_string();
    let rustup = kept("RUSTUP_HOME", ".rustup").display().to_string();
    Host::boot_with(kind, &["--over", &source, "--over", &cargo, "--bind-ro", &rustup])
}

fn the_quickstart_has_the_service_do_its_job_and_leaves_the_host_as_it_was(host: &mut Host) {
    let source = package::source().display();
    let inventory = "find /etc /usr /var/lib -xdev -not -path '/var/lib/dpkg*' -not -path '/var/lib/apt*' -not -name '*-'; \
                     getent passwd; getent group";
    // Whoever cloned it need not be who runs it here.
    host.run("git config --global --add safe.directory '*'");
    let before = host.run(inventory);
    let cargo = kept("CARGO_HOME", ".cargo");
    let rustup = kept("RUSTUP_HOME", ".rustup");
    let homes = format!("CARGO_HOME='{}' RUSTUP_HOME='{}' CARGO_NET_OFFLINE=true", cargo.display(), rustup.display());
    let told = host.run(&format!("{homes} '{source}/scripts/quickstart'"));
    for words in ["apt-get", "service taskdaemon status", "The host is as it was.", "All is as it should be."] {
        assert!(told.contains(words), "it says {words}: {told}");
    }
    assert_eq!(host.run(inventory), before);
    host.fails(1, "pgrep -f 'bin/[t]askdaemon'");
}
