"""Tokenizers of every kind of file: text to the ids that its own software gives, and back."""

import json
from pathlib import Path
from typing import Any

import gguf
import pytest

from coe_mapping.models import ModelError, read_tokenizer
from coe_mapping.models.tokenizer import PieceTokenizer, read_llama2c_tokenizer, write_llama2c_tokenizer

CONTROLS = ("<unk>", "<s>", "</s>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
LETTERS = {" ": -5.0, "a": -6.0, "b": -7.0, "c": -8.0, "ab": -2.0, "bc": -1.0, " a": -3.0, "abc": -1.5, " abc": -4.0}
PIECES = PieceTokenizer(
    (*CONTROLS, *BYTES, *LETTERS), (0.0,) * 259 + tuple(LETTERS.values()), start=1, stops=frozenset({1, 2})
)


def ids(*pieces: str) -> list[int]:
    return [1, *(PIECES.pieces.index(piece) for piece in pieces)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("abc", [" abc"]),
        ("ab", [" ", "ab"]),  # "ab" is worth more than " a", which comes first
        ("c", [" ", "c"]),
        ("é", [" ", "<0xC3>", "<0xA9>"]),
        ("", []),
    ],
)
def test_pieces_are_merged_by_the_best_score_first(text: str, pieces: list[str]) -> None:
    assert PIECES.encode(text) == ids(*pieces)
    assert PIECES.decode(PIECES.encode(text)) == text


def test_a_llama2c_tokenizer_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.bin"
    write_llama2c_tokenizer(PIECES, path)
    (tmp_path / "model.bin").touch()
    got = read_tokenizer(tmp_path / "model.bin")
    assert isinstance(got, PieceTokenizer)
    assert got.pieces == PIECES.pieces
    assert got.scores == pytest.approx(PIECES.scores)
    assert got.encode("abc") == PIECES.encode("abc")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"truncated in piece 267: expected 4 bytes, found 3"):
        read_llama2c_tokenizer(path)
    path.unlink()
    with pytest.raises(ModelError, match=r"tokenizer.bin is missing: llama2.c's tokenizer must lie beside"):
        read_tokenizer(tmp_path / "model.bin")


def gguf_tokenizer(path: Path, model: str, tokens: list[str], **options: Any) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for key, value in options.items():
        getattr(writer, key)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_with_scores_merges_as_llama2c_does(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    pieces = [piece.replace(" ", "\u2581") for piece in PIECES.pieces]
    gguf_tokenizer(path, "llama", pieces, add_token_scores=list(PIECES.scores))
    got = read_tokenizer(path)
    assert got.encode("abc") == PIECES.encode("abc")
    assert got.decode(got.encode("abc é")) == "abc é"
    assert got.stops == {2}


@pytest.mark.parametrize(("splitting", "digits"), [("smollm", ["1", "1"]), ("gpt-2", ["11"])])
def test_a_gguf_with_merges_is_byte_level_bpe_split_as_it_says(
    splitting: str, digits: list[str], tmp_path: Path
) -> None:
    tokens = ["<unk>", "<|start|>", "<|end|>", "a", "b", "ab", "Ġ", "Ġab", "1", "11"]
    path = tmp_path / "model.gguf"
    gguf_tokenizer(
        path,
        "gpt2",
        tokens,
        add_tokenizer_pre=splitting,
        add_token_types=[3, 3, 3] + [1] * 7,
        add_token_merges=["a b", "Ġ ab", "1 1"],
    )
    got = read_tokenizer(path)
    assert [tokens[i] for i in got.encode("<|start|>ab ab11")] == ["<|start|>", "ab", "Ġab", *digits]
    assert got.decode(got.encode("<|start|>ab ab11")) == "ab ab11"


def test_a_gguf_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    gguf_tokenizer(path, "rwkv", ["a", "b", "c"])
    with pytest.raises(ModelError, match="tokenizer 'rwkv' is not supported; 'llama' and 'gpt2' are"):
        read_tokenizer(path)
    gguf_tokenizer(path, "gpt2", ["a", "b", "c"], add_token_merges=["a b"])
    with pytest.raises(ModelError, match="merge 'a b' names the token 'ab', which it does not have"):
        read_tokenizer(path)
    gguf_tokenizer(path, "gpt2", ["a", "b", "ab"], add_token_merges=["a b"], add_tokenizer_pre="qwen2")
    with pytest.raises(ModelError, match="tokenizer splitting 'qwen2' is not supported"):
        read_tokenizer(path)


def test_a_folder_without_a_readable_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer.json is missing: save the tokenizer"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").touch()
    with pytest.raises(ModelError, match=r"tokenizer.model alone is not read"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {}}))
    with pytest.raises(ModelError, match=r"tokenizer.json cannot be read"):
        read_tokenizer(tmp_path)
