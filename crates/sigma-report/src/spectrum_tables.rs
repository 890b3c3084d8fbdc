//! The table behind the picture of a spectrum.

use crate::paper_tables::{GENERATION, column};
use crate::spectrum::{Curve, Spectrum};
use crate::table::{Cell, Digits, Table};

/// Every point of the figure: generation, place in the descending order, eigenvalue.
pub(crate) fn points(spectrum: &Spectrum) -> Table {
    let columns = vec![
        GENERATION,
        column("i", "i", "$i$", Digits::Exact),
        column("lambda", "λ_i of G_A", r"$\lambda_i$", Digits::Scientific(3)),
    ];
    let of_curve = |curve: &Curve| {
        let generation = curve.generation;
        let pairs: Vec<(usize, f64)> = spectrum.places.iter().copied().zip(curve.eigenvalues.iter().copied()).collect();
        pairs
            .into_iter()
            .map(move |(place, value)| vec![Cell::Count(generation.into()), Cell::count(place), Cell::Number(value)])
    };
    Table { columns, rows: spectrum.curves.iter().flat_map(of_curve).collect() }
}
