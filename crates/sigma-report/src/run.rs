//! A run folder as a whole: config text, manifest, and the records of all complete generations in order. Opening one
//! trusts nothing: a gap, a damaged record or a record of another run is an error that names the file, and generations
//! from the first record on that was changed by hand are left out. It does not verify the files that records list.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::chain::{self, Broken};
use crate::error::{ReportError, Result};
use crate::legacy;
use crate::manifest::{self, Manifest};
use crate::record::{self, Record, SigmaNumbers, inconsistent};
use crate::run_files;
use crate::series::RunSeries;

/// Name of the resolved config in a run's folder.
pub const CONFIG_FILE_NAME: &str = "config.yaml";

/// What a run folder says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub dir: PathBuf,
    /// The resolved config as written, for people to read.
    pub config: String,
    pub manifest: Manifest,
    /// `records[t].generation == t`; empty before the first checkpoint is done.
    pub records: Vec<Record>,
    /// Why generations after them were left out; empty if none was.
    pub left_out: Vec<Broken>,
    /// Whether the records hold each other's hashes. Those of an earlier format do not: they can be read, and not
    /// resumed.
    pub chained: bool,
}

/// Name of a generation's folder: `gen-007`.
pub fn generation_dir_name(generation: u32) -> String {
    format!("gen-{generation:03}")
}

impl Run {
    /// Reads a run folder. A last generation folder without a record is an interrupted one and is left out.
    ///
    /// # Errors
    /// If a file cannot be read or is not this run's, or if generation 0 or the manifest was changed by hand, so that
    /// nothing is left.
    pub fn open(dir: &Path) -> Result<Run> {
        Run::expect(dir)?;
        let config_path = dir.join(CONFIG_FILE_NAME);
        let config = run_files::read_to_string(&config_path).map_err(ReportError::read(&config_path))?;
        let manifest_path = dir.join(manifest::FILE_NAME);
        let legacy = legacy::manifest(&manifest_path, &config)?;
        let chained = legacy.is_none();
        let manifest = legacy.map_or_else(|| Manifest::read(&manifest_path), Ok)?;
        if chained && chain::hash_of(config.as_bytes()) != manifest.config_hash {
            let what = format!("{CONFIG_FILE_NAME} is not the one that {} was written with", manifest::FILE_NAME);
            return Err(ReportError::Changed { dir: dir.to_path_buf(), what });
        }
        let mut hashed = BTreeMap::new();
        for (expected, generation) in (0..).zip(complete_generations(dir)?) {
            let path = record_path(dir, generation);
            if generation != expected {
                return Err(ReportError::Gap { missing: record_path(dir, expected), later: path });
            }
            let read = if chained { Record::read_hashed(&path)? } else { legacy::record(&path, &manifest)? };
            check_belongs(&read.record, &path, generation, &manifest)?;
            hashed.insert(generation, read);
        }
        let left_out = if chained { chain::broken(&manifest, &hashed) } else { Vec::new() };
        let good = left_out.iter().map(|broken| broken.generation.unwrap_or(0)).min().unwrap_or(u32::MAX);
        if let (0, Some(Broken { what, .. })) = (good, left_out.first()) {
            return Err(ReportError::Changed { dir: dir.to_path_buf(), what: what.clone() });
        }
        let records: Vec<Record> = hashed.into_values().map(|read| read.record).take(good as usize).collect();
        for record in &records {
            check_comparable(records.first(), record, &record_path(dir, record.generation))?;
        }
        Ok(Run { dir: dir.to_path_buf(), config, manifest, records, left_out, chained })
    }

    /// Whether the records of the run in `dir` hold each other's hashes; only its manifest is read.
    ///
    /// # Errors
    /// If that is none.
    pub fn is_chained(dir: &Path) -> Result<bool> {
        Ok(!legacy::is_manifest(&dir.join(manifest::FILE_NAME))?)
    }

    /// Refuses a folder that is not a run's at all, rather than one that is damaged.
    pub fn expect(dir: &Path) -> Result<()> {
        let not_a_run = |problem| Err(ReportError::NotARun { dir: dir.to_path_buf(), problem });
        if !fs::metadata(dir).map_err(ReportError::read(dir))?.is_dir() {
            return not_a_run("it is not a folder");
        }
        if [CONFIG_FILE_NAME, manifest::FILE_NAME].iter().all(|name| !dir.join(name).exists()) {
            return not_a_run("it has no manifest.json");
        }
        Ok(())
    }

    /// The run's measurements over generations, with drifts against t = 0.
    pub fn series(&self) -> RunSeries {
        RunSeries::new(&self.manifest, &self.records)
    }
}

fn record_path(dir: &Path, generation: u32) -> PathBuf {
    dir.join(generation_dir_name(generation)).join(record::FILE_NAME)
}

/// The numbers of all generation folders that hold a record, ascending.
fn complete_generations(dir: &Path) -> Result<Vec<u32>> {
    let mut generations = Vec::new();
    for entry in fs::read_dir(dir).map_err(ReportError::read(dir))? {
        let name = entry.map_err(ReportError::read(dir))?.file_name();
        let Some(generation) = name.to_str().and_then(generation_of_dir_name) else { continue };
        if record_path(dir, generation).try_exists().map_err(ReportError::read(dir))? {
            generations.push(generation);
        }
    }
    generations.sort_unstable();
    Ok(generations)
}

/// The generation whose folder has this name. Only the exact spelling counts: `gen-7` or `gen-007.tmp` is somebody
/// else's folder.
pub fn generation_of_dir_name(name: &str) -> Option<u32> {
    let generation = name.strip_prefix("gen-")?.parse().ok()?;
    (generation_dir_name(generation) == name).then_some(generation)
}

fn check_belongs(record: &Record, path: &Path, generation: u32, manifest: &Manifest) -> Result<()> {
    if record.generation != generation {
        return Err(inconsistent(path, "generation", generation, record.generation));
    }
    if record.setting != manifest.setting {
        return Err(inconsistent(path, "setting", manifest.setting.name(), record.setting.name()));
    }
    Ok(())
}

/// A drift is a difference of log-determinants: it means something only between spaces of one width under one
/// regularisation.
fn check_comparable(first: Option<&Record>, record: &Record, path: &Path) -> Result<()> {
    let (Some(first), Some(sigma)) = (first.and_then(|first| first.sigma.as_ref()), record.sigma.as_ref()) else {
        return Ok(());
    };
    let SigmaNumbers { d, delta, rho, .. } = *first;
    if sigma.d != d {
        return Err(inconsistent(path, "sigma.d", format!("{d} as at t = 0"), sigma.d));
    }
    if sigma.delta != delta {
        return Err(inconsistent(path, "sigma.delta", format!("{delta} as at t = 0"), sigma.delta));
    }
    if sigma.rho != rho {
        return Err(inconsistent(path, "sigma.rho", format!("{rho} as at t = 0"), sigma.rho));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_go_back_to_their_generation_and_nothing_else_does() {
        for generation in [0, 7, 50, 999, 1000, 123_456] {
            assert_eq!(generation_of_dir_name(&generation_dir_name(generation)), Some(generation));
        }
        for name in ["gen-7", "gen-0007", "gen-007.tmp", "gen-+07", "gen-", "generation-007", ".gen-007"] {
            assert_eq!(generation_of_dir_name(name), None, "{name}");
        }
    }
}
