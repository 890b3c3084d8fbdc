//! What is known of the rows of a decoder: streams and progress, on the device as a step reads and changes them, and on
//! the host as they were last seen or are to be written. It knows nothing of models.

use sigma_kernels::gpu::{Buffer, Dtype, Gpu, GpuError};

/// The number of an idle row's state in `nucleus.cu`.
const IDLE: u32 = 4;

/// What is known of each row, on the device and as it was last seen or is to be written.
#[derive(Debug)]
pub(super) struct State {
    pub(super) keys: Buffer,
    pub(super) drawn: Buffer,
    pub(super) lens: Buffer,
    pub(super) next: Buffer,
    pub(super) states: Buffer,
    pub(super) counts: Buffer,
    pub(super) written: Buffer,
    pub(super) host: Host,
}

#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) keys: Vec<u32>,
    pub(super) drawn: Vec<u64>,
    pub(super) lens: Vec<u32>,
    pub(super) next: Vec<u32>,
    pub(super) states: Vec<u32>,
    pub(super) counts: Vec<u32>,
    /// `None` until somebody asks for it.
    written: Option<Vec<u32>>,
    /// Whether the device has not seen the above yet.
    pub(super) changed: bool,
}

impl State {
    /// Idle rows for `room` new tokens each.
    pub(super) fn new(gpu: &Gpu, rows: usize, room: usize) -> Result<Self, GpuError> {
        let numbers = |len: usize| gpu.alloc(Dtype::U32, len);
        let host = Host {
            keys: vec![0; 8 * rows],
            drawn: vec![0; rows],
            lens: vec![0; rows],
            next: vec![0; rows],
            states: vec![IDLE; rows],
            counts: vec![0; rows],
            written: None,
            changed: true,
        };
        Ok(Self {
            keys: numbers(8 * rows)?,
            drawn: gpu.alloc(Dtype::U64, rows)?,
            lens: numbers(rows)?,
            next: numbers(rows)?,
            states: numbers(rows)?,
            counts: numbers(rows)?,
            written: numbers(rows * room)?,
            host,
        })
    }

    /// Tells the device what [`super::GpuDecoder::place`] has changed.
    pub(super) fn write(&mut self) -> Result<(), GpuError> {
        let host = &mut self.host;
        if !std::mem::take(&mut host.changed) {
            return Ok(());
        }
        self.drawn.write(0, &host.drawn)?;
        for (to, from) in [
            (&self.keys, &host.keys),
            (&self.lens, &host.lens),
            (&self.next, &host.next),
            (&self.states, &host.states),
            (&self.counts, &host.counts),
        ] {
            to.write(0, from)?;
        }
        Ok(())
    }

    /// The tokens that a row has drawn. Those of all rows are read at once, since rows often end together.
    pub(super) fn tokens(&mut self, row: usize) -> Result<Vec<u32>, GpuError> {
        let host = &mut self.host;
        let room = self.written.len() / host.counts.len().max(1);
        if host.written.is_none() {
            host.written = Some(self.written.read(0..self.written.len())?);
        }
        let written = host.written.as_deref().unwrap_or_default();
        Ok(written[row * room..][..host.counts[row] as usize].to_vec())
    }

    /// Looks at what the device has changed.
    pub(super) fn read(&mut self) -> Result<(), GpuError> {
        let host = &mut self.host;
        let rows = host.lens.len();
        host.drawn = self.drawn.read(0..rows)?;
        host.lens = self.lens.read(0..rows)?;
        host.next = self.next.read(0..rows)?;
        host.states = self.states.read(0..rows)?;
        host.counts = self.counts.read(0..rows)?;
        host.written = None;
        Ok(())
    }
}
