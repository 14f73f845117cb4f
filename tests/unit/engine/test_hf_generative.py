"""Models that write, against transformers' own `generate` on rows that the test makes with its image processors."""

import json

import numpy as np
import pytest
import torch
import transformers

from inference_engine import AutoModel, PromptModel
from inference_engine.errors import NoRunnableBackend, PackageInvalid, ParameterInvalid
from inference_engine.families.hf_generative import pixels
from inference_engine.hf_folder import package_from_hf
from inference_engine.hf_generative import STEPS
from inference_engine.sessions import SessionOptions
from tests.fixtures.hf_writers import READERS, WRITERS, write_writer

ONE = SessionOptions(threads=1)
PROMPT = "what is this red car ?"
TOKENS = 8


@pytest.fixture(scope="module")
def images():
    """Three pictures of different sizes and ratios."""
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (*hw, 3), dtype=np.uint8) for hw in ((40, 60), (64, 64), (90, 31))]


@pytest.fixture(scope="module", params=list(WRITERS))
def made(request, tmp_path_factory):
    """Model type, its folder, transformers' own model, the tokenizer."""
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return request.param, folder, *write_writer(folder, request.param)


@pytest.fixture(scope="module")
def model(made):
    opened = AutoModel.from_pretrained(str(made[1]), options=ONE)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen") / "model"
    write_writer(folder, "qwen2_5_vl")
    opened = AutoModel.from_pretrained(str(folder), options=ONE)
    yield opened
    opened.close()


def _square(name, text, **more):
    def row(image, tokenizer, steps):
        made = getattr(transformers, name)(**steps)(image, return_tensors="np")
        return {"pixel_values": made["pixel_values"]}, text

    return row


def _internvl(image, tokenizer, steps):
    made = transformers.GotOcr2ImageProcessorPil(**steps)(image, return_tensors="np")
    parts = "<img>" + "<IMG_CONTEXT>" * 4 * len(made["pixel_values"]) + "</img>\n"
    return {
        "pixel_values": made["pixel_values"]
    }, f"<|im_start|>user\n{parts}{PROMPT}<|im_end|>\n<|im_start|>assistant\n"


def _splits(name):
    def row(image, tokenizer, steps):
        made = getattr(transformers, name)(**steps)(image, return_tensors="np", return_row_col_info=True)
        rows, columns = made["rows"][0][0], made["cols"][0][0]
        fake, part = "<fake_token_around_image>", "<image>" * 4
        text = ""
        for down in range(1, rows + 1):
            text += "".join(f"{fake}<row_{down}_col_{across}>{part}" for across in range(1, columns + 1)) + "\n"
        text += ("\n" if rows else "") + f"{fake}<global-img>{part}{fake}"
        found = {key: made[key] for key in ("pixel_values", "pixel_attention_mask")}
        return found, f"<|im_start|>user\n{text}{PROMPT}<|im_end|>\n<|im_start|>assistant\n"

    return row


