"""Checkpoints of the three formats: what is written comes back, and every defect is told in one sentence."""

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from ml_dtypes import bfloat16
from safetensors.numpy import load_file, save_file

from coe_mapping.graph import Runner
from coe_mapping.models import Model, ModelConfig, ModelError, read_model
from coe_mapping.models.gguf_file import LAYER_NAMES, NAMES
from coe_mapping.models.hugging_face import write_hugging_face
from coe_mapping.models.llama2c import write_llama2c
from coe_mapping.models.model import rotary_projections, to_halves, to_neighbours
from coe_mapping.models.rotary import rotary
from golden_model.operators import PlainArithmetic
from tests import small_models

LLAMA2C: dict[str, Any] = {"heads": 3, "kv_heads": 1, "hidden": 30}  # heads must add up to the hidden size


def write_gguf(model: Model, path: Path, kind: str = "F32", **options: Any) -> None:
    """A GGUF file as llama.cpp's converter lays it out; ``kind`` is the type of the matrices."""
    config, writer = model.config, gguf.GGUFWriter(path, options.pop("architecture", "llama"))
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.intermediate)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_size)
    writer.add_context_length(config.context)
    writer.add_layer_norm_rms_eps(config.epsilon)
    writer.add_rope_freq_base(10000.0)
    for key, value in options.items():
        getattr(writer, key)(value)
    quantised = gguf.GGMLQuantizationType[kind]
    for name, tensor in model.tensors.items():
        single = tensor.astype(np.float32)
        theirs = NAMES.get(name) or "blk.{1}.{2}.weight".format(*name.split(".")[:2], LAYER_NAMES[name.split(".")[-1]])
        if tensor.ndim == 2:
            writer.add_tensor(theirs, gguf.quantize(single, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(theirs, single)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_version_1(model: Model, path: Path) -> None:
    """llama2.c's version 1, from its description: a header of 256 bytes, norms first, then matrices by kind."""
    config = model.config
    sizes = (config.hidden, config.intermediate, config.layers, config.heads, config.kv_heads, config.vocabulary)
    header = struct.pack("<Ii7iB", 0x616B3432, 1, *sizes, config.context, config.tied).ljust(256, b"\0")
    layers = range(config.layers)
    order = [f"layers.{i}.attention_norm" for i in layers] + [f"layers.{i}.mlp_norm" for i in layers]
    order += ["final_norm", "embedding"]
    for kind in ("query", "key", "value", "output", "gate", "down", "up"):
        order += [f"layers.{i}.{kind}" for i in layers]
    order += [] if config.tied else ["head"]
    path.write_bytes(header + b"".join(model.tensors[name].astype("<f4").tobytes() for name in order))


def assert_same(got: Model, want: Model) -> None:
    assert got.tensors.keys() == want.tensors.keys()
    for name, tensor in want.tensors.items():
        np.testing.assert_array_equal(got.tensors[name].view(np.uint16), tensor.view(np.uint16), err_msg=name)
    np.testing.assert_allclose(got.config.rotary.frequencies, want.config.rotary.frequencies, rtol=1e-7)
    for name in ("hidden", "intermediate", "layers", "heads", "kv_heads", "head_size", "vocabulary", "context", "tied"):
        assert getattr(got.config, name) == getattr(want.config, name), name
    assert got.config.epsilon == pytest.approx(want.config.epsilon)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_hugging_face_folder_comes_back_as_it_was(
    tied: bool, shards: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = small_models.model(rng, tied=tied)
    write_hugging_face(model, tmp_path, shards)
    assert len(list(tmp_path.glob("*.safetensors"))) == shards
    assert_same(read_model(tmp_path), model)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("write", [write_llama2c, write_version_1])
def test_a_llama2c_file_comes_back_as_it_was(tied: bool, write: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    model = small_models.model(rng, tied=tied, **LLAMA2C)
    write(model, tmp_path / "model.bin")
    assert_same(read_model(tmp_path / "model.bin"), model)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_gguf_file_comes_back_as_it_was(kind: str, tied: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    drawn = small_models.model(rng, tied=tied)
    # BF16 values that F16 holds too: its smallest are lost
    model = Model(drawn.config, {name: t.astype(np.float16).astype(bfloat16) for name, t in drawn.tensors.items()})
    write_gguf(model, tmp_path / "model.gguf", kind)
    assert_same(read_model(tmp_path / "model.gguf"), model)


def test_quantised_gguf_tensors_come_back_near_what_they_were(tmp_path: Path, rng: np.random.Generator) -> None:
    model = small_models.model(rng, hidden=32, intermediate=64, head_size=16, heads=2)
    write_gguf(model, tmp_path / "model.gguf", "Q8_0")
    got = read_model(tmp_path / "model.gguf")
    for name, tensor in model.tensors.items():
        error = np.abs(got.tensors[name].astype(float) - tensor.astype(float)).max()
        assert error <= np.abs(tensor.astype(float)).max() / 100, name


def test_the_rotary_layout_of_a_folder_is_half_a_head_apart(tmp_path: Path, rng: np.random.Generator) -> None:
    """Checked by hand on one head: row i + head_size / 2 of the file is row 2i + 1 here."""
    model = small_models.model(rng, layers=1)
    write_hugging_face(model, tmp_path)
    file = load_file(tmp_path / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    ours = model.tensors["layers.0.query"]
    half = model.config.head_size // 2
    for i in range(half):
        assert (file[i] == ours[2 * i]).all()
        assert (file[i + half] == ours[2 * i + 1]).all()


def test_putting_pairs_beside_each_other_and_back_changes_nothing(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((18, 4))
    assert (to_halves(to_neighbours(rows, 3), 3) == rows).all()
    assert (to_neighbours(rows, 3) != rows).any()


def test_the_same_weights_give_the_same_logits_from_every_format(tmp_path: Path, rng: np.random.Generator) -> None:
    model = small_models.model(rng, **LLAMA2C)
    write_hugging_face(model, tmp_path / "folder")
    write_llama2c(model, tmp_path / "model.bin")
    write_gguf(model, tmp_path / "model.gguf", "BF16")
    paths = [tmp_path / name for name in ("folder", "model.bin", "model.gguf")]
    logits = [Runner(read_model(path), PlainArithmetic(), 1, 4).step([[3, 1, 4, 1]]).logits for path in paths]
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-6)
    np.testing.assert_allclose(logits[2], logits[0], rtol=1e-6)


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    options = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in options.items() if value is not ...}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_type": "bloom"}, "model_type 'bloom' is not supported, llama and mistral are"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported"),
        ({"attention_bias": True}, "attention_bias = True is not supported"),
        ({"quantization_config": {"bits": 4}}, "quantization_config = {'bits': 4} is not supported"),
        ({"sliding_window": 8}, "a sliding window of 8 positions, less than the context of 32"),
        ({"rms_norm_eps": ...}, "'rms_norm_eps' is missing"),
        ({"num_key_value_heads": 4}, "6 heads cannot share 4 key and value heads evenly"),
        ({"head_dim": 9}, "a head size of 9 is odd"),
        ({"head_dim": None, "num_attention_heads": 4}, "hidden_size 30 is no multiple of 4 heads"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "rope scaling 'longrope' is not supported"),
        ({"rope_scaling": {"type": "linear"}}, "rope scaling 'linear' needs the parameter 'factor'"),
        (
            {"hidden_size": 32},
            r"tensor model.embed_tokens.weight has shape \(41, 30\), expected \(41, 32\)",
        ),
        (
            {"num_hidden_layers": 3},
            r"tensor model.layers.2.input_layernorm.weight is missing; expected shape \(30,\)",
        ),
        (
            {"num_hidden_layers": 1},
            r"tensor model.layers.1.input_layernorm.weight of shape \(30,\) has no place in a Llama model, 9 such",
        ),
        ({"tie_word_embeddings": True}, "ties lm_head.weight to model.embed_tokens.weight, but they differ"),
    ],
)
def test_an_unsound_folder_is_refused_in_one_sentence(
    changes: dict[str, Any], sentence: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    write_hugging_face(small_models.model(rng), tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(ModelError, match=sentence):
        read_model(tmp_path)


def test_a_truncated_folder_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write_hugging_face(small_models.model(rng), tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"model.safetensors is no whole safetensors file"):
        read_model(tmp_path)
    path.unlink()
    with pytest.raises(ModelError, match=r"model.safetensors is missing"):
        read_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(ModelError, match=r"config.json is not JSON"):
        read_model(tmp_path)


def test_an_index_that_names_the_wrong_shard_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write_hugging_face(small_models.model(rng), tmp_path, shards=2)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.norm.weight"] = "model-00001-of-00002.safetensors"
    index["weight_map"]["lm_head.weight"] = "model-00001-of-00002.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"is said to be in model-00001-of-00002.safetensors, which does not hold it"):
        read_model(tmp_path)


def test_a_tensor_of_integers_or_of_infinities_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write_hugging_face(small_models.model(rng), tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"model.norm.weight": np.ones(30, np.int32)}, path)
    with pytest.raises(ModelError, match=r"tensor model.norm.weight is of type int32"):
        read_model(tmp_path)
    save_file(tensors | {"model.norm.weight": np.full(30, 3.4e38, np.float32)}, path)
    with pytest.raises(ModelError, match=r"tensor model.norm.weight of shape \(30,\) holds values that are not finite"):
        read_model(tmp_path)


def test_a_truncated_llama2c_file_is_refused_wherever_it_ends(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.bin"
    write_llama2c(small_models.model(rng, **LLAMA2C), path)
    content = path.read_bytes()
    for length in (0, 27, 28, 29, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(
            ModelError, match=r"fewer than a llama2.c header|truncated in tensor \w+: expected shape \("
        ):
            read_model(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ModelError, match="the sizes in its header account for"):
        read_model(path)
    path.write_bytes(struct.pack("<Ii", 0x616B3432, 2).ljust(256, b"\0"))
    with pytest.raises(ModelError, match=r"llama2.c version 2 is not supported"):
        read_model(path)
    path.write_bytes(b"not a checkpoint, not a checkpoint")
    with pytest.raises(ModelError, match=r"not a llama2.c checkpoint"):
        read_model(path)


def test_a_gguf_file_that_is_damaged_or_of_another_family_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    path, model = tmp_path / "model.gguf", small_models.model(rng)
    write_gguf(model, path)
    content = path.read_bytes()
    for length in (3, 100, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match="is no whole GGUF file"):
            read_model(path)
    write_gguf(model, path, architecture="gemma")
    with pytest.raises(ModelError, match="architecture 'gemma' is not supported, 'llama' is"):
        read_model(path)
    write_gguf(model, path, add_expert_count=4)
    with pytest.raises(ModelError, match="a mixture of 4 experts in a layer is not supported"):
        read_model(path)
    write_gguf(model, path, add_rope_dimension_count=6)
    with pytest.raises(ModelError, match="rotary over 6 of 10 features is not supported"):
        read_model(path)


def test_a_gguf_files_rope_factors_divide_the_frequencies(tmp_path: Path, rng: np.random.Generator) -> None:
    model, factors = small_models.model(rng), np.array([1, 1, 2, 8, 8], np.float32)
    plain = model.config.rotary.frequencies
    path = tmp_path / "model.gguf"
    original = gguf.GGUFWriter.write_header_to_file

    class WithFactors(gguf.GGUFWriter):
        def write_header_to_file(self, *arguments: Any) -> None:
            self.add_tensor("rope_freqs.weight", factors)
            original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFWriter", WithFactors)
        write_gguf(model, path)
    np.testing.assert_allclose(read_model(path).config.rotary.frequencies, np.array(plain) / factors)


def test_a_path_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist: give a Hugging Face folder"):
        read_model(tmp_path / "nothing")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelError, match="is of no known kind"):
        read_model(tmp_path / "model.onnx")


def test_a_model_holds_exactly_the_tensors_of_its_config(rng: np.random.Generator) -> None:
    model = small_models.model(rng)
    rest = {name: tensor for name, tensor in model.tensors.items() if name != "final_norm"}
    with pytest.raises(ModelError, match=r"tensor final_norm of shape \(30,\) is missing"):
        Model(model.config, rest)
    with pytest.raises(ModelError, match=r"tensor final_norm must be bfloat16 \(30,\), it is float32 \(30,\)"):
        Model(model.config, rest | {"final_norm": np.ones(30, np.float32)})
    with pytest.raises(ModelError, match="tensor extra has no place in the model"):
        Model(model.config, model.tensors | {"extra": np.ones(30, bfloat16)})
    assert {name for name, _ in rotary_projections(model.config)} == {
        f"layers.{layer}.{kind}" for layer in range(2) for kind in ("query", "key")
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"layers": 0}, "layers is 0, it must be at least 1"),
        ({"epsilon": 0.0}, "the norms' epsilon is 0.0, it must be above 0"),
        ({"rotary": rotary(8, 1e4)}, "4 rotary frequencies do not fit a head size of 10, which wants 5"),
    ],
)
def test_an_impossible_config_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        small_models.config(**changes)


def test_a_writer_refuses_what_its_format_cannot_say(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(ModelError, match=r"llama2.c knows only heads that add up to the hidden size"):
        write_llama2c(small_models.model(rng), tmp_path / "model.bin")
    scaled: ModelConfig = small_models.config(rotary=rotary(10, 1e4, {"type": "linear", "factor": 2}))
    with pytest.raises(ModelError, match="rotary frequencies are scaled"):
        write_hugging_face(Model(scaled, small_models.model(rng).tensors), tmp_path)
