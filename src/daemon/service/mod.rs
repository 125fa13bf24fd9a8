//! The service manager: what it is told, what it asks for, what it passes on.
//!
//! [`Manager`] tells it how the daemon is, as sd_notify(3) has it; [`Extension`] asks it for patience while something
//! takes long; [`Watchdog`] shows that every organ still moves; [`Inherited`] holds the sockets that it opened
//! for this process. systemd is one such manager, `start-stop-daemon --notify-await` another; where there is none,
//! nothing is told and nothing inherited.
//!
//! All of it is to be taken up before the process forks: the variables name the process that was started.
//!
//! It must not know what the daemon does, nor whose organs they are.

mod activation;
mod notify;
mod patience;
mod watchdog;

pub use activation::{ActivationError, Inherited};
pub use notify::{Manager, ManagerError};
pub use patience::Extension;
pub use watchdog::{Sign, Watchdog};

/// The environment variables with which a service manager speaks to the process that it starts, and to no other:
/// whoever starts programs keeps them back.
pub const VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