def _patches(name):
    def row(image, tokenizer, steps):
        made = getattr(transformers, name)(**steps)(image, return_tensors="np")
        parts = "<|image_pad|>" * int(made["image_grid_thw"][0].prod() // 4)
        found = {key: made[key] for key in ("pixel_values", "image_grid_thw")}
        vision = f"<|vision_start|>{parts}<|vision_end|>"
        return found, f"<|im_start|>user\n{vision}{PROMPT}<|im_end|>\n<|im_start|>assistant\n"

    return row


_GEMMA = f"<bos>user\n\n\n<start_of_image>{'<image_soft_token>' * 4}<end_of_image>\n\n{PROMPT}\nassistant\n"
ROWS = {
    "paligemma": _square("SiglipImageProcessorPil", "<image>" * 16 + f"<bos>{PROMPT}\n"),
    "florence2": _square("CLIPImageProcessorPil", "<image>" * 17 + f"<bos>{PROMPT}<eos>"),
    "gemma3": _square("Gemma3ImageProcessorPil", _GEMMA),
    "internvl": _internvl,
    "smolvlm": _splits("SmolVLMImageProcessorPil"),
    "idefics3": _splits("Idefics3ImageProcessorPil"),
    "qwen2_vl": _patches("Qwen2VLImageProcessorPil"),
    "qwen2_5_vl": _patches("Qwen2VLImageProcessorPil"),
    "qwen3_vl": _patches("Qwen2VLImageProcessorPil"),
    "glm_ocr": _patches("Glm46VImageProcessorPil"),
}
#: What says which tokens are picture, and the marks that are.
TYPES = {
    "paligemma": ("token_type_ids", "none"),
    "gemma3": ("token_type_ids", "<image_soft_token>"),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm_ocr"), ("mm_token_type_ids", "<|image_pad|>")),
}
#: What the image processor is not told by the folder and transformers' other classes do by default.
MORE = {"florence2": {"do_center_crop": False}}


def expected(made, image):
    """Transformers' own tokens for one picture, and whether it ended by itself."""
    name, _, reference, tokenizer = made
    steps = {key: value for key, value in WRITERS[name].steps.items() if key != "image_seq_length"}
    tensors, text = ROWS[name](image, tokenizer, {**steps, **MORE.get(name, {})})
    ids = tokenizer.encode(text).ids
    values = {key: torch.from_numpy(np.asarray(value)) for key, value in tensors.items()}
    values["input_ids"] = torch.tensor([ids])
    values["attention_mask"] = torch.ones_like(values["input_ids"])
    if name in TYPES:
        key, mark = TYPES[name]
        values[key] = (values["input_ids"] == (tokenizer.token_to_id(mark) or -1)).long()
    found = reference.generate(**values, max_new_tokens=TOKENS, do_sample=False)[0].tolist()
    written = found[1:] if name == "florence2" else found[len(ids) :]
    return written[: written.index(2)] if 2 in written else written, 2 in written


@pytest.mark.reaches("hf_generative", "vlm", "hf", "agrees")
def test_answers_are_transformers_own_greedy_tokens(made, model, images):
    answers = model(images, input_color_format="rgb", prompt=PROMPT, max_new_tokens=TOKENS)
    tokens = [expected(made, image) for image in images]
    assert [answer.text for answer in answers] == [made[3].decode(found) for found, _ in tokens]
    assert [answer.is_complete for answer in answers] == [is_complete for _, is_complete in tokens]
    assert [answer.image_hw for answer in answers] == [image.shape[:2] for image in images]


def test_answers_of_the_tiny_models_depend_on_their_picture(model, images):
    assert len(set(model.prompt(images, PROMPT, max_new_tokens=TOKENS))) > 1


def test_peer_defect_18_a_batch_of_images_has_one_answer_an_image_the_same_as_alone(model, images):
    several = [*images, images[0][:, ::-1], images[1]]
    together = model.prompt(several, PROMPT, max_new_tokens=TOKENS)
    assert together == [model.prompt(image, PROMPT, max_new_tokens=TOKENS)[0] for image in several]
    assert len(together) == len(several)


def test_one_row_has_the_answer_that_a_full_batch_has(model, images):
    same = [np.ascontiguousarray(np.roll(images[0], shift, axis=1)) for shift in range(4)]
    assert model.prompt(same, PROMPT, max_new_tokens=TOKENS) == [
        model.prompt(image, PROMPT, max_new_tokens=TOKENS)[0] for image in same
    ]


def test_a_writing_model_is_a_prompt_model(model):
    assert isinstance(model, PromptModel)
    assert model.task == "vlm"


def test_peer_defect_19_the_order_of_colours_is_heeded(model, images):
    rgb = model.prompt(images, PROMPT, input_color_format="rgb", max_new_tokens=TOKENS)
    bgr = [np.ascontiguousarray(image[:, :, ::-1]) for image in images]
    assert model.prompt(bgr, PROMPT, max_new_tokens=TOKENS) == rgb


def test_every_architecture_of_the_table_is_tested():
    assert set(WRITERS) == set(ROWS)
    assert set(STEPS) == {*WRITERS, *READERS}


def test_a_draw_is_each_image_s_own_and_repeats_with_its_seed(qwen, images):
    asked = {"max_new_tokens": TOKENS, "do_sample": True}
    drawn = qwen.prompt(images, PROMPT, seed=1, **asked)
    assert drawn == [qwen.prompt(image, PROMPT, seed=1, **asked)[0] for image in images]
    assert drawn != qwen.prompt(images, PROMPT, seed=2, **asked)


def test_rows_of_different_options_share_a_batch(qwen, images):
    rows = []
    for most in (2, 5):
        params = qwen.check_params({"prompt": PROMPT, "max_new_tokens": most})
        rows.append(qwen.preprocess(images[0], params)[0])
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    together = qwen.forward(joined)["tokens"]
    alone = qwen.forward(rows[0])["tokens"]
    assert together.shape[0] == 2
    assert together[0][: alone.shape[1]].tolist() == alone[0].tolist()
    assert (together[0][2:] == -1).all()


def test_peer_defect_25_weights_keep_the_bits_that_they_are_stored_with(tmp_path):
    model, _ = write_writer(tmp_path / "model", "qwen2_vl")
    model.to(torch.bfloat16).save_pretrained(tmp_path / "model")
    package = package_from_hf(tmp_path / "model")
    assert package.quantization == "bf16"
    with_model = AutoModel.from_pretrained(str(tmp_path / "model"), options=ONE)
    dtypes = {parameter.dtype for parameter in with_model.session._writer._module.parameters()}
    assert dtypes == {torch.bfloat16}


def test_four_bit_weights_are_refused_in_words(tmp_path):
    write_writer(tmp_path / "model", "qwen2_vl")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    quantised = config | {"quantization_config": {"load_in_4bit": True}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(quantised))
    with pytest.raises(PackageInvalid, match="quantization_config"):
        package_from_hf(tmp_path / "model")


def test_weights_in_several_files_are_read(tmp_path, images):
    model, _ = write_writer(tmp_path / "model", "qwen2_vl")
    whole = AutoModel.from_pretrained(str(tmp_path / "model"), options=ONE)
    answer = whole.prompt(images[0], PROMPT, max_new_tokens=TOKENS)
    (tmp_path / "model" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    opened = AutoModel.from_pretrained(str(tmp_path / "model"), options=ONE)
    assert len([name for name in opened.package.files if name.endswith(".safetensors")]) > 1
    assert opened.prompt(images[0], PROMPT, max_new_tokens=TOKENS) == answer


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "a", "max_new_tokens": 0}, "max_new_tokens"),
        ({"prompt": "a", "do_sample": 1}, "do_sample"),
        ({"prompt": "a", "do_sample": True, "seed": -1}, "seed"),
        ({"prompt": "a", "seed": 3}, "do_sample"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
    ],
    ids=["no prompt", "blank prompt", "no tokens", "sampling as a number", "negative seed", "idle seed", "unknown"],
)
def test_wrong_generation_parameters_are_refused(qwen, given, message):
    with pytest.raises(ParameterInvalid, match=message):
        qwen.check_params(given)


