"""Goldens for the self-BLEU of crates/sigma-metrics, from NLTK's sentence_bleu.

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install nltk==3.10.4
    /tmp/goldens/bin/python scripts/goldens/self_bleu.py       # writes crates/sigma-metrics/tests/goldens/self_bleu.json

Python 3.11. Words are lower-case and separated by single spaces, so that both sides split them alike. As in Texygen: each text against
all others, weights 1/4, smoothing method 1.
"""

import json
from pathlib import Path

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

TARGET = Path(__file__).resolve().parents[2] / "crates/sigma-metrics/tests/goldens/self_bleu.json"

REPORTS = [
    "the bank said on monday that net income rose in the third quarter",
    "the bank said on friday that net income fell in the third quarter of the year",
    "shares of the company rose after the board raised its forecast for the year",
    "the board of the company said that it had raised its forecast",
    "rates were left where they are and the bank said that it saw no need to move",
    "a cold wind came over the harbour and nobody spoke",
    "net income",
    "the the the the the bank",
]

CASES = {
    "two alike": ["a b c d e f", "a b c d e g"],
    "three equal": ["one two three four five"] * 3,
    "nothing shared": ["a b c d", "e f g h"],
    "short texts": ["a", "a b", "a b c", "c b a"],
    "clipped counts": ["a a a a a a", "a a b", "b a b a b a"],
    "reports": REPORTS,
    "collapsed reports": REPORTS[:3] + [REPORTS[0]] * 5,
}


def self_bleu(texts):
    split = [text.split() for text in texts]
    smoothing = SmoothingFunction().method1
    scores = [
        float(sentence_bleu(split[:i] + split[i + 1 :], split[i], smoothing_function=smoothing)) for i in range(len(split))
    ]
    return sum(scores) / len(scores)


def main():
    cases = [{"name": name, "texts": texts, "self_bleu": self_bleu(texts)} for name, texts in CASES.items()]
    TARGET.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
