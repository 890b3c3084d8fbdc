//! A typed value from a YAML file and `path=value` settings, with errors that name file, line, key, and the nearest
//! valid key where one was mistyped. A setting replaces a part of the file's tree before anything is made of it, so
//! that it means what the same words mean in the file.

mod deserialize;
mod node;
mod scalar;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use sigma_data::regular_file;

use node::shortened;
pub use node::{Entry, Kind, Node};

/// Bytes of a config or a sweep file. The largest ones have some thousand.
const MOST_BYTES: u64 = 4 << 20;

/// Bytes of a word for which the nearest of the known ones is looked for.
const LONGEST_WORD: usize = 100;

/// A key, as a path of sections, and the value that it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    pub path: String,
    pub value: Node,
}

impl Setting {
    /// `a.b.c=value`, where the value is YAML.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((path, value)) = text.split_once('=') else {
            bail!("--set {}: expected path=value, for example training.epochs=2", shortened(text));
        };
        if path.split('.').any(|key| key.trim().is_empty()) {
            bail!("--set {}: `{}` has an empty key", shortened(text), shortened(path));
        }
        Ok(Self { path: path.to_string(), value: parse_argument(value, &shortened(&format!("--set {text}")))? })
    }

    /// Each of several.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// A text key that an `option` of the command line sets.
    pub fn text(option: &str, path: &str, text: &str) -> Self {
        Self { path: path.to_string(), value: Node::text(&shortened(&format!("{option} {text}")), text) }
    }
}

/// Reads `path` as a `T` after applying every setting, in order.
pub fn load<T: DeserializeOwned>(path: &Path, settings: &[Setting]) -> Result<T> {
    let mut root = read(path)?;
    for setting in settings {
        set(&mut root, setting)?;
    }
    typed(&root)
}

/// The tree of a file.
pub fn read(path: &Path) -> Result<Node> {
    let mut bytes = Vec::new();
    regular_file::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .with_context(|| format!("config {} cannot be read", path.display()))?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!("{}: longer than {MOST_BYTES} bytes; is this really a config?", path.display());
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        bail!("{}: UTF-16; save the config as UTF-8", path.display());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        anyhow!("{}: line {line} is not UTF-8 text", path.display())
    })?;
    parse(&text, &path.display().to_string())
}

/// The tree of a file's text; `origin` is the file's name.
pub fn parse(text: &str, origin: &str) -> Result<Node> {
    let root = node::parse(text, origin, true)?;
    if root.is_null() {
        bail!("{origin}: the config is empty");
    }
    Ok(root)
}

/// A value of the command line as a `T`; `origin` is the option that gave it.
pub fn argument<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T> {
    typed(&parse_argument(text, origin)?)
}

/// What a tree states, as a `T`.
pub fn typed<T: DeserializeOwned>(node: &Node) -> Result<T> {
    T::deserialize(node).map_err(|error| with_nearest(&error.to_string()))
}

fn parse_argument(text: &str, origin: &str) -> Result<Node> {
    // behind a key nothing stands at the beginning of a line, where `---`, `...` and `%` would have a meaning of their
    // own
    let behind_key = if text.contains('\n') { text.to_string() } else { format!(" {text}") };
    node::parse(&behind_key, origin, false)
}

fn set(root: &mut Node, setting: &Setting) -> Result<()> {
    if setting.path.split('.').nth(node::DEEPEST).is_some() {
        bail!("{}: sections are nested more than {} deep", setting.value.at, node::DEEPEST);
    }
    let mut node = root;
    for key in setting.path.split('.') {
        if node.is_null() {
            node.kind = Kind::Map(Vec::new());
        }
        let Kind::Map(entries) = &mut node.kind else {
            bail!("{}: what stands above `{key}` is a value, not a section", setting.value.at);
        };
        let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let (at, value) = (setting.value.at.clone(), Node { kind: empty(), at: setting.value.at.clone() });
            entries.push(Entry { key: key.to_string(), at, value });
            entries.len() - 1
        });
        node = &mut entries[index].value;
    }
    *node = setting.value.clone();
    Ok(())
}

fn empty() -> Kind {
    Kind::Scalar { text: String::new(), quoted: false }
}

/// serde's message, with the nearest of the keys that it lists as expected.
fn with_nearest(message: &str) -> anyhow::Error {
    // "unknown field `x`, expected one of `a`, `b`": the names stand between backticks
    let start = message.find("unknown field").or_else(|| message.find("unknown variant"));
    let mut names = start.map_or("", |start| &message[start..]).split('`').skip(1).step_by(2);
    let nearest = names.next().filter(|unknown| unknown.len() <= LONGEST_WORD).and_then(|unknown| {
        let closest = names.map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min();
        closest.filter(|(distance, name)| *distance <= 1 + name.len() / 3)
    });
    match nearest {
        Some((_, name)) => anyhow!("{message}; did you mean `{name}`?"),
        None => anyhow!("{message}"),
    }
}

#[cfg(test)]
mod tests;
