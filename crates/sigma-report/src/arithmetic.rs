//! Where the arithmetic of a run changed: program, machine, devices and precisions of each generation beside those of
//! the one before. It names changes and judges none.

use std::fmt;

use crate::manifest::ProgramEntry;
use crate::record::{ArithmeticRecord, Record};

/// Something that is not what it was one generation earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArithmeticChange {
    /// The first generation with `after`.
    pub generation: u32,
    pub what: &'static str,
    pub before: String,
    pub after: String,
}

impl fmt::Display for ArithmeticChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, what, before, after } = self;
        write!(f, "from generation {generation} on, the {what} is {after}, before it was {before}")
    }
}

/// Every change between one of `records` and the next, in order. Times and paths are no arithmetic.
pub fn arithmetic_changes(records: &[Record]) -> Vec<ArithmeticChange> {
    let mut changes = Vec::new();
    for pair in records.windows(2) {
        let (before, after) = (parts(&pair[0].arithmetic), parts(&pair[1].arithmetic));
        for ((what, before), (_, after)) in before.into_iter().zip(after) {
            if before != after {
                changes.push(ArithmeticChange { generation: pair[1].generation, what, before, after });
            }
        }
    }
    changes
}

/// What may change a number, by name.
pub(crate) fn parts(arithmetic: &ArithmeticRecord) -> [(&'static str, String); 9] {
    let ArithmeticRecord { program, machine, resolved } = arithmetic;
    let rows = |rows: Option<usize>| rows.map_or("not fixed".to_owned(), |rows| rows.to_string());
    [
        ("program", program_name(program)),
        ("CPU", format!("{} ({})", machine.cpu, machine.cpu_features.join(" "))),
        ("GPU", machine.gpu.clone().unwrap_or_else(|| "none".to_owned())),
        ("device", resolved.device.clone()),
        ("precision", resolved.precision.clone()),
        ("evaluation device", resolved.evaluation_device.clone()),
        ("precision of the evaluation", resolved.evaluation_precision.clone()),
        ("number of pool texts decoded together", rows(resolved.pool_rows)),
        ("number of answers decoded together", rows(resolved.answer_rows)),
    ]
}

/// Version and commit.
pub(crate) fn program_name(program: &ProgramEntry) -> String {
    let changed = if program.dirty { ", changed" } else { "" };
    match &program.commit {
        Some(commit) => format!("{} ({}{changed})", program.version, commit.chars().take(12).collect::<String>()),
        None => program.version.clone(),
    }
}
