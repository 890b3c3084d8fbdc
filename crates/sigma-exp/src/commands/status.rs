//! `sigma-exp status`: how far a run or a sweep is, from its records.

use std::path::Path;

use anyhow::{Result, bail};
use sigma_report::{Broken, Run, Stopped, arithmetic_changes};

use super::print;
use crate::diagnostics::CheckFailed;
use crate::integrity;
use crate::recompute::NOT_RECOMPUTED;
use crate::results;
use crate::run_folder::RunFolder;
use crate::sweep::folder::SweepFolder;
use crate::sweep::{slurm, table};

const NOT_CHAINED: &str = "note: an earlier version wrote this run; its records are not chained, so a changed number would not be noticed, and it cannot be resumed\n";

pub fn execute(dir: &Path, verify: bool) -> Result<()> {
    if verify {
        return verified(dir);
    }
    if SweepFolder::is_one(dir) {
        let folder = SweepFolder::open(dir)?;
        let jobs = slurm::states(&folder)?;
        return print(&table::table(&folder, &|run| jobs.get(run).cloned())?);
    }
    let run = Run::open(dir)?;
    if !run.chained {
        print(NOT_CHAINED)?;
    }
    for Broken { generation, what } in &run.left_out {
        let of = generation.map_or(String::new(), |generation| format!("generation {generation}: "));
        print(&format!("left out from here on: {of}{what}; the next `sigma-exp run` makes it again\n"))?;
    }
    let state = match run.records.len() {
        done if done as u32 > run.manifest.generations => "complete".to_string(),
        0 => "no generation is complete yet".to_string(),
        done => format!("complete up to generation {} of {}", done - 1, run.manifest.generations),
    };
    let holder = RunFolder::holder(dir).map_or(String::new(), |holder| format!(", in use by {holder}"));
    print(&format!("{} ({}): {state}{holder}\n", run.manifest.name, run.manifest.setting.title()))?;
    if let Some(Stopped { generation, message, .. }) = Stopped::of(dir)? {
        print(&format!("generation {generation} could not be made: {message}\n"))?;
    }
    for change in arithmetic_changes(&run.records) {
        print(&format!("note: {change}\n"))?;
    }
    print(&results::table(&run.manifest, &run.records))
}

/// Reads every file of a run, or of all runs of a sweep, and names what is damaged.
fn verified(dir: &Path) -> Result<()> {
    let runs = if SweepFolder::is_one(dir) {
        let folder = SweepFolder::open(dir)?;
        folder.runs().iter().map(|run| folder.run(run)).filter(|run| run.exists()).collect()
    } else {
        Run::expect(dir)?;
        vec![dir.to_path_buf()]
    };
    let mut damaged = 0;
    for run in &runs {
        if Run::is_chained(run).is_ok_and(|chained| !chained) {
            bail!(
                "{}: an earlier version wrote it; its records are not chained, so nothing of it can be verified",
                run.display()
            );
        }
        let integrity::Verified { damages, notes } = integrity::verify(run)?;
        for integrity::Damage { generation, what } in &damages {
            let of = generation.map_or(String::new(), |generation| format!("generation {generation}: "));
            print(&format!("{}: {of}{what}\n", run.display()))?;
        }
        for note in &notes {
            print(&format!("{}: note: {note}\n", run.display()))?;
        }
        print(&format!("{}: not recomputed: {NOT_RECOMPUTED}\n", run.display()))?;
        if damages.is_empty() && notes.is_empty() {
            print(&format!("{}: every file is as it was written, and so is every other number\n", run.display()))?;
        } else if damages.is_empty() {
            print(&format!("{}: every other file is as it was written\n", run.display()))?;
        }
        damaged += damages.len();
    }
    if damaged > 0 {
        bail!(CheckFailed(format!(
            "{damaged} damaged: `sigma-exp run` on the same folder sets aside what cannot be used and makes it again"
        )));
    }
    Ok(())
}
