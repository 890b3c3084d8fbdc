//! The command line. Hyperparameters live in config files; here is only what to do, with which file, and where to.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Recursive-training ("model collapse") experiments: fine-tune a language model on what its previous generation wrote,
/// generation after generation, and measure the spectrum of what it answers.
#[derive(Debug, Parser)]
#[command(name = "sigma-exp", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    /// Use only what is in the Hugging Face cache (as HF_HUB_OFFLINE=1 does)
    #[arg(long, global = true)]
    pub offline: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an experiment, or go on with an unfinished one
    Run(Run),
    /// Check a config and everything it names, and print the plan: steps, memory, disk, expected time
    Check(Check),
    /// Run a grid of experiments, or go on with an unfinished one
    Sweep(Sweep),
    /// One run of a sweep; started by `sweep`
    #[command(hide = true)]
    SweepRun(SweepRun),
    /// Show how far a run or a sweep is
    Status {
        /// A run folder or a sweep's folder
        dir: PathBuf,
        /// Read every file again and name what is damaged (exit code 1 if anything is)
        #[arg(long)]
        verify: bool,
    },
    /// Make tables and figures from finished runs
    Report(Report),
    /// Compute Sigma-UB for embeddings or texts of your own
    Metrics(Metrics),
    /// Sum up embeddings that do not fit into memory, for `metrics --gram`
    Gram(Gram),
    /// One stage of the loop: fine-tune a model on blocks
    Finetune(Finetune),
    /// One stage of the loop: write continuations or answers
    Generate(Generate),
    /// One stage of the loop: embed texts
    Embed(Embed),
    /// Make a Hugging Face folder of a GGUF file
    Convert(Convert),
    /// Prepare corpora
    #[command(subcommand)]
    Data(Data),
    /// Compare a GPU with the CPU: logits, gradients, training, texts, in every precision (exit code 1 if they are too
    /// far apart)
    Selftest(Selftest),
    /// Train a small model and its tokenizer from nothing
    Pretrain(Pretrain),
}

/// A config file and what is changed in it.
#[derive(Debug, Args)]
pub struct Config {
    /// An experiment config (YAML)
    pub config: PathBuf,
    /// Set a key of the config, for example training.epochs=2; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<String>,
    /// Where to compute: auto, cpu, cuda or cuda:INDEX
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub config: Config,
    /// The run folder [default: results/NAME]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Delete what the run folder holds and start over
    #[arg(long)]
    pub fresh: bool,
    /// What `run` does by itself; taken so that nobody is told of --fresh, which deletes
    #[arg(long, alias = "continue", hide = true, conflicts_with = "fresh")]
    pub resume: bool,
    /// Check everything and print the plan, but write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Resume on another kind of device than the run began on; it is recorded, and named in every report
    #[arg(long)]
    pub accept_device_change: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub config: Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Launcher {
    /// Processes of this machine
    Local,
    /// A job array of Slurm
    Slurm,
}

#[derive(Debug, Args)]
pub struct Sweep {
    /// A sweep file (YAML): a base config and what is varied
    pub sweep: PathBuf,
    /// The sweep's folder [default: results/NAME]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Runs at the same time [default: one per GPU, or one on the CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Where the runs are
    #[arg(long, value_enum, default_value = "local")]
    pub launcher: Launcher,
    /// Print the runs (for Slurm also the script), but start none
    #[arg(long)]
    pub dry_run: bool,
    /// Also start runs that failed before
    #[arg(long)]
    pub retry_failed: bool,
}

#[derive(Debug, Args)]
pub struct SweepRun {
    /// A sweep's folder
    pub dir: PathBuf,
    /// The name of the run
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// A file with a name per line, for --index
    #[arg(long, value_name = "FILE", requires = "index")]
    pub list: Option<PathBuf>,
    /// Which line of --list, from 0
    #[arg(long, value_name = "N")]
    pub index: Option<usize>,
    /// Where to compute
    #[arg(long)]
    pub device: Option<String>,
}

#[derive(Debug, Args)]
pub struct Report {
    /// Run folders, or a sweep's folder
    #[arg(required = true)]
    pub dirs: Vec<PathBuf>,
    /// Where to write [default: report/ in the run folder, for a single run]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// First part of file names [default: the domain of the first run]
    #[arg(long)]
    pub prefix: Option<String>,
    /// Set the published series beside the measured ones, and print what differs
    #[arg(long)]
    pub paper: bool,
    /// Runs on real text only (mixture.real_fraction 1), or their sweep, to judge the runs by
    #[arg(long, num_args = 1.., value_name = "RUN")]
    pub control: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Gram {
    /// Embeddings, one row per text: .npy, .safetensors or .parquet
    #[arg(required = true, value_name = "SHARD")]
    pub shards: Vec<PathBuf>,
    /// Where to write the sums; files of other shards can be merged with it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    /// The tensor or column of the embeddings [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Multiply in float64: half as fast, for spectra whose small eigenvalues drown in float32
    #[arg(long)]
    pub float64: bool,
}

#[derive(Debug, Args)]
pub struct Metrics {
    /// Embeddings, one row per text (.npy, .safetensors or .parquet); each is measured by itself
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present_any = ["texts", "gram"])]
    #[arg(conflicts_with_all = ["texts", "gram"])]
    pub embeddings: Vec<PathBuf>,
    /// Sums of `sigma-exp gram`, merged and measured together
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "texts")]
    pub gram: Vec<PathBuf>,
    /// The shards behind --gram, read once more for the interval of Theorem 3
    #[arg(long, value_name = "SHARD", num_args = 1.., requires = "gram")]
    pub rows: Vec<PathBuf>,
    /// The tensor or column of --embeddings, --baseline or --rows [default: the only one]
    #[arg(long, value_name = "NAME", conflicts_with = "texts")]
    pub column: Option<String>,
    /// Texts (JSON Lines, CSV, plain text or Parquet), each embedded whole; those without a word are left out and
    /// counted
    #[arg(long, value_name = "FILE", requires = "encoder")]
    pub texts: Option<PathBuf>,
    /// Field or column of --texts [default: text]
    #[arg(long, value_name = "NAME", requires = "texts")]
    pub text_column: Option<String>,
    /// The encoder for --texts: a folder or a hub id
    #[arg(long, value_name = "SOURCE")]
    pub encoder: Option<String>,
    /// How many rows are observed (n_A), or `all` [default: 500; all for --gram, where nothing else is possible]
    #[arg(long, value_name = "N|all")]
    pub observed: Option<String>,
    /// The number of blocks that the rows were drawn from (n), if there are more than rows
    #[arg(long, value_name = "N")]
    pub total: Option<usize>,
    /// Embeddings to take drifts against; with --gram, a Gram matrix
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// One JSON object per input instead of a table
    #[arg(long)]
    pub json: bool,
    /// Where to embed
    #[arg(long, default_value = "auto")]
    pub device: String,
}

