//! Claims about the crate as its users see it. Run folders are made in `fixture`; everything else is one theme per file.
#![allow(clippy::unwrap_used)]

mod csv_files;
mod figures;
mod fixture;
mod records;
mod reports;
mod runs;
mod terminal;
