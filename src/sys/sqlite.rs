//! SQLite's library, loaded by the one process that opens a database.
//!
//! The dynamic linker would load it, and bind its symbols, at each start of a client too, which costs half
//! as much as the whole life of a small process. So the functions that are called here are small jumps through
//! slots, which [`load`] fills; systemd loads its own lesser-needed libraries so since version 256. A function
//! that is missing from the list is bound as usual, and with it the library is loaded at each start again.
//!
//! Elsewhere than on these processors, and with SQLite compiled in, everything is bound as usual.

use std::ffi::c_int;
use std::io;
use std::sync::Once;

unsafe extern "C" {
    fn sqlite3_config(option: c_int, ...) -> c_int;
}

/// Why SQLite cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such library.
    #[error("load libsqlite3.so.0; install SQLite's library (libsqlite3-0, sqlite-libs)")]
    Library(#[source] io::Error),
    /// The library is too old.
    #[error("find {name} in libsqlite3.so.0; install SQLite 3.37 or later")]
    Function {
        /// What is missing.
        name: &'static str,
    },
}

/// Loads the library, once; to be called before the first use.
///
/// # Errors
/// [`LoadError`] says what is missing.
pub fn load() -> Result<(), LoadError> {
    static CONFIGURED: Once = Once::new();
    late::load()?;
    CONFIGURED.call_once(keep_no_statistics);
    Ok(())
}

/// Has SQLite not count what it allocates: that takes a lock at each piece, and nobody here asks.
fn keep_no_statistics() {
    const SQLITE_CONFIG_MEMSTATUS: c_int = 9;
    const OFF: c_int = 0;
    // SAFETY: the function is there, and this option takes one int. Where the library is in use already, it refuses.
    let _ = unsafe { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, OFF) };
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(feature = "bundled"))))]
mod late {
    pub(super) fn load() -> Result<(), super::LoadError> {
        Ok(())
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(feature = "bundled")))]
mod late {
    use std::ffi::{CStr, c_void};
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use super::LoadError;

    /// Where a function is, once the library is loaded. Until then a call ends the process, at address 0.
    struct Slot {
        name: &'static str,
        address: &'static Address,
    }

    type Address = AtomicPtr<c_void>;

    /// A jump through a slot for each function, under the function's own name.
    macro_rules! late {
        ($($name:ident)+) => {
            $(mod $name {
                pub(super) static ADDRESS: super::Address = super::Address::new(std::ptr::null_mut());
                #[cfg(target_arch = "x86_64")]
                super::jump!($name, ADDRESS, "jmp *{slot}(%rip)", options(att_syntax));
                #[cfg(target_arch = "aarch64")]
                super::jump!($name, ADDRESS, "adrp x16, {slot}\nldr x16, [x16, :lo12:{slot}]\nbr x16", options());
            })+

            const SLOTS: &[Slot] =
                &[$(Slot { name: concat!(stringify!($name), "\0"), address: &$name::ADDRESS }),+];
        };
    }

    macro_rules! jump {
        ($name:ident, $slot:ident, $code:literal, $options:ident($($option:ident)?)) => {
            std::arch::global_asm!(
                concat!(".pushsection .text.", stringify!($name), ",\"ax\",%progbits"),
                ".p2align 4",
                concat!(".globl ", stringify!($name)),
                concat!(".type ", stringify!($name), ",%function"),
                concat!(stringify!($name), ":"),
                $code,
                concat!(".size ", stringify!($name), ", . - ", stringify!($name)),
                ".popsection",
                slot = sym $slot,
                $options($($option)?),
            );
        };
    }
    use jump;

    late! {
        sqlite3_bind_blob64 sqlite3_bind_double sqlite3_bind_int64 sqlite3_bind_null sqlite3_bind_parameter_count
        sqlite3_bind_text64 sqlite3_bind_zeroblob sqlite3_busy_timeout sqlite3_changes sqlite3_clear_bindings
        sqlite3_close sqlite3_column_blob sqlite3_column_bytes sqlite3_column_count sqlite3_column_double
        sqlite3_column_int64 sqlite3_column_name sqlite3_column_text sqlite3_column_type sqlite3_config sqlite3_db_config
        sqlite3_errcode sqlite3_errmsg sqlite3_errstr sqlite3_extended_result_codes sqlite3_finalize
        sqlite3_get_autocommit sqlite3_keyword_check sqlite3_last_insert_rowid sqlite3_libversion
        sqlite3_libversion_number sqlite3_mutex_alloc sqlite3_mutex_free sqlite3_open_v2 sqlite3_prepare_v3
        sqlite3_reset sqlite3_step sqlite3_threadsafe
    }

    pub(super) fn load() -> Result<(), LoadError> {
        static LOADED: OnceLock<()> = OnceLock::new();
        if LOADED.get().is_some() {
            return Ok(());
        }
        // SAFETY: the name ends in NUL; the library's constructors have no demands.
        let library = unsafe { libc::dlopen(c"libsqlite3.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(LoadError::Library(io::Error::other(reason())));
        }
        for slot in SLOTS {
            // SAFETY: the library was opened above and is never closed; the name ends in NUL.
            let address = unsafe { libc::dlsym(library, slot.name.as_ptr().cast()) };
            if address.is_null() {
                return Err(LoadError::Function { name: slot.name.trim_end_matches('\0') });
            }
            slot.address.store(address, Ordering::Release);
        }
        LOADED.get_or_init(|| ());
        Ok(())
    }

    /// What the dynamic linker says of its last failure.
    fn reason() -> String {
        // SAFETY: the answer is null or a text that ends in NUL and stays until this thread's next dl call.
        unsafe {
            let text = libc::dlerror();
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_loaded_once_and_again() {
        load().unwrap();
        load().unwrap();
    }
}
