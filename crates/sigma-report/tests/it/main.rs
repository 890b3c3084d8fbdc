//! Claims about the crate as its users see it. Run folders are made in `fixture`; everything else is one theme per
//! file.
#![allow(clippy::unwrap_used)]

mod broken_bytes;
mod browser;
mod buckets;
mod control;
mod csv_files;
mod figures;
mod fixture;
mod latex;
mod legacy;
// damaged copies of files, as sigma-data's tests make them
#[path = "../../../sigma-data/tests/it/mutations.rs"]
mod mutations;
mod onsets;
mod page;
mod page_words;
mod published;
mod published_figures;
mod published_rows;
mod records;
mod reports;
mod runs;
mod seeds;
mod sweeps;
mod terminal;
