//! The page: that it is well formed whatever texts a run holds, needs nothing from outside, and shows the numbers of
//! the tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sigma_report::{
    CsvTable, Published, ReportError, ReportOptions, Run, Setting, generation_dir_name, write_report_with,
};

use crate::fixture::{noise, run_folder, seeded_run};

/// What a browser would take for markup, in every way that ends or opens something.
const HOSTILE: &str =
    "</script><script>alert(1)</script><!--<script> ]]> </pre></td></table> \" onload='x' &lt;&amp; \u{2028}\u{2029}";

pub(crate) fn tracks() -> Vec<(f64, f64)> {
    (0..7).map(|t| (-50.0 * t as f64 + noise(t), 20.0 - t as f64)).collect()
}

fn answer(id: &str, bucket: &str, text: &str) -> String {
    json!({ "id": id, "bucket": bucket, "text": text, "tokens": [1, 2], "finish_reason": "length", "seed": "00" })
        .to_string()
}

fn write_answers(dir: &Path, generation: u32, lines: &[String]) -> PathBuf {
    let path = dir.join(generation_dir_name(generation)).join("responses.jsonl");
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// A run with four prompts in two buckets, the first generation's third answer hostile.
pub(crate) fn run(parent: &Path) -> PathBuf {
    let dir = run_folder(parent, Setting::S1, &tracks());
    for generation in 0..7 {
        let text = |n: usize| match (generation, n) {
            (0, 2) => HOSTILE.to_owned(),
            (1, 2) => "é".repeat(700),
            _ => format!("answer {n} of generation {generation}"),
        };
        let lines: Vec<String> = (0..4)
            .map(|n| answer(&format!("prompt-{n}"), if n < 3 { "creative" } else { "neutral" }, &text(n)))
            .collect();
        write_answers(&dir, generation, &lines);
    }
    dir
}

pub(crate) fn page(runs: &[Run], options: &ReportOptions) -> String {
    let out = tempfile::tempdir().unwrap();
    write_report_with(runs, out.path(), options).unwrap();
    fs::read_to_string(out.path().join("index.html")).unwrap()
}

fn hostile_page() -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::open(&run(folder.path())).unwrap();
    run.manifest.name = HOSTILE.to_owned();
    run.manifest.sources.corpus.path = HOSTILE.to_owned();
    run.config = format!("name: {}\n# {}\n", json!("</pre><script>"), HOSTILE.replace(['\u{2028}', '\u{2029}'], ""));
    run.records[3].flags = vec![HOSTILE.to_owned()];
    for record in &mut run.records {
        record.buckets[0].bucket = HOSTILE.to_owned();
    }
    let prompts = BTreeMap::from([("prompt-1".to_owned(), HOSTILE.to_owned())]);
    let options =
        ReportOptions { prompts, published: Some(Published::bundled().unwrap()), ..ReportOptions::new("fin") };
    page(&[run], &options)
}

/// The elements of a document in order: name and attributes. Panics where tags do not match, an attribute is not
/// quoted, or a bare `<`, `>` or `&` stands in text; the content of `script` and `style` is returned as it stands.
struct Document {
    elements: Vec<(String, BTreeMap<String, String>)>,
    raw: Vec<String>,
}

fn parse(html: &str) -> Document {
    let mut rest = html.strip_prefix("<!doctype html>").expect("a doctype");
    let mut document = Document { elements: Vec::new(), raw: Vec::new() };
    let mut open: Vec<String> = Vec::new();
    while let Some((text, after)) = rest.split_once('<') {
        check_text(text);
        let (tag, after) = after.split_once('>').expect("a tag that ends");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "</{name}> closes something else");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
        document.elements.push((name.to_owned(), parse_attributes(attributes)));
        match name {
            "meta" => {}
            "script" | "style" => {
                let (raw, after) = rest.split_once(&format!("</{name}>")).expect("an end of raw text");
                assert!(!raw.contains("</") && !raw.contains("<!--"), "markup within <{name}>");
                document.raw.push(raw.to_owned());
                rest = after;
            }
            _ => open.push(name.to_owned()),
        }
    }
    check_text(rest);
    assert!(open.is_empty(), "never closed: {open:?}");
    document
}

fn parse_attributes(text: &str) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "attribute {name} in {text}");
        let value = match after.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').expect("a quoted attribute that ends");
                rest = after.trim_start();
                value
            }
            None => {
                rest = after.trim_start();
                ""
            }
        };
        assert!(attributes.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice in {text}");
    }
    attributes
}

