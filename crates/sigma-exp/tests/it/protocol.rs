//! The protocol of the paper's third version: several responses per prompt, each embedded whole, an observed set that
//! is fixed once, answers without a word counted and left out, and fresh real text in a random order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::{SMALL, assert_same_results, fails, read, run_small, succeeds};

const DEMO: &str = "configs/demo_s2.yaml";

fn lines(path: &Path) -> Vec<Value> {
    read(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn record(run: &Path, generation: u32) -> Value {
    serde_json::from_str(&read(&run.join(format!("gen-{generation:03}/record.json")))).unwrap()
}

/// Columns of rows.csv: prompt, response, observed.
fn rows(run: &Path, generation: u32) -> Vec<(String, u64, bool)> {
    let text = read(&run.join(format!("gen-{generation:03}/rows.csv")));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("row,prompt,response,window,bucket,observed"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[1].to_string(), cells[2].parse().unwrap(), cells[5] == "1")
    };
    lines.map(row).collect()
}

#[test]
fn every_prompt_has_r_different_answers_and_more_answers_leave_the_first_ones_as_they_are() {
    let dir = tempdir().unwrap();
    let (two, three) = (dir.path().join("two"), dir.path().join("three"));
    let base = ["--set", "generations=0", "--set", "sigma.observed=all"];
    run_small(DEMO, &two, &base);
    run_small(DEMO, &three, &[&base[..], &["--set", "evaluation.responses_per_prompt=3"]].concat());
    let by_place = |run: &Path| -> BTreeMap<(String, u64), String> {
        let answers = lines(&run.join("gen-000/responses.jsonl"));
        let place = |a: &Value| (a["id"].as_str().unwrap().to_string(), a["response"].as_u64().unwrap());
        answers.iter().map(|a| (place(a), a["text"].as_str().unwrap().to_string())).collect()
    };
    let (few, many) = (by_place(&two), by_place(&three));
    assert_eq!((few.len(), many.len()), (20, 30));
    for (place, text) in &few {
        assert_eq!(many[place], *text, "{place:?}: a stream belongs to prompt and response");
    }
    let different: std::collections::HashSet<&String> = many.values().collect();
    assert!(different.len() > 25, "{} different texts of 30", different.len());
    assert_eq!(record(&three, 0)["sigma"]["n"], 30, "one row per response");
    // files of earlier programs have no number; five answers of one prompt are no duplicate
    let embedded = dir.path().join("rows.npy");
    let responses = three.join("gen-000/responses.jsonl");
    succeeds(&[
        "embed",
        DEMO,
        "--texts",
        responses.to_str().unwrap(),
        "--answers",
        "--out",
        embedded.to_str().unwrap(),
    ]);
    assert!(fs::read(embedded).unwrap() == fs::read(three.join("gen-000/embeddings.npy")).unwrap());
}

#[test]
fn the_observed_set_is_fixed_by_prompt_and_response_whatever_is_empty() {
    let dir = tempdir().unwrap();
    let (dropped, embedded) = (dir.path().join("dropped"), dir.path().join("embedded"));
    // short answers of a hot model: some hold no word
    let sets = ["--set", "evaluation.max_new_tokens=1", "--set", "evaluation.responses_per_prompt=20"];
    let sets = [&sets[..], &["--set", "sigma.observed=150", "--set", "evaluation.temperature=1.5"]].concat();
    run_small(DEMO, &dropped, &sets);
    run_small(DEMO, &embedded, &[&sets[..], &["--set", "evaluation.empty=embed"]].concat());
    let mut empties = 0;
    for generation in 0..3 {
        let (kept, all) = (rows(&dropped, generation), rows(&embedded, generation));
        let answers = lines(&dropped.join(format!("gen-{generation:03}/responses.jsonl")));
        let without_word =
            answers.iter().filter(|a| !a["text"].as_str().unwrap().contains(char::is_alphanumeric)).count();
        empties += without_word;
        let (n, n_a) = (kept.len(), kept.iter().filter(|row| row.2).count());
        assert_eq!((all.len(), all.iter().filter(|row| row.2).count()), (200, 150));
        assert_eq!(n, 200 - without_word, "an answer without a word has no row");
        let lost: Vec<_> = all.iter().filter(|row| !kept.contains(row)).collect();
        assert_eq!(n_a, 150 - lost.iter().filter(|row| row.2).count(), "n_A is not made up by refilling");
        assert!(kept.iter().all(|row| all.contains(row)), "the rest of the set is the same");
        let numbers = record(&dropped, generation);
        assert_eq!(
            (numbers["sigma"]["n"].as_u64(), numbers["sigma"]["n_a"].as_u64()),
            (Some(n as u64), Some(n_a as u64))
        );
        assert_eq!(numbers["evaluation"]["empty"].as_u64(), Some(without_word as u64));
        let base = record(&dropped, 0);
        let flags = numbers["flags"].as_array().unwrap();
        assert_eq!(flags.contains(&"n_differs".into()), base["sigma"]["n"] != numbers["sigma"]["n"]);
        assert_eq!(flags.contains(&"n_a_differs".into()), base["sigma"]["n_a"] != numbers["sigma"]["n_a"]);
    }
    assert!(empties > 0, "the test needs answers without a word");
    let observed = |generation| rows(&embedded, generation).into_iter().filter(|row| row.2).collect::<Vec<_>>();
    assert_eq!(observed(0), observed(2));
}

#[test]
fn window_keys_are_refused_beside_whole_answers_and_windows_are_as_before() {
    for key in ["window_tokens", "stride_tokens"] {
        let message = fails(&["check", DEMO, "--set", &format!("evaluation.{key}=8")]);
        assert!(message.contains(&format!("evaluation.{key}")) && message.contains("blocks: whole"), "{message}");
    }
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    let sets = ["--set", "evaluation.blocks=windows", "--set", "evaluation.window_tokens=16", "--set", "generations=0"];
    run_small(DEMO, &run, &[&sets[..], &["--set", "evaluation.stride_tokens=8"]].concat());
    // 40 tokens: windows at 0, 8, 16, 24
    assert_eq!(record(&run, 0)["evaluation"]["blocks"], 80);
    assert_eq!(record(&run, 0)["evaluation"]["truncated"], 0);
    let config = read(&run.join("config.yaml"));
    assert!(config.contains("window_tokens: 16") && config.contains("stride_tokens: 8"), "{config}");
    // what is left over at the end of an answer is not read, and that is counted
    let rest = dir.path().join("rest");
    run_small(
        DEMO,
        &rest,
        &["--set", "evaluation.blocks=windows", "--set", "evaluation.window_tokens=39", "--set", "generations=0"],
    );
    let numbers = record(&rest, 0);
    assert_eq!(numbers["evaluation"]["truncated"], 20);
    let share = numbers["evaluation"]["read_share"].as_f64().unwrap();
    assert!(share > 0.9 && share < 1.0, "{share}");
}

#[test]
fn what_the_encoder_does_not_read_is_counted_and_check_warns() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small(DEMO, &run, &["--set", "generations=0", "--set", "encoder.max_tokens=21"]);
    let numbers = record(&run, 0);
    // BOS and 20 of 40 tokens
    assert_eq!(numbers["evaluation"]["truncated"], 20);
    let share = numbers["evaluation"]["read_share"].as_f64().unwrap();
    assert!((share - 0.5).abs() < 0.1, "{share}");
    let header = read(&run.join("metrics.csv"));
    for name in ["truncated_answers", "read_share", "empty_answers", "n_a", "g_kf_fixed_beta", "flags"] {
        assert!(header.lines().next().unwrap().split(',').any(|column| column == name), "{name}");
    }
    let check = |tokens: &str| succeeds(&[&["check", DEMO][..], &SMALL, &["--set", tokens]].concat());
    assert!(check("encoder.max_tokens=21").contains("which reads 21 of its own, sees 4"), "a warning");
    assert!(!check("encoder.max_tokens=256").contains("which reads"), "no warning");
}

