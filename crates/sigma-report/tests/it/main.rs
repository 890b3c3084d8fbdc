//! Claims about the crate as its users see it. Run folders are made in `fixture`; everything else is one theme per file.
#![allow(clippy::unwrap_used)]

mod browser;
mod buckets;
mod csv_files;
mod figures;
mod fixture;
mod latex;
mod onsets;
mod page;
mod published;
mod records;
mod reports;
mod runs;
mod seeds;
mod sweeps;
mod terminal;