fn check_text(text: &str) {
    assert!(!text.contains('>'), "a bare > in {text:?}");
    for after in text.split('&').skip(1) {
        let entity = after.split_once(';').map(|(entity, _)| entity);
        assert!(matches!(entity, Some("amp" | "lt" | "gt" | "quot" | "#39")), "a bare & before {after:?}");
    }
}

pub(crate) fn payload(html: &str) -> Value {
    let document = parse(html);
    // style, JSON, scripts
    assert_eq!(document.raw.len(), 3);
    serde_json::from_str(&document.raw[1]).unwrap()
}

#[test]
fn hostile_texts_change_nothing_about_the_structure_of_the_page() {
    let html = hostile_page();
    let document = parse(&html);
    let scripts: Vec<_> = document.elements.iter().filter(|(name, _)| name == "script").collect();
    assert_eq!(scripts.len(), 2, "one of data and one of program");
    assert!(document.elements.iter().all(|(_, attributes)| attributes.keys().all(|name| !name.starts_with("on"))));
    // And the texts are there, whole.
    assert!(html.contains("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--&lt;script&gt;"));
    let data = payload(&html);
    assert!(data.to_string().contains("alert(1)"));
    let sample = &data["samples"][0];
    assert_eq!(sample["prompts"][2]["answers"][0][0]["text"], HOSTILE);
    assert_eq!(sample["prompts"][1]["text"], HOSTILE);
    assert!(data["charts"][5]["signals"].as_array().unwrap().iter().any(|signal| signal["name"] == HOSTILE));
}

#[test]
fn the_page_asks_for_nothing_from_outside_and_forbids_it() {
    let html = hostile_page();
    let document = parse(&html);
    for (name, attributes) in &document.elements {
        for (attribute, value) in attributes {
            assert!(
                !["src", "srcset", "data", "action", "style"].contains(&attribute.as_str()),
                "{attribute} of <{name}>"
            );
            assert!(attribute != "href" || value.starts_with('#'), "href {value} of <{name}>");
        }
        assert!(!["link", "img", "iframe", "object", "embed", "base", "form"].contains(&name.as_str()), "<{name}>");
    }
    for raw in [&document.raw[0], &document.raw[2]] {
        for call in ["url(", "@import", "fetch(", "XMLHttpRequest", "WebSocket", "import(", "innerHTML", "eval("] {
            assert!(!raw.contains(call), "{call} in the page");
        }
        assert_eq!(raw.replace("http://www.w3.org/2000/svg", "").matches("http").count(), 0);
    }
    let forbids = |(name, attributes): &(String, BTreeMap<String, String>)| {
        name == "meta" && attributes.get("content").is_some_and(|content| content.starts_with("default-src 'none'"))
    };
    assert!(document.elements.iter().any(forbids), "no policy that forbids loading");
}