def test_a_prompt_that_holds_the_picture_s_mark_is_refused(qwen, images):
    with pytest.raises(ParameterInvalid, match="leave it out"):
        qwen.prompt(images[0], "what is <|image_pad|> ?")


@pytest.mark.parametrize(
    ("name", "message"),
    [("tokenizer.json", "no tokenizer.json"), ("model.safetensors", "no model.safetensors")],
    ids=["tokenizer", "weights"],
)
def test_a_folder_that_lacks_a_file_says_which(tmp_path, name, message):
    write_writer(tmp_path / "model", "qwen2_vl")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(PackageInvalid, match=message):
        package_from_hf(tmp_path / "model")


def test_a_folder_without_a_chat_template_says_so(tmp_path, images):
    write_writer(tmp_path / "model", "qwen2_vl")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    opened = AutoModel.from_pretrained(str(tmp_path / "model"), options=ONE)
    with pytest.raises(PackageInvalid, match="no chat template"):
        opened.prompt(images[0], PROMPT)


def test_a_template_cannot_reach_out_of_its_text(tmp_path, images):
    write_writer(tmp_path / "model", "qwen2_vl")
    evil = "{{ ().__class__.__base__.__subclasses__() }}<|image_pad|>"
    (tmp_path / "model" / "chat_template.jinja").write_text(evil)
    opened = AutoModel.from_pretrained(str(tmp_path / "model"), options=ONE)
    with pytest.raises(PackageInvalid, match="SecurityError"):
        opened.prompt(images[0], PROMPT)


def test_missing_weights_are_an_error_and_never_drawn(tmp_path):
    model, _ = write_writer(tmp_path / "model", "qwen2_vl")
    kept = {name: value for name, value in model.state_dict().items() if "merger" not in name}
    model.save_pretrained(tmp_path / "model", state_dict=kept)
    with pytest.raises(NoRunnableBackend, match="lacks"):
        AutoModel.from_pretrained(str(tmp_path / "model"), options=ONE)


@pytest.mark.parametrize("hw", [(1, 1), (7, 1400), (33, 32), (2000, 1999), (640, 480)], ids=str)
def test_patches_have_whole_sides_within_the_limits(hw):
    steps = STEPS["qwen2_5_vl"]
    height, width = pixels.patch_hw(hw, steps)
    assert height % 28 == width % 28 == 0
    assert min(height, width) >= 28
    assert height * width <= steps["size"]["longest_edge"] or hw == (7, 1400)
