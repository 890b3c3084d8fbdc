//! Which blocks a generation trains on: real contexts and synthetic continuations in the asked proportion. Every choice
//! comes from the generation's own random stream.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use sigma_data::blocks::Block;
use sigma_data::seeds::{Seeds, Stage};

/// The `mixture` section of a config.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureConfig {
    /// Alpha: the share of real blocks among the N new blocks of a generation.
    pub real_fraction: f64,
    pub mode: Mode,
    pub real: Real,
}

/// What becomes of the blocks of earlier generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Training sees the N new blocks only (the paper).
    #[default]
    Replace,
    /// Training sees all real contexts and the new blocks of every generation so far: N (t + 1) blocks.
    Accumulate,
    /// N blocks drawn without replacement from what `accumulate` would train on.
    AccumulateSubsample,
}

/// Where the real blocks of a generation come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Real {
    /// Drawn anew from the N contexts for each generation.
    #[default]
    Resample,
    /// The same ones of the N contexts for all generations.
    Fixed,
    /// Contexts beyond the N that no generation has used.
    Fresh,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Replace => "replace",
            Mode::Accumulate => "accumulate",
            Mode::AccumulateSubsample => "accumulate_subsample",
        }
    }
}

impl MixtureConfig {
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.real_fraction) {
            bail!("mixture.real_fraction is {}; it must lie in [0, 1]", self.real_fraction);
        }
        Ok(())
    }

    /// Real blocks among `n` new ones.
    pub fn real_blocks(&self, n: usize) -> usize {
        (self.real_fraction * n as f64).round() as usize
    }

    /// Contexts beyond the N that `generations` generations need.
    pub fn spare_contexts(&self, n: usize, generations: u32) -> usize {
        if self.real == Real::Fresh { self.real_blocks(n) * generations as usize } else { 0 }
    }

    /// Whether generations train on blocks of earlier ones.
    pub fn accumulates(&self) -> bool {
        self.mode != Mode::Replace
    }
}

/// A generation's training blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixture {
    pub blocks: Vec<Block>,
    /// How many of them are real text.
    pub real: usize,
}

/// The frozen real text of an experiment.
#[derive(Debug, Clone, Copy)]
pub struct RealText<'a> {
    /// The N contexts.
    pub contexts: &'a [Block],
    /// Further contexts, for `real: fresh`, which takes them in a random order that is drawn once per run: in the order
    /// of the file a change of topic would look like a change of the model.
    pub spare: &'a [Block],
}

/// Chooses the training blocks of `generation` (from 1). `pools[g - 1]` holds the continuation of each context that
/// generation g's pool has, in the order of contexts; it may be empty where no synthetic block is needed, and only the
/// last pool is needed unless the mode accumulates.
pub fn mix(
    config: &MixtureConfig,
    real: RealText<'_>,
    pools: &[Vec<Block>],
    generation: u32,
    seeds: &Seeds,
) -> Mixture {
    let n = real.contexts.len();
    let new = |g: u32| new_blocks(config, real, pools.get(g as usize - 1).map_or(&[], Vec::as_slice), g, seeds);
    if config.mode == Mode::Replace {
        return new(generation);
    }
    let mut all = Mixture { blocks: real.contexts.to_vec(), real: n };
    for g in 1..=generation {
        let mut newer = new(g);
        // real blocks stay in front, so that `real` counts them
        let synthetic = newer.blocks.split_off(newer.real);
        all.blocks.splice(all.real..all.real, newer.blocks);
        all.blocks.extend(synthetic);
        all.real += newer.real;
    }
    if config.mode == Mode::Accumulate {
        return all;
    }
    let mut chosen = seeds.stream(Stage::Mixture, Some(generation as usize), "subsample").permutation(all.blocks.len());
    chosen.truncate(n);
    chosen.sort_unstable();
    let real = chosen.iter().filter(|i| **i < all.real).count();
    Mixture { blocks: chosen.into_iter().map(|i| all.blocks[i].clone()).collect(), real }
}