#[test]
fn links_and_charts_have_their_places() {
    let html = hostile_page();
    let document = parse(&html);
    let attribute = |name: &str| -> Vec<String> {
        document.elements.iter().filter_map(|(_, attributes)| attributes.get(name).cloned()).collect()
    };
    let ids = attribute("id");
    assert!(attribute("href").iter().all(|target| ids.contains(&target[1..].to_owned())));
    let mut places = attribute("data-chart");
    let mut charts: Vec<String> =
        payload(&html)["charts"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect();
    places.sort();
    charts.sort();
    assert_eq!(places, charts);
    assert_eq!(charts, ["buckets", "metrics", "spectrum", "surface", "track-one", "track-two"]);
}

#[test]
fn every_point_of_the_charts_is_in_a_table_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(&run(folder.path())).unwrap();
    let out = folder.path().join("report");
    let options = ReportOptions { published: Some(Published::bundled().unwrap()), ..ReportOptions::new("fin") };
    write_report_with(&[run], &out, &options).unwrap();
    let data = payload(&fs::read_to_string(out.join("index.html")).unwrap());
    let drawn = |chart: &str, group: usize, signal: usize| -> Vec<Option<f64>> {
        let chart = data["charts"].as_array().unwrap().iter().find(|one| one["id"] == chart).unwrap();
        let lines = chart["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["group"] == group && line["signal"] == signal).unwrap();
        line["points"].as_array().unwrap().iter().map(|point| point[1].as_f64()).collect()
    };
    let column = |file: &str, name: &str| CsvTable::read(&out.join(file)).unwrap().numbers(name).unwrap();
    let tracks = "tables/fin_s1_two_tracks_points.csv";
    let metrics = "final/fin/metrics_paper.csv";
    let surface = "tables/fin_s1_surface_proxies_points.csv";
    let published = "tables/fin_s1_published_points.csv";
    for (chart, group, signal, file, name) in [
        ("track-two", 0, 0, tracks, "delta_u_cov"),
        ("track-two", 0, 1, metrics, "du_cov_full"),
        ("track-one", 0, 0, tracks, "delta_g_kf"),
        ("track-one", 0, 1, metrics, "dg_kf_fixed_beta"),
        ("track-two", 1, 0, published, "delta_u_cov_published"),
        ("track-one", 1, 0, published, "delta_g_kf_published"),
        ("surface", 0, 0, surface, "delta_u_cov_scaled"),
        ("surface", 0, 1, surface, "delta_g_kf_scaled"),
        ("surface", 0, 2, surface, "distinct_2_scaled"),
        ("surface", 0, 3, surface, "hhi_scaled"),
        ("spectrum", 0, 0, metrics, "lambda_max"),
        ("spectrum", 0, 1, metrics, "lambda_min"),
    ] {
        assert_eq!(drawn(chart, group, signal), column(file, name), "{chart} {group} {signal}");
    }
    let buckets = CsvTable::read(&out.join("tables/fin_s1_buckets_points.csv")).unwrap();
    for (group, track) in ["delta_u_cov", "delta_g_kf"].into_iter().enumerate() {
        for (signal, bucket) in ["(all prompts)", "creative", "neutral"].into_iter().enumerate() {
            let names = buckets.texts("bucket").unwrap();
            let values = buckets.numbers(track).unwrap();
            let exported: Vec<_> =
                names.iter().zip(values).filter(|(name, _)| **name == bucket).map(|(_, value)| value).collect();
            assert_eq!(drawn("buckets", group, signal), exported, "{bucket}");
        }
    }
}

#[test]
fn the_interval_of_a_mean_over_seeds_is_drawn_as_it_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let seed = |seed: u64| {
        let tracks: Vec<(f64, f64)> = tracks().iter().map(|(u, g)| (u * (1.0 + 0.1 * seed as f64), g - 1.0)).collect();
        let tracks: Vec<(f64, f64)> =
            tracks.iter().enumerate().map(|(t, (u, g))| (*u, g * (t as f64 + seed as f64))).collect();
        Run::open(&seeded_run(folder.path(), (Setting::S1, seed), "", &tracks)).unwrap()
    };
    let out = folder.path().join("report");
    write_report_with(&[seed(1), seed(2), seed(3)], &out, &ReportOptions::new("fin")).unwrap();
    let data = payload(&fs::read_to_string(out.join("index.html")).unwrap());
    let chart = &data["charts"][0];
    assert_eq!(chart["groups"][0]["name"], "S1, mean of 3 seeds");
    assert_eq!(chart["groups"][3], json!({ "name": "S1, seed 3", "on": false, "colour": 0, "fold": "single seeds" }));
    let points = CsvTable::read(&out.join("tables/fin_s1_two_tracks_points.csv")).unwrap();
    for (signal, track) in ["delta_u_cov", "delta_g_kf"].into_iter().enumerate() {
        let line = &data["charts"][signal]["lines"][0];
        assert_eq!((&line["group"], &line["signal"]), (&json!(0), &json!(0)));
        for (end, suffix) in ["low", "high"].into_iter().enumerate() {
            let drawn: Vec<Option<f64>> =
                line["band"].as_array().unwrap().iter().map(|ends| ends[end].as_f64()).collect();
            assert_eq!(drawn, points.numbers(&format!("{track}_{suffix}")).unwrap(), "{track} {suffix}");
        }
    }
}

#[test]
fn the_interval_of_a_single_run_is_that_of_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::open(&run(folder.path())).unwrap();
    let out = folder.path().join("report");
    write_report_with(std::slice::from_ref(&run), &out, &ReportOptions::new("fin")).unwrap();
    let data = payload(&fs::read_to_string(out.join("index.html")).unwrap());
    let points = CsvTable::read(&out.join("tables/fin_s1_two_tracks_points.csv")).unwrap();
    for (signal, track) in ["delta_u_cov", "delta_g_kf"].into_iter().enumerate() {
        let line = &data["charts"][signal]["lines"][0];
        assert!(line.get("band").is_none());
        let (low, high) =
            (points.numbers(&format!("{track}_low")).unwrap(), points.numbers(&format!("{track}_high")).unwrap());
        for (t, record) in run.records.iter().enumerate() {
            let ends = record.drift.as_ref().map(|drift| match signal {
                0 => [drift.du_lower, drift.du_upper],
                _ => [drift.dg_lower, drift.dg_upper],
            });
            assert_eq!(line["whiskers"][t], json!(ends), "{track} at {t}");
            assert_eq!(ends, low[t].map(|low| [Some(low), high[t]]), "{track} at {t}");
        }
    }
}

