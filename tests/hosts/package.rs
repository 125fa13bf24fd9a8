//! The packages under test, as `scripts/package` makes them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the source.
pub(crate) fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the packages are: `TASKDAEMON_DIST`, or `target/dist`, made anew where the source has changed.
fn directory(format: &'static str) -> PathBuf {
    if let Some(directory) = std::env::var_os("TASKDAEMON_DIST") {
        return directory.into();
    }
    let made = Command::new(source().join("scripts/package")).arg(format).output().expect("scripts/package runs");
    assert!(
        made.status.success(),
        "scripts/package {format}: {}{}",
        String::from_utf8_lossy(&made.stdout),
        String::from_utf8_lossy(&made.stderr)
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| source().join("target"), PathBuf::from);
    target.join("dist")
}

/// The only package of ours in a directory. Usage: `only(directory, "taskdaemon_", ".deb")`.
pub(crate) fn only(directory: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let files = std::fs::read_dir(directory).expect("there are packages").flatten().map(|entry| entry.path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix)
    };
    let found: Vec<PathBuf> = files.filter(is_ours).collect();
    assert_eq!(found.len(), 1, "one package is in {}: {found:?}", directory.display());
    found.into_iter().next().unwrap_or_default()
}

/// The `.deb`, made once for all stories of a run.
pub(crate) fn deb() -> &'static Path {
    static DEB: OnceLock<PathBuf> = OnceLock::new();
    DEB.get_or_init(|| only(&directory("deb"), "taskdaemon_", ".deb"))
}

/// The `.rpm`, made once for all stories of a run.
pub(crate) fn rpm() -> &'static Path {
    static RPM: OnceLock<PathBuf> = OnceLock::new();
    RPM.get_or_init(|| only(&directory("rpm"), "taskdaemon-", ".rpm"))
}
