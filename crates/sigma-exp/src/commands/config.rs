//! The experiment that a config file and the arguments beside it state, for every command that takes one.

use anyhow::Result;

use crate::spec::Experiment;
use crate::yaml::Setting;
use crate::{cli, hints};

impl cli::Config {
    /// The file with every `--set`, and `--device` last.
    pub fn load(&self) -> Result<Experiment> {
        let mut settings = Setting::parse_all(&self.overrides)?;
        settings.extend(self.device.iter().map(|device| Setting::text("--device", "device", device)));
        Experiment::load(&self.config, &settings).map_err(hints::for_config)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_yaml::Value;

    use super::*;

    /// A config of these lines, with settings.
    fn load(text: &str, settings: &[String]) -> Result<Experiment> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let config = file.path().to_path_buf();
        cli::Config { config, overrides: settings.to_vec(), device: None }.load()
    }

    fn demo() -> Experiment {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/demo_s2.yaml");
        Experiment::load(&path, &[]).unwrap()
    }

    /// Every key of the completed demo config, sections and those below them.
    fn keys() -> Vec<(String, Value)> {
        let Value::Mapping(root) = serde_yaml::from_str(&demo().to_yaml().unwrap()).unwrap() else { unreachable!() };
        let mut keys = Vec::new();
        for (key, value) in root {
            let key = key.as_str().unwrap().to_string();
            if let Value::Mapping(section) = &value {
                let below =
                    section.iter().map(|(name, value)| (format!("{key}.{}", name.as_str().unwrap()), value.clone()));
                keys.extend(below);
            }
            keys.push((key, value));
        }
        assert!(keys.len() > 50, "{}", keys.len());
        keys
    }

    /// The completed demo config with another value behind `key`, or without it.
    fn with(key: &str, value: Option<Value>) -> String {
        let mut root: Value = serde_yaml::from_str(&demo().to_yaml().unwrap()).unwrap();
        let (section, last) = match key.split_once('.') {
            Some((section, last)) => (root[section].as_mapping_mut().unwrap(), last),
            None => (root.as_mapping_mut().unwrap(), key),
        };
        match value {
            Some(value) => section.insert(last.into(), value),
            None => section.remove(last),
        };
        serde_yaml::to_string(&root).unwrap()
    }

    /// The same with these characters behind `key`, however they are to be read.
    fn spelled(key: &str, spelling: &str) -> String {
        let mark = "the value goes here".to_string();
        with(key, Some(Value::String(mark.clone()))).replace(&mark, spelling)
    }

    fn outcome(result: Result<Experiment>) -> Option<String> {
        result.ok().map(|experiment| experiment.to_yaml().unwrap())
    }

    #[test]
    fn every_key_means_the_same_in_the_file_beside_another_set_and_with_set() {
        let spellings =
            ["2026", "1e3", "0x10", "1_000", ".5", "+1", "'2'", "yes", "true", "1.0", "a", "[1, a]", "null"];
        let (mut taken, mut refused) = (0, 0);
        for (key, value) in keys() {
            let one_line = serde_json::to_string(&value).unwrap();
            for spelling in spellings.iter().copied().chain([one_line.as_str()]) {
                let file = spelled(&key, spelling);
                let alone = outcome(load(&file, &[]));
                let unrelated = if key == "seed" { "domain=fin" } else { "seed=42" };
                assert_eq!(
                    alone,
                    outcome(load(&file, &[unrelated.to_string()])),
                    "{key}: {spelling} and --set {unrelated}"
                );
                let set = outcome(load(&with(&key, None), &[format!("{key}={spelling}")]));
                assert_eq!(alone, set, "{key}: {spelling} in the file, and --set {key}={spelling}");
                if alone.is_some() { taken += 1 } else { refused += 1 }
            }
        }
        assert!(taken > 150 && refused > 150, "{taken} taken, {refused} refused");
    }

    #[test]
    fn a_section_or_key_without_a_value_is_as_though_left_out() {
        for (key, _) in keys() {
            let without = outcome(load(&with(&key, None), &[]));
            for nothing in ["", "~", "null"] {
                assert_eq!(without, outcome(load(&spelled(&key, nothing), &[])), "{key}: {nothing}");
                let set = outcome(load(&with(&key, None), &[format!("{key}={nothing}")]));
                assert_eq!(without, set, "--set {key}={nothing}");
            }
        }
    }

    #[test]
    fn a_completed_config_reads_back_as_itself() {
        let mut experiment = demo();
        for name in ["2026", "1e3", "null", "yes", "0x10", "true"] {
            experiment.name = name.to_string();
            assert_eq!(load(&experiment.to_yaml().unwrap(), &[]).unwrap(), experiment);
        }
    }

    #[test]
    fn a_device_of_the_command_line_is_text_whatever_it_looks_like() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/demo_s2.yaml");
        for device in ["~", "", "#"] {
            let config = cli::Config { config: path.clone(), overrides: Vec::new(), device: Some(device.to_string()) };
            let message = format!("{:#}", config.load().unwrap_err());
            assert!(message.contains("is not a device"), "{device}: {message}");
        }
    }
}
