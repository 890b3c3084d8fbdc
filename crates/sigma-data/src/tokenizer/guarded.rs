//! Panics of the tokenizers library as errors: version 0.23 answers some texts with one, where a normalizer puts
//! characters in and a later one composes them. What is encoded is not known here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `encode`, a panic in it being an error. The tokenizer is unchanged by encoding, so it may be used again.
pub fn guarded<T>(encode: impl FnOnce() -> Result<T, tokenizers::Error>) -> Result<T, tokenizers::Error> {
    let panicked = |_| Err("a part of its tokenizer.json makes the tokenizers library panic on this text".into());
    catch_unwind(AssertUnwindSafe(encode)).unwrap_or_else(panicked)
}
