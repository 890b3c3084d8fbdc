//! The one module that writes and deletes in the folders of runs, sweeps and reports. It follows no link and no second
//! name of a file, so that what stands behind one stays as it is, and it deletes by name what it was told is the
//! program's. A file is replaced so that a reader, or a machine that loses power, sees the whole old one or the whole
//! new one. It does not know what is in the files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{ReportError, Result};

/// Makes `content` that of `path`: a temporary file in the same folder, fsync, rename, fsync of the folder. A link of
/// this name is replaced, not followed.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    replace_io(path, content.as_ref()).map_err(ReportError::write(path))
}

/// Where [`replace`] writes first. A fixed name, so that what a killed process left behind is overwritten and not
/// collected; one that nobody else gives to a file.
pub fn temporary(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}{TEMPORARY}", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// The name of the file that a temporary one is to replace; `None` for any other name.
pub fn replaced_by_temporary(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(TEMPORARY)
}

const TEMPORARY: &str = ".sigma-exp.tmp";

/// Makes the folder `path` with its parents.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(ReportError::write(path))
}

/// Makes the folder `path`, which must not exist in any form.
pub fn create_new_dir(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(ReportError::write(path))
}

/// Frees the name `path` for a file that another module will write there: a link goes, and what it leads to stays.
pub fn vacate(path: &Path) -> Result<PathBuf> {
    remove_file(path)?;
    Ok(path.to_path_buf())
}

/// Writes a new file; see [`vacate`]. It is not durable by itself.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(vacate(path)?, bytes).map_err(ReportError::write(path))
}

/// Removes the file or link `path`; whether there was one.
pub fn remove_file(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ReportError::write(path)(error)),
    }
}

/// Removes the files `names` of `folder`, names like `model/config.json` among them, and then every folder that they
/// leave empty, `folder` itself included. What else is there stays, and so does all that a link leads to. Whether
/// `folder` is gone.
///
/// # Errors
/// A name that leads out of `folder` is refused.
pub fn remove_listed<'a>(folder: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<bool> {
    for name in names {
        if !stays_inside(name) {
            let source = io::Error::new(ErrorKind::InvalidInput, format!("`{name}` is not the name of a file in it"));
            return Err(ReportError::write(folder)(source));
        }
        let path = folder.join(name);
        if path.ancestors().skip(1).take_while(|above| above.starts_with(folder)).all(is_real_dir)
            && !is_real_dir(&path)
        {
            remove_file(&path)?;
        }
    }
    remove_empty(folder)
}

/// Removes `folder` if there is no file in it or below it; whether it is gone.
pub fn remove_empty(folder: &Path) -> Result<bool> {
    if !is_real_dir(folder) {
        return Ok(!exists(folder));
    }
    let mut empty = true;
    for entry in fs::read_dir(folder).map_err(ReportError::read(folder))? {
        let path = entry.map_err(ReportError::read(folder))?.path();
        empty &= is_real_dir(&path) && remove_empty(&path)?;
    }
    if empty {
        fs::remove_dir(folder).map_err(ReportError::write(folder))?;
    }
    Ok(empty)
}

/// Removes the links in `folder` and below it, symbolic and hard: what is written there by name must not lead
/// elsewhere.
pub fn unlink_links(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(ReportError::read(folder))? {
        let path = entry.map_err(ReportError::read(folder))?.path();
        let found = fs::symlink_metadata(&path).map_err(ReportError::read(&path))?;
        if found.is_dir() {
            unlink_links(&path)?;
        } else if found.nlink() > 1 || !found.is_file() {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Gives what is called `from` the name `to`.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(ReportError::write(to))
}

/// Copies a file's content to a new file; see [`vacate`].
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    vacate(to)?;
    fs::copy(from, to).map(|_| ()).map_err(ReportError::write(to))
}

/// Opens the program's own file `path` for reading and writing, or makes it.
///
/// # Errors
/// A link, a file that has a second name, and what is no regular file are refused: they lead to somebody else's.
pub fn open_own(path: &Path) -> Result<File> {
    open_own_io(path).map_err(ReportError::write(path))
}

fn open_own_io(path: &Path) -> io::Result<File> {
    let refused = |what: &str| Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {what}; move it away")));
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return options.create_new(true).open(path),
        found => found?,
    };
    if found.is_symlink() {
        return refused("a link to another file");
    }
    if !found.is_file() {
        return refused("not a regular file");
    }
    if found.nlink() > 1 {
        return refused("a file that has another name elsewhere (a hard link)");
    }
    let file = options.open(path)?;
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    // it may have been exchanged in between
    if same(&found, &file.metadata()?) { Ok(file) } else { refused("being exchanged by another program") }
}

