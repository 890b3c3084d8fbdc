//! `sigma-exp status`: how far a run is, from its records.

use std::path::Path;

use anyhow::Result;
use sigma_report::Run;

use super::print;
use crate::results;

pub fn execute(dir: &Path) -> Result<()> {
    let run = Run::open(dir)?;
    let state = match run.records.len() {
        done if done as u32 > run.manifest.generations => "complete".to_string(),
        0 => "no generation is complete yet".to_string(),
        done => format!("complete up to generation {} of {}", done - 1, run.manifest.generations),
    };
    print(&format!("{} ({}): {state}\n", run.manifest.name, run.manifest.setting.title()))?;
    print(&results::table(&run.manifest, &run.records))
}
