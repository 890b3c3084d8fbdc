//! What a sentence-transformers folder says: modules.json and every file that it names. A key is honoured, or known to
//! change nothing, or refused by file and key. What the network computes is not known here.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use super::pooling::Pooling;
use super::steps::Step;
use crate::ModelError;
use crate::encoder::read_json;
use crate::families::config_file::{ConfigFile, refuse};

/// Names that versions of sentence-transformers have given to the settings of the first module.
pub const SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// An encoder as its folder describes it.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Where config.json, weights and tokenizer are.
    pub(super) transformer: PathBuf,
    pub(super) reading: Reading,
    /// `None` where no file says how tokens become one row.
    pub(super) pooling: Option<Pooling>,
    /// What follows the pooling, in order.
    pub(super) steps: Vec<Step>,
}

/// How a text is read, as far as it is not the tokenizer's business.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Before every text.
    pub(super) prompt: String,
    /// Tokens, special ones included; what `file` says of them.
    pub(super) max_tokens: Option<usize>,
    pub(super) file: PathBuf,
    pub(super) lower_case: bool,
}

/// One entry of modules.json.
pub(super) struct Module {
    pub(super) kind: String,
    pub(super) path: String,
}

impl Recipe {
    pub(super) fn read(folder: &Path) -> Result<Self, ModelError> {
        let Some(modules) = modules(folder)? else { return Self::without_modules(folder) };
        let file = folder.join("modules.json");
        let [first, second, rest @ ..] = &modules[..] else {
            return refuse(&file, "type", &json!(names(&modules)), "a Transformer and a Pooling are needed");
        };
        if first.kind != "Transformer" || second.kind != "Pooling" {
            let remedy =
                "the first module must be a Transformer and the second a Pooling, which make one row of a text";
            return refuse(&file, "type", &json!(names(&modules)), remedy);
        }
        let transformer = folder.join(&first.path);
        let pooling = Pooling::read(&folder.join(&second.path).join("config.json"))?;
        let mut steps = Vec::new();
        let mut width = pooling.output_width();
        for module in rest {
            let step = Step::read(&module.kind, &folder.join(&module.path), width)?;
            let Some(step) = step else {
                let remedy = "behind the Pooling, Dense, LayerNorm, Normalize and Dropout are supported";
                return refuse(&file, "type", &json!(module.kind), remedy);
            };
            width = step.output_width(width);
            steps.push(step);
        }
        let reading = Reading::read(&transformer, folder)?;
        Ok(Self { transformer, reading, pooling: Some(pooling), steps })
    }

    /// A model's folder, beside which the settings of an encoder may lie nevertheless.
    fn without_modules(folder: &Path) -> Result<Self, ModelError> {
        let pooling = folder.join("1_Pooling").join("config.json");
        let pooling = if pooling.exists() { Some(Pooling::read(&pooling)?) } else { None };
        let reading = Reading::read(folder, folder)?;
        Ok(Self { transformer: folder.to_path_buf(), reading, pooling, steps: Vec::new() })
    }
}

/// What modules.json lists, by the last part of each type; `None` without the file.
pub(super) fn modules(folder: &Path) -> Result<Option<Vec<Module>>, ModelError> {
    const KEYS: [&str; 5] = ["idx", "name", "path", "type", "kwargs"];
    let file = folder.join("modules.json");
    if !file.exists() {
        return Ok(None);
    }
    let mut modules = Vec::new();
    for module in read_json::<Vec<Map<String, Value>>>(&file)? {
        if let Some((key, value)) = module.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            return refuse(&file, key, value, "this program does not know what it changes");
        }
        let text = |key: &str| module.get(key).and_then(Value::as_str);
        let of_sentence_transformers = text("type").and_then(|kind| kind.strip_prefix("sentence_transformers."));
        let Some(kind) = of_sentence_transformers.and_then(|kind| kind.rsplit('.').next()) else {
            let value = module.get("type").unwrap_or(&Value::Null);
            return refuse(&file, "type", value, "only modules of sentence_transformers itself are supported");
        };
        let path = text("path").unwrap_or_default();
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return refuse(&file, "path", &json!(path), "it must lie inside the folder");
        }
        modules.push(Module { kind: kind.to_string(), path: path.to_string() });
    }
    Ok(Some(modules))
}

fn names(modules: &[Module]) -> Vec<&str> {
    modules.iter().map(|module| module.kind.as_str()).collect()
}

impl Reading {
    fn read(transformer: &Path, folder: &Path) -> Result<Self, ModelError> {
        let file = SETTINGS.map(|name| transformer.join(name)).into_iter().find(|path| path.exists());
        let file = file.unwrap_or_else(|| transformer.join(SETTINGS[0]));
        let mut keys = ConfigFile::read_if_there(file.clone())?;
        let max_tokens = keys.size_or_null("max_seq_length", None)?;
        let lower_case = keys.flag("do_lower_case", false)?;
        let only = |keys: &mut ConfigFile, key: &str, value: Value| {
            keys.only(key, &[value, Value::Null], "only what sentence-transformers has by default is supported")
        };
        only(&mut keys, "transformer_task", json!("feature-extraction"))?;
        only(&mut keys, "module_output_name", json!("token_embeddings"))?;
        let text = json!({ "text": { "method": "forward", "method_output_name": "last_hidden_state" } });
        only(&mut keys, "modality_config", text)?;
        for key in ["query_length", "document_length", "query_expansion", "tokenizer_name_or_path"] {
            only(&mut keys, key, Value::Null)?;
        }
        for key in ["model", "tokenizer", "config"].map(|of| format!("{of}_args")) {
            only(&mut keys, &key, json!({}))?;
        }
        for key in ["model", "processor", "config", "processing"].map(|of| format!("{of}_kwargs")) {
            only(&mut keys, &key, json!({}))?;
        }
        // how rows are laid out in a batch, which changes no row
        keys.finish_with(&["unpad_inputs", "backend"])?;
        Ok(Self { prompt: prompt(folder)?, max_tokens, file, lower_case })
    }
}

/// The prompt that stands before every text unless a caller says otherwise.
fn prompt(folder: &Path) -> Result<String, ModelError> {
    let mut keys = ConfigFile::read_if_there(folder.join("config_sentence_transformers.json"))?;
    let prompts = keys.some("prompts").unwrap_or_else(|| json!({}));
    let name = keys.some("default_prompt_name");
    keys.only(
        "model_type",
        &[json!("SentenceTransformer"), Value::Null],
        "only dense sentence encoders are supported",
    )?;
    keys.only("truncate_dim", &[Value::Null], "rows of fewer columns are not supported")?;
    keys.finish_with(&["__version__", "similarity_fn_name", "requirements"])?;
    let Some(name) = name else { return Ok(String::new()) };
    let Some(key) = name.as_str() else {
        return keys.refuse("default_prompt_name", &name, "it must name one of `prompts`");
    };
    match prompts.get(key) {
        Some(Value::String(prompt)) => Ok(prompt.clone()),
        // sentence-transformers knows these two from the start, both empty
        Some(Value::Null) => Ok(String::new()),
        None if ["query", "document"].contains(&key) => Ok(String::new()),
        Some(other) => keys.refuse("prompts", other, "a prompt must be a text"),
        None => keys.refuse("default_prompt_name", &name, "`prompts` has no prompt of this name"),
    }
}
