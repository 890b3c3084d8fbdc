//! Products of a piece of rows on the CPU's matrix unit (`sigma_amx`), added to sums in float64: what [`super::microkernel`] does, by
//! blocks of 32 x 32 coordinates.

use std::ops::Range;

use sigma_amx::{PANEL, Session, Side, Source, Start, Tile, Unit, tiles};

/// The unit counts what is below 1e-38 as 0. A piece with a number of this size loses nothing by it that could be seen beside that number.
const SMALLEST: f32 = 1e-10;

/// A rectangle of G, and space for pieces of rows.
pub(super) struct UnitProduct {
    unit: Unit,
    session: Session,
    rows: Range<usize>,
    columns: Range<usize>,
    left: Vec<Tile>,
    right: Vec<Tile>,
}

impl UnitProduct {
    /// For pieces of at most `piece` rows.
    pub(super) fn new(unit: Unit, rows: Range<usize>, columns: Range<usize>, piece: usize) -> Self {
        let space = |range: &Range<usize>| vec![Tile::ZERO; tiles(range.len(), piece)];
        Self { unit, session: unit.begin(), left: space(&columns), right: space(&rows), rows, columns }
    }

    /// Whether the unit's product of these rows is as good as one in float32.
    pub(super) fn fits(rows: &[f32]) -> bool {
        rows.iter().any(|x| x.abs() >= SMALLEST)
    }

    /// sum += rows^T columns for rows of width `d`, where `sum` is column-major. Where the rectangle lies on the diagonal, what is above it
    /// is not meant.
    pub(super) fn add(&mut self, piece: &[f32], d: usize, sum: &mut [f64]) {
        let (count, height) = (piece.len() / d, self.rows.len());
        let source = Source::Elements(piece, d);
        let left = &mut self.left[..tiles(self.columns.len(), count)];
        self.unit.pack(left, Side::Left, source, (self.columns.start, self.columns.len()), (0, count));
        let right = &mut self.right[..tiles(height, count)];
        self.unit.pack(right, Side::Right, source, (self.rows.start, height), (0, count));
        let panel = tiles(PANEL, count);
        let lower = self.rows == self.columns;
        let mut block = [[0f32; PANEL]; PANEL];
        for (c, left) in left.chunks_exact(panel).enumerate() {
            for (r, right) in right.chunks_exact(panel).enumerate().skip(if lower { c } else { 0 }) {
                self.session.multiply(&mut block, Start::Zero, left, right);
                let columns = sum[c * PANEL * height..].chunks_exact_mut(height).zip(&block);
                pulp::Arch::new().dispatch(Add { columns, from: r * PANEL });
            }
        }
    }
}

/// Adds a block to the rows `from..` of up to 32 columns. A struct and not a closure, which the compiler may leave out of line, compiled for
/// the oldest CPU.
struct Add<I> {
    columns: I,
    from: usize,
}

impl<'a, I: Iterator<Item = (&'a mut [f64], &'a [f32; PANEL])>> pulp::NullaryFnOnce for Add<I> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (column, values) in self.columns {
            let column = &mut column[self.from..];
            // nearly all columns are whole, and then the compiler knows how many vectors there are
            if let Some(column) = column.first_chunk_mut::<PANEL>() {
                for i in 0..PANEL {
                    column[i] += f64::from(values[i]);
                }
                continue;
            }
            for (sum, value) in column.iter_mut().zip(values) {
                *sum += f64::from(*value);
            }
        }
    }
}
