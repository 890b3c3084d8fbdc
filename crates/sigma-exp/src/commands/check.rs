//! `sigma-exp check`: everything that a run would find out, before it starts.

use anyhow::Result;

use super::print;
use crate::assets::Assets;
use crate::hub::Hub;
use crate::{cli, device, plan};

pub fn execute(hub: Hub, arguments: &cli::Check) -> Result<()> {
    let experiment = arguments.config.load()?;
    let device = device::open(&experiment.device)?;
    let assets = Assets::load(hub, &experiment, None, &device)?;
    print(&format!("# the complete config\n{}\n# the plan\n", experiment.to_yaml()?))?;
    print(&plan::describe(&experiment, &assets, &device)?)
}
