//! `sigma-exp check`: everything that a run would find out, before it starts.

use anyhow::Result;

use super::print;
use crate::arithmetic::{Arithmetic, DeviceChange};
use crate::assets::Assets;
use crate::hub::Hub;
use crate::spec::Experiment;
use crate::{cli, plan};

pub fn execute(hub: Hub, arguments: &cli::Check) -> Result<()> {
    let experiment = arguments.config.load()?;
    let arithmetic = Arithmetic::open(&experiment, None, DeviceChange::Refused)?;
    let assets = Assets::load(hub, &experiment, None, &arithmetic)?;
    show(&experiment, &assets, &arithmetic)
}

/// Prints the complete config, and the plan as comments: what comes out is a config that can be given back.
pub(super) fn show(experiment: &Experiment, assets: &Assets, arithmetic: &Arithmetic) -> Result<()> {
    let plan: String =
        plan::describe(experiment, assets, arithmetic)?.lines().map(|line| format!("# {line}\n")).collect();
    print(&format!("# the complete config\n{}\n# the plan\n{plan}", experiment.to_yaml()?))
}