#[test]
fn several_answers_to_a_prompt_stand_together_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &tracks());
    let line = |prompt: usize, response: u32| {
        json!({ "id": format!("prompt-{prompt}"), "bucket": "creative", "response": response,
                "text": format!("answer {response} to {prompt}"), "finish_reason": "stop" })
        .to_string()
    };
    // As if rows had been written in another order.
    write_answers(&dir, 0, &[line(0, 1), line(0, 0), line(0, 2), line(1, 0), line(1, 1), line(1, 2)]);
    let data = payload(&page(&[Run::open(&dir).unwrap()], &ReportOptions::new("fin")));
    let prompts = data["samples"][0]["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 2, "a prompt stands there once");
    for (prompt, shown) in prompts.iter().enumerate() {
        let answers = shown["answers"][0].as_array().unwrap();
        let texts: Vec<&str> = answers.iter().map(|answer| answer["text"].as_str().unwrap()).collect();
        assert_eq!(texts, [0, 1, 2].map(|response| format!("answer {response} to {prompt}")));
    }
}

#[test]
fn sample_answers_are_those_of_the_run_prompt_by_prompt_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run(folder.path());
    // An answer that is missing in one generation leaves a gap, not a shift.
    write_answers(&dir, 5, &[answer("prompt-3", "neutral", "alone")]);
    let data = payload(&page(&[Run::open(&dir).unwrap()], &ReportOptions::new("fin")));
    let sample = &data["samples"][0];
    assert_eq!(sample["generations"], json!([0, 1, 2, 3, 4, 5, 6]));
    let prompts = sample["prompts"].as_array().unwrap();
    let ids: Vec<_> = prompts.iter().map(|prompt| prompt["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["prompt-0", "prompt-1", "prompt-2", "prompt-3"]);
    assert_eq!(prompts[0]["answers"][4][0]["text"], "answer 0 of generation 4");
    assert_eq!(prompts[0]["answers"][5], json!([]));
    assert_eq!(prompts[3]["answers"][5][0]["text"], "alone");
    let cut = &prompts[2]["answers"][1][0];
    assert_eq!((cut["text"].as_str().unwrap().chars().count(), &cut["characters"]), (600, &json!(700)));
}

#[test]
fn few_prompts_are_taken_from_all_buckets_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &tracks()[..1]);
    let lines: Vec<String> = ["creative", "divergent", "neutral"]
        .iter()
        .flat_map(|bucket| (0..20).map(move |n| answer(&format!("{bucket}-{n}"), bucket, "text")))
        .collect();
    write_answers(&dir, 0, &lines);
    let data = payload(&page(&[Run::open(&dir).unwrap()], &ReportOptions::new("fin")));
    let ids: Vec<&str> =
        data["samples"][0]["prompts"].as_array().unwrap().iter().map(|prompt| prompt["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 12);
    assert!(ids.is_sorted_by_key(|id| id.split_once('-').unwrap().0), "bucket by bucket: {ids:?}");
    for bucket in ["creative", "divergent", "neutral"] {
        for n in 0..4 {
            assert!(ids.contains(&format!("{bucket}-{n}").as_str()), "{bucket}-{n} not in {ids:?}");
        }
    }
}

#[test]
fn a_run_without_answers_says_so_and_a_damaged_answer_is_refused_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = run_folder(folder.path(), Setting::S1, &tracks());
    let html = page(&[Run::open(&dir).unwrap()], &ReportOptions::new("fin"));
    assert!(html.contains("hold no answers") && payload(&html)["samples"] == json!([]));
    let path = write_answers(&dir, 2, &[answer("a", "b", "c"), "{\"id\": 3}".to_owned()]);
    let out = folder.path().join("report");
    let error = write_report_with(&[Run::open(&dir).unwrap()], &out, &ReportOptions::new("fin")).unwrap_err();
    assert!(matches!(&error, ReportError::Answer { path: found, line: 2, .. } if *found == path), "{error}");
    assert!(!out.exists(), "nothing is written before everything is read");
}

#[test]
fn numbers_that_json_does_not_know_are_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::open(&run(folder.path())).unwrap();
    run.records[2].sigma.as_mut().unwrap().u_cov = f64::NAN;
    run.records[4].sigma = None;
    run.records[5].sigma.as_mut().unwrap().lambda_min = 0.0;
    let data = payload(&page(&[run], &ReportOptions::new("fin")));
    let points = &data["charts"][0]["lines"][0]["points"];
    assert_eq!((&points[2], &points[4]), (&json!([2, null]), &json!([4, null])));
    let smallest = &data["charts"][4]["lines"][1]["points"];
    assert_eq!((&smallest[4], &smallest[5]), (&json!([4, null]), &json!([5, null])));
}
