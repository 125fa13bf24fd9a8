//! What one program leaves to the next, in a sealed memory file that a variable names.

use std::ffi::OsString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::UpgradeError;
use crate::sys::fd::adopt;
use crate::sys::memfd;
use crate::sys::program::environment_without;

/// The variable that names the record: the process that it is for, a colon, the descriptor's number. Children inherit
/// the variable too, and see that they are not meant.
pub(super) const VARIABLE: &str = "DAEMON_HANDOVER";

/// The form of the record that this program writes, and the newest that it reads.
pub const FORM: u16 = 1;

/// The oldest form of the record that this program reads.
pub const OLDEST_FORM: u16 = 1;

/// The largest record, in bytes.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Sockets that a service manager passed are handed over as all others are: the next program must not take them twice.
const ACTIVATION: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// What is handed over.
#[derive(Serialize, Deserialize)]
struct Record<F> {
    form: u16,
    facts: F,
}

/// What the program before this one left to this process; none where it was started afresh.
///
/// To be called once, before anything else opens descriptors.
///
/// # Errors
/// [`UpgradeError::Inherit`] where there is something, and it cannot be read: it is better to end than to do without.
pub fn inherited<F: DeserializeOwned>() -> Result<Option<F>, UpgradeError> {
    let Some(variable) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let number = variable.to_str().and_then(|text| {
        let (pid, number) = text.split_once(':')?;
        (pid.parse() == Ok(std::process::id())).then(|| number.parse().ok())?
    });
    let Some(number) = number else { return Ok(None) };
    let facts = adopt(number).and_then(|record| read(&memfd::read_sealed(record, MOST_BYTES)?));
    facts.map(Some).map_err(|source| UpgradeError::Inherit { variable, source })
}

fn read<F: DeserializeOwned>(bytes: &[u8]) -> io::Result<F> {
    /// What every form begins with; the facts are read only where the form is known.
    #[derive(Deserialize)]
    struct Head {
        form: u16,
    }
    let form = serde_json::from_slice::<Head>(bytes)?.form;
    if !(OLDEST_FORM..=FORM).contains(&form) {
        let detail = format!("its form is {form}, and this program knows {OLDEST_FORM} to {FORM}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    Ok(serde_json::from_slice::<Record<F>>(bytes)?.facts)
}

/// The record of `facts`.
pub(super) fn record(facts: &impl Serialize) -> io::Result<OwnedFd> {
    memfd::sealed("handover", &serde_json::to_vec(&Record { form: FORM, facts })?)
}

/// The environment of the next program, with the name of its record.
pub(super) fn environment(record: RawFd) -> Vec<OsString> {
    let kept = environment_without(&[ACTIVATION.as_slice(), &[VARIABLE]].concat());
    let own = format!("{VARIABLE}={}:{record}", std::process::id()).into_bytes();
    kept.into_iter().chain([own]).map(OsString::from_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_form_that_is_not_known_is_told() {
        let bytes = |form| serde_json::to_vec(&Record { form, facts: vec![1, 2] }).unwrap();
        assert_eq!(read::<Vec<i32>>(&bytes(FORM)).unwrap(), [1, 2]);
        let error = read::<Vec<i32>>(&bytes(FORM + 1)).unwrap_err();
        assert_eq!(error.to_string(), "its form is 2, and this program knows 1 to 1");
    }
}
