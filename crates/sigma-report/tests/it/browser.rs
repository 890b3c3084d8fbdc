//! The page in a real browser, headless: that it draws, answers to pointer, keys and switches, and says nothing on the
//! console.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigma_report::{Run, Setting, generation_dir_name, write_report};

use crate::fixture::{noise, seeded_run};

const CHECK: &str = include_str!("browser.js");
const RECORDER: &str = "<script>window.recorded = [];\n\
    window.addEventListener('error', (event) => window.recorded.push('error: ' + event.message));\n\
    window.addEventListener('unhandledrejection', (event) => window.recorded.push('rejection: ' + event.reason));\n\
    window.addEventListener('securitypolicyviolation', (event) => window.recorded.push('policy: ' + event.blockedURI));\n\
    for (const name of ['error', 'warn']) console[name] = (...said) => window.recorded.push(name + ': ' + said.join(' '));\n\
    </script>";
const PATIENCE: Duration = Duration::from_secs(90);

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.is_file())
}

/// Kills the browser when the test is over, whichever way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The document after the browser is done with it; `None` if it did not finish in time.
fn dumped(browser: &Path, page: &Path, folder: &Path, width: u32) -> Option<String> {
    let dump = folder.join("dump.html");
    let child = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(fs::File::create(&dump).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if running.0.try_wait().unwrap().is_some() {
            return fs::read_to_string(&dump).ok();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// What the page did; `None` without a browser, which is said.
fn outcome(runs: &[Run], width: u32) -> Option<Value> {
    let Some(browser) = browser() else {
        eprintln!(
            "SKIPPED: the page was not tried in a browser, because none of chromium, chromium-browser, google-chrome is on PATH"
        );
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    write_report(runs, folder.path(), "fin").unwrap();
    let html = fs::read_to_string(folder.path().join("index.html")).unwrap();
    let html = html.replacen("<head>", &format!("<head>{RECORDER}"), 1);
    let html = html.replacen("</body>", &format!("<script>{CHECK}</script></body>"), 1);
    let page = folder.path().join("checked.html");
    fs::write(&page, html).unwrap();
    let dump = dumped(&browser, &page, folder.path(), width).expect("the browser finishes in time");
    let (_, rest) = dump.split_once("<pre id=\"outcome\">").expect("the check ran");
    let (json, _) = rest.split_once("</pre>").unwrap();
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some(serde_json::from_str(&json).unwrap())
}

fn run(parent: &Path, setting: Setting, alpha: f64, seed: u64) -> Run {
    let depth = 40.0 * (1.0 - alpha);
    let tracks: Vec<(f64, f64)> =
        (0..6).map(|t| (-depth * t as f64 + 0.5 * noise(t), -0.5 * depth * t as f64)).collect();
    let config = format!("mixture: {{ real_fraction: {alpha}, mode: replace }}\n");
    let dir = seeded_run(parent, (setting, seed), &config, &tracks);
    for t in 0..6 {
        let folder = dir.join(generation_dir_name(t));
        let answer = |n: u32| {
            json!({ "id": format!("prompt-{n}"), "bucket": "creative", "text": format!("answer {n} of {t}"),
                    "finish_reason": "length" })
            .to_string()
        };
        fs::write(folder.join("responses.jsonl"), (0..3).map(answer).collect::<Vec<_>>().join("\n")).unwrap();
        let scale = 1.0 + f64::from(t) * (1.0 - alpha);
        let rows: String = (1..=90).map(|i| format!("{i},{}\n", 64.0 * f64::from(i).powf(-scale))).collect();
        fs::write(folder.join("spectrum.csv"), format!("i,lambda\n{rows}")).unwrap();
    }
    Run::open(&dir).unwrap()
}

fn several(parent: &Path) -> Vec<Run> {
    vec![
        run(parent, Setting::S1, 0.0, 1),
        run(parent, Setting::S2, 0.0, 1),
        run(parent, Setting::S2, 0.0, 2),
        run(parent, Setting::S2, 0.5, 1),
    ]
}

fn shown(value: f64) -> String {
    format!("{value:.3}").replace('-', "\u{2212}")
}

#[test]
fn the_page_draws_and_answers_in_a_browser_without_a_word_on_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let runs = several(folder.path());
    let Some(outcome) = outcome(&runs, 1200) else { return };
    assert_eq!(outcome["errors"], json!([]));
    assert_eq!(outcome["resources"], json!([]), "something was asked for from outside");
    assert!(outcome["details"].as_u64().unwrap() > 8);
    let charts = outcome["charts"].as_object().unwrap();
    let mut names: Vec<&String> = charts.keys().collect();
    names.sort();
    assert_eq!(names, ["alpha", "buckets", "metrics", "surface", "track-one", "track-two"]);
    for (name, chart) in charts {
        let lines = chart["lines"].as_u64().unwrap();
        assert!(lines > 0, "{name} draws nothing");
        assert_eq!(chart["off"], 0, "{name}: what is switched off stays");
        assert_eq!(chart["again"], lines, "{name}: what is switched on again does not return");
        assert!(chart["toggles"].as_u64().unwrap() > 1, "{name}");
        if name == "metrics" {
            let (chosen, name) = (chart["chosen"].to_string(), chart["name"].as_str().unwrap());
            assert!(chosen.contains(name) && !chart["labels"].to_string().contains(name), "{name}: {chosen}");
        } else if name != "surface" {
            assert_eq!(chart["scales"], json!(["linear", "symlog"]), "{name}");
            assert_ne!(chart["rescaled"], chart["labels"], "{name}: the logarithmic scale changes nothing");
            assert_eq!(chart["restored"], chart["labels"], "{name}");
        }
    }
    // The last generation of S1, and the second, by the arrow keys.
    let points = runs[0].series().points;
    let text = |chart: &str, key: &str| charts[chart][key].as_str().unwrap().to_owned();
    let (tip, second) = (text("track-two", "tip"), text("track-two", "second"));
    assert!(tip.starts_with("generation 5") && tip.contains(&shown(points[5].du_cov.unwrap())), "{tip}");
    assert!(text("track-one", "tip").contains(&shown(points[5].dg_kf.unwrap())), "{tip}");
    assert!(second.starts_with("generation 1") && second.contains(&shown(points[1].du_cov.unwrap())), "{second}");
    let half = runs[3].series().points[5].du_cov.unwrap();
    let tip = text("alpha", "tip");
    assert!(tip.starts_with("real fraction α 0.5") && tip.contains(&shown(half)), "{tip}");
    // The first row of the first panel, at generation 1.
    assert_eq!(outcome["heat"]["cells"], 6 * 3);
    let tip = outcome["heat"]["tip"].as_str().unwrap();
    assert!(tip.starts_with("S1, α = 0, generation 1") && tip.contains(&shown(points[1].du_cov.unwrap())), "{tip}");
    assert_eq!((&outcome["spectrum"]["curves"], &outcome["spectrum"]["runs"]), (&json!(6), &json!(3)));
    assert_eq!((&outcome["spectrum"]["changed"], &outcome["spectrum"]["restored"]), (&json!(true), &json!(true)));
    assert_eq!(outcome["spectrum"]["relative"]["changed"], true);
    assert!(outcome["spectrum"]["relative"]["labels"].to_string().contains("log10 of λ at t"));
    let tip = outcome["spectrum"]["tip"].as_str().unwrap();
    assert!(tip.contains("i = 1λ64.000"), "{tip}");
    let answers: Vec<String> = (0..6).map(|t| format!("answer 1 of {t}")).collect();
    assert_eq!(outcome["answers"], json!(answers));
}

#[test]
fn single_seeds_of_many_conditions_are_folded_away_and_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for setting in [Setting::S1, Setting::S2] {
        for alpha in [0.0, 0.1, 0.25, 0.5, 0.75, 1.0] {
            runs.extend((1..=3).map(|seed| run(folder.path(), setting, alpha, seed)));
        }
    }
    let Some(outcome) = outcome(&runs, 1200) else { return };
    assert_eq!((&outcome["errors"], &outcome["wide"]), (&json!([]), &json!(0)));
    let fold = json!({ "name": "single seeds (36)", "open": false, "on": 0 });
    assert_eq!(outcome["folds"], json!([fold, fold]), "one for each track");
    // Track II of 12 means, and with a click on "all" those of 36 seeds too.
    assert_eq!(outcome["charts"]["track-two"]["lines"], 12);
    assert_eq!(outcome["unfolded"], 12 + 36);
    assert_eq!(outcome["refolded"], 12);
}

#[test]
fn the_page_is_not_wider_than_a_telephone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(outcome) = outcome(&several(folder.path()), 500) else { return };
    assert_eq!((&outcome["errors"], &outcome["wide"]), (&json!([]), &json!(0)));
}
