//! The files of a report as they are written: a table three ways, a figure three ways, the page. It knows folders and extensions and
//! nothing of what the files are about.

use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::Result;
use crate::figure::Figure;
use crate::table::Table;

pub(super) struct Files<'a> {
    out: &'a Path,
    written: Vec<PathBuf>,
}

impl<'a> Files<'a> {
    pub(super) fn below(out: &'a Path) -> Files<'a> {
        Files { out, written: Vec::new() }
    }

    pub(super) fn written(self) -> Vec<PathBuf> {
        self.written
    }

    pub(super) fn csv(&mut self, stem: &str, table: &Table) -> Result<()> {
        let path = self.place(&format!("{stem}.csv"))?;
        table.write_csv(&path)?;
        self.written.push(path);
        Ok(())
    }

    /// A table for programs, for readers of Markdown and for LaTeX; `notes` stand beneath it for the latter two.
    pub(super) fn table(&mut self, stem: &str, table: &Table, notes: &[String]) -> Result<()> {
        self.csv(&format!("tables/{stem}"), table)?;
        for (extension, text) in [("md", table.markdown_with(notes)), ("tex", table.latex_with(notes))] {
            let path = self.place(&format!("tables/{stem}.{extension}"))?;
            self.replace(path, &text)?;
        }
        Ok(())
    }

    pub(super) fn figure(&mut self, stem: &str, figure: &Figure) -> Result<()> {
        let path = self.place(&format!("figures/{stem}"))?;
        self.written.extend(figure.save(&path)?);
        Ok(())
    }

    pub(super) fn page(&mut self, name: &str, html: &str) -> Result<()> {
        let path = self.place(name)?;
        self.replace(path, html)
    }

    fn replace(&mut self, path: PathBuf, text: &str) -> Result<()> {
        durable::replace(&path, text.as_bytes())?;
        self.written.push(path);
        Ok(())
    }

    /// The path of `name` in the report, its folder made.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.out.join(name);
        if let Some(folder) = path.parent() {
            durable::create_dir(folder)?;
        }
        Ok(path)
    }
}
