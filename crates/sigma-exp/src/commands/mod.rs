//! One file per command.

mod check;
mod config;
mod convert;
mod gram;
mod metrics;
mod output;
mod pretrain;
mod report;
mod run;
mod selftest;
mod slice;
mod stages;
mod status;
mod sweep;
mod texts;

use std::io::Write;

use anyhow::Result;
use sigma_report::shown::shown;

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
        Command::Convert(arguments) => convert::execute(&arguments),
        Command::Data(Data::Slice(arguments)) => slice::execute(hub, &arguments),
        Command::Selftest(arguments) => selftest::execute(&arguments),
        Command::Pretrain(arguments) => pretrain::execute(hub, &arguments),
    }
}

/// Data goes to stdout; messages go to stderr.
fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(shown(text).as_bytes())?)
}
