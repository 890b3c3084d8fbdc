//! The integration tests of sigma-metrics, through its public API only. Against NumPy and NLTK: `golden`, `self_bleu`. Against the
//! paper's own figures: `published`. What must hold for any input: `properties`, `diversity`, `coverage`, `threads`. What users see:
//! `settings`, `refusals`. Rows for all of them come from `synthetic`.
#![allow(clippy::unwrap_used)]

mod coverage;
mod diversity;
mod golden;
mod properties;
mod published;
mod refusals;
mod self_bleu;
mod settings;
mod synthetic;
mod threads;
