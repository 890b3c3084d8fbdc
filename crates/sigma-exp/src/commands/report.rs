//! `sigma-exp report`: tables and figures from run folders.

use anyhow::{Result, bail};
use sigma_report::{Run, write_report};

use super::print;
use crate::cli;

pub fn execute(arguments: &cli::Report) -> Result<()> {
    let runs = arguments.dirs.iter().map(|dir| Ok(Run::open(dir)?)).collect::<Result<Vec<_>>>()?;
    let out = match (&arguments.out, &arguments.dirs[..]) {
        (Some(out), _) => out.clone(),
        (None, [dir]) => dir.join("report"),
        (None, _) => bail!("a report on several runs needs --out DIR"),
    };
    let prefix = match (&arguments.prefix, runs.first()) {
        (Some(prefix), _) => prefix.clone(),
        (None, Some(run)) => run.manifest.domain.clone(),
        (None, None) => bail!("a report needs at least one run folder"),
    };
    let files = write_report(&runs, &out, &prefix)?;
    let list: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    print(&list)
}
