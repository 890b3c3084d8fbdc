//! How far training has moved parameters. Which model they are of is not known here.

/// The L2 norm of the differences over the L2 norm of what was before, both over all pairs `(now, before)`, in f64.
pub(crate) fn relative<'a>(pairs: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> f64 {
    let (mut moved, mut whole) = (0.0, 0.0);
    for (now, before) in pairs {
        for (now, before) in now.iter().zip(before) {
            let (now, before) = (f64::from(*now), f64::from(*before));
            moved += (now - before).powi(2);
            whole += before.powi(2);
        }
    }
    if moved == 0.0 { 0.0 } else { (moved / whole).sqrt() }
}
