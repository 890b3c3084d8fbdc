//! Where a single command writes its result: nothing of the user's is overwritten unasked, and a result is there whole
//! or not at all. What the result is, it does not know.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sigma_data::regular_file;

use crate::whole_folder;

/// The weights of a model folder, whose presence says that it is complete.
const WEIGHTS: &str = "model.safetensors";

/// A file that a command will write.
#[derive(Debug)]
pub(super) struct Output {
    /// As the user calls it.
    name: PathBuf,
    /// What is replaced: behind a link, what it points to.
    target: PathBuf,
    force: bool,
    /// A device or a pipe takes bytes as they come.
    direct: bool,
}

impl Output {
    /// Refuses what is there already, unless `force` says that it may go, and a place that cannot be written; called
    /// before anything is computed.
    pub(super) fn new(name: &Path, force: bool) -> Result<Self> {
        let shown = name.display();
        let output = |target: PathBuf, direct| Self { name: name.to_path_buf(), target, force, direct };
        let there = fs::metadata(name).ok();
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            bail!("{shown} is a folder; --out names a file");
        }
        if regular_file::is_descriptor(name) || there.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            return Ok(output(name.to_path_buf(), true));
        }
        let output = match fs::read_link(name) {
            Ok(points) if !force => bail!(
                "{shown} is a symbolic link to {}; choose another --out, or overwrite that file with --force",
                points.display()
            ),
            Ok(_) => {
                let target = fs::canonicalize(name);
                output(target.with_context(|| format!("{shown} is a symbolic link that cannot be followed"))?, false)
            }
            Err(_) if there.is_some() && !force => {
                bail!("{shown} exists already; choose another --out, or overwrite it with --force")
            }
            Err(_) => output(name.to_path_buf(), false),
        };
        let partial = output.partial()?;
        // better known now than after an hour
        fs::File::create_new(&partial).and_then(|_| fs::remove_file(&partial)).with_context(|| output.unwritten())?;
        Ok(output)
    }

    /// Calls `write` with the name of a file beside the result, which it then becomes.
    pub(super) fn write<E>(&self, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<()>
    where
        Result<(), E>: Context<(), E>,
    {
        if self.direct {
            return write(&self.target).with_context(|| self.unwritten());
        }
        let partial = self.partial()?;
        write(&partial).with_context(|| self.unwritten()).inspect_err(|_| {
            // what could not be written is of no use, and neither is the news that it cannot be removed
            let _ = fs::remove_file(&partial);
        })?;
        match fs::symlink_metadata(&self.target) {
            Ok(_) if !self.force => bail!(
                "{} has appeared while this was computed; the result is in {}",
                self.name.display(),
                partial.display()
            ),
            Ok(there) => fs::set_permissions(&partial, there.permissions()).with_context(|| self.unwritten())?,
            Err(_) => {}
        }
        fs::rename(&partial, &self.target).with_context(|| self.unwritten())
    }

    fn partial(&self) -> Result<PathBuf> {
        match self.target.file_name() {
            Some(_) => Ok(self.target.with_file_name(partial_name())),
            None => bail!("{} is no name of a file", self.name.display()),
        }
    }

    fn unwritten(&self) -> String {
        format!("{} cannot be written", self.name.display())
    }
}

/// A folder that a command will write a model to.
#[derive(Debug)]
pub(super) struct ModelFolder {
    path: PathBuf,
}

impl ModelFolder {
    /// Refuses a folder that holds a model already, unless `force` says that it may go; called before anything is
    /// computed.
    pub(super) fn new(path: &Path, force: bool) -> Result<Self> {
        let shown = path.display();
        match fs::metadata(path) {
            Ok(there) if !there.is_dir() => bail!("{shown} is a file; --out names a folder"),
            Err(error) if error.kind() == ErrorKind::NotFound && fs::read_link(path).is_ok() => {
                bail!("{shown} is a symbolic link to a folder that does not exist; make it, or choose another --out")
            }
            _ => {}
        }
        if fs::symlink_metadata(path.join(WEIGHTS)).is_ok() && !force {
            bail!("{shown} holds a model already; choose another --out, or overwrite it with --force");
        }
        Ok(Self { path: path.to_path_buf() })
    }

    /// Calls `write` with an empty folder, whose files the result then has.
    pub(super) fn write(&self, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let unmade = || format!("{} cannot be made", self.path.display());
        let there = self.path.is_dir();
        let partial = if there {
            self.path.join(partial_name())
        } else {
            let parent = self.path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
            fs::create_dir_all(parent).with_context(unmade)?;
            parent.join(partial_name())
        };
        fs::create_dir(&partial).with_context(unmade)?;
        let appear = || {
            write(&partial)?;
            if there { self.take(&partial) } else { whole_folder::appear(&partial, &self.path) }
        };
        appear().inspect_err(|_| {
            // what is not whole is of no use, and neither is the news that it cannot be removed
            let _ = fs::remove_dir_all(&partial);
        })
    }

    /// Moves every file of `partial` here. An earlier model's weights go first and the new ones come last, so that no
    /// two are mixed.
    fn take(&self, partial: &Path) -> Result<()> {
        whole_folder::flush(partial)?;
        let unwritten = |path: &Path| format!("{} cannot be written", path.display());
        let weights = self.path.join(WEIGHTS);
        if fs::symlink_metadata(&weights).is_ok() {
            fs::remove_file(&weights).with_context(|| unwritten(&weights))?;
        }
        let entries = fs::read_dir(partial).with_context(|| format!("{} cannot be read", partial.display()))?;
        let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        names.sort_by_key(|name| name == OsStr::new(WEIGHTS));
        for name in names {
            let path = self.path.join(&name);
            fs::rename(partial.join(&name), &path).with_context(|| unwritten(&path))?;
        }
        fs::remove_dir(partial).with_context(|| format!("{} cannot be removed", partial.display()))?;
        whole_folder::sync(&self.path)
    }
}

/// Of a file or folder that is not complete; no other process uses it.
fn partial_name() -> String {
    format!(".sigma-exp-{}.partial", std::process::id())
}
