//! Checkpoints that are not Hugging Face folders, turned into such. What a folder holds is read by [`crate::weights`].

pub mod gguf;
