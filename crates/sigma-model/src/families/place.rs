//! Where a parameter stands in a family's weight files, and in which layout. Translation goes both ways.

use candle_core::{Result, Tensor};

/// A tensor of a file, and the part of it that is one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[out, in]`, as parameters are.
    AsIs,
    /// `[in, out]`
    Transposed,
    /// `[in, q | k | v]`, and the bias alike: the third of this number.
    ColumnsOfThree(usize),
    /// Rows by head, then q, k, v, then the dimensions of a head, and the bias alike: the part of this number.
    RowsByHead(usize),
}

impl Place {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), layout: Layout::AsIs }
    }
}

impl Layout {
    /// How many parameters share the file's tensor.
    pub(crate) fn parts(self) -> usize {
        match self {
            Self::AsIs | Self::Transposed => 1,
            Self::ColumnsOfThree(_) | Self::RowsByHead(_) => 3,
        }
    }

    /// Shape of the file's tensor for a parameter of shape `[out]` or `[out, in]`.
    pub(crate) fn shape_in_file(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::Transposed, [out, inner]) => vec![*inner, *out],
            (Self::ColumnsOfThree(_), [out, inner]) => vec![*inner, 3 * out],
            (Self::RowsByHead(_), [out, inner]) => vec![3 * out, *inner],
            (Self::ColumnsOfThree(_) | Self::RowsByHead(_), [out]) => vec![3 * out],
            _ => shape.to_vec(),
        }
    }

    /// The parameter of shape `shape` in the file's tensor.
    pub(crate) fn take(self, stored: &Tensor, shape: &[usize], head_dim: usize) -> Result<Tensor> {
        match self {
            Self::AsIs => Ok(stored.clone()),
            Self::Transposed => transposed(stored),
            Self::ColumnsOfThree(part) => {
                let last = stored.rank() - 1;
                let width = stored.dim(last)? / 3;
                transposed(&stored.narrow(last, part * width, width)?.contiguous()?)
            }
            Self::RowsByHead(part) => {
                let heads = stored.dim(0)? / (3 * head_dim);
                let split = stored.reshape((heads, 3, head_dim, ()))?;
                split.narrow(1, part, 1)?.contiguous()?.reshape(shape)
            }
        }
    }

    /// The file's tensor from its parameters, in the order of their parts.
    pub(crate) fn join(self, parts: &[&Tensor], head_dim: usize) -> Result<Tensor> {
        match self {
            Self::AsIs => Ok(parts[0].clone()),
            Self::Transposed => transposed(parts[0]),
            Self::ColumnsOfThree(_) => {
                let columns: Vec<Tensor> = parts.iter().map(|part| transposed(part)).collect::<Result<_>>()?;
                Tensor::cat(&columns, parts[0].rank() - 1)
            }
            Self::RowsByHead(_) => {
                let heads = parts[0].dim(0)? / head_dim;
                let by_head = |part: &&Tensor| part.reshape((heads, 1, head_dim, ()));
                let joined = Tensor::cat(&parts.iter().map(by_head).collect::<Result<Vec<_>>>()?, 1)?;
                let mut shape = parts[0].dims().to_vec();
                shape[0] *= 3;
                joined.reshape(shape)
            }
        }
    }
}

/// A matrix transposed; a bias as it is.
fn transposed(tensor: &Tensor) -> Result<Tensor> {
    if tensor.rank() == 2 { tensor.t()?.contiguous() } else { Ok(tensor.clone()) }
}
