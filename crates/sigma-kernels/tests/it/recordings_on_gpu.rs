//! Recorded graphs, and what happens beside a recording; on the emulator, and on the CUDA device that `SIGMA_EXP_GPU`
//! names.

use std::sync::Arc;

use half::f16;
use sigma_kernels::gpu::{Dtype, Gpu, GpuError};

use crate::gpu::{all, gpus};
use crate::values;

#[test]
fn a_graph_runs_again_on_what_memory_holds_then() {
    for gpu in gpus() {
        let (x, y, z) =
            (gpu.upload(&[1f32, 2.0]).unwrap(), gpu.upload(&[f16::ONE; 2]).unwrap(), gpu.upload(&[5f32; 4]).unwrap());
        let graph = gpu
            .capture(|| {
                z.clear()?;
                gpu.launch("cast_f16", (1, 1), 32, 0, &[(&y).into(), (&x).into(), 2u64.into()])?;
                let args = [z.slice(1..3).into(), (&y).into(), 1u32.into(), 2u32.into()];
                gpu.launch("column_sums_f16", (1, 1), 32, 0, &args)?;
                z.copy_from(3, x.slice(0..1))
            })
            .unwrap();
        assert_eq!(all(&z), [5.0; 4], "recording runs nothing");
        graph.launch().unwrap();
        assert_eq!(all(&z), [0.0, 1.0, 2.0, 1.0]);
        x.write(0, &[7f32, 8.0]).unwrap();
        graph.launch().unwrap();
        assert_eq!(all(&z), [0.0, 7.0, 8.0, 7.0]);
    }
}

#[test]
fn what_is_settled_is_read_by_another_thread_even_while_a_graph_is_recorded() {
    for gpu in gpus() {
        // more than passes through page-locked memory at a time
        let numbers = values(5_000_000, 1);
        let (x, y) = (Arc::new(gpu.upload(&numbers).unwrap()), gpu.alloc(Dtype::F32, 1).unwrap());
        let settled = x.settle().unwrap();
        let read = || settled.read::<f32>().unwrap() == numbers;
        let graph = gpu
            .capture(|| {
                y.clear()?;
                assert!(std::thread::scope(|s| s.spawn(read).join().unwrap()));
                y.copy_from(0, x.slice(7..8))
            })
            .unwrap();
        graph.launch().unwrap();
        assert_eq!(all(&y), [numbers[7]]);
    }
}

#[test]
fn what_needs_the_host_is_refused_while_a_graph_is_recorded() {
    for gpu in gpus() {
        let x = gpu.upload(&[1f32]).unwrap();
        let refused = |outcome: Result<(), GpuError>| matches!(outcome, Err(GpuError::Captured { .. }));
        gpu.capture(|| {
            assert!(refused(gpu.alloc(Dtype::F32, 1).map(drop)));
            assert!(refused(gpu.upload(&[1f32]).map(drop)));
            assert!(refused(x.write(0, &[1f32])));
            assert!(refused(x.read::<f32>(0..1).map(drop)));
            assert!(refused(gpu.synchronize()));
            assert!(refused(gpu.capture(|| Ok(())).map(drop)));
            assert!(std::thread::scope(|s| s.spawn(|| refused(x.clear())).join().unwrap()), "by another thread");
            Ok(())
        })
        .unwrap();
        let failed = gpu.capture(|| Err(GpuError::NotBuiltIn));
        assert!(matches!(failed, Err(GpuError::NotBuiltIn)));
        assert_eq!(all(&x), [1.0], "after a failed recording everything works again");
    }
}

#[test]
fn what_is_freed_while_a_graph_is_recorded_is_freed_after_it() {
    for gpu in gpus() {
        let (x, y) = (gpu.upload(&[1f32; 1000]).unwrap(), gpu.upload(&[2f32]).unwrap());
        let graph = gpu.capture(|| {
            drop(x);
            y.clear()
        });
        graph.unwrap().launch().unwrap();
        assert_eq!(all(&y), [0.0]);
    }
}

#[test]
fn a_graph_whose_buffer_was_freed_is_an_error() {
    let gpu = Gpu::emulated();
    let x = gpu.upload(&[1f32]).unwrap();
    let graph = gpu.capture(|| x.clear()).unwrap();
    drop(x);
    assert!(matches!(graph.launch(), Err(GpuError::Fault { .. })));
}
