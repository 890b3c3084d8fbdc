//! Ctrl-C and the signals that batch systems send before they stop a job. Where there is something to save, the first
//! asks for a clean stop after the current step, and a second one ends the program at once; where there is nothing, the
//! first does, even while the program waits for a file that does not answer.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Set by the signal that a batch system sends ahead of the end of a job's time.
static WARNED: AtomicBool = AtomicBool::new(false);
/// Whether someone looks at [`requested`] and saves what there is.
static ORDERLY: AtomicBool = AtomicBool::new(false);

/// The exit code of an interrupted run that can go on.
pub const EXIT_CODE: u8 = 130;

/// How long a last message may take; whoever should read it may have gone.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Starts the thread that signals wake.
pub fn install() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1]).context("signals cannot be received")?;
    let on_signals = move || signals.forever().for_each(on);
    thread::Builder::new().name("signals".to_string()).spawn(on_signals).context("no thread for signals")?;
    Ok(())
}

fn on(signal: i32) {
    if signal == SIGUSR1 {
        WARNED.store(true, Ordering::SeqCst);
    }
    let again = REQUESTED.swap(true, Ordering::SeqCst);
    // after its warning a batch system gives a job the time to end by itself
    if again || (signal != SIGUSR1 && !ORDERLY.load(Ordering::SeqCst)) {
        let (told, done) = channel();
        thread::spawn(move || {
            tracing::info!("stopped");
            // nobody waits any more if it took too long
            let _ = told.send(());
        });
        let _ = done.recv_timeout(LAST_WORDS);
        signal_hook::low_level::exit(i32::from(EXIT_CODE));
    }
}

/// While this lives, an interrupt is left to those who look at [`requested`].
pub struct Orderly(());

/// From here on there is something to save.
pub fn orderly() -> Orderly {
    ORDERLY.store(true, Ordering::SeqCst);
    Orderly(())
}

impl Drop for Orderly {
    fn drop(&mut self) {
        ORDERLY.store(false, Ordering::SeqCst);
    }
}

/// Whether a clean stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Whether the stop was asked for by SIGUSR1: the job's time is nearly up, and it may queue again.
pub fn warned() -> bool {
    WARNED.load(Ordering::SeqCst)
}

/// For observers of stages.
pub fn check() -> ControlFlow<()> {
    if requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The reason for a stop between two stages.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;
