//! sigma-exp: recursive-training experiments from one config file. This file turns arguments into an exit code; what a
//! command does is in `commands`, one file each.

// a binary exports nothing, so `pub` here only means "used by another module"
#![allow(unreachable_pub)]

mod arithmetic;
mod assets;
mod base_evaluation;
mod checkpoint;
mod cli;
mod clock;
mod commands;
mod completion;
mod converted;
mod device;
mod diagnostics;
mod draft;
mod drift_interval;
mod driver;
mod evaluation;
mod experiment_key;
mod guard;
mod hints;
mod hub;
mod integrity;
mod interrupt;
mod layout;
mod log;
mod machine;
mod matrix_file;
mod measure;
mod mixture;
mod ownership;
mod plan;
mod progress;
mod recompute;
mod results;
mod row_index;
mod run_folder;
mod savepoint;
mod selftest;
mod shard_stream;
mod spec;
mod stage;
mod sweep;
mod whole_folder;
mod yaml;

use std::process::ExitCode;

use clap::Parser;

// candle allocates and frees a buffer for every operation; the system's allocator would return large ones each time
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sigma_kernels::threads::leave_parallelism_to_rayon();
    diagnostics::install();
    log::install();
    let command = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok()).find(|w| !w.starts_with('-'));
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return diagnostics::of_arguments(&hints::for_arguments(error, command.as_deref())),
    };
    let hub = hub::Hub { offline: arguments.offline };
    let limits = sigma_data::Limits::from_environment().map(sigma_data::Limits::enforce);
    let ready = limits.map_err(Into::into).and_then(|()| interrupt::install());
    match ready.and_then(|()| commands::execute(arguments.command, hub)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => diagnostics::report(&error),
    }
}
