"""Files of a published tokenizer: vocabulary, special tokens, chat template."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKENIZER_JSON, SENTENCEPIECE, CONFIG = "tokenizer.json", "tokenizer.model", "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
# Names of SentencePiece models whose ids are those of the library; XLM-R's file has its ids shifted by one.
SENTENCEPIECE_NAMES = (SENTENCEPIECE, "spiece.model", "spm.model", "sentencepiece.model")
SHIFTED_NAMES = ("sentencepiece.bpe.model",)
# Files beside the vocabulary that are read, and kept in prepared data and checkpoints.
DETAILS = (CONFIG, "special_tokens_map.json", "added_tokens.json", TEMPLATE, "chat_template.json")
MODEL_DETAILS = (
    "generation_config.json",
    "config.json",
)  # ids of special tokens, where no other file has them
KEPT = (TOKENIZER_JSON, SENTENCEPIECE, *DETAILS)
FILE_BYTES_LIMIT = 64 * 1024**2  # the largest published tokenizer.json has 34 MB
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class TokenizerError(ValueError):
    """A tokenizer cannot be used; the message gives the reason, to follow its name and a colon."""


@dataclass(frozen=True)
class TokenizerFiles:
    """The file of a vocabulary, and the values of the files beside it."""

    vocabulary: Path
    config: dict[str, Any]  # tokenizer_config.json with the other files merged in

    @property
    def is_sentencepiece(self) -> bool:
        return self.vocabulary.suffix != ".json"

    @property
    def special(self) -> dict[str, str]:
        """Special tokens by role, such as eos_token."""
        return {role: text for role in ROLES if (text := _token_text(self.config.get(role)))}

    @property
    def added(self) -> dict[str, int]:
        """Added tokens with their ids, as listed beside a SentencePiece model."""
        listed = self.config.get("added_tokens_decoder")
        found = {}
        if isinstance(listed, dict):
            found = {_token_text(token): int(number) for number, token in listed.items() if number.isdigit()}
        named = self.config.get("added_tokens")
        if isinstance(named, dict):
            found |= {text: number for text, number in named.items() if isinstance(number, int)}
        return {text: number for text, number in found.items() if text}

    @property
    def chat_template(self) -> str | None:
        """The template named 'default', or the only one; None if the tokenizer has none."""
        template = self.config.get("chat_template")
        if isinstance(template, list):
            named = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}
            template = named.get("default", next(iter(named.values()), None))
        elif isinstance(template, dict):
            template = template.get("default")
        return template if isinstance(template, str) and template.strip() else None

    def hash(self) -> str:
        """SHA-256 of everything that decides the tokens of a text or a chat."""
        digest = hashlib.sha256(self.vocabulary.read_bytes())
        digest.update(json.dumps(self.config, sort_keys=True).encode())
        return digest.hexdigest()

    def copy_to(self, folder: Path) -> None:
        """Write the vocabulary and its details into the folder, under the names in KEPT."""
        shutil.copyfile(
            self.vocabulary, folder / (SENTENCEPIECE if self.is_sentencepiece else TOKENIZER_JSON)
        )
        (folder / CONFIG).write_text(json.dumps(self.config, indent=1, ensure_ascii=False))


def find_files(path: Path) -> TokenizerFiles:
    """Find the tokenizer in a folder, or that of a file. Raises TokenizerError and OSError."""
    vocabulary = _find_vocabulary(path) if path.is_dir() else path
    if not vocabulary.is_file():
        raise TokenizerError("the file does not exist")
    if vocabulary.name in SHIFTED_NAMES:
        raise TokenizerError(
            f"{vocabulary.name} numbers its tokens otherwise than its model does; give a folder with a "
            "tokenizer.json"
        )
    if vocabulary.suffix not in (".json", ".model"):
        raise TokenizerError("it is neither a tokenizer.json nor a SentencePiece .model")
    if vocabulary.stat().st_size > FILE_BYTES_LIMIT:
        raise TokenizerError(f"{vocabulary.name} is larger than {FILE_BYTES_LIMIT:,} bytes")
    return TokenizerFiles(vocabulary, _read_config(vocabulary.parent))


def _find_vocabulary(folder: Path) -> Path:
    for name in (TOKENIZER_JSON, *SENTENCEPIECE_NAMES, *SHIFTED_NAMES):
        if (folder / name).is_file():
            return folder / name
    if (folder / "vocab.json").is_file() or (folder / "vocab.txt").is_file():
        raise TokenizerError(
            "it has a vocabulary without tokenizer.json; save it again with save_pretrained of a fast tokenizer"
        )
    raise TokenizerError(f"it has none of {', '.join((TOKENIZER_JSON, *SENTENCEPIECE_NAMES))}")


def _read_config(folder: Path) -> dict[str, Any]:
    """Return tokenizer_config.json, with what only the other files have."""
    config: dict[str, Any] = _read_object(folder / CONFIG)
    for role, token in _read_object(folder / "special_tokens_map.json").items():
        if role in ROLES and not config.get(role):
            config[role] = token
    if added := _read_object(folder / "added_tokens.json"):
        config.setdefault("added_tokens", added)
    if template := _read_object(folder / "chat_template.json").get("chat_template"):
        config.setdefault("chat_template", template)
    if (folder / TEMPLATE).is_file():
        config["chat_template"] = _read_text(folder / TEMPLATE)
    for name in MODEL_DETAILS:
        values = _read_object(folder / name)
        for field in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
            number = values.get(field)
            number = number[0] if isinstance(number, list) and number else number
            if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
                config.setdefault(field, number)
    return config


def _read_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; {} if there is none. Raises TokenizerError."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(_read_text(path))
    except (ValueError, RecursionError):
        raise TokenizerError(f"{path.name} is not JSON") from None
    return values if isinstance(values, dict) else {}


def _read_text(path: Path) -> str:
    if path.stat().st_size > FILE_BYTES_LIMIT:
        raise TokenizerError(f"{path.name} is larger than {FILE_BYTES_LIMIT:,} bytes")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TokenizerError(f"{path.name} is not UTF-8") from None


def _token_text(token: Any) -> str:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""
