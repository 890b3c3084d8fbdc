//! Everything that can go wrong between a run folder and a report. A variant names the file, what was expected and what
//! was found, and says what to do; the underlying cause stays reachable through `source()`.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = ReportError> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("cannot write {}; nothing at that path was changed", path.display())]
    Write { path: PathBuf, source: io::Error },

    #[error("{}:{}:{}: this is no {expected}; restore the file, or delete it and run again", path.display(), source.line(), source.column())]
    Json { path: PathBuf, expected: &'static str, source: serde_json::Error },

    #[error("{}: schema {got}, but this program reads schema {expected}; use the version that wrote it, or start the run afresh", path.display())]
    Schema { path: PathBuf, expected: u32, got: u32 },

    #[error("{}: `{field}` is {got}, expected {expected}; the file does not belong here or was edited, restore it or start the run afresh", path.display())]
    Inconsistent { path: PathBuf, field: &'static str, expected: String, got: String },

    #[error("{} is no run folder ({problem}); name a folder that `sigma-exp run` has made", dir.display())]
    NotARun { dir: PathBuf, problem: &'static str },

    #[error("{} is missing although {} exists; restore it, or delete the later generations and go on from the gap", missing.display(), later.display())]
    Gap { missing: PathBuf, later: PathBuf },

    #[error("{} is left out: {what}; `sigma-exp status --verify` names all that has changed, and `sigma-exp run` makes it again", dir.display())]
    Changed { dir: PathBuf, what: String },

    #[error("{} has no finished generation; let the run finish its first checkpoint, then report again", dir.display())]
    EmptyRun { dir: PathBuf },

    #[error("{} is there already, and no report wrote it; move it away, or choose another folder for the report", path.display())]
    NotOurs { path: PathBuf },

    #[error("there is no run to report; name at least one run folder")]
    NoRuns,

    #[error("{} and {} are the same experiment with the same seed {seed}, which would count twice; report one of them, or both into separate folders", first.display(), second.display())]
    RunTwice { seed: u64, first: PathBuf, second: PathBuf },

    #[error("{} and {} hold the same answers, so they are one run and not two seeds; report one of them", first.display(), second.display())]
    SameAnswers { first: PathBuf, second: PathBuf },

    #[error("{} is no control: its mixture.real_fraction is {got}, and a control chain is trained on real text only (1); name it among the runs instead", dir.display())]
    ControlAlpha { dir: PathBuf, got: String },

    #[error("{} is no control for {}: its {what} is {got} in the first and {expected} in the second, so that their drifts do not compare; run a control with the same measurement", dir.display(), judged.display())]
    ControlDiffers { dir: PathBuf, what: String, got: String, expected: String, judged: PathBuf },

    #[error("{}: not a readable config; restore the file, it is written once when a run starts", path.display())]
    Config { path: PathBuf, source: serde_yaml::Error },

    #[error("{}:{line}: this is no answer to a prompt; restore the file, or delete the generation and go on from there", path.display())]
    Answer { path: PathBuf, line: usize, source: serde_json::Error },

    #[error("the data of the page {} cannot be written as JSON; this is a defect of the program, please report it", path.display())]
    Page { path: PathBuf, source: serde_json::Error },

    #[error(
        "the {what} `{got}` becomes part of a file name; use letters, digits, `-`, `_` and `.` only, and do not start with `.`"
    )]
    Name { what: &'static str, got: String },

    #[error("{}: not a readable CSV file; restore it, or delete it if it is made from records, and write it again", path.display())]
    Csv { path: PathBuf, source: csv::Error },

    #[error("{}:1: column {position} is {got}, expected {expected}; another version wrote the file, so delete it and write it again", path.display())]
    CsvHeader { path: PathBuf, position: usize, expected: String, got: String },

    #[error("{}:{line}: `{got}` in column `{column}` is no {expected}; the file was edited, so restore it, or delete it if it is made from records, and write it again", path.display())]
    CsvCell { path: PathBuf, line: u64, column: String, expected: &'static str, got: String },

    #[error("{}: there is no column `{column}`; the file has {got}", path.display())]
    CsvColumn { path: PathBuf, column: String, got: String },

    #[error("cannot {step} the figure {}; this is a defect of the program, please report it with the run's metrics.csv", path.display())]
    Figure { step: &'static str, path: PathBuf, source: Box<dyn Error + Send + Sync> },
}

impl ReportError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_path_buf(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_path_buf(), source }
    }
}
