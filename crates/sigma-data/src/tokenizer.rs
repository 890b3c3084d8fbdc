//! The tokenizer of a causal model: BPE over bytes or over SentencePiece's pieces, read from a Hugging Face folder,
//! saved as one, or trained from texts. No text gets special tokens here unless a method's name says so.

mod beginning;
mod config_keys;
mod ends;
mod files;
mod growth;
mod guarded;
mod prefix;
mod saving;
mod special_tokens;
mod training;
mod vocabulary;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::processors::template::TemplateProcessing;

pub use ends::ends_of_folder;
pub use growth::{Growth, MOST_OF_ENCODER, MOST_OF_MODEL};
pub use guarded::guarded;
pub use training::train_bpe;

use crate::error::DataError;
use special_tokens::SpecialTokens;
use vocabulary::Vocabulary;

/// Texts that are given to the library together, and bytes that they may become.
const BATCH_TEXTS: usize = 4096;
const BATCH_BYTES: u64 = 16 << 20;

/// A tokenizer.json.
#[derive(Debug, Clone)]
struct Source {
    json: Arc<[u8]>,
    prefix_space: bool,
}

/// A loaded tokenizer. Encoding and decoding are those of `transformers`, checked against it by the goldens.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The vocabulary and merges once more: the library hides its merges, and saving needs them.
    vocabulary: Vocabulary,
    special_tokens: SpecialTokens,
    growth: Growth,
    bos: Option<u32>,
    /// The BOS that is put before a text.
    begins: Option<u32>,
    /// tokenizer.json as it was read, and whether it puts a space before a text.
    source: Option<Source>,
    eos: u32,
    pad: u32,
    size: usize,
}

impl Tokenizer {
    /// Reads tokenizer.json if the folder has one, otherwise vocab.json and merges.txt, which is all that
    /// facebook/opt-125m has. The special tokens are those of tokenizer_config.json and special_tokens_map.json, or
    /// OPT's if there is neither.
    pub fn load(folder: &Path) -> Result<Self, DataError> {
        let special_tokens = SpecialTokens::load(folder)?;
        let fast = folder.join("tokenizer.json");
        let vocab = folder.join("vocab.json");
        let merges = folder.join("merges.txt");
        if fast.is_file() {
            let json = fs::read(&fast).map_err(DataError::read(&fast))?;
            let growth = Growth::of_file(&fast, &json, MOST_OF_MODEL)?;
            // the library panics on some files that this refuses
            let vocabulary = files::read_tokenizer_json(&fast, &json)?;
            let inner = tokenizers::Tokenizer::from_bytes(&json).map_err(failed(&fast))?;
            let loaded = Self::finish(folder, inner, vocabulary, special_tokens)?;
            let begins = beginning::of_tokenizer_json(folder, &loaded)?;
            let prefix_space = prefix::of_tokenizer_json(&json);
            prefix::check(folder, loaded.special_tokens.add_prefix_space, prefix_space)?;
            let source = Some(Source { json: json.into(), prefix_space });
            Ok(Self { growth, begins, source, ..loaded })
        } else if vocab.is_file() && merges.is_file() {
            let vocabulary = files::read_vocab_and_merges(&vocab, &merges)?;
            prefix::check(folder, special_tokens.add_prefix_space, false)?;
            Self::assemble(folder, vocabulary, special_tokens)
        } else {
            Err(DataError::NoTokenizer { folder: folder.to_path_buf() })
        }
    }

    /// The pipeline that `transformers` builds around a vocabulary of GPT-2's kind.
    fn assemble(folder: &Path, vocabulary: Vocabulary, special_tokens: SpecialTokens) -> Result<Self, DataError> {
        // panics on merges that do not fit the vocabulary, which a `Vocabulary` does not have
        let model = BPE::new(vocabulary.tokens().iter().cloned().collect(), vocabulary.merges().to_vec());
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        inner.with_decoder(Some(ByteLevel::new(false, true, true)));
        let adds_bos = special_tokens.add_bos_token == Some(true);
        if let Some(bos) = special_tokens.bos.as_ref().map(|bos| &bos.content).filter(|_| adds_bos) {
            let id = inner.token_to_id(bos).ok_or_else(|| special_tokens::unknown(folder, "bos_token", bos))?;
            let template = TemplateProcessing::builder()
                .try_single(format!("{bos}:0 $A:0"))
                .and_then(|builder| builder.try_pair(format!("{bos}:0 $A:0 {bos}:1 $B:1")))
                .map_err(|e| failed(folder)(e.into()))?
                .special_tokens(vec![(bos.as_str(), id)])
                .build()
                .map_err(|e| failed(folder)(e.into()))?;
            inner.with_post_processor(Some(template));
        }
        let assembled = Self::finish(folder, inner, vocabulary, special_tokens)?;
        Ok(Self { begins: assembled.bos.filter(|_| adds_bos), ..assembled })
    }

