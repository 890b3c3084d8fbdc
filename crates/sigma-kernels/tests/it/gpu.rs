//! The CUDA kernels, compiled as C++ and run by the emulator, against the functions of the CPU; and the same on the
//! CUDA device whose number `SIGMA_EXP_GPU` holds, if it is set in a build with that feature; then one test at a time
//! (RUST_TEST_THREADS=1), since a GPU that is closed waits for the whole device, which breaks another's recording.

use half::{bf16, f16};
use sigma_kernels::dropout::Mask;
use sigma_kernels::gpu::{Arg, BatchedOperand, Buffer, Dtype, Gemm, GemmBatched, Gpu, GpuError, Operand};

use crate::{difference, values};

const THREADS: u32 = 128;

pub(crate) fn gpus() -> Vec<Gpu> {
    let number = std::env::var("SIGMA_EXP_GPU").ok();
    let real = number.map(|number| Gpu::open(number.parse().unwrap()).unwrap());
    [Gpu::emulated()].into_iter().chain(real).collect()
}

fn blocks(threads: usize) -> (u32, u32) {
    (threads.div_ceil(THREADS as usize) as u32, 1)
}

pub(crate) fn all(buffer: &Buffer) -> Vec<f32> {
    buffer.read(0..buffer.len()).unwrap()
}

/// f32 values that are hard to round: every exponent, ties, subnormals, infinities and NaN.
fn hard_values() -> Vec<f32> {
    let bits =
        (0..=u16::MAX).flat_map(|high| [0, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001].map(|low| (high, low)));
    bits.map(|(high, low): (u16, u32)| f32::from_bits(u32::from(high) << 16 | low)).collect()
}

#[test]
fn casts_round_as_the_half_crate_does() {
    for gpu in gpus() {
        let x = hard_values();
        let n = x.len();
        let source = gpu.upload(&x).unwrap();
        let (y16, yb16) = (gpu.alloc(Dtype::F16, n).unwrap(), gpu.alloc(Dtype::Bf16, n).unwrap());
        for (kernel, y) in [("cast_f16", &y16), ("cast_bf16", &yb16)] {
            gpu.launch(kernel, blocks(n), THREADS, 0, &[y.into(), (&source).into(), (n as u64).into()]).unwrap();
        }
        let (y16, yb16) = (y16.read::<f16>(0..n).unwrap(), yb16.read::<bf16>(0..n).unwrap());
        for (i, &x) in x.iter().enumerate() {
            let (half, brain) = (f16::from_f32(x), bf16::from_f32(x));
            assert!(
                y16[i].to_bits() == half.to_bits() || x.is_nan() && y16[i].is_nan(),
                "{x}: {} is not {half}",
                y16[i]
            );
            assert!(
                yb16[i].to_bits() == brain.to_bits() || x.is_nan() && yb16[i].is_nan(),
                "{x}: {} is not {brain}",
                yb16[i]
            );
        }
    }
}

#[test]
fn widening_is_exact() {
    for gpu in gpus() {
        let n = 1 << 16;
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let brains: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        let y = gpu.alloc(Dtype::F32, n).unwrap();
        let same = |y: f32, x: f32| y == x || y.is_nan() && x.is_nan();
        // the column sums of one row are its numbers
        let widen = |kernel: &str, x: &Buffer| {
            let args = [(&y).into(), x.into(), 1u32.into(), (n as u32).into()];
            gpu.launch(kernel, ((n / 32) as u32, 1), THREADS, 0, &args).unwrap();
            all(&y)
        };
        let wide = widen("column_sums_f16", &gpu.upload(&halves).unwrap());
        assert!(wide.iter().zip(&halves).all(|(&y, x)| same(y, x.to_f32())));
        let wide = widen("column_sums_bf16", &gpu.upload(&brains).unwrap());
        assert!(wide.iter().zip(&brains).all(|(&y, x)| same(y, x.to_f32())));
    }
}

