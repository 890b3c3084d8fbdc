//! The devices and precisions of a run. `auto` is resolved once, at the first start, and stored; a run that resumes
//! computes as it began, or stops and says what is missing. It does not know what is computed.

use anyhow::{Context, Result, bail};
use candle_core::DType;
use sigma_model::Device;
use sigma_report::manifest::Resolved;

use crate::device;
use crate::spec::Experiment;

/// Where a run computes, and in which precision.
pub struct Arithmetic {
    /// Where models are trained and write the pool.
    pub device: Device,
    /// Where they answer, and where the encoder is.
    pub evaluation_device: Device,
    /// Of matrix products in training and in writing the pool.
    pub precision: DType,
    /// The same of the evaluation.
    pub evaluation_precision: DType,
}

/// Whether a run may resume on another kind of device than it began on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChange {
    Refused,
    Accepted,
}

impl Arithmetic {
    /// Opens the devices that `experiment` names. `begun` is what a run that resumes has computed with so far.
    ///
    /// # Errors
    /// A device that is not there, and, without [`DeviceChange::Accepted`], one of another kind than that of `begun`.
    pub fn open(experiment: &Experiment, begun: Option<&Resolved>, change: DeviceChange) -> Result<Self> {
        let stored = begun.filter(|_| change == DeviceChange::Refused);
        let of = |key, text, name: fn(&Resolved) -> &str| Named::of(key, text, stored.map(name));
        let device = of("device", &experiment.device, |stored| &stored.device)?.open()?;
        let evaluation_device = match &experiment.evaluation_device {
            None => device.clone(),
            Some(text) => {
                let named = of("evaluation_device", text, |stored| &stored.evaluation_device)?;
                // one device is opened once, whatever names a config has for it
                if named.is(&device) { device.clone() } else { named.open()? }
            }
        };
        let precision = experiment.training.precision.dtype(&device);
        let evaluation_precision = experiment.training.precision.dtype(&evaluation_device);
        let arithmetic = Self { device, evaluation_device, precision, evaluation_precision };
        if let Some(stored) = stored
            && device::kind(&arithmetic.evaluation_name()) != device::kind(&stored.evaluation_device)
        {
            bail!(changed("evaluation_device", &arithmetic.evaluation_name(), &stored.evaluation_device));
        }
        Ok(arithmetic)
    }

    /// Whether evaluation has a device of its own.
    pub fn apart(&self) -> bool {
        self.evaluation_name() != device::describe(&self.device)
    }

    fn evaluation_name(&self) -> String {
        device::describe(&self.evaluation_device)
    }

    /// As manifest and records state it; `rows` is how many texts a GPU decodes together.
    pub fn resolved(&self, rows: DecodeRows) -> Resolved {
        let DecodeRows { pool: pool_rows, answers: answer_rows } = rows;
        Resolved {
            device: device::describe(&self.device),
            evaluation_device: self.evaluation_name(),
            precision: self.precision.as_str().to_string(),
            evaluation_precision: self.evaluation_precision.as_str().to_string(),
            pool_rows,
            answer_rows,
        }
    }
}

/// How many texts a GPU decodes together; last bits, and with them texts, follow from it. `None` on the CPU, where they
/// do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecodeRows {
    pub pool: Option<usize>,
    pub answers: Option<usize>,
}

/// A device that is to be opened, and whether a run that resumes has computed there.
struct Named<'a> {
    key: &'static str,
    name: &'a str,
    resumes: bool,
}

impl<'a> Named<'a> {
    /// `text` of the config, or what a run that resumes has resolved it to.
    fn of(key: &'static str, text: &'a str, stored: Option<&'a str>) -> Result<Self> {
        let name = match stored {
            Some(stored) if text == "auto" => stored,
            Some(stored) if device::kind(text) != device::kind(stored) => bail!(changed(key, text, stored)),
            _ => text,
        };
        Ok(Self { key, name, resumes: stored.is_some() })
    }

    /// Whether this is `device`, which is open.
    fn is(&self, device: &Device) -> bool {
        match self.name {
            "auto" => device.is_gpu(),
            "cuda" => device::describe(device) == "cuda:0",
            name => device::describe(device) == name,
        }
    }

    fn open(&self) -> Result<Device> {
        let Self { key, name, resumes } = self;
        device::open(name).with_context(|| match resumes {
            false => key.to_string(),
            true => format!(
                "{key}: this run began on {name}, which cannot be used now; resume it where it can, or give \
                 --accept-device-change to resume on another device (which is recorded, and named in every report)"
            ),
        })
    }
}

fn changed(key: &str, now: &str, stored: &str) -> String {
    format!(
        "{key}: {now} was {stored}: another device computes other numbers, and one run would hold both. Resume with `{key}: {stored}` \
         or `auto`, begin another run (choose another `name` or --out), or give --accept-device-change to resume all the same \
         (which is recorded, and named in every report)"
    )
}
