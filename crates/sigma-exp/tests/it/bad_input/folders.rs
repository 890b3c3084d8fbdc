//! Run folders and sweep folders that are not what they should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

use super::{Case, case, copy, refused, text, words};
use crate::{SMALL, read, run_small, succeeds};

/// A finished run and a finished sweep.
static FINISHED: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    run_small("configs/demo_s2.yaml", &dir.path().join("run"), &["--set", "generations=1"]);
    let file = crate::sweeps::sweep_file(dir.path(), "grid: { seed: [1] }");
    succeeds(&["sweep", &text(&file), "--out", &text(&dir.path().join("sweep"))]);
    dir
});

type Damage = fn(&Path);

/// A command on a damaged copy of the finished run.
fn run(name: &'static str, command: &'static str, damage: Damage, expected: &'static [&'static str]) -> Case {
    of("run", name, command, damage, expected)
}

/// The same of the finished sweep.
fn sweep(name: &'static str, command: &'static str, damage: Damage, expected: &'static [&'static str]) -> Case {
    of("sweep", name, command, damage, expected)
}

fn of(
    what: &'static str,
    name: &'static str,
    command: &'static str,
    damage: Damage,
    expected: &'static [&'static str],
) -> Case {
    let make = move |dir: &Path| {
        let folder = dir.join(what);
        copy(&FINISHED.path().join(what), &folder);
        damage(&folder);
        if command == "run" {
            let mut arguments = words(&["run", "configs/demo_s2.yaml", "--out", &text(&folder)]);
            arguments.extend(words(&SMALL));
            arguments.extend(words(&["--set", "generations=1"]));
            return arguments;
        }
        command.split(' ').map(|word| word.replace("FOLDER", &text(&folder))).collect()
    };
    case(name, make, expected)
}

/// A command on a folder that was never a run's.
fn other(
    name: &'static str,
    command: &'static str,
    made: fn(&Path) -> PathBuf,
    expected: &'static [&'static str],
) -> Case {
    let make = move |dir: &Path| {
        let folder = made(dir);
        command.split(' ').map(|word| word.replace("FOLDER", &text(&folder))).collect()
    };
    case(name, make, expected)
}