#[derive(Debug, Args)]
pub struct Finetune {
    #[command(flatten)]
    pub config: Config,
    /// The model to start from
    #[arg(long, value_name = "DIR")]
    pub model: String,
    /// Training blocks: JSON Lines with id and tokens or text
    #[arg(long, value_name = "FILE")]
    pub blocks: PathBuf,
    /// A new folder for the trained model and its loss curve
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Overwrite the model of that folder
    #[arg(long)]
    pub force: bool,
    /// Draw shuffling and dropout as this generation of a run does
    #[arg(long)]
    pub generation: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// Answers to a prompt bank
    Evaluation,
    /// Continuations of contexts: a synthetic pool
    Regeneration,
}

#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    pub config: Config,
    /// The model that writes
    #[arg(long, value_name = "DIR")]
    pub model: String,
    /// A prompt bank, or blocks for --as regeneration
    #[arg(long, value_name = "FILE")]
    pub prompts: PathBuf,
    /// Where to write (JSON Lines)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    #[arg(long = "as", value_enum, default_value = "evaluation")]
    pub purpose: Purpose,
    /// Draw as this generation of a run does (regeneration only)
    #[arg(long)]
    pub generation: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Embed {
    #[command(flatten)]
    pub config: Config,
    /// Texts (JSON Lines, CSV, plain text or Parquet), each embedded whole (those without a word are left out and
    /// named); or answers, with --answers
    #[arg(long, value_name = "FILE")]
    pub texts: PathBuf,
    /// Where to write the rows (.npy)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    /// Field or column of the text [default: text]
    #[arg(long, value_name = "NAME", conflicts_with = "answers")]
    pub text_column: Option<String>,
    /// The texts are answers of `run` or `generate`: make rows of them as the loop does (evaluation.blocks,
    /// evaluation.empty)
    #[arg(long, alias = "windows")]
    pub answers: bool,
}

#[derive(Debug, Args)]
pub struct Selftest {
    /// A small OPT model's folder
    #[arg(default_value = "data/models/opt-tiny")]
    pub model: PathBuf,
    /// The GPU: cuda or cuda:INDEX
    #[arg(long, default_value = "cuda")]
    pub device: String,
    /// A glance at every part instead of the full comparison
    #[arg(long)]
    pub quick: bool,
}

#[derive(Debug, Args)]
pub struct Pretrain {
    /// A pretraining config (YAML)
    pub config: PathBuf,
    /// Set a key of the config, for example training.epochs=2
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<String>,
    /// Write the model here instead of the config's `out`
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Overwrite the model of that folder
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Convert {
    /// A GGUF file of the architecture llama, qwen2 or qwen3
    #[arg(value_name = "FILE.gguf")]
    pub file: PathBuf,
    /// A new folder for the model and its tokenizer
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Overwrite the model of that folder
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Subcommand)]
pub enum Data {
    /// Cut texts into contexts of equal length that do not overlap
    Slice(Slice),
}

#[derive(Debug, Args)]
pub struct Slice {
    /// Texts: JSON Lines, CSV, plain text, folders of plain text, or Parquet
    #[arg(required = true)]
    pub texts: Vec<PathBuf>,
    /// A model folder or hub id whose tokenizer to use
    #[arg(long, value_name = "DIR")]
    pub tokenizer: String,
    /// Where to write (JSON Lines)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    /// Tokens per context
    #[arg(long, default_value = "64")]
    pub context_tokens: usize,
    /// Keep this many contexts, evenly spread
    #[arg(long)]
    pub max_contexts: Option<usize>,
    /// Field or column of the text [default: text]
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// Field or column of the id [default: id]
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
}
