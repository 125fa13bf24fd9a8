//! The process's own memory.

use std::io;
use std::time::{Duration, Instant};

use libc::{PF_W, PT_LOAD, c_int, c_void, dl_phdr_info};
use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};

/// Lets go of the program's code and constants, most of which only the start, or a busy time, needed. What is used
/// again comes back from the page cache, where it stays; madvise(2), MADV_DONTNEED.
///
/// # Errors
/// See madvise(2).
pub fn forget_code() -> io::Result<()> {
    let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| usize::try_from(size).ok()).unwrap_or(4096);
    let mut forgetting = Forgetting { page, result: Ok(0) };
    // SAFETY: the function gets back the pointer that is passed here, and that outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(forget_program), (&raw mut forgetting).cast()) };
    forgetting.result?;
    Ok(())
}

/// The rest of a process after its work: what that needed is let go once nothing was done for a while.
#[derive(Debug, Default)]
pub struct Rest(Option<Instant>);

impl Rest {
    /// How long nothing may be done until then.
    const AFTER: Duration = Duration::from_secs(1);

    /// Something is done: the rest is to come later.
    pub fn later(&mut self) {
        self.0 = Some(Instant::now() + Self::AFTER);
    }

    /// When it is to come; `None` where nothing was done since the last one.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.0
    }

    /// Takes it where it is due by `now`. What cannot be let go stays in memory, and does no harm.
    pub fn take(&mut self, now: Instant) {
        if self.0.take_if(|due| *due <= now).is_some() {
            let _ = forget_code();
        }
    }
}

struct Forgetting {
    page: usize,
    result: nix::Result<c_int>,
}

/// Lets go of the first object, which is the program itself, and ends the walk.
unsafe extern "C" fn forget_program(object: *mut dl_phdr_info, _size: usize, state: *mut c_void) -> c_int {
    // SAFETY: the linker passes an object that is there for the length of this call, and what forget_code gave it.
    let (object, state) = unsafe { (&*object, &mut *state.cast::<Forgetting>()) };
    for index in 0..usize::from(object.dlpi_phnum) {
        // SAFETY: the object has so many headers.
        let part = unsafe { &*object.dlpi_phdr.add(index) };
        // Not what was ever writable, though it may be read-only by now: the linker wrote to it.
        if part.p_type != PT_LOAD || part.p_flags & PF_W != 0 {
            continue;
        }
        let at = |address: u64| usize::try_from(object.dlpi_addr + address).unwrap_or_default();
        let (first, last) = (at(part.p_vaddr) & !(state.page - 1), at(part.p_vaddr + part.p_memsz));
        // SAFETY: the range is a mapping of a file that nothing was written to, so that each page reads the same
        // when it is mapped anew.
        let result = unsafe { libc::madvise(first as *mut c_void, last - first, libc::MADV_DONTNEED) };
        state.result = state.result.and(Errno::result(result));
    }
    1
}

/// Gives what was allocated and freed back to the kernel; malloc_trim(3).
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_after_its_code_was_let_go() {
        forget_code().unwrap();
        assert_eq!("still here".len(), 10);
    }
}
