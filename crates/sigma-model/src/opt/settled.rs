//! Weights that another thread brings to the CPU while the model is in use.

use super::gpu::SettledParameters;
use super::{Opt, OptConfig, Weights};
use crate::{Device, ModelError};

/// A model's weights as they are now; see [`Opt::settle`].
#[derive(Debug)]
pub struct Settled {
    config: OptConfig,
    weights: Place,
}

#[derive(Debug)]
enum Place {
    Here(Box<Opt>),
    Gpu(SettledParameters),
}

impl Opt {
    /// Waits for the device, so that any thread can make a copy on the CPU from then on, beside the work of others.
    pub fn settle(&self) -> Result<Settled, ModelError> {
        let weights = match &self.weights {
            Weights::Gpu(parameters) => Place::Gpu(parameters.settle()?),
            _ => Place::Here(Box::new(self.clone())),
        };
        Ok(Settled { config: self.config.clone(), weights })
    }
}

impl Settled {
    /// The model on the CPU.
    pub fn to_cpu(&self) -> Result<Opt, ModelError> {
        match &self.weights {
            Place::Here(model) => model.to_device(&Device::Cpu),
            Place::Gpu(parameters) => Ok(Opt::on_host(self.config.clone(), parameters.download()?)),
        }
    }
}
