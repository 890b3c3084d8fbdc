//! A checkpoint of the recursion while it is used: the next one begins from it before its weights are on the disk. How it is trained is
//! not known here.

use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};
use sigma_model::LanguageModel;

use crate::assets::Assets;

/// A checkpoint of the recursion: where it comes from, its weights and their hash.
pub struct Checkpoint {
    /// `base`, `gen-003`
    pub name: String,
    pub model: LanguageModel,
    pub hash: Hash,
}

/// The hash of a checkpoint's weights.
pub enum Hash {
    Known(String),
    /// Another thread is making it.
    Coming(Receiver<String>),
}

impl Checkpoint {
    pub fn base(assets: &Assets) -> Self {
        let hash = Hash::Known(assets.base.hash.clone());
        Self { name: "base".to_string(), model: assets.base.model.clone(), hash }
    }

    /// The hash of the weights, when it is there.
    pub fn hash(&mut self) -> Result<String> {
        let hash = match &self.hash {
            Hash::Known(hash) => hash.clone(),
            // the thread ended before; why is what it returns
            Hash::Coming(hash) => {
                hash.recv().with_context(|| format!("the weights of {} were not written", self.name))?
            }
        };
        self.hash = Hash::Known(hash.clone());
        Ok(hash)
    }
}
