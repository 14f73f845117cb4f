"""Words that a call looks for, as open-vocabulary detectors of transformers take them.

Words come in as an array of text `(n, words)`, since only the model's own tokenizer, which lies in its folder, knows
what they are to it. Each kind encodes them as that architecture's processor in transformers does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference_engine.errors import PackageInvalid, ParameterInvalid

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage
    from inference_engine.sessions import Array

#: Tokens of a name or a task for OmDet-Turbo (OmDetTurboProcessor.text_kwargs, CLIP's context).
_OMDET_TOKENS = 77


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """The words of one batch.

    Attributes:
        tensors: what the model takes, by its own names.
        by_class: its logits to `(n, queries, words)`.
    """

    tensors: Mapping[str, Any]
    by_class: Callable[[Any], Any]


class TextSide:
    """The tokenizer of a package, and how its architecture takes words.

    Args:
        kind: as the architecture's row says.
        config: of the loaded model.
    """

    def __init__(self, package: ModelPackage, kind: str, config: Any) -> None:
        from transformers import AutoTokenizer

        folder = package.weights.parent
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call, unused-ignore]
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise PackageInvalid(f"{folder} has no tokenizer that transformers reads: {error}") from error
        self._encode, self._config = _KINDS[kind], config

    def encode(self, texts: Array) -> EncodedTexts:
        """Encode words `(n, words)`.

        Raises:
            ParameterInvalid: they are more than the model reads.
        """
        return self._encode(self._tokenizer, [[str(word) for word in words] for words in texts], self._config)


def _spoken(tokenizer: Any, texts: list[list[str]], config: Any) -> EncodedTexts:
    """OneFormer: the task in words, as numbers of which those that fill it up are 0 (OneFormerProcessor)."""
    said = [f"the task is {words[0]}" for words in texts]
    found = tokenizer(said, padding="max_length", truncation=True, max_length=config.task_seq_len, return_tensors="pt")
    return EncodedTexts({"task_inputs": found["input_ids"] * found["attention_mask"]}, lambda logits: logits)


def _queries(tokenizer: Any, texts: list[list[str]], config: Any) -> EncodedTexts:
    """OWL-ViT, CLIP and SigLIP: each text for itself, `(n * words, tokens)`, filled up to what the text part reads.

    SigLIP was trained with texts of that length (arXiv 2303.15343), and its tokenizer makes no mask: what fills it up
    is read too.
    """
    most = config.text_config.max_position_embeddings
    flat = [word for words in texts for word in words]
    found = tokenizer(flat, padding="max_length", truncation=True, max_length=most, return_tensors="pt")
    names = [name for name in ("input_ids", "attention_mask") if name in found and name in tokenizer.model_input_names]
    return EncodedTexts({name: found[name] for name in names}, lambda logits: logits)


def _phrases(tokenizer: Any, texts: list[list[str]], config: Any) -> EncodedTexts:
    """Grounding DINO: one sentence `cat. dog.` an image; a word's logit is the best of its tokens'."""
    import torch

    sentences, spans = zip(*(_sentence(words) for words in texts), strict=True)
    found = tokenizer(list(sentences), padding=True, return_tensors="pt", return_offsets_mapping=True)
    offsets = found.pop("offset_mapping")
    if offsets.shape[1] > config.max_text_len:
        raise ParameterInvalid(f"the classes are {offsets.shape[1]} tokens, this model reads {config.max_text_len}")
    begins, ends = offsets[..., 0], offsets[..., 1]
    mine = torch.stack(
        [
            torch.stack([(begins[n] >= first) & (ends[n] <= last) & (ends[n] > begins[n]) for first, last in its])
            for n, its in enumerate(spans)
        ]
    )

    def by_class(logits: Any) -> Any:
        reached = logits[:, :, None, : mine.shape[2]]
        return reached.masked_fill(~mine[:, None].to(logits.device), -torch.inf).amax(dim=-1)

    return EncodedTexts(dict(found), by_class)


def _sentence(words: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """The sentence, and where each word stands in it (GroundingDinoProcessor, _merge_candidate_labels_text)."""
    sentence, spans = "", []
    for word in words:
        sentence += " " if sentence else ""
        lowered = word.strip().lower()
        spans.append((len(sentence), len(sentence) + len(lowered)))
        sentence += f"{lowered}."
    return sentence, spans


def _task(tokenizer: Any, texts: list[list[str]], config: Any) -> EncodedTexts:  # noqa: ARG001 (as every kind)
    """OmDet-Turbo: each word, and a task that names them all."""
    import torch

    settings = {"padding": "max_length", "truncation": True, "max_length": _OMDET_TOKENS, "return_tensors": "pt"}
    classes = tokenizer([word for words in texts for word in words], **settings)
    tasks = tokenizer([f"Detect {', '.join(words)}." for words in texts], **settings)
    tensors = {
        f"{side}_{name}": found[name]
        for side, found in (("classes", classes), ("tasks", tasks))
        for name in ("input_ids", "attention_mask")
    }
    counts = torch.tensor([len(words) for words in texts])
    return EncodedTexts({**tensors, "classes_structure": counts}, lambda logits: logits)


_KINDS = {"spoken task": _spoken, "queries": _queries, "sentences": _queries, "phrases": _phrases, "task": _task}