fn edit(path: &Path, from: &str, to: &str) {
    let before = read(path);
    assert!(before.contains(from), "{} has {from:?}", path.display());
    fs::write(path, before.replacen(from, to, 1)).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn thesis(dir: &Path) -> PathBuf {
    fs::write(dir.join("thesis.tex"), "years of work").unwrap();
    dir.to_path_buf()
}

#[test]
fn folders_that_are_no_runs_are_refused_and_left_alone() {
    let a_file = |dir: &Path| {
        thesis(dir);
        dir.join("thesis.tex")
    };
    refused(vec![
        other("status of another folder", "status FOLDER", thesis, &["no run folder", "manifest.json"]),
        other("report of another folder", "report FOLDER", thesis, &["no run folder", "manifest.json"]),
        other("status of an empty folder", "status FOLDER", |dir| dir.to_path_buf(), &["no run folder"]),
        other("status of nothing", "status FOLDER", |dir| dir.join("none"), &["none", "No such file"]),
        other("status of a file", "status FOLDER", a_file, &["thesis.tex", "not a folder"]),
        other("verify another folder", "status FOLDER --verify", thesis, &["no run folder"]),
        other("report of a file", "report FOLDER", a_file, &["thesis.tex", "not a folder"]),
        other("run in another folder", "run configs/demo_s2.yaml --out FOLDER", thesis, &["not a run folder"]),
        other(
            "run over another folder",
            "run configs/demo_s2.yaml --fresh --out FOLDER",
            thesis,
            &["not a run folder"],
        ),
        other("run in a file", "run configs/demo_s2.yaml --out FOLDER", a_file, &["not a folder"]),
        other("a run of no sweep", "sweep-run FOLDER --run a", thesis, &["sweep.json"]),
    ]);
}

#[test]
fn damaged_run_folders_are_refused_by_file() {
    refused(vec![
        run(
            "a manifest of another version",
            "status FOLDER",
            |run| edit(&run.join("manifest.json"), "\"schema\": 2", "\"schema\": 99"),
            &["manifest.json", "schema 99"],
        ),
        run(
            "a manifest of another version, to go on",
            "run",
            |run| edit(&run.join("manifest.json"), "\"schema\": 2", "\"schema\": 99"),
            &["manifest.json", "schema 99"],
        ),
        run(
            "a manifest that is a list",
            "report FOLDER",
            |run| fs::write(run.join("manifest.json"), "[]").unwrap(),
            &["manifest.json", "manifest of a run"],
        ),
        run("half a manifest", "run", |run| cut(&run.join("manifest.json")), &["manifest.json", "manifest of a run"]),
        run(
            "no manifest",
            "status FOLDER",
            |run| fs::remove_file(run.join("manifest.json")).unwrap(),
            &["manifest.json"],
        ),
        run(
            "no manifest, to go on",
            "run",
            |run| fs::remove_file(run.join("manifest.json")).unwrap(),
            &["not a run folder", "manifest.json"],
        ),
        run("no config", "report FOLDER", |run| fs::remove_file(run.join("config.yaml")).unwrap(), &["config.yaml"]),
        run("no config, to go on", "run", |run| fs::remove_file(run.join("config.yaml")).unwrap(), &["config.yaml"]),
        run(
            "a broken config, to go on",
            "run",
            |run| fs::write(run.join("config.yaml"), "a: [").unwrap(),
            &["config.yaml", "damaged"],
        ),
        run(
            "another experiment, to go on",
            "run",
            |run| edit(&run.join("config.yaml"), "seed: 42", "seed: 43"),
            &["seed: 42 was 43", "--fresh"],
        ),
        run(
            "a record of another version",
            "status FOLDER",
            |run| edit(&run.join("gen-001/record.json"), "\"schema\": ", "\"schema\": 9"),
            &["gen-001/record.json", "schema"],
        ),
        run(
            "half a record",
            "report FOLDER",
            |run| cut(&run.join("gen-001/record.json")),
            &["gen-001/record.json", "record of a generation"],
        ),
        run(
            "a record of another generation",
            "report FOLDER",
            |run| {
                fs::copy(run.join("gen-000/record.json"), run.join("gen-001/record.json")).unwrap();
            },
            &["gen-001/record.json", "generation"],
        ),
        run(
            "a record with a number beyond all",
            "status FOLDER",
            |run| edit(&run.join("gen-001/record.json"), "\"generation\": 1", "\"generation\": 1e999"),
            &["gen-001/record.json"],
        ),
        run(
            "a record that is nested deeply",
            "status FOLDER",
            |run| fs::write(run.join("gen-001/record.json"), "[".repeat(10_000)).unwrap(),
            &["gen-001/record.json"],
        ),
        run(
            "a record that is a folder",
            "status FOLDER",
            |run| {
                fs::remove_file(run.join("gen-001/record.json")).unwrap();
                fs::create_dir(run.join("gen-001/record.json")).unwrap();
            },
            &["gen-001/record.json"],
        ),
        run(
            "a generation is gone",
            "report FOLDER",
            |run| fs::remove_dir_all(run.join("gen-000")).unwrap(),
            &["gen-000", "missing", "gen-001"],
        ),
        run(
            "no generation",
            "report FOLDER",
            |run| {
                fs::remove_dir_all(run.join("gen-000")).unwrap();
                fs::remove_dir_all(run.join("gen-001")).unwrap();
            },
            &["no finished generation"],
        ),
        run("reported twice", "report FOLDER FOLDER --out FOLDER/both", |_| {}, &["would count twice"]),
        run("a prefix that is a path", "report FOLDER --prefix ../x", |_| {}, &["`../x`", "file name"]),
        run(
            "answers that are none",
            "report FOLDER",
            |run| fs::write(run.join("gen-001/responses.jsonl"), "7\n").unwrap(),
            &["responses.jsonl:1", "no answer"],
        ),
    ]);
}

#[test]
fn damaged_sweep_folders_are_refused_by_file() {
    refused(vec![
        sweep("no JSON", "status FOLDER", |sweep| cut(&sweep.join("sweep.json")), &["sweep.json", "damaged"]),
        sweep(
            "another version",
            "status FOLDER",
            |sweep| edit(&sweep.join("sweep.json"), "\"schema\": 1", "\"schema\": 9"),
            &["sweep.json", "schema 9"],
        ),
        sweep(
            "a run outside",
            "status FOLDER",
            |sweep| edit(&sweep.join("sweep.json"), "\"seed1\"", "\"../../seed1\""),
            &["sweep.json", "../../seed1"],
        ),
        sweep(
            "no config of a run",
            "status FOLDER",
            |sweep| fs::remove_file(sweep.join("configs/seed1.yaml")).unwrap(),
            &["configs/seed1.yaml"],
        ),
        sweep(
            "a broken config of a run",
            "status FOLDER",
            |sweep| fs::write(sweep.join("configs/seed1.yaml"), "a: [").unwrap(),
            &["seed1.yaml", "damaged"],
        ),
        sweep(
            "a broken note of a failure",
            "status FOLDER",
            |sweep| {
                fs::remove_dir_all(sweep.join("runs/seed1/gen-002")).unwrap();
                fs::write(sweep.join("failed/seed1.json"), "{").unwrap();
            },
            &["failed/seed1.json", "damaged"],
        ),
        sweep(
            "a broken record of a run",
            "report FOLDER",
            |sweep| cut(&sweep.join("runs/seed1/gen-001/record.json")),
            &["seed1/gen-001/record.json"],
        ),
        sweep(
            "nothing to report",
            "report FOLDER",
            |sweep| fs::remove_dir_all(sweep.join("runs/seed1")).unwrap(),
            &["no run of this sweep"],
        ),
        sweep("an unknown run", "sweep-run FOLDER --run seed9", |_| {}, &["seed9"]),
        sweep("a run that is a path", "sweep-run FOLDER --run ../seed1", |_| {}, &["../seed1"]),
        sweep("no such line", "sweep-run FOLDER --list none.txt --index 0", |_| {}, &["none.txt"]),
        sweep("a run where a sweep is", "run configs/demo_s2.yaml --out FOLDER", |_| {}, &["not a run folder"]),
    ]);
}
