"""Writes random cases in the files and the format of tests/fixtures/golden, answered by real Keras.

    python tests/reference/text_golden.py FOLDER SEED COUNT
    SENTIMENT_GOLDEN=FOLDER cargo test --test golden_text

scripts/golden.sh does both. The interpreter must be Python 3.11, whose str.lower is the one to match, with the packages of
requirements.txt. Inputs are drawn where mistakes are likely: letters whose lower case is odd, separators of any kind, ids
at the edges, arguments that fit badly together. What Keras raises is kept as `expected_error`.
"""

import json
import os
import random
import re
import sys
import tempfile
import unicodedata
import warnings
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
warnings.simplefilter("ignore")

import keras
import numpy
from keras.preprocessing.text import Tokenizer, text_to_word_sequence, tokenizer_from_json
from keras.utils import pad_sequences

assert sys.version_info[:2] == (3, 11), "str.lower must be that of Python 3.11"

load_data = keras.datasets.imdb.load_data
FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
WORDS = ["the", "The", "THE", "movie", "don't", "good", "bad", "it's", "<OOV>", "a", "b", "c", "x1", "café", "CAFÉ",
         "영화", "정말", "좋아요", "ㅋㅋㅋ", "10점", "abcdefghijklmno", "abcdefghijklmnop", "ÀÉÎabcdefghijklmn", "naïve"]
# Dotted, dotless, sharp, final, title-case, Georgian, Cherokee, supplementary, later than Unicode 14.
ODD = ("İıIiẞßΣσςΑαǅǄǆǈǋǲÅÅKΩϴẛᾈᾼﬁＡａ𐐀𐐨𑢠𞤀ꭰᏸᲐⴀⒶⅣʰʕ\u0345\u0307\u0300\u00ad\u200d\u0130\u1c89\ua7cb\ua7dc\u16ea0"
       "\u0378\U0001e030\U00010d50\U000113ce'’·:.\u2019\u0902\u093f\u1171\u11a8가힣ㄱㅣ\u3130\u3164０٣")
BLANKS = " \t\n\r\u00a0\u3000\u2028\x0b\x0c\x1c\x85\u200b\0"


class Draw(random.Random):
    def character(self):
        kind = self.random()
        if kind < 0.3:
            return self.choice(ODD)
        if kind < 0.6:
            return chr(self.randrange(0x20, 0x7f))
        if kind < 0.7:
            return self.choice(BLANKS)
        if kind < 0.8:
            return chr(self.randrange(0xac00, 0xd7a4))
        code = self.choice([self.randrange(0x80, 0x2000), self.randrange(0xa000, 0xd800), self.randrange(0x10000, 0x1f000)])
        return chr(code)

    def text(self, most=14):
        parts = []
        for _ in range(self.choice([0, 1, 3, most])):
            kind = self.random()
            if kind < 0.55:
                parts.append(self.choice(WORDS))
            elif kind < 0.7:
                parts.append("".join(self.choice("AΣσας") + self.choice(["", "", "\u0301", "'", "\u00ad", " "])
                                     for _ in range(self.randrange(1, 5))))
            else:
                parts.append("".join(self.character() for _ in range(self.randrange(1, 20))))
            parts.append(self.choice([" ", " ", " ", ", ", "", ".", "\t", "  ", "-"]))
        return "".join(parts)

    def config(self, char=None):
        split = self.choice([" ", " ", " ", " ", ",", "ab", "  ", "é", "\t", "e", "의", ", ", "aa"])
        filters = self.choice([FILTERS, FILTERS, FILTERS, "", "abc", "é영!", "İΣ", " ", "\0a", "aA", FILTERS + "'"])
        return {
            "num_words": self.choice([None, None, 0, 1, 2, 3, 5, 10, 50, -1]),
            "filters": filters,
            "lower": self.random() < 0.8,
            "split": split,
            "char_level": self.random() < 0.3 if char is None else char,
            "oov_token": self.choice([None, None, "<OOV>", "<OOV>", "the", "a", "", "영화", "É"]),
        }

    def document(self):
        if self.random() < 0.1:
            return [self.choice(WORDS + list(ODD)) for _ in range(self.randrange(6))]
        return self.text()

    def batches(self):
        if self.random() < 0.04:
            return []
        return [[self.document() for _ in range(self.randrange(1, 5))] for _ in range(self.choice([1, 1, 1, 2, 3]))]

    def ids(self, most=12, low=0):
        return [self.randrange(low, most) for _ in range(self.randrange(9))]


