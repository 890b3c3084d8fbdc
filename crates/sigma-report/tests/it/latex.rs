//! LaTeX tables: that a paper can really include them, whatever texts a run holds.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sigma_report::{Manifest, Published, ReportOptions, Run, Setting, manifest, write_report_with};

use crate::fixture::{noise, seeded_run};

/// Everything that LaTeX takes for a command, and what its fonts lack.
const HOSTILE: &str =
    r#"a_b & 50% of $1 #2 {x} \input{y} ~^<> |"@ é 中 Ω ΔαÐ facebook/opt-125m_averyveryverylongwordwithoutanybreak"#;

fn hostile_run(parent: &Path, setting: Setting, alpha: f64, seed: u64) -> Run {
    let tracks: Vec<(f64, f64)> = (0..51).map(|t| (-3.0 * t as f64 + noise(t + seed as usize), noise(t))).collect();
    let config = serde_json::json!({ "real_fraction": alpha, "mode": HOSTILE });
    let dir = seeded_run(parent, (setting, seed), &format!("mixture: {config}\n"), &tracks);
    let mut run = Run::open(&dir).unwrap();
    run.manifest = Manifest { name: format!("{HOSTILE} {alpha}"), ..run.manifest };
    run.manifest.sources.corpus.path = HOSTILE.to_owned();
    run.manifest.starts[0].machine.cpu = HOSTILE.to_owned();
    for record in &mut run.records {
        record.buckets[0].bucket = HOSTILE.to_owned();
    }
    run
}

/// All tables of a report in one document; the log of LaTeX, or why there is none.
fn compiled(out: &Path) -> Result<String, String> {
    let mut tables: Vec<PathBuf> =
        fs::read_dir(out.join("tables")).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.retain(|path| path.extension().is_some_and(|extension| extension == "tex"));
    tables.sort();
    assert!(tables.len() > 10, "{tables:?}");
    let mut source = "\\documentclass[10pt]{article}\n\\usepackage{booktabs}\n\\setlength\\textwidth{5.5in}\n\
                      \\setlength\\textheight{9in}\\setlength\\topmargin{-0.5in}\n\\begin{document}\n"
        .to_owned();
    for table in &tables {
        let name = table.file_name().unwrap().to_str().unwrap();
        writeln!(source, "\\typeout{{TABLE {name}}}\\noindent\\input{{tables/{name}}}\\clearpage").unwrap();
    }
    source.push_str("\\end{document}\n");
    fs::write(out.join("all.tex"), source).unwrap();
    let run = Command::new("pdflatex")
        .args(["-interaction=nonstopmode", "-halt-on-error", "all.tex"])
        .current_dir(out)
        .env("max_print_line", "1000")
        .stdin(Stdio::null())
        .output();
    match run {
        Ok(output) => {
            let log = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{}", &log[log.len().saturating_sub(3000)..]);
            Ok(log)
        }
        Err(error) => Err(format!("pdflatex cannot be started: {error}")),
    }
}

/// The points by which the widest line of every table leaves the text.
fn overfull(log: &str) -> Vec<(String, f64)> {
    let mut table = String::new();
    let mut found = Vec::new();
    for line in log.lines() {
        if let Some((_, name)) = line.split_once("TABLE ") {
            table = name.trim().to_owned();
        }
        if let Some((_, rest)) = line.split_once("Overfull \\hbox (") {
            let points = rest.split_once("pt").unwrap().0.parse().unwrap();
            found.push((table.clone(), points));
        }
    }
    found
}

fn report(runs: &[Run], out: &Path) {
    let published = Some(Published::bundled().unwrap());
    write_report_with(runs, out, &ReportOptions { published, ..ReportOptions::new("fin") }).unwrap();
}

#[test]
fn latex_prints_every_table_whatever_texts_a_run_holds_and_none_leaves_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for (setting, alpha, seed) in [
        (Setting::S1, 0.0, 1),
        (Setting::S1, 0.5, 1),
        (Setting::S2, 0.0, 1),
        (Setting::S2, 0.0, 2),
        (Setting::S2, 1.0, 1),
    ] {
        runs.push(hostile_run(folder.path(), setting, alpha, seed));
    }
    assert_eq!(manifest::SCHEMA, runs[0].manifest.schema);
    let kept = std::env::var_os("SIGMA_REPORT_LATEX_DIR").map(PathBuf::from);
    let out = kept.unwrap_or_else(|| folder.path().join("report"));
    report(&runs, &out);
    match compiled(&out) {
        Ok(log) => {
            let wide: Vec<_> = overfull(&log).into_iter().filter(|(_, points)| *points > 12.0).collect();
            assert!(!log.contains("Overfull \\vbox"), "a table is longer than a page");
            assert!(wide.is_empty(), "tables leave the text by so many points: {wide:?}");
        }
        Err(why) => eprintln!("SKIPPED: the LaTeX tables were not compiled, because {why}"),
    }
}