#[test]
fn dropout_on_a_gpu_drops_the_same_elements() {
    for gpu in gpus() {
        for (n, p, key) in [(1, 0.5, 7), (1000, 0.1, 42), (4097, 0.9, u64::MAX - 3), (5, 0.0, 1)] {
            let mut x = values(n, 3);
            let (on_gpu, out) = (gpu.upload(&x).unwrap(), gpu.alloc(Dtype::F32, n).unwrap());
            let key_on_gpu = gpu.upload(&[key]).unwrap();
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            let drop = |key: Arg<'_>| {
                let mask = [key, Arg::U64((p * 4_294_967_296.0) as u64), Arg::F32((1.0 / (1.0 - p)) as f32)];
                let args = [&[(&out).into(), (&on_gpu).into(), (n as u32).into()][..], &mask].concat();
                gpu.launch("residual_backward_f32", blocks(n), THREADS, 0, &args).unwrap();
                bits(&all(&out))
            };
            assert_eq!(drop(Arg::Null), bits(&x), "without a key");
            Mask { p, key }.apply(&mut x);
            // a dropped element may be -0 here
            let found: Vec<u32> =
                drop((&key_on_gpu).into()).into_iter().map(|x| if x == 1 << 31 { 0 } else { x }).collect();
            assert_eq!(found, bits(&x), "n = {n}, p = {p}");
        }
    }
}

/// Values in a buffer of `dtype`, and what they are rounded to there.
pub(crate) fn rounded(gpu: &Gpu, values: &[f32], dtype: Dtype) -> (Buffer, Vec<f32>) {
    match dtype {
        Dtype::F16 => {
            let x: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
            (gpu.upload(&x).unwrap(), x.iter().map(|x| x.to_f32()).collect())
        }
        Dtype::Bf16 => {
            let x: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
            (gpu.upload(&x).unwrap(), x.iter().map(|x| x.to_f32()).collect())
        }
        _ => (gpu.upload(values).unwrap(), values.to_vec()),
    }
}

/// A matrix in a buffer whose rows are longer than they need to be, and its values without gaps.
fn matrix(gpu: &Gpu, rows: usize, columns: usize, stride: usize, seed: u64, dtype: Dtype) -> (Buffer, Vec<f32>) {
    let (buffer, stored) = rounded(gpu, &values(rows * stride, seed), dtype);
    let packed = stored.chunks(stride).flat_map(|row| row[..columns].to_vec()).collect();
    (buffer, packed)
}

pub(crate) fn as_f32(buffer: &Buffer) -> Vec<f32> {
    match buffer.dtype() {
        Dtype::F16 => buffer.read::<f16>(0..buffer.len()).unwrap().iter().map(|x| x.to_f32()).collect(),
        Dtype::Bf16 => buffer.read::<bf16>(0..buffer.len()).unwrap().iter().map(|x| x.to_f32()).collect(),
        _ => all(buffer),
    }
}

/// What a product must be, by three loops in f64, from stored matrices without gaps.
fn expected(
    (m, n, k): (usize, usize, usize),
    (a, a_transposed): (&[f32], bool),
    (b, b_transposed): (&[f32], bool),
) -> Vec<f32> {
    let a = |i: usize, l: usize| f64::from(if a_transposed { a[l * m + i] } else { a[i * k + l] });
    let b = |l: usize, j: usize| f64::from(if b_transposed { b[j * k + l] } else { b[l * n + j] });
    (0..m * n).map(|ij| (0..k).map(|l| a(ij / n, l) * b(l, ij % n)).sum::<f64>() as f32).collect()
}

