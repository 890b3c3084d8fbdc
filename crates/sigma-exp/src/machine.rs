//! What made a run: program, machine and device, for the manifest.

use std::fs;

use sigma_model::Device;
use sigma_report::manifest::{MachineEntry, ProgramEntry};

use crate::device;

pub fn program() -> ProgramEntry {
    ProgramEntry {
        version: env!("CARGO_PKG_VERSION").to_string(),
        commit: option_env!("SIGMA_EXP_COMMIT").map(str::to_string),
        dirty: option_env!("SIGMA_EXP_DIRTY") != Some("false"),
        compiler: option_env!("SIGMA_EXP_COMPILER").map(str::to_string),
        libraries: option_env!("SIGMA_EXP_LIBRARIES")
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, version)| (name.to_string(), version.to_string()))
            .collect(),
    }
}

pub fn machine(device: &Device) -> MachineEntry {
    MachineEntry {
        os: std::env::consts::OS.to_string(),
        arch: std::env::consts::ARCH.to_string(),
        cpu: cpu_name().unwrap_or_else(|| "unknown".to_string()),
        cpu_features: cpu_features(),
        threads: rayon::current_num_threads(),
        gpu: device::gpu_name(device),
    }
}

/// For people who look for a process of a cluster.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    name.map_or_else(|_| "this machine".to_string(), |name| name.trim().to_string())
}

fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// The instruction sets that change which kernels run, and so possibly the last bits.
fn cpu_features() -> Vec<String> {
    #[cfg(target_arch = "x86_64")]
    {
        use sigma_amx::{Parts, Unit};
        let found = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("amx_bf16", Unit::of_this_cpu().is_some()),
            // only where they multiply what is rounded to bf16
            ("avx512_bf16", matches!(Unit::for_parts(Parts::One), Some(Unit::Dot(_)))),
        ];
        found.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_string()).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}
