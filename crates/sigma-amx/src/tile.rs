//! A matrix as the unit wants it: panels of 32 vectors (rows of a left matrix, columns of a right one), cut along the
//! inner dimension into chunks of 32, and for each chunk the parts of every number, each part as two tiles of 16
//! vectors.

/// Vectors of a panel; the last one is filled up with zeros.
pub const PANEL: usize = 32;
/// Inner elements of a chunk; the last one is filled up with zeros.
pub const CHUNK: usize = 32;
/// Vectors of a tile.
pub(crate) const HALF: usize = PANEL / 2;

/// The numbers of bf16 that stand for one of f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// One: the number rounded to bf16.
    One,
    /// Three, whose sum is the number.
    Three,
}

impl Parts {
    pub(crate) const fn count(self) -> usize {
        match self {
            Parts::One => 1,
            Parts::Three => 3,
        }
    }

    /// Tiles of a panel's chunk.
    pub(crate) const fn tiles(self) -> usize {
        self.count() * PANEL / HALF
    }

    /// Which parts of left and right are multiplied, in the order in which they are added to the sums: each step loads
    /// few tiles anew.
    pub(crate) const fn products(self) -> &'static [(usize, usize)] {
        match self {
            Parts::One => &[(0, 0)],
            Parts::Three => &[(2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0)],
        }
    }
}

/// 16 rows of 32 numbers of bf16. On the left a row is a vector, with its elements side by side; on the right a row is
/// a pair of inner elements, with the pairs of the vectors side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Tile(pub(crate) [[u16; CHUNK]; HALF]);

impl Tile {
    pub const ZERO: Self = Self([[0; CHUNK]; HALF]);
}

/// How many tiles hold so many vectors of so many elements.
pub const fn tiles(vectors: usize, inner: usize, parts: Parts) -> usize {
    vectors.div_ceil(PANEL) * inner.div_ceil(CHUNK) * parts.tiles()
}
