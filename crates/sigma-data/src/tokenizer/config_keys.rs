//! The keys of a tokenizer_config.json that are known: those that are read, and those that change no id of a text. What
//! the others change nobody here knows, so a warning names them.

use std::path::Path;

use serde_json::{Map, Value};

/// In order.
const KNOWN: [&str; 52] = [
    "_commit_hash",
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "additional_special_tokens",
    "backend",
    "bos_token",
    "chat_template",
    "clean_up_tokenization_spaces",
    "cls_token",
    "eos_token",
    "errors",
    "extra_special_tokens",
    "from_slow",
    "image_token",
    "is_local",
    "legacy",
    "local_files_only",
    "mask_token",
    "max_len",
    "max_length",
    "model_input_names",
    "model_max_length",
    "model_specific_special_tokens",
    "name_or_path",
    "pad_to_multiple_of",
    "pad_token",
    "pad_token_type_id",
    "padding_side",
    "processor_class",
    "response_schema",
    "return_token_type_ids",
    "sep_token",
    "sp_model_kwargs",
    "spaces_between_special_tokens",
    "special_tokens_map_file",
    "split_special_tokens",
    "stride",
    "tokenizer_class",
    "tokenizer_file",
    "tool_parser_type",
    "trim_offsets",
    "truncation",
    "truncation_side",
    "truncation_strategy",
    "unk_token",
    "use_default_system_prompt",
    "use_fast",
    "verbose",
    "vocab_file",
    "vocab_size",
];

pub(super) fn warn_of_unknown(path: &Path, keys: &Map<String, Value>) {
    for key in keys.keys().filter(|key| KNOWN.binary_search(&key.as_str()).is_err()) {
        tracing::warn!(file = %path.display(), key, "a key that is not known, and not read; it may change ids");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_are_in_order() {
        assert!(super::KNOWN.is_sorted());
    }
}
