//! The table behind the picture of a spectrum.

use crate::paper_tables::{GENERATION, column};
use crate::spectrum::{Curve, Spectrum};
use crate::table::{Cell, Digits, Table};

/// Every point of the figure: generation, place in the descending order, eigenvalue, and its power of ten against t =
/// 0.
pub(crate) fn points(spectrum: &Spectrum) -> Table {
    let columns = vec![
        GENERATION,
        column("i", "i", "$i$", Digits::Exact),
        column("lambda", "λ_i of G_A", r"$\lambda_i$", Digits::Scientific(3)),
        column(
            "log10_ratio",
            "log10 of λ_i(t) / λ_i(0)",
            r"$\log_{10} \lambda_i(t)/\lambda_i(0)$",
            Digits::Decimals(4),
        ),
    ];
    let of_curve = |curve: &Curve| {
        let row = |((place, value), ratio): ((&usize, &f64), &Option<f64>)| {
            vec![Cell::Count(curve.generation.into()), Cell::count(*place), Cell::Number(*value), (*ratio).into()]
        };
        spectrum.places.iter().zip(&curve.eigenvalues).zip(&curve.log_ratios).map(row).collect::<Vec<_>>()
    };
    Table { columns, rows: spectrum.curves.iter().flat_map(of_curve).collect() }
}
