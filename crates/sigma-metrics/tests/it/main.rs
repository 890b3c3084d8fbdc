//! The integration tests of sigma-metrics, through its public API only. Against NumPy: `golden`. Against the paper's own figures:
//! `published`. What must hold for any input: `properties`, `coverage`, `threads`. What users see: `settings`, `refusals`.
//! Rows for all of them come from `synthetic`.
#![allow(clippy::unwrap_used)]

mod coverage;
mod golden;
mod properties;
mod published;
mod refusals;
mod settings;
mod synthetic;
mod threads;
