//! Results may not depend on how many threads there are: results of a run are compared byte by byte.

use faer::Par;
use sigma_metrics::{SigmaConfig, SigmaUb, sigma_ub};

use crate::synthetic::rows;

/// Every float as its bits, the spectrum included: equality of floats would let -0 pass for 0.
fn bits(measured: &SigmaUb) -> (String, Vec<u64>) {
    (format!("{measured:?}"), measured.spectrum.iter().map(|lambda| lambda.to_bits()).collect())
}

/// faer takes a number of threads from a global setting wherever it is not told otherwise. 192 columns are enough for
/// its products, factorisations and tridiagonalisation to split.
#[test]
fn the_number_of_threads_leaves_no_trace() {
    let rows = rows(1000, 192, 1);
    let observed: Vec<usize> = (0..1000).filter(|i| i % 3 == 0).collect();
    let measure = |threads: Par| {
        faer::set_global_parallelism(threads);
        bits(&sigma_ub(&rows, &observed, None, &SigmaConfig::default()).unwrap())
    };
    let sequential = measure(Par::Seq);
    for threads in [2, 3, 8] {
        assert_eq!(measure(Par::rayon(threads)), sequential, "{threads} threads");
    }
}