/// The N new blocks of one generation, real ones first. Each context gives one block: itself or its continuation; with
/// `fresh`, unused contexts take the place of as many continuations.
fn new_blocks(config: &MixtureConfig, real: RealText<'_>, pool: &[Block], generation: u32, seeds: &Seeds) -> Mixture {
    let n = real.contexts.len();
    let k = config.real_blocks(n);
    let drawn_for = if config.real == Real::Fixed { None } else { Some(generation as usize) };
    let order = seeds.stream(Stage::Mixture, drawn_for, "real").permutation(n);
    let (mut chosen, mut others) = (order[..k].to_vec(), order[k..].to_vec());
    chosen.sort_unstable();
    others.sort_unstable();
    let mut blocks: Vec<Block> = match config.real {
        Real::Fresh => {
            let order = seeds.stream(Stage::Mixture, None, "fresh").permutation(real.spare.len());
            order.into_iter().skip(k * (generation as usize - 1)).take(k).map(|i| real.spare[i].clone()).collect()
        }
        Real::Resample | Real::Fixed => chosen.iter().map(|i| real.contexts[*i].clone()).collect(),
    };
    let real = blocks.len();
    blocks.extend(others.iter().filter_map(|i| pool.get(*i).cloned()));
    Mixture { blocks, real }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(kind: &str, n: usize) -> Vec<Block> {
        (0..n).map(|i| Block { id: format!("{kind}{i}"), tokens: vec![i as u32] }).collect()
    }

    fn run(config: MixtureConfig, generation: u32) -> Mixture {
        let (contexts, spare) = (blocks("real", 20), blocks("spare", 60));
        let pools: Vec<Vec<Block>> = (1..=generation).map(|g| blocks(&format!("g{g}-"), 20)).collect();
        let real = RealText { contexts: &contexts, spare: &spare };
        mix(&config, real, &pools, generation, &Seeds::new(42, "test"))
    }

    fn ids(mixture: &Mixture) -> Vec<&str> {
        mixture.blocks.iter().map(|b| b.id.as_str()).collect()
    }

    fn config(real_fraction: f64) -> MixtureConfig {
        MixtureConfig { real_fraction, ..MixtureConfig::default() }
    }

    #[test]
    fn replace_keeps_the_budget_and_covers_every_context_once() {
        for (alpha, real) in [(0.0, 0), (0.25, 5), (0.5, 10), (1.0, 20)] {
            let mixture = run(config(alpha), 2);
            assert_eq!((mixture.blocks.len(), mixture.real), (20, real));
            let mut covered: Vec<u32> = mixture.blocks.iter().map(|b| b.tokens[0]).collect();
            covered.sort_unstable();
            assert_eq!(covered, (0..20).collect::<Vec<_>>(), "alpha = {alpha}");
            let synthetic = ids(&mixture).iter().filter(|id| id.starts_with("g2-")).count();
            assert_eq!(synthetic, 20 - real, "only this generation's pool is used");
        }
    }

    #[test]
    fn resample_changes_with_the_generation_and_fixed_does_not() {
        let real_ids = |config, generation| {
            let mixture = run(config, generation);
            mixture.blocks[..mixture.real].iter().map(|b| b.id.clone()).collect::<Vec<_>>()
        };
        assert_ne!(real_ids(config(0.5), 1), real_ids(config(0.5), 2));
        let fixed = MixtureConfig { real: Real::Fixed, ..config(0.5) };
        assert_eq!(real_ids(fixed, 1), real_ids(fixed, 2));
    }

    #[test]
    fn fresh_never_uses_a_context_twice() {
        let fresh = MixtureConfig { real: Real::Fresh, ..config(0.5) };
        let mut seen = std::collections::HashSet::new();
        for generation in 1..=3 {
            let mixture = run(fresh, generation);
            assert_eq!((mixture.blocks.len(), mixture.real), (20, 10));
            for block in &mixture.blocks[..10] {
                assert!(block.id.starts_with("spare") && seen.insert(block.id.clone()), "{}", block.id);
            }
        }
        assert_eq!(fresh.spare_contexts(20, 3), 30);
        assert_eq!(config(0.5).spare_contexts(20, 3), 0);
    }

    #[test]
    fn fresh_contexts_come_in_a_random_order_that_belongs_to_the_seed() {
        let fresh = MixtureConfig { real: Real::Fresh, ..config(0.5) };
        let first: Vec<u32> = run(fresh, 1).blocks[..10].iter().map(|block| block.tokens[0]).collect();
        // a file that is ordered by topic would give 0 to 9
        assert!(first.iter().any(|place| *place >= 30) && first.iter().any(|place| *place < 30), "{first:?}");
        assert_eq!(first, run(fresh, 1).blocks[..10].iter().map(|block| block.tokens[0]).collect::<Vec<_>>());
        let (contexts, spare) = (blocks("real", 20), blocks("spare", 60));
        let real = RealText { contexts: &contexts, spare: &spare };
        let other = mix(&fresh, real, &[blocks("g1-", 20)], 1, &Seeds::new(43, "test"));
        assert_ne!(first, other.blocks[..10].iter().map(|block| block.tokens[0]).collect::<Vec<_>>());
    }

    #[test]
    fn accumulate_holds_the_real_contexts_and_every_generation() {
        let mixture = run(MixtureConfig { mode: Mode::Accumulate, ..config(0.0) }, 3);
        assert_eq!((mixture.blocks.len(), mixture.real), (80, 20));
        for prefix in ["real", "g1-", "g2-", "g3-"] {
            assert_eq!(ids(&mixture).iter().filter(|id| id.starts_with(prefix)).count(), 20, "{prefix}");
        }
        let half = run(MixtureConfig { mode: Mode::Accumulate, ..config(0.5) }, 2);
        assert_eq!((half.blocks.len(), half.real), (60, 40));
        assert!(ids(&half)[..40].iter().all(|id| id.starts_with("real")), "real blocks come first");
    }

    #[test]
    fn accumulate_subsample_keeps_the_budget_without_repeats() {
        let mixture = run(MixtureConfig { mode: Mode::AccumulateSubsample, ..config(0.0) }, 3);
        assert_eq!(mixture.blocks.len(), 20);
        let unique: std::collections::HashSet<&str> = ids(&mixture).into_iter().collect();
        assert_eq!(unique.len(), 20);
        assert_eq!(mixture.real, ids(&mixture).iter().filter(|id| id.starts_with("real")).count());
        assert!(mixture.real > 0 && mixture.real < 20);
    }
}
