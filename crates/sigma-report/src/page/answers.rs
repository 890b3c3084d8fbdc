//! Sample answers for the page: a few prompts of a run, each with its answers at every generation, read from
//! `responses.jsonl`. Prompts are taken in turn from all buckets, the same ones at every generation. What an answer
//! means is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::condition::Member;
use crate::error::{ReportError, Result};
use crate::record::RESPONSES_FILE_NAME;
use crate::run::{Run, generation_dir_name};
use crate::run_files;

/// Prompts of a run, where the page holds few runs.
const PROMPTS: usize = 12;
/// Prompts on the page, all runs together, and at least so many of each run.
const PROMPTS_IN_ALL: usize = 36;
const PROMPTS_AT_LEAST: usize = 3;
/// Longer answers are cut to so many characters.
const CHARACTERS: usize = 600;

/// One line of `responses.jsonl`; further fields are not needed here.
#[derive(Deserialize)]
struct Response {
    id: String,
    /// Which of the answers to its prompt, from 0.
    #[serde(default)]
    response: u32,
    #[serde(default)]
    bucket: String,
    text: String,
    #[serde(default)]
    finish_reason: Option<String>,
}

/// The samples of one run.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) run: String,
    pub(super) generations: Vec<u32>,
    pub(super) prompts: Vec<Prompt>,
}

#[derive(Debug, Serialize)]
pub(super) struct Prompt {
    id: String,
    bucket: String,
    /// The text of the prompt, if known.
    text: Option<String>,
    /// One list per generation, in the order of responses; empty where there is no answer.
    answers: Vec<Vec<Answer>>,
}

#[derive(Clone, Debug, Serialize)]
struct Answer {
    response: u32,
    text: String,
    /// Characters of the whole answer.
    characters: usize,
    finish: Option<String>,
}

/// The samples of all members whose folders hold answers.
pub(super) fn samples(members: &[&Member], prompts: &BTreeMap<String, String>) -> Result<Vec<Sample>> {
    let per_run = (PROMPTS_IN_ALL / members.len().max(1)).clamp(PROMPTS_AT_LEAST, PROMPTS);
    let mut samples = Vec::new();
    for member in members {
        samples.extend(sample(member.run, &member.label, per_run, prompts)?);
    }
    Ok(samples)
}

fn sample(run: &Run, label: &str, count: usize, texts: &BTreeMap<String, String>) -> Result<Option<Sample>> {
    let mut chosen: Option<Vec<Prompt>> = None;
    let mut generations = Vec::new();
    for record in &run.records {
        let path = run.dir.join(generation_dir_name(record.generation)).join(RESPONSES_FILE_NAME);
        let Some(responses) = read(&path)? else { continue };
        let prompts = chosen.get_or_insert_with(|| choose(&responses, count, texts));
        let mut by_id: BTreeMap<String, Vec<Response>> = BTreeMap::new();
        for response in responses {
            by_id.entry(response.id.clone()).or_default().push(response);
        }
        for prompt in prompts {
            let mut answers = by_id.remove(&prompt.id).unwrap_or_default();
            answers.sort_by_key(|answer| answer.response);
            prompt.answers.push(answers.into_iter().map(answer).collect());
        }
        generations.push(record.generation);
    }
    Ok(chosen.map(|prompts| Sample { run: label.to_owned(), generations, prompts }))
}

/// `None` where there is no such file: answers may be kept elsewhere, and a report does without them.
fn read(path: &Path) -> Result<Option<Vec<Response>>> {
    let text = match run_files::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReportError::read(path)(error)),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| ReportError::Answer {
            path: path.to_path_buf(),
            line: index + 1,
            source,
        })
    };
    lines.map(parse).collect::<Result<_>>().map(Some)
}

/// Up to `count` prompts: the first of every bucket, then the second of every bucket, and so on, listed bucket by
/// bucket.
fn choose(responses: &[Response], count: usize, texts: &BTreeMap<String, String>) -> Vec<Prompt> {
    let mut buckets: Vec<(&str, Vec<&Response>)> = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for response in responses {
        // The first of a prompt's answers stands for the prompt.
        if !known.insert(&response.id) {
            continue;
        }
        match buckets.iter_mut().find(|(bucket, _)| *bucket == response.bucket) {
            Some((_, members)) => members.push(response),
            None => buckets.push((&response.bucket, vec![response])),
        }
    }
    let deepest = buckets.iter().map(|(_, members)| members.len()).max().unwrap_or(0);
    let turns = (0..deepest).flat_map(|turn| (0..buckets.len()).map(move |bucket| (bucket, turn)));
    let mut places: Vec<(usize, usize)> =
        turns.filter(|(bucket, turn)| *turn < buckets[*bucket].1.len()).take(count).collect();
    places.sort_unstable();
    let prompt = |(bucket, turn): (usize, usize)| {
        let response = buckets[bucket].1[turn];
        Prompt {
            id: response.id.clone(),
            bucket: response.bucket.clone(),
            text: texts.get(&response.id).cloned(),
            answers: Vec::new(),
        }
    };
    places.into_iter().map(prompt).collect()
}

fn answer(response: Response) -> Answer {
    let characters = response.text.chars().count();
    let text = response.text.chars().take(CHARACTERS).collect();
    Answer { response: response.response, text, characters, finish: response.finish_reason }
}
