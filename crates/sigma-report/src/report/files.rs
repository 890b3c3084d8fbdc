//! The files of a report: a table three ways, a figure three ways, the page. All are made before the first is written,
//! and `files.json` lists them before they appear, so that a later report replaces what this program wrote and nothing
//! else. It knows folders and extensions and nothing of what the files are about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{ReportError, Result};
use crate::figure::Figure;
use crate::json_file;
use crate::run_files;
use crate::table::Table;

/// Name of the list in a report's folder.
pub const LIST_FILE_NAME: &str = "files.json";
const NOUN: &str = "list of a report's files";
const SCHEMA: u32 = 1;

/// `files.json`
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    schema: u32,
    files: BTreeSet<String>,
}

impl List {
    /// The one in `folder`; an empty one where there is none.
    fn of(folder: &Path) -> Result<List> {
        let path = folder.join(LIST_FILE_NAME);
        if !run_files::exists(&path) {
            return Ok(List { schema: SCHEMA, ..List::default() });
        }
        json_file::read(&path, NOUN, SCHEMA)
    }
}

/// Refuses a folder whose list of a report's files cannot be read: which of its files a report wrote, nothing else
/// says.
///
/// # Errors
/// If there is a list and it cannot be read.
pub fn check_report(folder: &Path) -> Result<()> {
    List::of(folder).map(drop)
}

/// Removes the files of a report from `folder`, and the folder where nothing else is in it; whether it is gone.
///
/// # Errors
/// If the list of its files cannot be read; nothing is removed then.
pub fn remove_report(folder: &Path) -> Result<bool> {
    let list = List::of(folder)?;
    run_files::remove_listed(folder, list.files.iter().map(String::as_str).chain([LIST_FILE_NAME]))
}

pub(super) struct Files<'a> {
    out: &'a Path,
    made: BTreeMap<String, Vec<u8>>,
}

impl<'a> Files<'a> {
    pub(super) fn below(out: &'a Path) -> Files<'a> {
        Files { out, made: BTreeMap::new() }
    }

    /// Writes all of them; their paths.
    ///
    /// # Errors
    /// Nothing is written where one of them would replace a file that no report wrote, or lie behind a link.
    pub(super) fn write(self) -> Result<Vec<PathBuf>> {
        let mut list = List::of(self.out)?;
        for name in self.made.keys() {
            let path = self.out.join(name);
            let above = path.ancestors().skip(1).take_while(|above| above.starts_with(self.out) && *above != self.out);
            let taken = above.into_iter().find(|above| run_files::exists(above) && !run_files::is_real_dir(above));
            let taken = taken.or_else(|| (run_files::exists(&path) && !list.files.contains(name)).then_some(&path));
            if let Some(path) = taken {
                return Err(ReportError::NotOurs { path: path.to_path_buf() });
            }
        }
        run_files::create_dir(self.out)?;
        let known = list.files.len();
        list.files.extend(self.made.keys().cloned());
        if list.files.len() > known {
            json_file::write(&self.out.join(LIST_FILE_NAME), NOUN, &list)?;
        }
        let mut written = Vec::new();
        for (name, bytes) in self.made {
            let path = self.out.join(name);
            if let Some(folder) = path.parent() {
                run_files::create_dir(folder)?;
            }
            run_files::replace(&path, &bytes)?;
            written.push(path);
        }
        Ok(written)
    }

    pub(super) fn csv(&mut self, stem: &str, table: &Table) -> Result<()> {
        let name = format!("{stem}.csv");
        let bytes = table.csv(&self.out.join(&name))?;
        self.made.insert(name, bytes);
        Ok(())
    }

    /// A table for programs, for readers of Markdown and for LaTeX; `notes` stand beneath it for the latter two.
    pub(super) fn table(&mut self, stem: &str, table: &Table, notes: &[String]) -> Result<()> {
        self.csv(&format!("tables/{stem}"), table)?;
        for (extension, text) in [("md", table.markdown_with(notes)), ("tex", table.latex_with(notes))] {
            self.made.insert(format!("tables/{stem}.{extension}"), text.into_bytes());
        }
        Ok(())
    }

    pub(super) fn figure(&mut self, stem: &str, figure: &Figure) -> Result<()> {
        let stem = format!("figures/{stem}");
        for (extension, bytes) in figure.render(&self.out.join(&stem))? {
            self.made.insert(format!("{stem}.{extension}"), bytes);
        }
        Ok(())
    }

    pub(super) fn page(&mut self, name: &str, html: String) {
        self.made.insert(name.to_owned(), html.into_bytes());
    }
}
