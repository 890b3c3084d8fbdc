//! The last words of a failed command: what is wrong, why, and the exit code that goes with it.

use std::io::{self, Write};
use std::process::ExitCode;

use sigma_report::shown::shown;

use crate::interrupt;

/// Usage, config, input or I/O error.
const FAILURE: u8 = 2;

/// A check that was asked for found something.
const CHECK_FAILED: u8 = 1;

/// Of one cause, in characters: an error may repeat what a file holds.
const LONGEST: usize = 2000;

/// The command did what it should, and what it found is bad news.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CheckFailed(pub String);

/// Panics within the Parquet and tokenizers libraries are caught where they are called, and told as errors; nobody
/// needs to read them twice.
pub fn install() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let caught = |file: &str| file.contains("/parquet-") || file.contains("/tokenizers-");
        if !panic.location().is_some_and(|place| caught(place.file())) {
            usual(panic);
        }
    }));
}

/// Prints the chain of `error` to stderr.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<interrupt::Interrupted>().is_some() {
        tracing::info!("stopped: what was finished is kept; run the same command again to go on");
        return ExitCode::from(interrupt::EXIT_CODE);
    }
    // a reader that has gone away (`| head`) is no failure
    if error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let mut chain = error.chain().map(first_lines);
    let mut text = format!("error: {}\n", chain.next().unwrap_or_default());
    let mut last = String::new();
    for cause in chain {
        // a transparent error repeats its source
        if cause != last && !text.contains(&cause) {
            text.push_str(&format!("  because: {cause}\n"));
        }
        last = cause;
    }
    for hint in error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).filter_map(hint).take(1) {
        if !text.contains("the disk is full") {
            text.push_str(&format!("  {hint}\n"));
        }
    }
    // nothing can be done if stderr itself is gone
    let _ = io::stderr().write_all(shown(&text).as_bytes());
    ExitCode::from(if error.is::<CheckFailed>() { CHECK_FAILED } else { FAILURE })
}

/// Prints why a command line cannot be understood, or the help that it asks for.
pub fn of_arguments(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let plain = shown(&text);
    if !error.use_stderr() || plain == text {
        // in colours where there is a terminal
        let _ = error.print();
    } else {
        let _ = io::stderr().write_all(plain.as_bytes());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILURE))
}

/// What to do where the system, and not what was asked for, is the trouble.
fn hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("the disk is full: make room; what was finished is kept, run the same command again to go on")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("nothing can be written there: choose another place, for results with --out")
        }
        io::ErrorKind::PermissionDenied => {
            Some("this user may not do that: change the rights, or choose another place, for results with --out")
        }
        _ => None,
    }
}

/// An error's text without the backtrace that candle appends where RUST_BACKTRACE is set.
fn first_lines(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let end = text.find("\n   0: ").unwrap_or(text.len());
    let text = text[..end].trim_end();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_string(),
    }
}
