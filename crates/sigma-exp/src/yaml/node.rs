//! A YAML document as a tree in which every value keeps its place and its spelling: what a scalar means depends on the
//! key that it stands behind, so `2026` stays text until someone asks for a number. No key of a config is known here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Levels of sections and lists within each other. A config has four.
pub(super) const DEEPEST: usize = 64;

/// Values of a document, those that aliases repeat counted each time.
const MOST_VALUES: usize = 1_000_000;

/// Bytes of a document's scalars, those that aliases repeat counted each time.
const MOST_BYTES: usize = 64 << 20;

/// Characters of a scalar that messages repeat.
const LONGEST: usize = 200;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// A file's name, or an argument of the command line.
    pub origin: Arc<str>,
    /// Line and column from 1; `None` for an argument.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}: line {line} column {column}", self.origin),
            None => f.write_str(&self.origin),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub at: At,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `quoted` where quotes, `|`, `>` or `!!str` say that it is text.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub at: At,
    pub value: Node,
}

impl Node {
    /// Text as it is, from an argument of the command line.
    pub fn text(origin: &str, text: &str) -> Self {
        let at = At { origin: origin.into(), position: None };
        Self { at, kind: Kind::Scalar { text: text.to_string(), quoted: true } }
    }

    /// Whether nothing is written there: `key:`, `key: ~` or `key: null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, quoted: false } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The value of a key, where this is a section that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// What stands there, for messages.
    pub fn describe(&self) -> String {
        match &self.kind {
            _ if self.is_null() => "nothing".to_string(),
            Kind::Scalar { text, quoted: true } => format!("the text {:?}", shortened(text)),
            Kind::Scalar { text, .. } => format!("`{}`", shortened(text)),
            Kind::List(_) => "a list (a sequence)".to_string(),
            Kind::Map(_) => "a section (a mapping)".to_string(),
        }
    }
}

/// On one line, as a name or a message shows it.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Scalar { text, .. } => f.write_str(text),
            Kind::List(nodes) => {
                let parts: Vec<String> = nodes.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", parts.join(","))
            }
            Kind::Map(entries) => {
                let parts: Vec<String> = entries.iter().map(|e| format!("{}: {}", e.key, e.value)).collect();
                write!(f, "{{{}}}", parts.join(","))
            }
        }
    }
}

/// A text as messages repeat it.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_string(),
    }
}

/// The one document of `text`. Anchors, aliases and merge keys (`<<`) are resolved; tags other than `!!str`, keys that
/// are no text, a key given twice, and more than one document are refused. `origin` is what messages call it; with
/// `lines`, they give line and column, too.
pub fn parse(text: &str, origin: &str, lines: bool) -> Result<Node> {
    let mut reader =
        Reader { origin: origin.into(), lines, anchors: HashMap::new(), count: Count::default(), last: None };
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut document = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            let at = reader.position(marker.line(), marker.col());
            let path = reader.last.as_ref().map_or(String::new(), |key| format!("near `{key}`: "));
            anyhow!("{at}: {path}not YAML: {}", error.info())
        })?;
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
            Event::DocumentStart(_) if document.is_some() => {
                bail!("{}: a second document begins here; a config is one document", reader.at(span))
            }
            Event::DocumentStart(_) => {}
            event => document = Some(reader.node(&mut parser, event, span, 0)?.0),
        }
    }
    let empty = Kind::Scalar { text: String::new(), quoted: false };
    Ok(document.unwrap_or(Node { at: reader.position(1, 0), kind: empty }))
}

struct Reader {
    origin: Arc<str>,
    lines: bool,
    /// Anchored nodes by the number that the parser gives them, each with what is in it.
    anchors: HashMap<usize, (Node, Count)>,
    count: Count,
    /// The key read last, for messages of the parser.
    last: Option<String>,
}

/// How much a node holds.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    values: usize,
    bytes: usize,
}

