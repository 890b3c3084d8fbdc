//! Files of the hub for the program: what a model, an encoder or a corpus needs of a source, fetched with a bar on a
//! terminal and lines otherwise. What can go wrong, and the cache, are the business of `sigma_data::hub`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sigma_data::TextFile;
use sigma_data::hub::{HubProgress, RepoKind, Resolved, Wanted, resolve};
use sigma_data::source::Source;

use crate::{converted, log};

/// Without a terminal, a long download says how far it is this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How the program reaches the hub.
#[derive(Debug, Clone, Copy)]
pub struct Hub {
    /// Only what is in the cache may be used.
    pub offline: bool,
}

/// A file of texts on this machine, and the commit of the data set that it came from.
pub struct LocalText {
    pub path: PathBuf,
    pub revision: Option<String>,
}

impl Hub {
    /// The folder of a model's `wanted` files; `what` it is for.
    pub fn model(self, what: &str, source: &str, wanted: &[Wanted]) -> Result<Resolved> {
        let mut parsed: Source = source.parse().with_context(|| format!("{what} `{source}`"))?;
        if let Source::Folder(file) = &parsed
            && converted::is_gguf(file)
        {
            parsed = Source::Folder(converted::folder_of(file).with_context(|| format!("{what} `{source}`"))?);
        }
        if let Source::Folder(folder) = &parsed {
            expect_model(folder).with_context(|| format!("{what} `{source}`"))?;
        }
        self.fetch(RepoKind::Model, &parsed, wanted).with_context(|| format!("{what} `{source}`"))
    }

    /// A corpus or prompt bank.
    pub fn text(self, what: &str, text: &TextFile) -> Result<LocalText> {
        match text {
            TextFile::Local(path) => Ok(LocalText { path: path.clone(), revision: None }),
            TextFile::Hub { dataset, file } => {
                let resolved = self
                    .fetch(RepoKind::Dataset, dataset, &[Wanted::file(file)])
                    .with_context(|| format!("{what} `{text}`"))?;
                Ok(LocalText { path: resolved.folder.join(file), revision: resolved.revision })
            }
        }
    }

    fn fetch(self, kind: RepoKind, source: &Source, wanted: &[Wanted]) -> Result<Resolved> {
        let download = RefCell::new(None);
        let resolved = resolve(kind, source, wanted, self.offline, &|progress| show(&download, progress));
        if let Some(Download { bar: Some(bar), .. }) = download.into_inner() {
            bar.finish_and_clear();
        }
        Ok(resolved?)
    }
}

/// The folder of a generation is not that of its model.
fn expect_model(folder: &Path) -> Result<()> {
    let model = folder.join("model");
    if !folder.join("config.json").exists() && model.join("config.json").exists() {
        bail!(
            "the folder {} has no config.json: it is that of a generation, and its model is {}",
            folder.display(),
            model.display()
        );
    }
    Ok(())
}

/// The file that is being received.
struct Download {
    file: String,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Download {
    fn start(file: String) -> Self {
        let bar = log::is_terminal().then(|| {
            let bar = log::BARS.add(ProgressBar::new(0));
            // a wrong template would only cost the bar's looks
            if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {bytes}/{total_bytes} {eta} left") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(format!("fetching {file}"));
            bar
        });
        Self { file, bar, last_line: Instant::now() }
    }
}

fn show(download: &RefCell<Option<Download>>, progress: HubProgress) {
    match progress {
        HubProgress::Waiting { repo } => tracing::info!("{repo}: another program is fetching it; waiting"),
        HubProgress::Receiving { file, received, total } => {
            let mut current = download.borrow_mut();
            if current.as_ref().is_none_or(|download| download.file != file) {
                *current = Some(Download::start(file));
            }
            let Some(download) = current.as_mut() else { return };
            if let Some(bar) = &download.bar {
                bar.set_length(total.max(received));
                bar.set_position(received);
            } else if download.last_line.elapsed() > LINE_EVERY {
                download.last_line = Instant::now();
                tracing::info!("fetching {}: {} of {} MB", download.file, received / 1_000_000, total / 1_000_000);
            }
        }
        HubProgress::Received { file } => {
            if let Some(Download { bar: Some(bar), .. }) = download.borrow_mut().take() {
                bar.finish_and_clear();
            }
            tracing::info!("fetched {file}");
        }
        _ => {}
    }
}
