//! The integration tests of sigma-metrics, through its public API only. Against NumPy and NLTK: `golden`, `self_bleu`.
//! Against the paper's own figures: `published`. What must hold for any input: `properties`, `diversity`, `coverage`,
//! `intervals`, `threads`. What users see: `settings`, `refusals`. Rows for all of them come from `synthetic`.
#![allow(clippy::unwrap_used)]

// The simulation whose large runs fill the tables of the documentation.
#[path = "../../examples/coverage/cells.rs"]
mod cells;
mod coverage;
mod diversity;
mod golden;
mod intervals;
#[path = "../../examples/coverage/population.rs"]
mod population;
mod properties;
mod published;
mod refusals;
mod self_bleu;
mod settings;
mod synthetic;
mod threads;