impl Count {
    fn add(&mut self, more: Count) {
        self.values = self.values.saturating_add(more.values);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

type Events<'a> = Parser<'a, saphyr_parser::StrInput<'a>>;

impl Reader {
    fn position(&self, line: usize, column: usize) -> At {
        At { origin: Arc::clone(&self.origin), position: self.lines.then_some((line, column + 1)) }
    }

    fn at(&self, span: Span) -> At {
        self.position(span.start.line(), span.start.col())
    }

    fn next<'a>(&self, parser: &mut Events<'a>) -> Result<(Event<'a>, Span)> {
        match parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = self.position(error.marker().line(), error.marker().col());
                let path = self.last.as_ref().map_or(String::new(), |key| format!("near `{key}`: "));
                bail!("{at}: {path}not YAML: {}", error.info())
            }
            None => bail!("{}: the document is cut short", self.origin),
        }
    }

    /// The node that begins with `event`, and how much is in it.
    fn node(&mut self, parser: &mut Events<'_>, event: Event<'_>, span: Span, depth: usize) -> Result<(Node, Count)> {
        let at = self.at(span);
        if depth > DEEPEST {
            bail!("{at}: sections and lists are nested more than {DEEPEST} deep");
        }
        let mut count = Count { values: 1, bytes: 0 };
        let (kind, anchor) = match event {
            Event::Alias(anchor) => {
                let Some((node, inner)) = self.anchors.get(&anchor) else {
                    bail!("{at}: the alias names an anchor around itself")
                };
                // counted before anything is repeated
                let inner = *inner;
                self.count.add(inner);
                self.check(&at)?;
                return Ok((Node { at, kind: node.kind.clone() }, inner));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = match &tag {
                    None => false,
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
                    Some(tag) => bail!("{at}: the tag `{}{}` is not supported; leave it out", tag.handle, tag.suffix),
                };
                let quoted = is_text || style != ScalarStyle::Plain;
                count.bytes = text.len();
                self.count.add(count);
                (Kind::Scalar { text: text.into_owned(), quoted }, anchor)
            }
            Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag)) => {
                bail!("{at}: the tag `{}{}` is not supported; leave it out", tag.handle, tag.suffix)
            }
            Event::SequenceStart(anchor, None) => {
                self.count.add(count);
                let mut nodes = Vec::new();
                loop {
                    let (event, span) = self.next(parser)?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    let (node, inner) = self.node(parser, event, span, depth + 1)?;
                    count.add(inner);
                    nodes.push(node);
                }
                (Kind::List(nodes), anchor)
            }
            Event::MappingStart(anchor, None) => {
                self.count.add(count);
                let (entries, inner) = self.entries(parser, depth)?;
                count.add(inner);
                (Kind::Map(entries), anchor)
            }
            _ => bail!("{at}: the document is cut short"),
        };
        self.check(&at)?;
        let node = Node { at, kind };
        if anchor > 0 {
            // the copy that is kept counts, too: anchors within anchors are kept once for each
            self.count.add(count);
            self.check(&node.at)?;
            self.anchors.insert(anchor, (node.clone(), count));
        }
        Ok((node, count))
    }

    fn entries(&mut self, parser: &mut Events<'_>, depth: usize) -> Result<(Vec<Entry>, Count)> {
        let (mut entries, mut merged): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
        let (mut places, mut count) = (HashMap::new(), Count::default());
        loop {
            let (event, span) = self.next(parser)?;
            if event == Event::MappingEnd {
                break;
            }
            let (key, inner) = self.node(parser, event, span, depth + 1)?;
            count.add(inner);
            let Kind::Scalar { text, quoted } = key.kind else {
                bail!("{}: a key must be one word, not {}", key.at, key.describe());
            };
            self.last = Some(shortened(&text));
            let (event, span) = self.next(parser)?;
            let (value, inner) = self.node(parser, event, span, depth + 1)?;
            count.add(inner);
            if text == "<<" && !quoted {
                merged.extend(merge(value)?);
                continue;
            }
            if let Some(first) = places.insert(text.clone(), key.at.clone()) {
                bail!("{}: duplicate field `{}`; it stands at {first} already", key.at, shortened(&text));
            }
            entries.push(Entry { key: text, at: key.at, value });
        }
        // what a section says itself goes before what it merges, and the first of several merges before the others
        let mut taken: HashSet<String> = places.into_keys().collect();
        entries.extend(merged.into_iter().filter(|entry| taken.insert(entry.key.clone())));
        Ok((entries, count))
    }

    fn check(&self, at: &At) -> Result<()> {
        let Count { values, bytes } = self.count;
        if values > MOST_VALUES {
            bail!("{at}: the document has more than {MOST_VALUES} values, every repetition by an alias counted");
        }
        if bytes > MOST_BYTES {
            bail!("{at}: the document has more than {MOST_BYTES} bytes of text, every repetition by an alias counted");
        }
        Ok(())
    }
}

/// What `<<: value` brings in.
fn merge(value: Node) -> Result<Vec<Entry>> {
    match value.kind {
        Kind::Map(entries) => Ok(entries),
        Kind::List(nodes) if nodes.iter().all(|node| matches!(node.kind, Kind::Map(_))) => {
            Ok(nodes.into_iter().map(merge).collect::<Result<Vec<_>>>()?.concat())
        }
        _ => bail!("{}: `<<` merges sections; this is {}", value.at, value.describe()),
    }
}
