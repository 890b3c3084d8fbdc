//! Launches that are the same each time: made one by one at first, which loads their kernels, then recorded, then
//! replayed as a graph.

use sigma_kernels::gpu::{Gpu, GpuError, Graph};

#[derive(Debug, Default)]
pub(super) struct Recorded {
    warm: bool,
    graph: Option<Graph>,
}

impl Recorded {
    /// Gives the device the launches that `enqueue` makes, which must be those of the last time.
    pub(super) fn run(&mut self, gpu: &Gpu, enqueue: impl FnOnce() -> Result<(), GpuError>) -> Result<(), GpuError> {
        if let Some(graph) = &self.graph {
            return graph.launch();
        }
        if !self.warm {
            enqueue()?;
            self.warm = true;
            return Ok(());
        }
        let graph = gpu.capture(enqueue)?;
        graph.launch()?;
        self.graph = Some(graph);
        Ok(())
    }
}