/// What a file holds. A pipe or a device in its place is refused: opening one waits until somebody writes.
///
/// # Errors
/// The system's, or that `path` is no regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file; move it away"));
    }
    fs::read(path)
}

/// The same as text.
///
/// # Errors
/// As [`read`], and for bytes that are not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let not_text = |_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(read(path)?).map_err(not_text)
}

/// Whether `path` is a folder itself, not a link to one.
pub fn is_real_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Whether there is anything of this name, be it a link that leads nowhere.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether `name`, from a file that anybody may have written, is the name of a file in a folder: not absolute, not
/// empty, without `..`.
pub fn stays_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && !name.ends_with('/') && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The same without folders.
pub fn is_plain_name(name: &str) -> bool {
    stays_inside(name) && !name.contains('/')
}

fn replace_io(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "no file name"));
    }
    let temporary = temporary(path);
    let written = new_file(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // The first error is the one to tell; a leftover is overwritten next time.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path)
}

/// A file that nothing else is called; a leftover or a link of this name goes.
fn new_file(path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).open(path);
    match create() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

/// A rename is durable only after the folder that holds the name is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, name) = (folder.path().join("victim"), folder.path().join("metrics.csv"));
        let symbolic = |from: &Path, to: &Path| symlink(from, to);
        let hard = |from: &Path, to: &Path| fs::hard_link(from, to);
        for link in [&symbolic as &dyn Fn(&Path, &Path) -> io::Result<()>, &hard] {
            for place in [name.clone(), temporary(&name)] {
                fs::write(&victim, "precious").unwrap();
                link(victim.as_path(), place.as_path()).unwrap();
                replace(&name, b"ours").unwrap();
                assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
                assert_eq!(fs::read_to_string(&name).unwrap(), "ours");
                link(victim.as_path(), place.with_extension("new").as_path()).unwrap();
                write(&place.with_extension("new"), b"ours").unwrap();
                assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
                for used in [&name, &temporary(&name), &place.with_extension("new"), &victim] {
                    remove_file(used).unwrap();
                }
            }
        }
    }

    #[test]
    fn only_listed_files_go_and_no_name_leads_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("report");
        fs::create_dir_all(folder.join("tables")).unwrap();
        fs::create_dir(root.path().join("elsewhere")).unwrap();
        for file in ["report/index.html", "report/tables/a.csv", "report/thesis.tex", "elsewhere/a.csv"] {
            fs::write(root.path().join(file), file).unwrap();
        }
        symlink(root.path().join("elsewhere"), folder.join("linked")).unwrap();
        for name in ["../elsewhere/a.csv", "/etc/hostname", "tables/../../elsewhere/a.csv", "", ".."] {
            assert!(remove_listed(&folder, [name]).is_err(), "{name}");
        }
        assert!(!remove_listed(&folder, ["index.html", "tables/a.csv", "linked/a.csv", "never.csv"]).unwrap());
        assert!(!folder.join("index.html").exists() && !folder.join("tables").exists());
        assert!(folder.join("thesis.tex").exists() && root.path().join("elsewhere/a.csv").exists());
        fs::remove_file(folder.join("linked")).unwrap();
        assert!(remove_listed(&folder, ["thesis.tex"]).unwrap());
        assert!(!folder.exists());
    }

    #[test]
    fn a_file_with_a_second_name_is_not_opened_for_writing() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, lock) = (folder.path().join("victim"), folder.path().join("lock"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &lock).unwrap();
        assert!(open_own(&lock).unwrap_err().to_string().contains("lock"));
        fs::remove_file(&lock).unwrap();
        fs::hard_link(&victim, &lock).unwrap();
        assert!(open_own(&lock).is_err());
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        assert!(open_own(&lock).is_err());
        fs::remove_dir(&lock).unwrap();
        open_own(&lock).unwrap();
        open_own(&lock).unwrap();
    }
}
