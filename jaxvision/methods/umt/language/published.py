"""The weights of videos with words that UMT's authors published (multi_modality/MODEL_ZOO.md).

Text to video recall at 1, or accuracy, in percent: as their table has it, MSVD as corrected later.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jaxvision.methods.umt.variants import FOLDER, PUBLISHED_AT


class PublishedWords(NamedTuple):
    """variant, file: as in `variants.Published`.  result: what it was measured to do."""

    variant: str
    file: str
    result: str


# Stage 2: {size: {data: recall without tuning on MSRVTT, DiDeMo, ActivityNet, LSMDC, MSVD}}.
UNTUNED: dict[str, dict[str, tuple[float | None, ...]]] = {
    "b": {
        "5m": (29.6, 33.4, 28.3, 16.8, 36.2),
        "17m": (35.5, 41.9, 33.8, 18.1, None),
        "25m": (35.2, 41.2, 35.5, 19.1, 42.3),
    },
    "l": {
        "5m": (33.3, 34.0, 31.9, 20.0, 44.4),
        "17m": (42.6, 46.4, 42.8, 25.2, 49.9),
        "25m": (40.7, 48.6, 41.9, 24.9, 49.0),
    },
}
_SETS = ("MSRVTT", "DiDeMo", "ActivityNet", "LSMDC", "MSVD")
# Tuned after 25m: {part of the file's name: recall or accuracy of B and L}. Of L on MSVD-QA and
# SSv2-template their table links B's file.
TUNED_RETRIEVAL: dict[str, tuple[float | None, ...]] = {
    "msrvtt": (51.0, 58.8),
    "didemo": (61.6, 70.4),
    "anet": (58.3, 66.8),
    "lsmdc": (32.7, 43.0),
    "msvd": (50.8, 58.2),
    "ssv2_label": (64.2, 73.3),
    "ssv2_tpl": (87.9, None),
}
TUNED_QUESTIONS: dict[str, tuple[float | None, ...]] = {
    "qnet": (44.8, 47.9),
    "msrvtt": (44.9, 47.1),
    "msvd": (49.5, None),
}


def published_words() -> list[dict[str, str]]:
    """The table, for people."""
    rows = [
        PublishedWords(f"language_{size}_pretrain", f"{size}16_{data}.pth", _untuned(recalls))
        for size, by_data in UNTUNED.items()
        for data, recalls in by_data.items()
    ]
    rows += _tuned("ret", "retrieval", "recall at 1", TUNED_RETRIEVAL)
    rows += _tuned("qa", "answers", "accuracy", TUNED_QUESTIONS)
    where, licence = PUBLISHED_AT
    return [
        {
            "network": f"umt/{row.variant}",
            "file": row.file,
            "from": where.replace("single_modality", "multi_modality"),
            "licence": licence,
            "preprocessing": PREPROCESSING,
            "address": f"{FOLDER}/multi_modality/{row.file}",
            "result": row.result,
        }
        for row in rows
    ]


PREPROCESSING = "RGB, 224 x 224 whatever the aspect, /255, ImageNet mean and deviation"


def _untuned(recalls: tuple[float | None, ...]) -> str:
    found = zip(_SETS, recalls, strict=True)
    shown = ", ".join(f"{name} {value:.1f}" for name, value in found if value is not None)
    return f"recall at 1 without tuning, %: {shown}"


def _tuned(
    task: str, variant: str, measure: str, table: Mapping[str, tuple[float | None, ...]]
) -> list[PublishedWords]:
    return [
        PublishedWords(
            f"language_{size}_{variant}",
            f"{task}_{name}_{size}16_25m.pth",
            f"{measure} {value:.1f} %",
        )
        for name, values in table.items()
        for size, value in zip("bl", values, strict=True)
        if value is not None
    ]
