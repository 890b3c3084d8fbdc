//! Puts into the program what it is built from, for the manifest of each run: the commit, the compiler, and the
//! versions of the libraries that compute. Outside of a git checkout the commit is unknown.

use std::process::Command;

/// What decides the last bits of a number, or which tokens a text becomes.
const LIBRARIES: [&str; 5] = ["candle-core", "faer", "gemm", "pulp", "tokenizers"];
const LOCK: &str = "../../Cargo.lock";

fn main() {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let git = |args: &[&str]| said("git", args);
    if let Some(compiler) = said(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_string()), &["--version"]) {
        println!("cargo:rustc-env=SIGMA_EXP_COMPILER={compiler}");
    }
    let lock = std::fs::read_to_string(LOCK).unwrap_or_default();
    let versions = LIBRARIES.iter().flat_map(|name| {
        let entries = lock.split("[[package]]").filter(move |entry| entry.contains(&format!("name = \"{name}\"")));
        let version = |entry: &str| Some(entry.split_once("version = \"")?.1.split_once('"')?.0.to_string());
        entries.filter_map(version).map(move |version| format!("{name}={version}"))
    });
    println!("cargo:rustc-env=SIGMA_EXP_LIBRARIES={}", versions.collect::<Vec<_>>().join(" "));
    println!("cargo:rerun-if-changed={LOCK}");
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        println!("cargo:rustc-env=SIGMA_EXP_COMMIT={commit}");
        let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|text| !text.is_empty());
        println!("cargo:rustc-env=SIGMA_EXP_DIRTY={dirty}");
    }
    println!("cargo:rerun-if-changed=src");
    if let Some(git_dir) = git(&["rev-parse", "--git-dir"]) {
        println!("cargo:rerun-if-changed={git_dir}/logs/HEAD");
    }
}
