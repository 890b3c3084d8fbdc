//! `stopped.json`: why the generation after the last complete one could not be made, where its numbers were the reason.
//! It lies in the run's folder until the run is started again. It holds no numbers of its own.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{ReportError, Result};
use crate::json_file;
use crate::run_files;

/// Version of the fields below; raised with every change of them.
pub const SCHEMA: u32 = 1;

/// Name of the file in a run's folder.
pub const FILE_NAME: &str = "stopped.json";

const NOUN: &str = "reason why a run stopped";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The one that was not finished.
    pub generation: u32,
    /// What `metrics.csv` says in its row: `loss_not_finite`, `loss_scale_collapsed`, ...
    pub flag: String,
    /// The same for people, with the remedy.
    pub message: String,
}

impl Stopped {
    /// The one of the run folder `dir`, if there is any.
    pub fn of(dir: &Path) -> Result<Option<Stopped>> {
        let path = dir.join(FILE_NAME);
        if !path.try_exists().map_err(ReportError::read(&path))? {
            return Ok(None);
        }
        json_file::read(&path, NOUN, SCHEMA).map(Some)
    }

    /// Leaves it in the run folder `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        json_file::write(&dir.join(FILE_NAME), NOUN, self)
    }

    /// Removes the one of the run folder `dir`; whether there was any.
    pub fn forget(dir: &Path) -> Result<bool> {
        let path = dir.join(FILE_NAME);
        run_files::remove_file(&path)
    }
}
