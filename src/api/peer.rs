//! Who calls, as the kernel tells.

use std::io;
use std::os::fd::AsFd;

use tokio::net::UnixStream;

use super::answer::Failure;
use crate::engine::Caller;
use crate::sys;

/// The caller at the other end, or the refusal of a stranger.
///
/// # Errors
/// Where the kernel does not tell.
pub(super) fn identify(
    stream: &UnixStream,
    own_uid: u32,
    allowed_gid: Option<u32>,
) -> io::Result<Result<Caller, Stranger>> {
    let credentials = stream.peer_cred()?;
    let uid = credentials.uid();
    let privileged = uid == 0 || uid == own_uid;
    let member = match allowed_gid {
        None => true,
        Some(_) if privileged => true,
        Some(gid) if credentials.gid() == gid => true,
        Some(gid) => sys::peer::groups(stream.as_fd())?.contains(&gid),
    };
    Ok(if member { Ok(Caller { uid, privileged }) } else { Err(Stranger { uid }) })
}

/// A user who is not in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stranger {
    pub(super) uid: u32,
}

impl From<Stranger> for Failure {
    fn from(stranger: Stranger) -> Self {
        let detail = format!("user {} is not in the group that may use this daemon", stranger.uid);
        Self::new(403, "stranger", "Forbidden", detail)
    }
}
