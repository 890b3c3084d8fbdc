//! A savepoint gives back what was saved, and nothing that is damaged.

use std::fs;

use super::*;

const NEVER: Duration = Duration::from_secs(1_000_000);

fn key(writer: &str) -> Key {
    Key { generation: 1, writer: writer.into(), start: "base".into(), arithmetic: "f32 on cpu".into() }
}

fn completion(token: u32) -> Completion {
    Completion { tokens: vec![token, 7], finish_reason: FinishReason::Length }
}

#[test]
fn texts_come_back_up_to_the_first_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut savepoint = Savepoint::create(dir.path(), &key("a"), NEVER).unwrap();
    let texts: BTreeMap<usize, Completion> = (0..5).map(|i| (i * 2, completion(i as u32))).collect();
    savepoint.save_texts("evaluate", &texts, 3.5).unwrap();
    let again = Savepoint::open(dir.path(), &key("a"), NEVER).unwrap();
    assert_eq!(again.texts("evaluate"), (texts.clone(), 3.5));
    assert_eq!(again.texts("regenerate"), (BTreeMap::new(), 0.0));

    let path = dir.path().join("evaluate.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    for length in 0..text.len() {
        fs::write(&path, &text[..length]).unwrap();
        let (found, _) = again.texts("evaluate");
        assert!(found.iter().all(|(index, completion)| texts[index] == *completion), "cut at {length}");
    }
    fs::write(&path, text.replacen("[3,7]", "[4,7]", 1)).unwrap();
    assert_eq!(again.texts("evaluate").0.len(), 3, "a changed number is noticed");
}

#[test]
fn a_savepoint_of_another_generation_or_a_damaged_one_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Savepoint::open(dir.path(), &key("a"), NEVER).is_none());
    Savepoint::create(dir.path(), &key("a"), NEVER).unwrap();
    assert!(Savepoint::open(dir.path(), &key("b"), NEVER).is_none());
    let path = dir.path().join(STATE);
    let text = fs::read_to_string(&path).unwrap();
    for length in 0..text.len() {
        fs::write(&path, &text[..length]).unwrap();
        assert!(Savepoint::open(dir.path(), &key("a"), NEVER).is_none(), "cut at {length}");
    }
}

#[test]
fn a_savepoint_of_another_precision_or_device_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    Savepoint::create(dir.path(), &key("a"), NEVER).unwrap();
    assert!(Savepoint::open(dir.path(), &key("a"), NEVER).is_some());
    for other in ["f16 on cpu", "f32 on cuda"] {
        let other = Key { arithmetic: other.into(), ..key("a") };
        assert!(Savepoint::open(dir.path(), &other, NEVER).is_none());
    }
}

#[test]
fn texts_of_weights_that_are_made_again_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut savepoint = Savepoint::create(dir.path(), &key("a"), NEVER).unwrap();
    let texts = BTreeMap::from([(0, completion(1))]);
    savepoint.save_texts("regenerate", &texts, 1.0).unwrap();
    savepoint.save_texts("evaluate", &texts, 1.0).unwrap();
    savepoint.keep_only_texts("regenerate").unwrap();
    let again = Savepoint::open(dir.path(), &key("a"), NEVER).unwrap();
    assert_eq!((again.texts("regenerate").0.len(), again.texts("evaluate").0.len()), (1, 0));
}

#[test]
fn a_pool_that_changed_since_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("synthetic.jsonl");
    fs::write(&pool, "text\n").unwrap();
    let record = RegenerationRecord { samples: 1, tokens: 64, seconds: 1.5 };
    let mut savepoint = Savepoint::create(&dir.path().join("resume"), &key("a"), NEVER).unwrap();
    assert_eq!(savepoint.pool(&pool), None);
    savepoint.save_pool(&pool, &record).unwrap();
    let again = Savepoint::open(&dir.path().join("resume"), &key("a"), NEVER).unwrap();
    assert_eq!(again.pool(&pool), Some(record));
    fs::write(&pool, "tex").unwrap();
    assert_eq!(again.pool(&pool), None);
}
