//! The binary: everything is in the library.

#![no_main]

taskdaemon::entry!(taskdaemon::cli::main);