    /// What both ways of loading share: no truncation or padding, every special token where the configuration says.
    fn finish(
        folder: &Path,
        mut inner: tokenizers::Tokenizer,
        vocabulary: Vocabulary,
        special_tokens: SpecialTokens,
    ) -> Result<Self, DataError> {
        // a tokenizer.json may carry both, and they would silently change every text
        inner.with_truncation(None).map_err(failed(folder))?;
        inner.with_padding(None);
        special_tokens.add_to(folder, &mut inner)?;
        let id =
            |role, token: &str| inner.token_to_id(token).ok_or_else(|| special_tokens::unknown(folder, role, token));
        let bos = special_tokens.bos.as_ref().map(|bos| id("bos_token", &bos.content)).transpose()?;
        let eos = id("eos_token", &special_tokens.eos.content)?;
        let pad = special_tokens.pad.as_ref().map_or(Ok(eos), |pad| id("pad_token", &pad.content))?;
        let largest = inner.get_vocab(true).into_values().max();
        let size = largest.map_or(0, |id| id as usize + 1);
        let (growth, begins) = (Growth::BYTE_LEVEL, None);
        let source = None;
        Ok(Self { inner, vocabulary, special_tokens, growth, bos, begins, source, eos, pad, size })
    }

    /// The ids of the text and nothing else. A special token spelled out in the text, such as `</s>`, becomes its id,
    /// as it does in `transformers`.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.growth.check(text.len())?;
        let encoding =
            guarded(|| self.inner.encode_fast(text, false)).map_err(|source| DataError::Encode { source })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// What a model sees: the ids of the text, behind BOS where texts begin with it.
    pub fn encode_with_bos(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let mut ids = self.encode(text)?;
        ids.splice(0..0, self.begins);
        Ok(ids)
    }

    /// The same as [`encode`](Self::encode) of each text, on all cores.
    pub fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, DataError> {
        let mut encoded = Vec::with_capacity(texts.len());
        let mut left = texts;
        while !left.is_empty() {
            // what the library says of a text takes far more than its tokens
            let (mut count, mut bytes) = (0, 0);
            while count < left.len() && (count == 0 || bytes < BATCH_BYTES && count < BATCH_TEXTS) {
                self.growth.check(left[count].len())?;
                bytes += self.growth.bound(left[count].len());
                count += 1;
            }
            let (some, rest) = left.split_at(count);
            let encodings = guarded(|| self.inner.encode_batch_fast(some.to_vec(), false));
            let encodings = encodings.map_err(|source| DataError::Encode { source })?;
            encoded.extend(encodings.iter().map(|encoding| encoding.get_ids().to_vec()));
            left = rest;
        }
        Ok(encoded)
    }

    /// The text of the ids without special tokens and without any clean-up of spaces. Ids outside the vocabulary, which
    /// a model with padded rows can sample, add nothing; broken UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        match guarded(|| self.inner.decode(ids, true)) {
            Ok(text) => text,
            // no decoder that is accepted at load fails but by a panic of the library
            Err(error) => {
                tracing::warn!(%error, tokens = ids.len(), "tokens that the tokenizers library cannot put into words");
                String::new()
            }
        }
    }

    /// The library's own tokenizer, for who needs more of it than ids.
    pub fn into_library(self) -> tokenizers::Tokenizer {
        self.inner
    }

    /// The token that is called BOS, if one is. Whether texts begin with it, [`begins`](Self::begins) tells.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos
    }

    /// The token before every text, if there is one: tokenizer.json's post-processor puts it there; where there is no
    /// tokenizer.json, or none in it, tokenizer_config.json asks for it by `add_bos_token`.
    pub fn begins(&self) -> Option<u32> {
        self.begins
    }

    pub fn eos_id(&self) -> u32 {
        self.eos
    }

    /// The pad token; the eos token where the tokenizer has none, as GPT-2's.
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// The highest id plus one, added tokens included. A model may have more rows than that.
    pub fn vocab_size(&self) -> usize {
        self.size
    }
}

/// For `map_err`: the library could not build or read something of the tokenizer at `path`.
fn failed(path: &Path) -> impl FnOnce(tokenizers::Error) -> DataError + '_ {
    move |source| DataError::Tokenizer { path: path.to_path_buf(), source }
}
