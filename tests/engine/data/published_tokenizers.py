"""Folders with tokenizers of every kind, made by the libraries that publish them."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# First and last character of letters in ten scripts.
SCRIPTS = {
    "Latin": (0x61, 0x7A), "Greek": (0x3B1, 0x3C9), "Cyrillic": (0x430, 0x44F), "Arabic": (0x627, 0x64A),
    "Hebrew": (0x5D0, 0x5EA), "Devanagari": (0x905, 0x939), "Thai": (0xE01, 0xE2E), "Hangul": (0xAC00, 0xACFF),
    "Kana": (0x3041, 0x3096), "Han": (0x4E00, 0x4FFF),
}  # fmt: skip
BETWEEN = [
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\t",
    ", ",
    ". ",
    "-",
    " 12,345 ",
    "'s ",
    "\u00a0",
    "😀",
    "\u200d",
    "</",
    "<",
]


def draw_texts(count: int, seed: int) -> list[str]:
    """Draw texts, each in one or two of the scripts, with spaces, digits, accents and symbols between the words."""
    draw = random.Random(seed)
    texts = []
    for number in range(count):
        names = [list(SCRIPTS)[number % len(SCRIPTS)], draw.choice(list(SCRIPTS))]
        parts = []
        for _ in range(draw.randint(1, 30)):
            first, last = SCRIPTS[draw.choice(names)]
            word = "".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 8)))
            parts.append(draw.choice([word, word.upper(), word + "\u0301"]))
            parts.append(draw.choice(BETWEEN))
        texts.append("".join(parts))
    return texts


def make_folder(folder: Path, kind: str, **config: Any) -> Path:
    """Write the folder of a tokenizer: bpe, byte_fallback, unigram, wordpiece or sentencepiece."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = draw_texts(400, seed=7)
    if kind == "sentencepiece":
        (folder / "tokenizer.model").write_bytes(train_sentencepiece(texts))
        config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | config
    else:
        tokenizer, roles = TRAINERS[kind](texts)
        tokenizer.save(str(folder / "tokenizer.json"))
        config = roles | config
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def train_sentencepiece(texts: list[str], **options: Any) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=2600, hard_vocab_limit=False, byte_fallback=True,
        character_coverage=0.98, num_threads=2, minloglevel=2, **options,
    )  # fmt: skip
    return model.getvalue()


def _train_bpe(texts: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """As Llama 3 and Qwen: byte-level, words cut by a pattern, special tokens added behind the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), reverse=True)  # not in GPT-2's order
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.enable_truncation(8)  # what published files may hold
    tokenizer.enable_padding(length=16)
    return tokenizer, {"eos_token": "<|endoftext|>"}


def _train_byte_fallback(texts: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """As Llama 2 and Mistral: BPE on characters, unknown ones as bytes, a mark in place of spaces."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts[:100], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def _train_unigram(texts: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """As T5 and XLM-R."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=2500, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer, {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def _train_wordpiece(texts: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """As BERT."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    roles = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True)
    )
    return tokenizer, roles


TRAINERS = {
    "bpe": _train_bpe, "byte_fallback": _train_byte_fallback, "unigram": _train_unigram, "wordpiece": _train_wordpiece,
}  # fmt: skip
KINDS = (*TRAINERS, "sentencepiece")