#[test]
fn products_equal_three_loops() {
    for gpu in gpus() {
        let (m, n, k) = (7, 5, 33);
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let shape =
                    |rows, columns, transposed: bool| if transposed { (columns, rows) } else { (rows, columns) };
                let ((ar, ac), (br, bc)) = (shape(m, k, ta), shape(k, n, tb));
                let (a, a_values) = matrix(&gpu, ar, ac, ac + 3, 1, dtype);
                let (b, b_values) = matrix(&gpu, br, bc, bc + 1, 2, dtype);
                let product = expected((m, n, k), (&a_values, ta), (&b_values, tb));
                for c_dtype in [Dtype::F32, dtype] {
                    let (c, c_values) = matrix(&gpu, m, n, n + 2, 3, c_dtype);
                    let untouched = as_f32(&c);
                    for accumulate in [false, true] {
                        let before = if accumulate { as_f32(&c) } else { vec![0.0; c.len()] };
                        gpu.gemm(&Gemm {
                            m,
                            n,
                            k,
                            a: Operand { view: a.view(), stride: ac + 3, transposed: ta },
                            b: Operand { view: b.view(), stride: bc + 1, transposed: tb },
                            c: c.view(),
                            c_stride: n + 2,
                            scale: 0.5,
                            accumulate,
                        })
                        .unwrap();
                        let c = as_f32(&c);
                        let of_rows =
                            |c: &[f32]| c.chunks(n + 2).flat_map(|row| row[..n].to_vec()).collect::<Vec<f32>>();
                        let sums: Vec<f32> = product.iter().zip(of_rows(&before)).map(|(p, c)| 0.5 * p + c).collect();
                        let tolerance = if c_dtype == Dtype::F32 { 1e-6 } else { 1e-2 };
                        assert!(
                            difference(&of_rows(&c), &sums) < tolerance,
                            "{dtype} {c_dtype} {ta} {tb} {accumulate}"
                        );
                        assert!(
                            difference(&of_rows(&c), &c_values) > tolerance,
                            "the result is not what was there before"
                        );
                        for (row, before) in c.chunks(n + 2).zip(untouched.chunks(n + 2)) {
                            assert_eq!(row[n..], before[n..], "between rows nothing is written");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn batched_products_find_their_matrices_by_address() {
    for gpu in gpus() {
        let (count, m, n, k) = (3, 4, 6, 8);
        let (a, a_values) = matrix(&gpu, count * m, k, k, 1, Dtype::F16);
        let (b, b_values) = matrix(&gpu, count * n, k, k, 2, Dtype::F16);
        let c = gpu.alloc(Dtype::F32, count * m * n).unwrap();
        let starts = |buffer: &Buffer, step: usize, order: [usize; 3]| {
            gpu.upload(&order.map(|i| buffer.slice(i * step..buffer.len()).address())).unwrap()
        };
        // the second operand backwards
        let (aa, ba, ca) = (starts(&a, m * k, [0, 1, 2]), starts(&b, n * k, [2, 1, 0]), starts(&c, m * n, [0, 1, 2]));
        gpu.gemm_batched(&GemmBatched {
            count,
            m,
            n,
            k,
            a: BatchedOperand { addresses: aa.view(), dtype: Dtype::F16, stride: k, transposed: false },
            b: BatchedOperand { addresses: ba.view(), dtype: Dtype::F16, stride: k, transposed: true },
            c: ca.view(),
            c_dtype: Dtype::F32,
            c_stride: n,
            scale: 1.0,
            accumulate: false,
        })
        .unwrap();
        for i in 0..count {
            let (a, b) = (&a_values[i * m * k..][..m * k], &b_values[(count - 1 - i) * n * k..][..n * k]);
            let product = expected((m, n, k), (a, false), (b, true));
            assert!(difference(&c.read(i * m * n..(i + 1) * m * n).unwrap(), &product) < 1e-6, "product {i}");
        }
    }
}

#[test]
fn batches_that_cublas_would_read_across_alignment_are_refused() {
    let gpu = Gpu::emulated();
    for (first, k, fine) in [(4, 8, false), (8, 8, true), (4, 12, true), (1, 12, false), (1, 3, true)] {
        let (x, c) = (gpu.alloc(Dtype::F16, 64).unwrap(), gpu.alloc(Dtype::F32, 1).unwrap());
        let (shifted, whole) =
            (gpu.upload(&[x.slice(first..64).address()]).unwrap(), gpu.upload(&[x.view().address()]).unwrap());
        let results = gpu.upload(&[c.view().address()]).unwrap();
        let row = BatchedOperand { addresses: shifted.view(), dtype: Dtype::F16, stride: k, transposed: false };
        let column = BatchedOperand { addresses: whole.view(), transposed: true, ..row };
        let outcome = gpu.gemm_batched(&GemmBatched {
            count: 1,
            m: 1,
            n: 1,
            k,
            a: row,
            b: column,
            c: results.view(),
            c_dtype: Dtype::F32,
            c_stride: 1,
            scale: 1.0,
            accumulate: false,
        });
        assert_eq!(outcome.is_ok(), fine, "from element {first}, k = {k}");
    }
}

#[test]
fn large_and_small_uploads_may_be_forgotten_at_once() {
    for gpu in gpus() {
        let y = gpu.alloc(Dtype::F32, 100_000).unwrap();
        for (at, n) in [(0, 100_000), (7, 3), (50, 20_000)] {
            let mut x: Vec<f32> = (0..n).map(|i| (i + at) as f32).collect();
            y.write(at, &x).unwrap();
            x.fill(f32::NAN);
        }
        assert!(all(&y).iter().enumerate().all(|(i, &y)| y == i as f32));
        gpu.synchronize().unwrap();
    }
}

#[test]
fn a_kernel_gets_the_shared_memory_it_asks_for() {
    for gpu in gpus() {
        let (x, y) = (gpu.upload(&[1f32]).unwrap(), gpu.alloc(Dtype::F16, 1).unwrap());
        for bytes in [0, 50_000, 90_000, 256] {
            y.clear().unwrap();
            gpu.launch("cast_f16", (1, 1), 32, bytes, &[(&y).into(), (&x).into(), 1u64.into()]).unwrap();
            assert_eq!(as_f32(&y), [1.0]);
        }
    }
}

#[test]
fn memory_is_zero_counted_and_limited() {
    let gpu = Gpu::emulated();
    let (free, total) = gpu.memory().unwrap();
    let x = gpu.alloc(Dtype::F64, 1000).unwrap();
    assert_eq!(x.read::<f64>(0..1000).unwrap(), [0.0; 1000]);
    assert_eq!(gpu.memory().unwrap(), (free - 8000, total));
    drop(x);
    assert_eq!(gpu.memory().unwrap(), (free, total));
    let asked = total as usize / 4 + 1;
    assert!(matches!(gpu.alloc(Dtype::F32, asked), Err(GpuError::OutOfMemory { .. })));
    assert!(matches!(gpu.alloc(Dtype::F64, usize::MAX), Err(GpuError::OutOfMemory { .. })));
    let empty = gpu.upload::<f32>(&[]).unwrap();
    assert_eq!(empty.read::<f32>(0..0).unwrap(), [0f32; 0]);
}

#[test]
fn wrong_names_arguments_and_sizes_are_errors_that_say_so() {
    let gpu = Gpu::emulated();
    let (x, y) = (gpu.upload(&[1f32]).unwrap(), gpu.alloc(Dtype::F16, 1).unwrap());
    let message = |kernel: &str, block: u32, shared: u32, args: &[Arg<'_>]| {
        gpu.launch(kernel, (1, 1), block, shared, args).unwrap_err().to_string()
    };
    assert_eq!(message("casd_f16", 32, 0, &[]), "there is no kernel `casd_f16`");
    let expected = "kernel `cast_f16` takes (f16*, f32*, u64), not ";
    let n = Arg::U64(1);
    assert_eq!(message("cast_f16", 32, 0, &[(&y).into(), (&x).into()]), format!("{expected}(f16*, f32*)"));
    assert_eq!(message("cast_f16", 32, 0, &[(&x).into(), (&x).into(), n]), format!("{expected}(f32*, f32*, u64)"));
    let too_narrow = [(&y).into(), (&x).into(), 1u32.into()];
    assert_eq!(message("cast_f16", 32, 0, &too_narrow), format!("{expected}(f16*, f32*, u32)"));
    let args = [(&y).into(), (&x).into(), n];
    assert!(message("cast_f16", 513, 0, &args).contains("513 threads"));
    assert!(message("cast_f16", 0, 0, &args).contains("0 threads"));
    assert!(message("cast_f16", 32, 1 << 20, &args).contains("1048576 bytes"));
    gpu.launch("cast_f16", (0, 1), 32, 0, &args).unwrap();
    gpu.launch("cast_f16", (1, 1), 32, 0, &args).unwrap();
    assert_eq!(as_f32(&y), [1.0], "after such errors everything still works");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_with_the_reason() {
    let error = Gpu::open(9999).map(|gpu| gpu.name()).unwrap_err();
    let reasons = matches!(
        error,
        GpuError::NotBuiltIn | GpuError::NoDriver { .. } | GpuError::NoLibrary { .. } | GpuError::NoDevice { .. }
    );
    assert!(reasons, "{error}");
}
