//! The emulator itself: it computes what a GPU computes, and finds what no kernel may do.

use sigma_kernels::gpu::{Arg, Buffer, Dtype, Gpu};

fn floats(gpu: &Gpu, n: usize) -> Buffer {
    gpu.alloc(Dtype::F32, n).unwrap()
}

/// The message of a launch that fails, which every later call must repeat.
fn fault(gpu: &Gpu, kernel: &str, threads: u32, shared: u32, args: &[Arg<'_>]) -> String {
    let message = gpu.launch(kernel, (2, 1), threads, shared, args).unwrap_err().to_string();
    assert_eq!(gpu.synchronize().unwrap_err().to_string(), message, "every later call fails with the same");
    message
}

#[test]
fn threads_see_what_others_wrote_before_a_barrier() {
    let gpu = Gpu::emulated();
    for (threads, n) in [(1, 1u32), (31, 31), (64, 64), (512, 512), (512, 70)] {
        let y = gpu.alloc(Dtype::U32, 3 * n as usize).unwrap();
        gpu.launch("test_neighbours", (1, 1), threads, 4 * n, &[(&y).into(), n.into()]).unwrap();
        let expected: Vec<u32> = (0..3).flat_map(|round| (0..n).map(move |i| (i + 1) % n * 10 + round)).collect();
        assert_eq!(y.read::<u32>(0..3 * n as usize).unwrap(), expected);
    }
}

#[test]
fn shuffles_and_votes_are_those_of_the_programming_guide() {
    let gpu = Gpu::emulated();
    let n = 64usize;
    let (f, d) = (floats(&gpu, 3 * n), gpu.alloc(Dtype::F64, n).unwrap());
    let (i, l) = (gpu.alloc(Dtype::U32, 2 * n).unwrap(), gpu.alloc(Dtype::U64, n).unwrap());
    gpu.launch("test_shuffles", (1, 1), 64, 0, &[(&f).into(), (&d).into(), (&i).into(), (&l).into()]).unwrap();
    let (f, d) = (f.read::<f32>(0..3 * n).unwrap(), d.read::<f64>(0..n).unwrap());
    let (i, l) = (i.read::<u32>(0..2 * n).unwrap(), l.read::<u64>(0..n).unwrap());
    for t in 0..n {
        let (warp, lane) = (t / 32 * 32, t % 32);
        assert_eq!(f[t], (t ^ 5) as f32, "xor");
        assert_eq!(f[n + t], if lane < 3 { t } else { t - 3 } as f32, "up");
        assert_eq!(f[2 * n + t], if t % 8 + 3 < 8 { t + 3 } else { t } as f32, "down in eighths");
        assert_eq!(d[t], (warp + 7) as f64 + 0.5, "from lane 7");
        let ballot: u32 = (0..32).filter(|lane| (warp + lane) % 3 == 0).map(|lane| 1 << lane).sum();
        let half = if lane < 16 { ((t ^ 1) as u32) << 8 } else { 0 };
        assert_eq!(i[t], ballot.wrapping_add(half), "ballot");
        assert_eq!(i[n + t], if warp == 0 { 1 } else { 2 }, "any and all");
        assert_eq!(l[t], ((t / 16 * 16 + 1) as u64) << 40, "64 bits, in halves");
    }
}

#[test]
fn a_block_adds_up_whatever_its_number_of_warps() {
    let gpu = Gpu::emulated();
    for n in [32, 96, 512] {
        let x: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
        let (source, y) = (gpu.upload(&x).unwrap(), floats(&gpu, n));
        gpu.launch("test_block_sum", (5, 1), n as u32, 0, &[(&y).into(), (&source).into()]).unwrap();
        let (sum, largest) = (x.iter().sum::<f32>(), x.iter().fold(f32::MIN, |a, &b| a.max(b)));
        assert_eq!(y.read::<f32>(0..n).unwrap(), vec![sum + 1000.0 * largest; n], "{n} threads");
    }
}

#[test]
fn every_block_of_a_grid_runs_once() {
    let gpu = Gpu::emulated();
    let (x, y, threads) = (7u32, 5u32, 3u32);
    let out = gpu.alloc(Dtype::U32, (x * y * threads) as usize).unwrap();
    gpu.launch("test_indices", (x, y), threads, 0, &[(&out).into()]).unwrap();
    let expected: Vec<u32> = (0..x * y).flat_map(|block| (0..threads).map(move |t| block * 1000 + t)).collect();
    assert_eq!(out.read::<u32>(0..out.len()).unwrap(), expected);
}

#[test]
fn arguments_arrive_as_they_were_given() {
    let gpu = Gpu::emulated();
    let y = gpu.alloc(Dtype::F64, 4).unwrap();
    let args = [(&y).into(), u32::MAX.into(), (1u64 << 40).into(), 1.5f32.into(), (-0.1f64).into()];
    gpu.launch("test_arguments", (1, 1), 1, 0, &args).unwrap();
    assert_eq!(y.read::<f64>(0..4).unwrap(), [f64::from(u32::MAX), (1u64 << 40) as f64, 1.5, -0.1]);
}

#[test]
fn shared_memory_that_nobody_wrote_is_nan_in_every_block() {
    let gpu = Gpu::emulated();
    let y = floats(&gpu, 8);
    gpu.launch("test_unwritten_shared", (3, 1), 8, 16, &[(&y).into()]).unwrap();
    assert!(y.read::<f32>(0..8).unwrap().iter().all(|y| y.is_nan()));
}

#[test]
fn a_missing_barrier_shows_in_one_block_or_the_other() {
    let gpu = Gpu::emulated();
    let y = gpu.alloc(Dtype::U32, 128).unwrap();
    gpu.launch("test_race", (2, 1), 64, 0, &[(&y).into()]).unwrap();
    let y = y.read::<u32>(0..128).unwrap();
    for (block, y) in y.chunks(64).enumerate() {
        for (i, &y) in y.iter().enumerate() {
            // of each pair the one that runs first finds nothing yet
            let first = i % 2 == block;
            assert_eq!(y, if first { u32::MAX } else { i as u32 ^ 1 }, "block {block}, thread {i}");
        }
    }
}

#[test]
fn a_write_outside_of_a_buffer_is_found() {
    for (at, side) in [(10u64, "past the end"), (u64::MAX, "before the start"), (60, "past the end")] {
        let gpu = Gpu::emulated();
        let (_before, y, _behind) = (floats(&gpu, 10), floats(&gpu, 10), floats(&gpu, 10));
        let message = fault(&gpu, "test_write", 1, 0, &[(&y).into(), at.into()]);
        assert_eq!(message, format!("kernel `test_write` wrote {side} of a buffer of 40 bytes"));
        assert_eq!(y.read::<f32>(0..1).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_barrier_in_one_branch_and_another_in_the_other_are_an_error() {
    let message = fault(&Gpu::emulated(), "fault_two_barriers", 64, 0, &[]);
    assert!(
        message.contains("block (0, 0)") && message.contains("different barriers: thread 0 in __syncthreads"),
        "{message}"
    );
    assert!(message.contains("thread 40") && message.contains("trials.cu"), "{message}");
}

#[test]
fn a_wait_without_end_is_an_error_that_names_those_who_wait() {
    let gpu = Gpu::emulated();
    let y = floats(&gpu, 64);
    let message = fault(&gpu, "fault_barrier_and_shuffle", 64, 0, &[(&y).into()]);
    assert!(message.contains("never go on: of 64, 32 have ended"), "{message}");
    assert!(message.contains("1 from thread 0 on in __syncthreads"), "{message}");
    assert!(message.contains("31 from thread 1 on in __shfl_xor_sync"), "{message}");
}

#[test]
fn lanes_that_meet_in_different_shuffles_are_an_error() {
    let gpu = Gpu::emulated();
    let y = floats(&gpu, 32);
    let message = fault(&gpu, "fault_two_shuffles", 32, 0, &[(&y).into()]);
    assert!(message.contains("__shfl_xor_sync") && message.contains("__shfl_down_sync"), "{message}");
}

#[test]
fn a_value_of_a_lane_that_has_ended_is_an_error() {
    let gpu = Gpu::emulated();
    let y = floats(&gpu, 32);
    let message = fault(&gpu, "fault_lane_that_ended", 32, 0, &[(&y).into()]);
    assert!(message.contains("thread 2 reads") && message.contains("from thread 3"), "{message}");
}

#[test]
fn a_write_past_the_end_of_shared_memory_is_found() {
    let message = fault(&Gpu::emulated(), "fault_shared_end", 9, 0, &[]);
    assert!(message.contains("shared array `small`"), "{message}");
    let message = fault(&Gpu::emulated(), "fault_dynamic_end", 9, 32, &[]);
    assert!(message.contains("its 32 bytes of dynamic shared memory"), "{message}");
    Gpu::emulated().launch("fault_dynamic_end", (2, 1), 8, 32, &[]).unwrap();
}

#[test]
fn after_a_fault_another_gpu_works() {
    let gpu = Gpu::emulated();
    let y = floats(&gpu, 64);
    for _ in 0..3 {
        fault(&Gpu::emulated(), "fault_two_barriers", 64, 0, &[]);
        gpu.launch("test_block_sum", (4, 1), 64, 0, &[(&y).into(), (&y).into()]).unwrap();
    }
}
