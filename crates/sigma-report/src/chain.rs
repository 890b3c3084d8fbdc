//! Whether the records of a run are those that the program wrote. Each record holds the hash of the one before, and the
//! manifest the hashes of all, where the newest may be missing after a kill. It notices what was changed by hand, not
//! what was forged: whoever rewrites every hash after the change is believed.

use std::collections::BTreeMap;

use crate::manifest::Manifest;
use crate::record::HashedRecord;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// `None` for the run as a whole.
    pub generation: Option<u32>,
    pub what: String,
}

/// Stands for an experiment: a condition and a seed.
pub fn experiment_hash(condition_hash: &str, seed: u64) -> String {
    hash_of(format!("{condition_hash} {seed}").as_bytes())
}

/// BLAKE3, as records and manifests write it.
pub(crate) fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// What the record of `generation` has to say of the one before it, if that is among `records`.
pub fn previous(records: &BTreeMap<u32, HashedRecord>, generation: u32) -> Option<String> {
    let before = records.get(&generation.checked_sub(1)?)?;
    Some(if before.record.generation == 0 { before.record.origin() } else { before.hash.clone() })
}

/// Everything about `records`, by their generation, that does not fit together or is not what `manifest` says.
pub fn broken(manifest: &Manifest, records: &BTreeMap<u32, HashedRecord>) -> Vec<Broken> {
    let mut found = Vec::new();
    let mut add = |generation, what: &str| found.push(Broken { generation, what: what.to_owned() });
    let latest = manifest.starts.last().map(|start| &start.experiment_hash);
    if experiment_hash(&manifest.condition_hash, manifest.seed) != manifest.experiment_hash
        || latest != Some(&manifest.experiment_hash)
    {
        add(None, "seed or hashes of manifest.json were changed since it was written");
    }
    let newest = records.keys().next_back().copied();
    for (&t, HashedRecord { hash, record }) in records {
        if !manifest.starts.iter().any(|start| start.experiment_hash == record.experiment) {
            add(Some(t), "record.json belongs to another experiment than manifest.json");
            continue;
        }
        match manifest.records.get(&t) {
            Some(written) if written != hash => add(Some(t), "record.json has changed since it was written"),
            Some(_) => {}
            // a kill came between the record and the manifest
            None if Some(t) == newest && manifest.records.len() as u32 == t => {}
            // the evaluation of the base was made again alone
            None if t == 0 => {}
            None => add(Some(t), "record.json is not among the records of manifest.json"),
        }
        let rests_on = previous(records, t);
        if (t == 0 && record.previous.is_some()) || (rests_on.is_some() && rests_on != record.previous) {
            // what generation 1 has of generation 0 follows from the inputs, so there the later one is wrong
            let of = if t > 1 { t - 1 } else { t };
            add(Some(of), &format!("generations {} and {t} do not belong together", t.saturating_sub(1)));
        }
    }
    found
}