def outcome(case, answer):
    try:
        case.update(answer())
    except Exception as error:
        case["expected_error"] = {"type": type(error).__name__, "message": str(error)}
    return case


def plain(counts):
    return {str(key): int(value) for key, value in counts.items()}


def state(tokenizer):
    return {
        "document_count": tokenizer.document_count,
        "word_counts": [[word, count] for word, count in tokenizer.word_counts.items()],
        "word_docs": plain(tokenizer.word_docs),
        "word_index": plain(tokenizer.word_index),
        "index_word": {str(key): value for key, value in tokenizer.index_word.items()},
        "index_docs": plain(tokenizer.index_docs),
    }


def fitted(case):
    tokenizer = Tokenizer(**case["config"])
    for batch in case["fit_batches"]:
        tokenizer.fit_on_texts(batch)
    return tokenizer


def word_sequence(draw):
    config = draw.config()
    case = {"text": draw.text(30), "filters": config["filters"], "lower": config["lower"],
            "split": draw.choice([config["split"]] * 20 + [""])}
    return outcome(case, lambda: {"expected": text_to_word_sequence(**{"input_text": case["text"]}, **{
        key: case[key] for key in ["filters", "lower", "split"]})})


def tokenizer_case(char):
    def make(draw):
        case = {"config": draw.config(char), "fit_batches": draw.batches()}
        case["texts"] = [draw.document() for _ in range(4)] + [d for batch in case["fit_batches"][:1] for d in batch[:2]]
        case["back_sequences"] = [draw.ids() for _ in range(3)]

        def answer():
            tokenizer = fitted(case)
            return {"expected": {**state(tokenizer), "sequences": tokenizer.texts_to_sequences(case["texts"]),
                                 "back_texts": tokenizer.sequences_to_texts(case["back_sequences"])}}

        return outcome(case, answer)

    return make


def matrix(draw):
    case = {"config": draw.config(), "fit_batches": draw.batches(),
            "mode": draw.choice(["binary", "count", "freq", "tfidf", "tfidf"] * 5 + ["odd"])}
    tokenizer = fitted(case)
    if draw.random() < 0.2:
        case["fit_sequences"] = [draw.ids() for _ in range(3)]
        tokenizer.fit_on_sequences(case["fit_sequences"])
    if draw.random() < 0.5:
        case["texts"] = [draw.document() for _ in range(3)]
        case["sequences"] = tokenizer.texts_to_sequences(case["texts"])
    else:
        case["sequences"] = [draw.ids(low=draw.choice([0, 0, 0, -3])) for _ in range(draw.randrange(4))]

    def answer():
        rows = tokenizer.sequences_to_matrix(case["sequences"], mode=case["mode"])
        return {"shape": list(rows.shape), "expected": rows.tolist()}

    return outcome(case, answer)


def json_trip(draw):
    case = {"config": draw.config(), "fit_batches": draw.batches(), "to_json_kwargs": {}}
    case["json_string"] = fitted(case).to_json()
    case["texts"] = [draw.document() for _ in range(3)] + [d for batch in case["fit_batches"][:1] for d in batch[:1]]
    if draw.random() < 0.3:
        case["refit_texts"] = [draw.document()] if draw.random() < 0.5 else sum(case["fit_batches"], [])

    def answer():
        tokenizer = tokenizer_from_json(case["json_string"])
        if "refit_texts" in case:
            tokenizer.fit_on_texts(case["refit_texts"])
        ids = tokenizer.texts_to_sequences(case["texts"])
        answers = {"sequences": ids, "back_texts": tokenizer.sequences_to_texts(ids), "state_after_load": state(tokenizer)}
        if tokenizer.word_index and tokenizer.document_count and tokenizer.num_words is None:
            answers["binary_matrix"] = tokenizer.sequences_to_matrix(ids, "binary").tolist()
            answers["tfidf_matrix"] = tokenizer.sequences_to_matrix(ids, "tfidf").tolist()
        return answers

    return outcome(case, answer)


