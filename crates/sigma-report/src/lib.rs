//! What a run leaves behind, and what is made of it: typed records in a run folder first, then tables, figures and a
//! report from the records alone. It knows no model, device or command line. All text is in memory before a file is
//! touched, and every file appears whole or not at all.
//!
//! Modules, in reading order:
//! - [`record`], `numbers`: `gen-NNN/record.json`, everything about one checkpoint;
//! - [`manifest`]: `manifest.json`, what the run is and what made it;
//! - [`stopped`]: `stopped.json`, why the next checkpoint could not be made;
//! - [`chain`]: whether records and manifest are still those that the program wrote;
//! - [`run`]: a run folder, opened and checked;
//! - [`series`]: its measurements over generations, with drifts against t = 0;
//! - [`summary`]: final drifts, slopes, track agreement, correlations with the proxies;
//! - `diagnostics`: what else a record says of its answers, and where collapse moves it;
//! - [`metrics_csv`]: `metrics.csv`, `buckets.csv`, `timings.csv`, `noise_floor.csv`;
//! - [`flags`]: what the flags of records mean, in words;
//! - [`arithmetic`]: where program, machine, device or precision change inside a run;
//! - `verdict`: which signals left the noise of the base, and which came first;
//! - [`terminal`]: the short table at the end of a run;
//! - `condition`, `names`: runs that differ in their seed alone as one, with intervals; what they are called;
//! - `floors`: how far a signal moves when the base is evaluated again;
//! - `control`: runs on real text only, to compare with;
//! - `buckets`: the same measurements within prompt buckets;
//! - `alpha`: conditions over the real fraction;
//! - `spectrum`: the eigenvalues of a run over generations;
//! - `config_keys`: a config as flat lines;
//! - [`published`], [`published_rows`], `published_difference`: what the paper printed, to stand beside; how many rows it was measured
//!   on; in what a run is another experiment;
//! - `paper_tables`, `summary_tables`, `bucket_tables`, `published_tables`, `onset_tables`, `alpha_tables`, `control_tables`, `spectrum_tables`,
//!   `repro_tables`: what tables hold, over `table`: one value as CSV, Markdown, LaTeX and HTML;
//! - [`figure`]: two tracks, surface proxies, buckets, measured beside published, drifts over the real fraction, spectra, each as SVG,
//!   PDF and PNG;
//! - `page`, `page_tables`: everything in one HTML file to look at;
//! - [`report`]: which files a report has, under the paper's names;
//! - [`run_files`]: every write and delete below the folder of a run, a sweep or a report;
//! - `json_file`, `exact_float`: how numbers are kept to the last bit;
//! - `error`: everything that can go wrong.
//!
//! ```text
//! record.write(&dir.join("gen-003.tmp").join(record::FILE_NAME))?;   // last, then rename the folder
//! let run = Run::open(&dir)?;
//! write_metrics(&dir, &run.records)?;
//! eprint!("{}", run_table(&run.manifest, &run.records));
//! write_report(&[run], &dir.join("report"), "fin")?;
//! let options = ReportOptions { published: Some(Published::bundled()?), ..ReportOptions::new("fin") };
//! write_report_with(&runs, &out, &options)?;
//! ```

mod numbers;
pub mod record;

pub mod chain;
pub mod manifest;
pub mod stopped;

mod legacy;
pub mod shown;

pub mod run;
pub mod series;
pub mod summary;

pub mod arithmetic;
pub mod flags;
pub mod metrics_csv;
pub mod terminal;

mod alpha;
mod buckets;
mod condition;
mod config_keys;
mod control;
mod control_repeats;
mod diagnostics;
mod floors;
mod names;
mod spectrum;
mod verdict;

pub mod published;
mod published_difference;
pub mod published_rows;

mod alpha_tables;
mod bucket_tables;
mod control_tables;
mod onset_tables;
mod paper_tables;
mod published_tables;
mod repro_tables;
mod spectrum_tables;
mod summary_tables;
mod table;

pub mod figure;
mod page;
mod page_tables;

pub mod report;

mod exact_float;
mod json_file;
pub mod run_files;

mod error;

pub use arithmetic::{ArithmeticChange, arithmetic_changes};
pub use chain::Broken;
pub use error::{ReportError, Result};
pub use figure::Figure;
pub use json_file::write as write_json;
pub use manifest::Manifest;
pub use metrics_csv::{read_buckets, read_metrics, read_noise_floor, read_timings, stale_metrics, write_metrics};
pub use published::Published;
pub use record::{
    BucketNumbers, DiversityNumbers, FileEntry, HashedRecord, NoisePoint, PerplexityNumbers, Record, Setting,
    SigmaNumbers, SurfaceNumbers,
};
pub use report::{ReportOptions, write_page, write_report, write_report_with};
pub use run::{Run, generation_dir_name, generation_of_dir_name};
pub use series::{Behind, NormalisedPoint, RunSeries, SeriesPoint};
pub use stopped::Stopped;
pub use summary::{Agreement, ProxySummary, RunSummary};
pub use table::CsvTable;
pub use terminal::run_table;
