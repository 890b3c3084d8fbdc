use sigma_data::{Answer, DataError, FinishReason, read_answers, windows, write_answers};

use crate::file;

#[test]
fn windows_are_those_of_the_protocol() {
    let starts = |len: u32, window, stride| -> Vec<(u32, usize)> {
        let tokens: Vec<u32> = (0..len).collect();
        windows(&tokens, window, stride).iter().map(|w| (w[0], w.len())).collect()
    };
    assert_eq!(starts(256, 64, 48), [(0, 64), (48, 64), (96, 64), (144, 64), (192, 64)]);
    for (len, count) in [(256, 5), (255, 4), (112, 2), (111, 1), (64, 1), (10, 1), (1, 1), (0, 0)] {
        assert_eq!(starts(len, 64, 48).len(), count, "{len} tokens");
    }
    assert_eq!(starts(10, 64, 48), [(0, 10)]);
    assert_eq!(starts(7, 3, 5), [(0, 3)]);
    assert_eq!(starts(5, 2, 1), [(0, 2), (1, 2), (2, 2), (3, 2)]);
}

fn answer(id: &str) -> Answer {
    Answer {
        id: id.to_string(),
        bucket: "neutral".to_string(),
        response: 0,
        text: "line\nbreak \u{2028} \"quote\" 😀".to_string(),
        tokens: vec![0, u32::MAX],
        finish_reason: FinishReason::Eos,
        seed: "00ff".to_string(),
    }
}

#[test]
fn answers_survive_a_file() {
    let (_folder, path) = file("answers.jsonl", "");
    let answers = [answer("a"), Answer { text: String::new(), tokens: vec![], ..answer("b") }];
    write_answers(&path, &answers).unwrap();
    assert_eq!(read_answers(&path).unwrap(), answers);
}

#[test]
fn answers_have_the_documented_fields() {
    let line = serde_json::to_value(Answer { finish_reason: FinishReason::Length, ..answer("a") }).unwrap();
    let expected = serde_json::json!({"id": "a", "bucket": "neutral", "response": 0, "text": "line\nbreak \u{2028} \"quote\" 😀",
        "tokens": [0, u32::MAX], "finish_reason": "length", "seed": "00ff"});
    assert_eq!(line, expected);
}

#[test]
fn a_response_to_a_prompt_is_there_once_and_files_of_one_response_need_not_number_it() {
    let (_folder, path) = file("answers.jsonl", "");
    let second = Answer { response: 1, ..answer("a") };
    write_answers(&path, &[answer("a"), second.clone()]).unwrap();
    assert_eq!(read_answers(&path).unwrap(), [answer("a"), second]);
    write_answers(&path, &[answer("a"), answer("a")]).unwrap();
    let error = read_answers(&path).unwrap_err();
    assert!(matches!(&error, DataError::DuplicateId { id, .. } if id == "a, response 0"), "{error}");
    let mut line = serde_json::to_value(answer("b")).unwrap();
    line.as_object_mut().unwrap().remove("response");
    std::fs::write(&path, line.to_string()).unwrap();
    assert_eq!(read_answers(&path).unwrap(), [answer("b")]);
}
