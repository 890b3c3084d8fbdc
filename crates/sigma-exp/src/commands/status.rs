//! `sigma-exp status`: how far a run or a sweep is, from its records.

use std::path::Path;

use anyhow::Result;
use sigma_report::Run;

use super::print;
use crate::results;
use crate::run_folder::RunFolder;
use crate::sweep::folder::SweepFolder;
use crate::sweep::{slurm, table};

pub fn execute(dir: &Path) -> Result<()> {
    if SweepFolder::is_one(dir) {
        let folder = SweepFolder::open(dir)?;
        let jobs = slurm::states(&folder)?;
        return print(&table::table(&folder, &|run| jobs.get(run).cloned())?);
    }
    let run = Run::open(dir)?;
    let state = match run.records.len() {
        done if done as u32 > run.manifest.generations => "complete".to_string(),
        0 => "no generation is complete yet".to_string(),
        done => format!("complete up to generation {} of {}", done - 1, run.manifest.generations),
    };
    let holder = RunFolder::holder(dir).map_or(String::new(), |holder| format!(", in use by {holder}"));
    print(&format!("{} ({}): {state}{holder}\n", run.manifest.name, run.manifest.setting.title()))?;
    print(&results::table(&run.manifest, &run.records))
}
