//! Which files a loader needs, and which of a place's files satisfy it: a pure choice over names. It never looks at a
//! disk or a network; the caller says what is there.

use std::collections::BTreeSet;

/// One thing a loader needs, as alternatives in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What the files are for, in words for messages: `weights`, `tokenizer`.
    pub what: String,
    /// The first complete choice is taken.
    pub choices: Vec<Choice>,
    /// Whether doing without it is fine.
    pub optional: bool,
}

/// One way to satisfy a [`Wanted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// All of these files, by their path in the repository.
    Files(Vec<String>),
    /// An index in Hugging Face's form, and every shard its `weight_map` names.
    Sharded { index: String },
}

impl Wanted {
    /// A file that must be there.
    pub fn file(name: &str) -> Self {
        Wanted { what: name.to_owned(), choices: vec![Choice::file(name)], optional: false }
    }

    /// A file that is taken along if it is there.
    pub fn optional(name: &str) -> Self {
        Wanted { optional: true, ..Wanted::file(name) }
    }

    /// The first of `choices` that the place has whole.
    pub fn any_of(what: &str, choices: Vec<Choice>) -> Self {
        Wanted { what: what.to_owned(), choices, optional: false }
    }

    /// Model weights: safetensors rather than pickles, one file rather than shards, as the reader of weights chooses.
    pub fn weights() -> Self {
        Wanted::any_of(
            "weights",
            vec![
                Choice::file("model.safetensors"),
                Choice::Sharded { index: "model.safetensors.index.json".to_owned() },
                Choice::file("pytorch_model.bin"),
                Choice::Sharded { index: "pytorch_model.bin.index.json".to_owned() },
            ],
        )
    }

    /// The tokenizer of a sentence encoder, which may be a BERT's vocabulary alone.
    pub fn encoder_tokenizer() -> Self {
        let mut tokenizer = Wanted::tokenizer();
        tokenizer.choices.insert(1, Choice::file("vocab.txt"));
        tokenizer
    }

    /// The same in a folder of the repository; an empty one is the repository itself.
    pub fn inside(mut self, folder: &str) -> Self {
        if folder.is_empty() {
            return self;
        }
        let place = |name: &mut String| *name = format!("{folder}/{name}");
        for choice in &mut self.choices {
            match choice {
                Choice::Files(names) => names.iter_mut().for_each(place),
                Choice::Sharded { index } => place(index),
            }
        }
        self
    }

    /// A tokenizer: the one-file form, or the vocabulary and merges of a byte-level BPE.
    pub fn tokenizer() -> Self {
        Wanted::any_of(
            "tokenizer",
            vec![Choice::file("tokenizer.json"), Choice::Files(vec!["vocab.json".to_owned(), "merges.txt".to_owned()])],
        )
    }

    /// The choices in words: ``a` | `b` + `c``.
    pub(super) fn choices_in_words(&self) -> String {
        let words = |choice: &Choice| match choice {
            Choice::Files(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" + "),
            Choice::Sharded { index } => format!("`{index}` + its shards"),
        };
        self.choices.iter().map(words).collect::<Vec<_>>().join(", or ")
    }
}

impl Choice {
    /// A single file.
    pub fn file(name: &str) -> Self {
        Choice::Files(vec![name.to_owned()])
    }

    /// The names that must be there before anything is opened: of shards only the index is known.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Choice::Files(names) => names,
            Choice::Sharded { index } => std::slice::from_ref(index),
        }
    }
}

/// Every name that could matter for `wanted`.
pub(super) fn candidates(wanted: &[Wanted]) -> BTreeSet<String> {
    wanted.iter().flat_map(|wanted| &wanted.choices).flat_map(|choice| choice.names()).cloned().collect()
}

/// The choice taken for each wanted thing that `present` can satisfy; `Err` names the first one it cannot.
pub(super) fn choose<'a>(wanted: &'a [Wanted], present: &BTreeSet<String>) -> Result<Vec<&'a Choice>, &'a Wanted> {
    let mut taken = Vec::new();
    for wanted in wanted {
        match wanted.choices.iter().find(|choice| choice.names().iter().all(|name| present.contains(name))) {
            Some(choice) => taken.push(choice),
            None if wanted.optional => {}
            None => return Err(wanted),
        }
    }
    Ok(taken)
}

/// The names that `choices` stand for, without shards, each once.
pub(super) fn names_of(choices: &[&Choice]) -> Vec<String> {
    choices.iter().flat_map(|choice| choice.names()).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Paths of `shards`, which stand beside their `index`.
pub(super) fn beside(index: &str, shards: BTreeSet<String>) -> Vec<String> {
    match index.rsplit_once('/') {
        Some((folder, _)) => shards.into_iter().map(|shard| format!("{folder}/{shard}")).collect(),
        None => shards.into_iter().collect(),
    }
}

/// Whether `name` is a path that cannot leave the folder it is joined to.
pub(super) fn stays_inside(name: &str) -> bool {
    !name.contains(['\\', ':', '\0']) && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
