//! Ctrl-C and the signals that batch systems send before they stop a job: the first asks for a clean stop after the
//! current step, a second one ends the program at once.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// Set by the signal that a batch system sends ahead of the end of a job's time.
static WARNED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The exit code of an interrupted run that can go on.
pub const EXIT_CODE: u8 = 130;

/// Installs the handlers.
pub fn install() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        // order matters: the first handler ends the program if the second has already run once
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), Arc::clone(&REQUESTED))?;
        signal_hook::flag::register(signal, Arc::clone(&REQUESTED))?;
    }
    signal_hook::flag::register(SIGUSR1, Arc::clone(&WARNED))?;
    Ok(())
}

/// Whether a clean stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Whether the stop was asked for by SIGUSR1: the job's time is nearly up, and it may queue again.
pub fn warned() -> bool {
    WARNED.load(Ordering::Relaxed)
}

/// For observers of stages.
pub fn check() -> ControlFlow<()> {
    if requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The reason for a stop between two stages.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;
