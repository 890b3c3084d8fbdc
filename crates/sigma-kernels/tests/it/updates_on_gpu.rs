//! The CUDA kernels from gradients to updated parameters against the CPU's: norms, what is decided of a step, AdamW.

use sigma_kernels::gpu::{Arg, Dtype};
use sigma_kernels::loss_scale::{GROWTH_INTERVAL, LossScale};
use sigma_kernels::{adamw, norm};

use crate::gpu::gpus;
use crate::operations_on_gpu::{BLOCK, close, each_block, n};
use crate::values;

const SETTINGS: adamw::Settings = adamw::Settings {
    learning_rate: 1e-3,
    weight_decay: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    clip_norm: 1.0,
};

fn factors(step: &adamw::Step) -> [f32; 9] {
    let f = step.factors();
    let moments = [f.beta1, f.beta2, f.one_minus_beta1, f.one_minus_beta2];
    [f.gradient_scale, moments[0], moments[1], moments[2], moments[3], f.keep, f.rate, f.root_correction, f.epsilon]
}

#[test]
fn norms_and_updates_of_all_parameters() {
    for gpu in gpus() {
        let count = 5_003;
        let (theta, g, m, v) = (values(count, 1), values(count, 2), values(count, 3), values(count, 4));
        let v: Vec<f32> = v.iter().map(|x| x.abs()).collect();
        let on = [&theta, &g, &m, &v].map(|values| gpu.upload(values).unwrap());
        let parts = gpu.alloc(Dtype::F64, count.div_ceil(1000)).unwrap();
        let norm_of = gpu.alloc(Dtype::F64, 1).unwrap();
        let args = [(&parts).into(), (&on[1]).into(), Arg::U64(count as u64), n(1000)];
        each_block(&gpu, "squares", count.div_ceil(1000), &args);
        each_block(&gpu, "norm_finish", 1, &[(&norm_of).into(), (&parts).into(), n(parts.len())]);
        assert!((norm_of.read::<f64>(0..1).unwrap()[0] / norm::global_norm(&g) - 1.0).abs() < 1e-12);

        let step = adamw::Step { settings: SETTINGS, number: 3, gradient_scale: 0.5 };
        let (mut theta, mut m, mut v) = (theta, m, v);
        adamw::adamw(&mut theta, &g, &mut m, &mut v, &step);
        let copy = gpu.alloc(Dtype::F16, count).unwrap();
        // an update that counts, and one that does not and changes nothing
        for counts in [1.0, 0.0] {
            let factors = gpu.upload(&[&factors(&step)[..], &[counts]].concat()).unwrap();
            let buffers = [&on[0], &copy, &on[1], &on[2], &on[3]].map(Arg::from);
            let args = [&buffers[..], &[Arg::U64(count as u64), (&factors).into()]].concat();
            // fewer threads than parameters: each takes several
            gpu.launch("adamw_f16", (7, 1), BLOCK, 0, &args).unwrap();
            close("theta", &on[0], &theta, 1e-6);
            close("m", &on[2], &m, 1e-6);
            close("v", &on[3], &v, 1e-6);
            close("the copy", &copy, &theta, 1e-3);
        }
    }
}

#[test]
fn updates_are_planned_on_the_device_as_on_the_cpu_through_overflows_and_a_growing_loss_scale() {
    for gpu in gpus() {
        for (dynamic, clip_norm) in [(true, 1.0), (true, 0.0), (false, 1.0)] {
            let settings = adamw::Settings { clip_norm, ..SETTINGS };
            // the scale is doubled at the third step
            let mut scale = LossScale::from_parts(if dynamic { 65_536.0 } else { 1.0 }, GROWTH_INTERVAL - 3, dynamic);
            let mut updates = 1_000;
            let state = [scale.value(), scale.good_steps() as f64, updates as f64];
            let state = gpu.upload(&state).unwrap();
            let (outcome, factors_of) = (gpu.alloc(Dtype::F64, 2).unwrap(), gpu.alloc(Dtype::F32, 10).unwrap());
            let numbers = [1e-3, 0.01, 0.9, 0.999, 1e-8, clip_norm].map(Arg::F64);
            let norms = [0.5, 3.0, 0.0, f64::INFINITY, f64::NAN, 7.5, 1e-30, 2.0];
            for (step, norm) in norms.into_iter().enumerate() {
                let loss = if step == 5 { f64::NAN } else { 3.0 + step as f64 };
                let found = gpu.upload(&[loss, norm * scale.value()]).unwrap();
                let interval = if dynamic { GROWTH_INTERVAL } else { 0 };
                let buffers = [&factors_of, &state, &outcome, &found].map(Arg::from);
                each_block(&gpu, "plan_update", 1, &[&buffers[..], &[n(interval)], &numbers[..]].concat());

                let planned: Vec<f32> = factors_of.read(0..10).unwrap();
                let counts = loss.is_finite() && norm.is_finite();
                assert_eq!(planned[9], f32::from(u8::from(counts)), "step {step}");
                if counts {
                    updates += 1;
                    let expected = factors(&settings.step(updates, norm, scale.value()));
                    for (ours, expected) in planned.iter().zip(expected) {
                        assert!((ours / expected - 1.0).abs() < 1e-6, "step {step}: {planned:?} and {expected:?}");
                    }
                    scale.good_step();
                } else {
                    scale.back_off();
                }
                let expected = [scale.value(), scale.good_steps() as f64, updates as f64];
                assert_eq!(state.read::<f64>(0..3).unwrap(), expected, "step {step}");
                let kept: Vec<f64> = outcome.read(0..2).unwrap();
                let bits = |pair: &[f64]| pair.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&kept), bits(&found.read::<f64>(0..2).unwrap()), "step {step}");
            }
        }
    }
}
