//! `sigma-exp selftest`: whether this machine's GPU gives the CPU's numbers.

use anyhow::{Result, bail};
use sigma_model::{Device, Opt};

use super::print;
use crate::diagnostics::CheckFailed;
use crate::selftest::{FULL, QUICK, compare};
use crate::{cli, device};

pub fn execute(arguments: &cli::Selftest) -> Result<()> {
    let device = device::open(&arguments.device)?;
    if device.is_cpu() {
        bail!(
            "there is no GPU to compare with the CPU; name one by --device, and build with --features cuda (docs/gpu.md)"
        );
    }
    let folder = &arguments.model;
    let model = Opt::load(folder, &Device::Cpu)?;
    let name = device::gpu_name(&device).unwrap_or_default();
    print(&format!("{name} ({}) against the CPU in f32, {}\n\n", device::describe(&device), folder.display()))?;
    print("precision  difference     allowed   what\n")?;
    let findings = compare(&model, &device, if arguments.quick { QUICK } else { FULL })?;
    for finding in &findings {
        let mark = if finding.holds() { ' ' } else { '!' };
        let (precision, difference, allowed) = (finding.precision, finding.difference, finding.allowed);
        print(&format!("{precision:<9} {difference:>11.2e} {allowed:>11.2e} {mark} {}\n", finding.what))?;
    }
    let failed = findings.iter().filter(|finding| !finding.holds()).count();
    if failed > 0 {
        bail!(CheckFailed(format!("{failed} of {} comparisons are farther apart than allowed", findings.len())));
    }
    print(&format!("\nall {} hold\n", findings.len()))
}
