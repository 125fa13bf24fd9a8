//! The process's own memory.

use std::fs;
use std::io;

/// Lets go of the program's code, most of which only the start, or a busy time, needed. What is run again comes
/// back from the page cache, where it stays; madvise(2), MADV_DONTNEED.
///
/// # Errors
/// Where `/proc/self` cannot be read.
pub fn forget_code() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        // Code alone: it is never written to, while the linker wrote to other read-only parts.
        if !line.contains(" r-xp ") || !program.to_str().is_some_and(|program| line.ends_with(program)) {
            continue;
        }
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = range.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)));
        if let Some((Ok(from), Ok(to))) = ends {
            // SAFETY: the range is a mapping of a file that nothing was written to, so that each page reads the
            // same when it is mapped anew.
            let result = unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
            nix::errno::Errno::result(result)?;
        }
    }
    Ok(())
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
