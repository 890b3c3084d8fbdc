//! An experiment's config, as a file or (first byte odd) as the lines of `--set` over the demo, read by the program's
//! own modules.
#![no_main]
// the program is a binary, so its modules are taken by path; parts of them are of no use here
#![allow(dead_code, unexpected_cfgs, unreachable_pub)]

#[path = "../../crates/sigma-exp/src/device.rs"]
mod device;
#[path = "../../crates/sigma-exp/src/mixture.rs"]
mod mixture;
#[path = "../../crates/sigma-exp/src/spec.rs"]
mod spec;
#[path = "../../crates/sigma-exp/src/yaml/mod.rs"]
mod yaml;

use libfuzzer_sys::fuzz_target;

const DEMO: &[u8] = include_bytes!("../../configs/demo_s2.yaml");

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let (file, overrides) = match kind % 2 {
        0 => (content, Vec::new()),
        _ => (DEMO, String::from_utf8_lossy(content).lines().map(str::to_string).collect()),
    };
    let Ok(overrides) = yaml::Setting::parse_all(&overrides) else { return };
    let path = sigma_fuzz::file("config.yaml", file);
    if let Ok(experiment) = spec::Experiment::load(&path, &overrides) {
        // what is accepted is written into the run's folder, and must come back the same
        let text = experiment.to_yaml().expect("a valid config can be written");
        let again: spec::Experiment = serde_yaml::from_str(&text).expect("what was written can be read");
        assert!(again == experiment, "{text}");
    }
});
