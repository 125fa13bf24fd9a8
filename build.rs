//! Links the unwinder into the program: one library less to load at each start, and a client starts often.
//!
//! A program with the `bundled` feature is for other hosts than the one that builds it, and there the unwinder stays a
//! library: the static one of GCC 12 and later calls `_dl_find_object`, which no glibc before 2.35 has.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|environment| environment == "gnu");
    let here = env::var_os("CARGO_FEATURE_BUNDLED").is_none();
    if let (true, Ok(out)) = (gnu && here, env::var("OUT_DIR")) {
        // The linker takes this script for the shared library that it is asked for, and the static one from it.
        let script = PathBuf::from(&out).join("libgcc_s.so");
        if let Err(error) = fs::write(&script, "GROUP ( -lgcc_eh -lgcc )\n") {
            println!("cargo:warning=cannot write {}: {error}", script.display());
        }
        println!("cargo:rustc-link-search=native={out}");
    }
}
