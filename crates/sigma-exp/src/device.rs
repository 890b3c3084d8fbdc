//! From `auto`, `cpu`, `cuda` or `cuda:<index>` to a device. The only place that knows whether CUDA was built in.

use anyhow::{Context, Result, bail};
use candle_core::Device;

/// Checks the spelling only.
pub fn check(text: &str) -> Result<()> {
    match text {
        "auto" | "cpu" | "cuda" => Ok(()),
        _ => match text.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(_)) => Ok(()),
            _ => bail!("`{text}` is not a device; use auto, cpu, cuda or cuda:<index>"),
        },
    }
}

/// Opens the device. `auto` is the first CUDA device where there is one, and the CPU otherwise.
pub fn open(text: &str) -> Result<Device> {
    check(text)?;
    match text {
        "cpu" => Ok(Device::Cpu),
        "auto" if !cfg!(feature = "cuda") => Ok(Device::Cpu),
        "auto" => match Device::new_cuda(0) {
            Ok(device) => Ok(device),
            Err(error) => {
                tracing::warn!(%error, "no CUDA device can be used; running on the CPU");
                Ok(Device::Cpu)
            }
        },
        _ if !cfg!(feature = "cuda") => {
            bail!("device `{text}`: this program was built without CUDA; build it with --features cuda (docs/gpu.md)")
        }
        _ => {
            let index = text.strip_prefix("cuda:").map_or(Ok(0), str::parse)?;
            Device::new_cuda(index).with_context(|| format!("CUDA device {index} can not be used"))
        }
    }
}

/// The device's name for people and manifests.
pub fn describe(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_string(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}
