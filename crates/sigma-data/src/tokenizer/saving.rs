//! Writing a tokenizer as the folder that `AutoTokenizer.from_pretrained` loads. A tokenizer.json that it was loaded
//! from is written as it was; what else there is has one spelling, so that equal tokenizers have equal hashes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Serialize, Serializer};
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::{
    AddedToken, AddedVocabulary, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

use super::Tokenizer;
use super::vocabulary::{Spelling, Vocabulary};
use crate::error::DataError;

impl Tokenizer {
    /// Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json, vocab.json and merges.txt into the
    /// folder, which is made if need be.
    pub fn save(&self, folder: &Path) -> Result<(), DataError> {
        fs::create_dir_all(folder).map_err(DataError::write(folder))?;
        let vocab = pretty(&ById(&self.vocabulary));
        let mut merges = "#version: 0.2\n".to_string();
        for (left, right) in self.vocabulary.merges() {
            merges.push_str(&format!("{left} {right}\n"));
        }
        let mut files = self.canonical_files().to_vec();
        if let Some(source) = &self.source {
            files[0].1 = String::from_utf8_lossy(&source.json).into_owned();
        }
        // merges of other vocabularies may hold the spaces that separate them in this file
        if self.vocabulary.spelling() == Spelling::Bytes {
            files.extend([("vocab.json", vocab), ("merges.txt", merges)]);
        }
        for (name, content) in files {
            let path = folder.join(name);
            let mut file = File::create(&path).map_err(DataError::write(&path))?;
            file.write_all(content.as_bytes()).map_err(DataError::write(&path))?;
            file.sync_all().map_err(DataError::write(&path))?;
        }
        Ok(())
    }

    /// BLAKE3 over the canonical files, in hexadecimal.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, content) in self.canonical_files() {
            hasher.update(name.as_bytes());
            hasher.update(&(content.len() as u64).to_le_bytes());
            hasher.update(content.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The files that determine the tokenizer; vocab.json and merges.txt repeat a part of the first one.
    fn canonical_files(&self) -> [(&'static str, String); 3] {
        let special = &self.special_tokens;
        let special_tokens_map = SpecialTokensMap {
            bos_token: special.bos.as_ref().map(|token| token.content.as_str()),
            eos_token: &special.eos.content,
            unk_token: special.unk.as_ref().map(|token| token.content.as_str()),
            pad_token: special.pad.as_ref().map(|token| token.content.as_str()),
        };
        let config = TokenizerConfig {
            add_bos_token: self.begins.is_some(),
            add_prefix_space: self.source.as_ref().is_some_and(|source| source.prefix_space),
            added_tokens_decoder: self.inner.get_added_tokens_decoder().into_iter().collect(),
            clean_up_tokenization_spaces: false,
            errors: "replace",
            special_tokens_map: &special_tokens_map,
            tokenizer_class: if self.is_gpt2s() { "GPT2TokenizerFast" } else { "PreTrainedTokenizerFast" },
            chat_template: special.chat_template.as_ref(),
        };
        [
            ("tokenizer.json", pretty(&self.tokenizer_json())),
            ("tokenizer_config.json", pretty(&config)),
            ("special_tokens_map.json", pretty(&special_tokens_map)),
        ]
    }

    /// Whether texts are cut as GPT-2's are, which transformers 5 takes for granted of the class: it builds it anew and
    /// does not look at tokenizer.json.
    fn is_gpt2s(&self) -> bool {
        let byte_level = match self.inner.get_pre_tokenizer() {
            Some(PreTokenizerWrapper::ByteLevel(cut)) => !cut.add_prefix_space && cut.use_regex,
            _ => false,
        };
        byte_level && self.inner.get_normalizer().is_none() && !self.bpe().ignore_merges
    }

    fn tokenizer_json(&self) -> TokenizerJson<'_> {
        TokenizerJson {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: self.inner.get_added_vocabulary(),
            normalizer: self.inner.get_normalizer(),
            pre_tokenizer: self.inner.get_pre_tokenizer(),
            post_processor: self.inner.get_post_processor(),
            decoder: self.inner.get_decoder(),
            model: BpeJson::new(self.bpe(), &self.vocabulary),
        }
    }

    fn bpe(&self) -> &BPE {
        match self.inner.get_model() {
            ModelWrapper::BPE(bpe) => bpe,
            _ => unreachable!("loading refuses every model that is not BPE"),
        }
    }
}

#[derive(Serialize)]
struct TokenizerJson<'a> {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: &'a AddedVocabulary,
    normalizer: Option<&'a NormalizerWrapper>,
    pre_tokenizer: Option<&'a PreTokenizerWrapper>,
    post_processor: Option<&'a PostProcessorWrapper>,
    decoder: Option<&'a DecoderWrapper>,
    model: BpeJson<'a>,
}

#[derive(Serialize)]
struct BpeJson<'a> {
    r#type: &'static str,
    dropout: Option<f32>,
    unk_token: Option<&'a str>,
    continuing_subword_prefix: Option<&'a str>,
    end_of_word_suffix: Option<&'a str>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: ById<'a>,
    /// As strings, not as the pairs the library writes today: tokenizers before 0.20 (transformers 4.40) cannot read
    /// those. No byte-level token holds a space, so nothing is lost.
    merges: Vec<String>,
}

impl<'a> BpeJson<'a> {
    fn new(bpe: &'a BPE, vocabulary: &'a Vocabulary) -> Self {
        Self {
            r#type: "BPE",
            dropout: bpe.dropout,
            unk_token: bpe.unk_token.as_deref(),
            continuing_subword_prefix: bpe.continuing_subword_prefix.as_deref(),
            end_of_word_suffix: bpe.end_of_word_suffix.as_deref(),
            fuse_unk: bpe.fuse_unk,
            byte_fallback: bpe.byte_fallback,
            ignore_merges: bpe.ignore_merges,
            vocab: ById(vocabulary),
            merges: vocabulary.merges().iter().map(|(left, right)| format!("{left} {right}")).collect(),
        }
    }
}

#[derive(Serialize)]
struct TokenizerConfig<'a> {
    add_bos_token: bool,
    add_prefix_space: bool,
    added_tokens_decoder: BTreeMap<u32, AddedToken>,
    clean_up_tokenization_spaces: bool,
    errors: &'static str,
    #[serde(flatten)]
    special_tokens_map: &'a SpecialTokensMap<'a>,
    tokenizer_class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template: Option<&'a Value>,
}

#[derive(Serialize)]
struct SpecialTokensMap<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bos_token: Option<&'a str>,
    eos_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pad_token: Option<&'a str>,
}

/// The vocabulary as a JSON object in the order of ids.
struct ById<'a>(&'a Vocabulary);

impl Serialize for ById<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.tokens().iter().map(|(token, id)| (token, id)))
    }
}

fn pretty<T: Serialize>(value: &T) -> String {
    match serde_json::to_string_pretty(value) {
        Ok(json) => json + "\n",
        Err(e) => unreachable!("these structs have only string keys and plain values, yet: {e}"),
    }
}
