//! `sigma-exp report`: tables, figures and a page from run folders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use sigma_data::TextFile;
use sigma_data::prompts::read_prompts;
use sigma_report::{Broken, Published, ReportOptions, Run, run_files, write_report_with};

use super::print;
use crate::layout::CONFIG;
use crate::sweep::folder::SweepFolder;
use crate::{cli, spec, yaml};

pub fn execute(arguments: &cli::Report) -> Result<()> {
    let (runs, control) = (opened(&folders(&arguments.dirs)?)?, opened(&folders(&arguments.control)?)?);
    let out = match (&arguments.out, &arguments.dirs[..]) {
        (Some(out), _) => out.clone(),
        (None, [dir]) => dir.join("report"),
        (None, _) => bail!("a report on several runs needs --out DIR"),
    };
    let prefix = match (&arguments.prefix, runs.first()) {
        (Some(prefix), _) => prefix.clone(),
        (None, Some(_))
            if let [dir] = &arguments.dirs[..]
                && SweepFolder::is_one(dir) =>
        {
            SweepFolder::open(dir)?.name().to_string()
        }
        (None, Some(run)) => run.manifest.domain.clone(),
        (None, None) => bail!("{}: no run of this sweep has finished a generation yet", out.display()),
    };
    let published = if arguments.paper { Some(Published::bundled()?) } else { None };
    let prompts = runs.iter().flat_map(prompts).collect();
    let files = write_report_with(&runs, &out, &ReportOptions { prefix, published, prompts, control })?;
    if arguments.paper {
        let table = files.iter().find(|file| file.to_string_lossy().ends_with("_published.md"));
        if let Some(path) = table {
            let text = run_files::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            print(&format!("{text}\n"))?;
        }
    }
    tracing::info!("{} files of tables and figures in {}", files.len(), out.display());
    print(&format!("{}\n", out.join("index.html").display()))
}

/// The run folders that `dirs` name, those of a sweep one by one.
fn folders(dirs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for dir in dirs {
        match SweepFolder::is_one(dir) {
            true => folders.extend(SweepFolder::open(dir)?.measured()),
            false => folders.push(dir.clone()),
        }
    }
    Ok(folders)
}

/// The runs in `folders` as far as they are what the program wrote; what is left out of several is said, and why.
pub fn opened(folders: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut refused = None;
    for folder in folders {
        match Run::open(folder) {
            Ok(run) => runs.push(run),
            Err(error) => {
                tracing::warn!("{error}");
                refused = refused.or(Some(error));
            }
        }
    }
    for run in runs.iter().filter(|run| !run.chained) {
        tracing::warn!(
            "{}: an earlier version wrote it; its records are not chained, so a changed number would not be noticed",
            run.dir.display()
        );
    }
    for (run, Broken { generation, what }) in runs.iter().filter_map(|run| Some((run, run.left_out.first()?))) {
        let from = generation.unwrap_or(0);
        tracing::warn!("{}: generations from {from} on are left out: {what}", run.dir.display());
    }
    match refused {
        Some(error) if runs.is_empty() => Err(error.into()),
        _ => Ok(runs),
    }
}

/// The texts of a run's prompts by id, if its bank is still where the run found it; the page does without otherwise.
pub fn prompts(run: &Run) -> BTreeMap<String, String> {
    let read = || -> Option<BTreeMap<String, String>> {
        let section = yaml::load::<spec::Experiment>(&run.dir.join(CONFIG), &[]).ok()?.prompts;
        let TextFile::Local(path) = section.text_file().ok()? else { return None };
        let bank = read_prompts(&path, &section).ok()?;
        Some(bank.into_iter().map(|prompt| (prompt.id, prompt.text)).collect())
    };
    read().unwrap_or_default()
}
