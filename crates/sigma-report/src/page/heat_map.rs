//! The heat map of the page as data: mean ΔU over real fraction and generation. What draws it is `heat_map.js`; numbers
//! are those of the exported table.

use serde::Serialize;

use crate::alpha::{AlphaCurve, AlphaPoint, AlphaSweep};

#[derive(Debug, Serialize)]
pub(super) struct HeatMap {
    panels: Vec<Panel>,
}

/// One curve of the sweep, its rows by ascending real fraction.
#[derive(Debug, Serialize)]
struct Panel {
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    alpha: f64,
    /// One for each generation from 0; `null` where nothing was measured.
    cells: Vec<Option<f64>>,
}

impl HeatMap {
    pub(super) fn of(sweep: &AlphaSweep) -> HeatMap {
        let cell = |point: &AlphaPoint, t: u32| point.mean(t).and_then(|point| point.du_cov);
        let row = |point: &AlphaPoint| Row {
            alpha: point.alpha,
            cells: (0..=sweep.generation).map(|t| cell(point, t)).collect(),
        };
        let panel = |curve: &AlphaCurve| Panel { title: curve.label(), rows: curve.points.iter().map(row).collect() };
        HeatMap { panels: sweep.curves.iter().map(panel).collect() }
    }
}