#[test]
fn an_observed_set_that_the_bank_cannot_fill_is_refused_before_the_run() {
    let message = fails(&[&["check", DEMO][..], &SMALL, &["--set", "sigma.observed=21"]].concat());
    assert!(message.contains("sigma.observed is 21") && message.contains("no more than 20"), "{message}");
}

#[test]
fn track_one_with_the_budget_of_t_0_does_not_follow_n() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    run_small(DEMO, &run, &["--set", "sigma.observed=12"]);
    let of = |t, name: &str| record(&run, t)["sigma"][name].as_f64().unwrap();
    assert_eq!(of(0, "g_kf_fixed_beta"), of(0, "g_kf"));
    for t in 0..3 {
        let spectrum = read(&run.join(format!("gen-{t:03}/spectrum.csv")));
        let lambda = spectrum.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse::<f64>().unwrap());
        let by_hand: f64 = lambda.map(|lambda| (lambda / (of(0, "beta") + 1e-3)).ln_1p()).sum();
        assert!((of(t, "g_kf_fixed_beta") - by_hand).abs() < 1e-9, "t = {t}");
    }
}

#[test]
fn fresh_text_is_spread_over_the_corpus_and_check_says_how_long_it_lasts() {
    let fresh = ["--set", "mixture.real=fresh", "--set", "mixture.real_fraction=1"];
    let plan = succeeds(&[&["check", DEMO][..], &SMALL, &fresh].concat());
    let line = plan.lines().find(|line| line.contains("fresh:")).unwrap();
    assert!(line.contains("contexts beyond the 24 in use last"), "{line}");
    let message = fails(&[&["check", DEMO][..], &SMALL, &fresh, &["--set", "generations=500"]].concat());
    assert!(message.contains("mixture.real is `fresh`: 500 generations need 12000 contexts"), "{message}");
    let dir = tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    run_small(DEMO, &one, &fresh);
    run_small(DEMO, &two, &[&fresh[..], &["--set", "generations=1"]].concat());
    run_small(DEMO, &two, &fresh);
    assert_same_results(&one, &two);
}

#[test]
fn what_the_perplexity_is_taken_on_is_never_trained_on() {
    let dir = tempdir().unwrap();
    let run = dir.path().join("run");
    let sets =
        ["--set", "mixture.real=fresh", "--set", "mixture.real_fraction=1", "--set", "evaluation.perplexity=true"];
    run_small(DEMO, &run, &sets);
    // 1,590 contexts: 24 in use, 200 held out, the rest is the supply
    let plan = succeeds(&[&["check", DEMO][..], &SMALL, &sets].concat());
    let supply = |plan: &str| -> usize {
        let line = plan.lines().find(|line| line.contains("fresh:")).unwrap();
        line.split_whitespace().skip_while(|word| *word != "fresh:").nth(1).unwrap().parse().unwrap()
    };
    let without = succeeds(&[&["check", DEMO][..], &SMALL, &sets[..4]].concat());
    assert_eq!(supply(&without) - supply(&plan), 200);
    assert!(record(&run, 1)["perplexity"]["held_out"].as_f64().unwrap() > 1.0);
}
