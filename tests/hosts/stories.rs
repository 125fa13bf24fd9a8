//! How a story becomes one test for each host that it is told on.

use crate::host::{Host, Kind, why_not};
use crate::quickstart;

/// Makes of each story, a function of a [`Host`], a module of tests: one for each kind of host that it names.
///
/// `stories! { a_file_is_kept on [systemd_252, sysvinit]; }` gives `a_file_is_kept::systemd_252` and
/// `a_file_is_kept::sysvinit`, each with a fresh host.
macro_rules! stories {
    ($($story:ident on [$($kind:ident),+ $(,)?];)+) => {
        $(mod $story {
            $(#[test]
            fn $kind() {
                $crate::stories::tell(stringify!($kind), super::$story);
            })+
        })+
    };
}
pub(crate) use stories;

/// Tells a story on a fresh host; where none can be booted, says so.
#[allow(clippy::print_stderr, reason = "says what a test leaves out")]
pub(crate) fn tell(kind: &str, story: fn(&mut Host)) {
    let kind = Kind::named(kind);
    if let Some(reason) = why_not(kind) {
        eprintln!("left out: {reason}");
        return;
    }
    let mut host = match kind {
        Kind::Builder | Kind::BuilderSysvinit => quickstart::boot(kind),
        Kind::Systemd252 | Kind::Systemd257 | Kind::Sysvinit | Kind::Openrc | Kind::Rpm => Host::boot(kind),
    };
    story(&mut host);
}