def padding(draw):
    item = draw.choice([lambda: draw.randrange(-3, 300), lambda: draw.randrange(0, 2 ** 33), lambda: draw.random() * 9,
                        lambda: draw.choice([1, 2.5, -7.9])])
    step = draw.choice([None, None, None, 2])
    row = lambda: [item() if step is None else [item() for _ in range(step)] for _ in range(draw.randrange(6))]
    case = {
        "sequences": [row() for _ in range(draw.choice([0, 1, 2, 4]))],
        "maxlen": draw.choice([None, None, 0, 1, 2, 3, 4, 7]),
        "dtype": draw.choice(["int32"] * 4 + ["int64", "float32", "float64", "int8", "uint8", "int16", "bool", "object"]),
        "padding": draw.choice(["pre", "post"] * 6 + ["odd"]),
        "truncating": draw.choice(["pre", "post"] * 6 + ["odd"]),
        "value": draw.choice([0.0, 0.0, 0, 1, -1, 7.5, 99, 300]),
    }

    def answer():
        rows = pad_sequences(**case)
        values = [[[x.item() if isinstance(x, numpy.generic) else x for x in numpy.ravel(v)] if rows.ndim > 2 else
                   (v.item() if isinstance(v, numpy.generic) else v) for v in r] for r in rows]
        return {"shape": list(rows.shape), "expected_dtype": str(rows.dtype), "expected": values}

    return outcome(dict(case), answer)


def stored(folder, train, test, seed):
    """An imdb.npz whose rows come out of load_data's shuffle in the order given; a row's label is its place."""
    parts = {}
    shuffle = numpy.random.RandomState(seed)
    for name, rows in (("train", train), ("test", test)):
        order = numpy.arange(len(rows))
        shuffle.shuffle(order)
        x, y = numpy.empty(len(rows), object), numpy.empty(len(rows), int)
        for place, row in zip(order, range(len(rows))):
            x[place], y[place] = rows[row], row
        parts |= {f"x_{name}": x, f"y_{name}": y}
    path = Path(folder) / "imdb.npz"
    numpy.savez(path, **parts)
    return str(path)


def imdb(draw):
    args = {
        "num_words": draw.choice([None, None, 0, 1, 2, 5, 20, 10000]), "skip_top": draw.choice([0, 0, 0, 1, 4, 10]),
        "maxlen": draw.choice([None, None, None, 0, 1, 3, 5, 9]), "seed": draw.choice([113, 1, 77]),
        "start_char": draw.choice([1, 1, 1, 0, 7, None]), "oov_char": draw.choice([2, 2, 2, 0, None]),
        "index_from": draw.choice([3, 3, 3, 0, 1, 10]),
    }
    row = lambda: [draw.choice([draw.randrange(1, 12), draw.randrange(1, 12000)]) for _ in range(draw.randrange(7))]
    case = {"args": args, "raw_train": [row() for _ in range(draw.randrange(1, 6))],
            "raw_test": [row() for _ in range(draw.randrange(1, 6))]}

    def answer():
        with tempfile.TemporaryDirectory() as folder:
            path = stored(folder, case["raw_train"], case["raw_test"], args["seed"])
            load_data.__globals__["get_file"] = lambda *_, **__: path
            (train, kept_train), (test, kept_test) = load_data(**args)
        rows = lambda part: [[int(i) for i in row] for row in part]
        places = lambda kept: [int(i) for i in kept]
        return {"expected_train": rows(train), "kept_train": places(kept_train),
                "expected_test": rows(test), "kept_test": places(kept_test)}

    return outcome(case, answer)


