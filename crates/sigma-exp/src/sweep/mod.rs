//! Sweeps: one experiment under many settings. A sweep file names a base config and a grid; every point of it is a run
//! of its own, made by the same command as any other run, in a folder below the sweep's.
//!
//! - [`spec`]: what a sweep file says;
//! - [`members`]: the runs that follow from it, each with its complete config;
//! - [`folder`]: the sweep's folder, and how far each of its runs is;
//! - [`local`]: runs as processes of this machine, on its GPUs or next to each other on its CPU;
//! - [`slurm`]: runs as the elements of a job array, by way of the commands in `slurm_client`;
//! - [`table`]: all runs and their states, for people.
//!
//! What a run finished is read from its folder alone; a batch system's word is shown, never trusted.

pub mod folder;
pub mod local;
pub mod members;
pub mod slurm;
mod slurm_client;
pub mod spec;
pub mod table;
