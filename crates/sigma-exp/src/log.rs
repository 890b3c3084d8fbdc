//! What a run says: messages on stderr for people, every event with its fields as JSON lines in the run's log.jsonl,
//! and progress bars where stderr is a terminal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use indicatif::MultiProgress;
use sigma_report::run_files;
use sigma_report::shown::shown;
use tracing::Level;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

/// An event is a line; a longer one is none.
const LONGEST_EVENT: u64 = 1 << 20;

/// All bars of the program; messages are printed above them.
pub static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

static RUN_LOG: Mutex<Option<File>> = Mutex::new(None);

/// Events of this target are shown as bars on a terminal, so there their lines are left out.
pub const STAGE: &str = "sigma_exp::stage";

/// Whether bars are drawn.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Installs the subscriber; called once.
pub fn install() {
    let show = FilterFn::new(|metadata| {
        let ours = metadata.target().starts_with("sigma");
        // hf-hub's warnings hold whole addresses, which our own errors leave out; resvg and what it draws with warn of
        // lines without length
        let quiet = ["hf_hub", "resvg", "tiny_skia"].iter().any(|library| metadata.target().starts_with(library));
        (ours || (*metadata.level() <= Level::WARN && !quiet)) && !(metadata.target() == STAGE && is_terminal())
    });
    let console = tracing_subscriber::fmt::layer()
        .event_format(Message)
        // only the message: what matters of the fields is in its words
        .fmt_fields(debug_fn(
            |writer, field, value| {
                if field.name() == "message" { write!(writer, "{value:?}") } else { Ok(()) }
            },
        ))
        .with_writer(|| Console)
        .with_filter(LevelFilter::INFO)
        .with_filter(show);
    let file = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(RunLog)
        .with_filter(LevelFilter::INFO)
        .with_filter(FilterFn::new(|metadata| metadata.target().starts_with("sigma")));
    tracing_subscriber::registry().with(console).with(file).init();
}

/// From now on events are appended to `path`, the log of a run folder that is open. Half an event at its end, which a
/// killed process left, goes.
pub fn write_to(path: &Path) -> Result<()> {
    let not_opened = || format!("the log {} cannot be opened", path.display());
    let mut file = run_files::open_own(path).with_context(not_opened)?;
    let mut written = Vec::new();
    file.read_to_end(&mut written).with_context(not_opened)?;
    let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    file.set_len(whole as u64).with_context(not_opened)?;
    file.seek(SeekFrom::End(0)).with_context(not_opened)?;
    *RUN_LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    Ok(())
}

/// Refuses a file that does not begin with an event of this program: it is somebody else's log.
pub fn check_own(path: &Path) -> Result<()> {
    /// What every event has.
    #[derive(serde::Deserialize)]
    #[allow(dead_code)]
    struct Event {
        timestamp: String,
        level: String,
        target: String,
    }
    if !run_files::exists(path) {
        return Ok(());
    }
    let file = run_files::open_own(path).with_context(|| format!("the log {} cannot be opened", path.display()))?;
    let mut first = Vec::new();
    BufReader::new(file).take(LONGEST_EVENT).read_until(b'\n', &mut first)?;
    // a kill may have cut the first event
    let cut = first.last() != Some(&b'\n') && first.starts_with(b"{\"timestamp\":");
    let ours = |line: &[u8]| serde_json::from_slice(line).is_ok_and(|event: Event| event.target.starts_with("sigma"));
    if first.is_empty() || cut || ours(&first) {
        return Ok(());
    }
    bail!("{} is not the log of a run (its first line is no event): move it away", path.display())
}

/// `warning: ` or `error: ` before the message, nothing before information.
struct Message;

impl<S, N> FormatEvent<S, N> for Message
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        match *event.metadata().level() {
            Level::ERROR => write!(writer, "error: ")?,
            Level::WARN => write!(writer, "warning: ")?,
            _ => {}
        }
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        writeln!(writer, "{}", shown(&text))
    }
}

struct Console;

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

struct RunLog;

impl<'a> MakeWriter<'a> for RunLog {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        RunLog
    }
}

impl Write for RunLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match RUN_LOG.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