WORD_INDEX = {word: rank for rank, word in enumerate(dict.fromkeys(word.lower() for word in WORDS), 1)}
WORD_INDEX |= {"rank9996": 9996, "rank9997": 9997, "rare": 40000}


def imdb_text(draw):
    text = draw.text() + draw.choice(["", " rare", " rank9996 rank9997", " Rare unseen"])
    case = {"text": text, "num_words": draw.choice([5, 12, 10000, 10000]), "unknown_words": draw.choice(["oov", "skip"])}
    case["tokens"] = text_to_word_sequence(text)
    # A rank past num_words is cut, and becomes what a missing word becomes.
    ranks = [WORD_INDEX.get(token, 10 ** 9) for token in case["tokens"]]
    if case["unknown_words"] == "skip":
        ranks = [rank for rank in ranks if rank != 10 ** 9]
    with tempfile.TemporaryDirectory() as folder:
        path = stored(folder, [ranks], [[1]], 113)
        load_data.__globals__["get_file"] = lambda *_, **__: path
        case["expected_ids"] = [int(i) for i in load_data(num_words=case["num_words"])[0][0][0]]
    if draw.random() < 0.5:
        case["maxlen"] = draw.choice([1, 4, 9, 30])
        case["expected_padded"] = pad_sequences([case["expected_ids"]], maxlen=case["maxlen"])[0].tolist()
    return case


KOREAN = {"num_words": None, "filters": FILTERS, "lower": True, "split": " ", "char_level": True, "oov_token": "<OOV>"}
KOREAN_TEXTS = ["이 영화 정말 좋아요", "배송이 느려요 10점", "ㅋㅋㅋ 별로 ㅠㅠ"]
KOREAN_TOKENIZER = fitted({"config": KOREAN, "fit_batches": [KOREAN_TEXTS]})


def korean(draw):
    text = draw.text() + draw.choice(["", "ㄱㅎㅏㅣ", " 이 영화", "１2٣", "\u3130\u3164"])
    clean = re.sub("[^ㄱ-ㅎㅏ-ㅣ가-힣0-9 ]", "", text)
    ids = KOREAN_TOKENIZER.texts_to_sequences([clean])[0]
    return {"text": text, "expected_clean": clean, "expected_sequence": ids,
            "expected_padded": pad_sequences([ids], maxlen=8)[0].tolist()}


FILES = {
    "text_to_word_sequence": (word_sequence, {}),
    "tokenizer_word": (tokenizer_case(False), {}),
    "tokenizer_char": (tokenizer_case(True), {}),
    "tokenizer_random": (tokenizer_case(None), {}),
    "sequences_to_matrix": (matrix, {}),
    "tokenizer_json": (json_trip, {}),
    "pad_sequences": (padding, {}),
    "imdb_encoding": (imdb, {}),
    "imdb_text": (imdb_text, {"word_index": WORD_INDEX}),
    "korean_clean": (korean, {"config": KOREAN, "fit_texts": KOREAN_TEXTS, "word_index": KOREAN_TOKENIZER.word_index}),
}


def main(folder, seed, count):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    source = f"keras {keras.__version__}, numpy {numpy.__version__}, Unicode {unicodedata.unidata_version}, seed {seed}"
    for name, (make, shared) in FILES.items():
        draw = Draw(f"{seed} {name}")
        cases = [{"id": f"{name}-{seed}-{at}", **make(draw)} for at in range(int(count))]
        file = {"source": source, **shared, "case_count": len(cases), "cases": cases}
        text = json.dumps(file, ensure_ascii=False, allow_nan=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    lower = {}
    for code in range(0x110000):
        if not 0xd800 <= code < 0xe000 and chr(code).lower() != chr(code):
            lower[f"{code:04X}"] = [f"{ord(c):04X}" for c in chr(code).lower()]
    file = {"source": source, "count": len(lower), "lower": lower}
    (folder / "python_lower_map.json").write_text(json.dumps(file) + "\n")


main(*sys.argv[1:])
