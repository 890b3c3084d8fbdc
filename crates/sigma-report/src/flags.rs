//! Flags of records in words: the one place that says what each means. Which record gets which flag is decided where it
//! is measured.

use crate::record::Record;

/// How a flag is spelt that says which earlier generation has the same weights; the number follows.
const SAME_WEIGHTS: &str = "weights_equal_gen_";

/// What `flag` means, for people; a flag that this program does not know stands for itself.
pub fn explain(flag: &str) -> String {
    if let Some(generation) = flag.strip_prefix(SAME_WEIGHTS) {
        return format!("the weights are, bit for bit, those of gen-{generation}: training changed nothing since");
    }
    let words = match flag {
        "rank_deficient" => "G_A is rank deficient: some directions are seen through the ridge delta alone",
        "all_answers_empty" => "every answer is empty: the model ends every text at once",
        "fewer_blocks_than_observed" => "fewer embedded rows than sigma.observed asks for: all of them are observed",
        "theorem3_below_10_d" => {
            "n_A < 10 d: Theorem 3 is about n_A far above d, and its half width (theorem3_half_width) is too short here"
        }
        "weights_unmoved" => "training left the weights as they were, bit for bit",
        "weights_moved_below_rounding" => "training moved the weights by less than their rounding",
        "skipped_steps" => "loss scaling threw steps away; metrics.csv counts them (skipped_steps)",
        "n_differs" => {
            "the number of rows n is not that of t = 0, so the drift of Track I also holds the move of its tail budget"
        }
        "n_a_differs" => {
            "the number of observed rows n_A is not that of t = 0, and both drifts also hold what that does"
        }
        "loss_not_finite" => "the loss was not finite, and the generation could not be made",
        "gradient_not_finite" => "the gradient was not finite, and the generation could not be made",
        "loss_scale_collapsed" => "loss scaling found no scale without overflow, and the generation could not be made",
        "logits_not_finite" => "the model's logits were not finite, and the generation could not be made",
        other => other,
    };
    words.to_owned()
}

/// Whether `flag` is about what a run is judged by. One that is not concerns the paper's interval alone, which stands
/// in metrics.csv and nowhere else.
pub fn concerns_verdict(flag: &str) -> bool {
    flag != "theorem3_below_10_d"
}

/// Every flag of `records` in the order in which it was first met, with its generations.
pub(crate) fn of_records(records: &[Record]) -> Vec<(&str, Vec<u32>)> {
    let mut found: Vec<(&str, Vec<u32>)> = Vec::new();
    for record in records {
        for flag in &record.flags {
            match found.iter_mut().find(|(known, _)| known == flag) {
                Some((_, generations)) => generations.push(record.generation),
                None => found.push((flag, vec![record.generation])),
            }
        }
    }
    found
}

/// Ascending numbers with runs drawn together: `0, 3 to 7`.
pub(crate) fn ranges(numbers: &[u32]) -> String {
    let shown: Vec<String> = numbers
        .chunk_by(|a, b| b - a == 1)
        .map(|run| match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first} to {last}"),
            [] => String::new(),
        })
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_drawn_together() {
        assert_eq!(ranges(&[0, 3, 4, 5, 9, 10]), "0, 3 to 5, 9 to 10");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn every_flag_has_words_and_an_unknown_one_stands_for_itself() {
        for flag in [
            "rank_deficient",
            "all_answers_empty",
            "theorem3_below_10_d",
            "weights_unmoved",
            "weights_moved_below_rounding",
            "weights_equal_gen_003",
            "skipped_steps",
            "n_differs",
            "n_a_differs",
        ] {
            assert!(explain(flag).contains(' '), "{flag}");
        }
        assert!(explain("weights_equal_gen_003").contains("gen-003"));
        assert_eq!(explain("from_tomorrow"), "from_tomorrow");
    }
}
