//! Launches from logits to updated parameters: the loss, the norm of the gradients, and the optimizer.

use sigma_kernels::adamw::Settings;
use sigma_kernels::gpu::{Arg, View};

use super::{BLOCK, Done, Kernels, LOGITS_BLOCK, UPDATE_BLOCKS, blocks, count, optional};

/// Gradients whose squares one block adds.
const SQUARES: usize = 1 << 16;

impl Kernels<'_> {
    /// Losses of these rows, and the gradient of the loss scale at `scale` times the mean loss of `all` rows.
    pub(crate) fn cross_entropy(
        &self,
        losses: View<'_>,
        gradient: View<'_>,
        (logits, labels): (View<'_>, View<'_>),
        (scale, all): (View<'_>, usize),
    ) -> Done {
        let rows = labels.len();
        let sizes = [count(all), count(logits.len() / rows)];
        let args = [losses.into(), gradient.into(), logits.into(), labels.into(), scale.into(), sizes[0], sizes[1]];
        self.each_row_of_logits(&self.typed("cross_entropy"), rows, &args)
    }

    /// The losses alone.
    pub(crate) fn losses(&self, losses: View<'_>, logits: View<'_>, labels: View<'_>) -> Done {
        let rows = labels.len();
        let sizes = [count(rows), count(logits.len() / rows)];
        let args = [losses.into(), Arg::Null, logits.into(), labels.into(), Arg::Null, sizes[0], sizes[1]];
        self.each_row_of_logits(&self.typed("cross_entropy"), rows, &args)
    }

    /// The mean of x, to the f64 at `mean`.
    pub(crate) fn mean(&self, mean: View<'_>, x: View<'_>) -> Done {
        self.gpu.launch("mean", (1, 1), LOGITS_BLOCK, 0, &[mean.into(), x.into(), count(x.len())])
    }

    /// The numbers of f64 that [`Self::norm`] needs for `n` gradients.
    pub(crate) fn norm_parts(n: usize) -> usize {
        n.div_ceil(SQUARES)
    }

    /// The L2 norm of x, to the f64 at `norm`.
    pub(crate) fn norm(&self, norm: View<'_>, x: View<'_>, parts: View<'_>) -> Done {
        let args = [parts.into(), x.into(), Arg::U64(x.len() as u64), count(SQUARES)];
        self.gpu.launch("squares", (blocks(x.len(), SQUARES as u32), 1), LOGITS_BLOCK, 0, &args)?;
        self.gpu.launch("norm_finish", (1, 1), LOGITS_BLOCK, 0, &[norm.into(), parts.into(), count(parts.len())])
    }

    /// Whether the step that `found` this loss and this norm counts, and how far it goes: to `factors`. `outcome` keeps
    /// what was found.
    pub(crate) fn plan_update(
        &self,
        (factors, state): (View<'_>, View<'_>),
        (outcome, found): (View<'_>, View<'_>),
        growth_interval: usize,
        settings: &Settings,
    ) -> Done {
        let Settings { learning_rate, weight_decay, beta1, beta2, epsilon, clip_norm } = *settings;
        let numbers = [learning_rate, weight_decay, beta1, beta2, epsilon, clip_norm].map(Arg::F64);
        let args = [factors.into(), state.into(), outcome.into(), found.into(), count(growth_interval)];
        self.gpu.launch("plan_update", (1, 1), 32, 0, &[&args[..], &numbers[..]].concat())
    }

    /// One step of AdamW; `copy` gets the new parameters in the precision of products, where that is not f32.
    pub(crate) fn adamw(
        &self,
        (theta, copy): (View<'_>, Option<View<'_>>),
        gradient: View<'_>,
        (m, v): (View<'_>, View<'_>),
        factors: View<'_>,
    ) -> Done {
        let n = Arg::U64(theta.len() as u64);
        let args = [theta.into(), optional(copy), gradient.into(), m.into(), v.into(), n, factors.into()];
        let grid = blocks(theta.len(), BLOCK).min(UPDATE_BLOCKS);
        self.gpu.launch(&self.typed("adamw"), (grid, 1), BLOCK, 0, &args)
    }
}
