//! One file per command.

mod check;
mod config;
mod gram;
mod metrics;
mod pretrain;
mod report;
mod run;
mod selftest;
mod slice;
mod stages;
mod status;
mod sweep;

use std::io::Write;

use anyhow::Result;

use crate::cli::{Command, Data};
use crate::hub::Hub;

pub fn execute(command: Command, hub: Hub) -> Result<()> {
    match command {
        Command::Run(arguments) => run::execute(hub, &arguments),
        Command::Check(arguments) => check::execute(hub, &arguments),
        Command::Sweep(arguments) => sweep::execute(hub, &arguments),
        Command::SweepRun(arguments) => sweep::execute_run(hub, &arguments),
        Command::Status { dir, verify } => status::execute(&dir, verify),
        Command::Report(arguments) => report::execute(&arguments),
        Command::Gram(arguments) => gram::execute(&arguments),
        Command::Metrics(arguments) => metrics::execute(hub, &arguments),
        Command::Finetune(arguments) => stages::finetune(hub, &arguments),
        Command::Generate(arguments) => stages::generate(hub, &arguments),
        Command::Embed(arguments) => stages::embed(hub, &arguments),
        Command::Data(Data::Slice { texts, tokenizer, out, context_tokens, max_contexts, text_column, id_column }) => {
            let columns = (text_column.as_deref(), id_column.as_deref());
            slice::execute(hub, &texts, &tokenizer, &out, context_tokens, max_contexts, columns)
        }
        Command::Selftest(arguments) => selftest::execute(&arguments),
        Command::Pretrain { config, overrides, out } => pretrain::execute(hub, &config, &overrides, out),
    }
}

/// Data goes to stdout; messages go to stderr.
fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
