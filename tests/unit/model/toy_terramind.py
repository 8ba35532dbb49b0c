"""A bundle with TerraMind's graphs in miniature: a few operators each, so that the run time is tested without weights.

What the graphs compute is written again in numpy here (`expected`), chain, sampling and denoising included.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx

from terramosaic.bands import INPUT_BANDS, S2L2A_BANDS
from terramosaic.model.coordinates import LATITUDES, LONGITUDES, Vocabulary, write_vocabulary
from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.manifest import (
    LULC_CLASSES,
    FileSpec,
    InputSpec,
    Manifest,
    Sampling,
    Schedule,
    TargetSpec,
)

SCHEDULE = Schedule(
    training_steps=1000,
    betas="linear",
    zero_terminal_snr=True,
    prediction="x0",
    spacing="trailing",
    eta=0,
    default_steps=10,
)
#: Bands of inputs that are taken as pixels, of which the last twelve count, and what they are multiplied by.
EMBEDDED = {
    "S2L2A": (12, 0.0001),
    "S1RTC": (2, 0.01),
    "DEM": (1, 0.0001),
    "S2L1C": (13, 0.0001),
    "S2RGB": (3, 0.01),
}
MEAN, STD = {"S1GRD": (-12.0, -20.0), "NDVI": (0.5,)}, {"S1GRD": (5.0, 6.0), "NDVI": (0.25,)}

_EMBED = """
<ir_version: 9, opset_import: ["" : 17]>
embed (float[batch, BANDS, 224, 224] windows) => (float[batch, 196, 12] patches)
<int64[3] rows = {0, BANDS, 196}, float scale = {SCALE}, int64[3] once = {1, 1, REPEATS}, int64[1] first = {FIRST},
 int64[1] end = {BANDS}, int64[1] axis = {2}>
{
    pooled = AveragePool <kernel_shape = [16, 16], strides = [16, 16]> (windows)
    squares = Reshape (pooled, rows)
    turned = Transpose <perm = [0, 2, 1]> (squares)
    taken = Slice (turned, first, end, axis)
    scaled = Mul (taken, scale)
    patches = Tile (scaled, once)
}
"""

_TOKENISE = """
<ir_version: 9, opset_import: ["" : 17]>
tokenise (float[batch, 1, 224, 224] windows) => (int64[batch, 196] ids)
<int64[2] rows = {0, 196}, float eight = {8}>
{
    pooled = AveragePool <kernel_shape = [16, 16], strides = [16, 16]> (windows)
    squares = Reshape (pooled, rows)
    levels = Mul (squares, eight)
    whole = Floor (levels)
    ids = Cast <to = 7> (whole)
}
"""

_CONTEXT = """
<ir_version: 9, opset_import: ["" : 17]>
context (float[images, batch, 196, 12] patches, int64[images] image, int64[batch, tokens] ids,
         int64[modalities] modality)
    => (float[batch, length, 12] context, float[batch, 12, 14, 14] embedding)
<int64[2] wide = {1, 12}, int64[1] last = {2}, float one = {1}, float small = {0.01}, int64[3] groups = {0, -1, 196},
 int64[1] middle = {1}, int64[3] lengthened = {0, -1, 12}, int64[4] upright = {-1, 1, 1, 1},
 int64[4] pieces = {0, -1, 196, 12}, int64[4] square = {0, 12, 14, 14}>
{
    number = Cast <to = 1> (image)
    tenth = Mul (number, small)
    shift = Reshape (tenth, upright)
    shifted = Add (patches, shift)
    beside = Transpose <perm = [1, 0, 2, 3]> (shifted)
    seen = Reshape (beside, lengthened)
    kind = Cast <to = 1> (modality)
    above = Add (kind, one)
    weight = Mul (above, small)
    column = Unsqueeze (weight, middle)
    numbers = Cast <to = 1> (ids)
    shape = Shape (numbers)
    grouped = Reshape <allowzero = 0> (numbers, groups)
    weighted = Mul (grouped, column)
    again = Reshape <allowzero = 1> (weighted, shape)
    tall = Unsqueeze (again, last)
    ones = ConstantOfShape <value = float[1] {1.0}> (wide)
    earlier = Mul (tall, ones)
    context = Concat <axis = 1> (seen, earlier)
    beside_each_other = Reshape (context, pieces)
    merged = ReduceMean <axes = [1], keepdims = 0> (beside_each_other)
    turned = Transpose <perm = [0, 2, 1]> (merged)
    embedding = Reshape (turned, square)
}
"""

#: Where a window lies, in three tokens.
_EMBED_PLACES = """
<ir_version: 9, opset_import: ["" : 17]>
embed (int64[batch, 2] places) => (float[batch, 3, 12] sequence)
<float small = {0.001}, int64[1] last = {2}, int64[3] repeats = {1, 1, 12}, float half = {0.5}, float none = {0}>
{
    numbers = Cast <to = 1> (places)
    scaled = Mul (numbers, small)
    tall = Unsqueeze (scaled, last)
    wide = Tile (tall, repeats)
    one = ReduceMean <axes = [1], keepdims = 1> (wide)
    nothing = Mul (one, none)
    end = Add (nothing, half)
    sequence = Concat <axis = 1> (wide, end)
}
"""

_DECODE = """
<ir_version: 9, opset_import: ["" : 17]>
decode (float[batch, length, 12] context, int64[1] target) => (float[batch, 196, 12] hidden)
<int64[1] start = {0}, int64[1] end = {196}, int64[1] axis = {1}, float small = {0.1}>
{
    image = Slice (context, start, end, axis)
    summary = ReduceMean <axes = [1], keepdims = 1> (context)
    both = Add (image, summary)
    number = Cast <to = 1> (target)
    shift = Mul (number, small)
    hidden = Add (both, shift)
}
"""

_TOKENS = """
<ir_version: 9, opset_import: ["" : 17]>
tokens (float[batch, 196, 12] hidden, float[batch, 14, 14] uniform, float[1] top_p)
    => (int64[batch, 196] ids, float[batch, 3, 14, 14] code)
<float hundred = {100}, float four = {4}, int64[2] flat = {0, 196}, int64 eight = {8}, int64[4] square = {0, 1, 14, 14},
 int64[1, 3, 1, 1] basis = {1, 2, 4}, int64 two = {2}>
{
    strength = ReduceMean <axes = [2], keepdims = 0> (hidden)
    strong = Mul (strength, hundred)
    chance = Mul (uniform, top_p)
    wide = Mul (chance, four)
    row = Reshape (wide, flat)
    level = Add (strong, row)
    whole = Floor (level)
    number = Cast <to = 7> (whole)
    ids = Mod (number, eight)
    plane = Reshape (ids, square)
    shifted = Div (plane, basis)
    bits = Mod (shifted, two)
    code = Cast <to = 1> (bits)
}
"""

#: What tokens are drawn from holds what `_TOKENS` makes whole: strong, and less so for each further code.
_LOGITS = """
<ir_version: 9, opset_import: ["" : 17]>
logits (float[batch, 196, 12] hidden) => (float[batch, 196, 8] logits)
<float hundred = {100}, int64[1] last = {2}, float[8] codes = {1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0}>
{
    strength = ReduceMean <axes = [2], keepdims = 0> (hidden)
    strong = Mul (strength, hundred)
    tall = Unsqueeze (strong, last)
    logits = Mul (tall, codes)
}
"""

_DRAW = """
<ir_version: 9, opset_import: ["" : 17]>
draw (float[tokens, codes] logits, float[tokens] uniform, float[1] top_p) => (int64[tokens] ids)
<float four = {4}, int64 eight = {8}, int64 first = {0}>
{
    strong = Gather <axis = 1> (logits, first)
    chance = Mul (uniform, top_p)
    wide = Mul (chance, four)
    level = Add (strong, wide)
    whole = Floor (level)
    number = Cast <to = 7> (whole)
    ids = Mod (number, eight)
}
"""

#: What words are drawn from, the first of 0 to 3 and the second of 4 to 7 unless much chance is added.
_WORDS = """
<ir_version: 9, opset_import: ["" : 17]>
words (float[batch, length, 12] context, int64[batch, words] ids) => (float[batch, 8] logits)
<float hundred = {100}, float three = {3}, float four = {4}, float one = {1}, int64[1] last = {1}, int64 second = {1},
 float[8] codes = {1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0}>
{
    summary = ReduceMean <axes = [1, 2], keepdims = 0> (context)
    strong = Mul (summary, hundred)
    part = Mod <fmod = 1> (strong, three)
    shape = Shape (ids)
    count = Gather (shape, second)
    number = Cast <to = 1> (count)
    before = Sub (number, one)
    shift = Mul (before, four)
    level = Add (part, shift)
    tall = Unsqueeze (level, last)
    logits = Mul (tall, codes)
}
"""

#: Where the words are that the toy can draw: latitudes from here on have the numbers 0 to 3, longitudes 4 to 7.
SOUTH_WEST = (45.5, 14.5)

_STEP = """
<ir_version: 9, opset_import: ["" : 17]>
step (float[batch, C, 224, 224] x, float[batch, 3, 14, 14] code, float[1] t, float[4] coefficients)
    => (float[batch, C, 224, 224] next, float[batch, C, 224, 224] values)
<float[4] scales = {1, 1, 16, 16}, float half = {0.5}, float thousand = {1000},
 float[1, C, 1, 1] mean = {MEAN}, float[1, C, 1, 1] std = {STD}>
{
    a, b, c, clip = Split <axis = 0, num_outputs = 4> (coefficients)
    told = ReduceMean <axes = [1], keepdims = 1> (code)
    wide = Resize <mode = "nearest"> (told, , scales)
    time = Div (t, thousand)
    mixed = Mul (x, half)
    guess = Add (mixed, wide)
    x0 = Add (guess, time)
    below = Neg (clip)
    low = Max (x0, below)
    clipped = Min (low, clip)
    first = Mul (a, clipped)
    second = Mul (b, x)
    third = Mul (c, x0)
    sum = Add (first, second)
    next = Sub (sum, third)
    spread = Mul (next, std)
    values = Add (spread, mean)
}
"""

_CLASSES = """
<ir_version: 9, opset_import: ["" : 17]>
classes (float[batch, 3, 14, 14] code) => (float[batch, 10, 224, 224] probabilities)
<float[4] scales = {1, 1, 16, 16}, float[1, 10, 1, 1] number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}>
{
    told = ReduceMean <axes = [1], keepdims = 1> (code)
    wide = Resize <mode = "nearest"> (told, , scales)
    logits = Mul (wide, number)
    probabilities = Softmax <axis = 1> (logits)
}
"""


def make_toy(
    folder: Path,
    window: int = 224,
    patch: int = 16,
    stride: int | None = None,
    *,
    locates: bool = False,
    placed: bool = False,
) -> Path:
    """Writes the bundle: S1GRD and NDVI by diffusion, LULC at once, the embedding; of windows of 224 a self-test.

    With ``locates`` it makes coordinates, too, and with ``placed`` it takes them.
    """
    folder.mkdir(parents=True)
    graphs = {"context.onnx": _CONTEXT, "decode.onnx": _DECODE, "LULC.classes.onnx": _CLASSES}
    graphs["draw.onnx"] = _DRAW
    for target, mean in MEAN.items():
        step = _STEP.replace("[batch, C,", f"[batch, {len(mean)},").replace("[1, C,", f"[1, {len(mean)},")
        for word, numbers in (("MEAN", mean), ("STD", STD[target])):
            step = step.replace(f"{{{word}}}", "{" + ", ".join(map(str, numbers)) + "}")
        # Split names its outputs' number from opset 18 on.
        graphs[f"{target}.step.onnx"] = (
            step.replace('"" : 17', '"" : 18')
            .replace("ReduceMean <axes = [1], keepdims = 1> (code)", "ReduceMean <keepdims = 1> (code, one)")
            .replace("float half", "int64[1] one = {1}, float half")
        )
    for target in ("S1GRD", "NDVI", "LULC"):
        graphs[f"{target}.tokens.onnx"] = _TOKENS
        graphs[f"{target}.logits.onnx"] = _LOGITS
    for name, (bands, scale) in EMBEDDED.items():
        text = _EMBED.replace("BANDS", str(bands)).replace("SCALE", str(scale))
        text = text.replace("REPEATS", str(12 // min(bands, 12))).replace("FIRST", str(max(0, bands - 12)))
        graphs[f"{name}.embed.onnx"] = text
    graphs["NDVI.tokenise.onnx"] = _TOKENISE
    if locates:
        graphs["coordinates.words.onnx"] = _WORDS
    if placed:
        graphs["coordinates.embed.onnx"] = _EMBED_PLACES
        last, joined = "int64[modalities] modality", "context = Concat <axis = 1> (seen, earlier)"
        graphs["context.onnx"] = (
            _CONTEXT.replace(f"{last})", f"{last}, float[batch, more, 12] sequence)")
            .replace(
                joined,
                f"{joined.replace('context', 'images')} context = Concat <axis = 1> (images, sequence)",
            )
            .replace("Reshape (context, pieces)", "Reshape (images, pieces)")
        )
    files = {}
    for name, text in graphs.items():
        model = onnx.parser.parse_model(_of_size(text, window, patch))
        onnx.checker.check_model(model, full_check=True)
        content = model.SerializeToString()
        (folder / name).write_bytes(content)
        files[name] = FileSpec(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    if has_selftest := window == 224:
        content = _write_selftest(folder / "selftest.npz", locates=locates, placed=placed)
        files["selftest.npz"] = FileSpec(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    common = {"uniform": True, "codebook_levels": (2, 2, 2), "sampling": Sampling(top_p=0.8)}
    targets = {
        target: TargetSpec(
            kind="diffusion",
            output="values",
            channels=("VV", "VH") if target == "S1GRD" else ("NDVI",),
            unit="dB" if target == "S1GRD" else None,
            noise_channels=len(MEAN[target]),
            schedule=SCHEDULE,
            x0_clip=1,
            mean=MEAN[target],
            std=STD[target],
            graphs={role: f"{target}.{role}.onnx" for role in ("tokens", "logits", "step")},
            **common,
        )
        for target in MEAN
    }
    targets["LULC"] = TargetSpec(
        kind="direct",
        output="probabilities",
        channels=("LULC",),
        classes=LULC_CLASSES,
        graphs={role: f"LULC.{role}.onnx" for role in ("tokens", "logits", "classes")},
        **common,
    )
    targets["embedding"] = TargetSpec(
        kind="embedding",
        output="values",
        channels=tuple(f"dim {number}" for number in range(12)),
        graphs={"context": "context.onnx"},
    )
    if locates:
        targets["coordinates"] = TargetSpec(
            kind="coordinates",
            output="values",
            channels=("latitude", "longitude"),
            unit="degree",
            uniform=True,
            sampling=Sampling(top_p=0.8),
            graphs={"words": "coordinates.words.onnx"},
        )
        write_vocabulary(VOCABULARY, folder / "coordinates.json")
        content = (folder / "coordinates.json").read_bytes()
        files["coordinates.json"] = FileSpec(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    manifest = Manifest(
        name="toy",
        title="toy with TerraMind's graphs (NOT TerraMind)",
        family="toy",
        source="tests",
        licence="Apache-2.0",
        inputs={
            "S2L2A": InputSpec(
                bands=S2L2A_BANDS, convention="harmonised DN", graphs={"embed": "S2L2A.embed.onnx"}
            ),
            "S1RTC": InputSpec(
                bands=("VV", "VH"), unit="dB", convention="gamma0", graphs={"embed": "S1RTC.embed.onnx"}
            ),
            "DEM": InputSpec(
                bands=("DEM",), unit="m", convention="geoid", graphs={"embed": "DEM.embed.onnx"}
            ),
            "S2L1C": InputSpec(
                bands=INPUT_BANDS["S2L1C"], convention="harmonised DN", graphs={"embed": "S2L1C.embed.onnx"}
            ),
            "S2RGB": InputSpec(
                bands=INPUT_BANDS["S2RGB"], convention="0 to 255", graphs={"embed": "S2RGB.embed.onnx"}
            ),
            "NDVI": InputSpec(
                bands=("NDVI",), convention="0 to 1", graphs={"tokenise": "NDVI.tokenise.onnx"}
            ),
        }
        | (
            {
                "coordinates": InputSpec(
                    bands=("longitude", "latitude"),
                    unit="degree",
                    convention="the middle of the window",
                    graphs={"embed": "coordinates.embed.onnx"},
                )
            }
            if placed
            else {}
        ),
        conditioning="chained",
        targets=targets,
        graphs={role: f"{role}.onnx" for role in ("context", "decode", "draw")},
        files=files,
        vocabulary="coordinates.json" if locates else None,
        selftest="selftest.npz" if has_selftest else None,
        window=window,
        patch=patch,
        stride=stride,
    )
    (folder / "bundle.json").write_text(manifest.model_dump_json(exclude_none=True))
    return folder


def _of_size(graph: str, window: int, patch: int) -> str:
    """A graph for windows and patches of other sizes than 224 and 16."""
    side = window // patch
    sizes = {"224": window, "196": side**2, "14": side, "16": patch}
    return re.sub(r"\b(224|196|14|16)\b", lambda found: str(sizes[found[0]]), graph)


def _vocabulary() -> Vocabulary:
    """Words from 100 on, but for those that the toy draws."""
    first = [round((degrees + half) * 4) for degrees, half in zip(SOUTH_WEST, (90, 180), strict=True)]
    latitudes = [100 + number for number in range(LATITUDES)]
    longitudes = [1000 + number for number in range(LONGITUDES)]
    latitudes[first[0] : first[0] + 4] = range(4)
    longitudes[first[1] : first[1] + 4] = range(4, 8)
    return Vocabulary(tuple(latitudes), tuple(longitudes), start=98, end=99)


VOCABULARY = _vocabulary()


def _write_selftest(path: Path, *, locates: bool, placed: bool) -> bytes:
    rng = np.random.default_rng(11)
    windows = {
        "S2L2A": rng.gamma(2.0, 800.0, (2, 12, 224, 224)).astype(np.float32),
        "S1RTC": rng.normal(-15, 5, (2, 2, 224, 224)).astype(np.float32),
        "DEM": rng.normal(800, 300, (2, 1, 224, 224)).astype(np.float32),
        "S2L1C": rng.gamma(2.0, 800.0, (2, 13, 224, 224)).astype(np.float32),
        "S2RGB": rng.uniform(0, 255, (2, 3, 224, 224)).astype(np.float32),
    }
    if placed:
        windows["coordinates"] = np.array([(14.9, 46.1), (-63.3, -8.6)], np.float32)
    ndvi = rng.random((2, 1, 224, 224), np.float32)
    noise = {name: rng.standard_normal((2, len(mean), 224, 224), np.float32) for name, mean in MEAN.items()}
    targets = ("S1GRD", "NDVI", "LULC", "embedding", *(("coordinates",) if locates else ()))
    uniform = dict.fromkeys(targets, np.zeros((2, 14, 14), np.float32))
    options = GenerationOptions(steps=2, sampling="greedy", inputs=tuple(windows))
    values, tokens = expected(windows, targets, noise, uniform, options)
    stored = {f"{name}.noise": array for name, array in noise.items()}
    stored |= {f"{name}.ids": array for name, array in tokens.items()}
    stored |= {
        f"{name}.{'probabilities' if name == 'LULC' else 'values'}": array.astype(np.float32)
        for name, array in values.items()
    }
    stored |= {f"windows.{name}": array for name, array in (windows | {"NDVI": ndvi}).items()}
    np.savez(path, steps=2, **stored, **{"tokens.NDVI": tokenised(ndvi)})
    return path.read_bytes()


def tokenised(ndvi: np.ndarray) -> np.ndarray:
    """What the toy makes tokens of NDVI's windows as: int64 (N, 196)."""
    squares = ndvi.reshape(len(ndvi), 14, 16, 14, 16).mean((2, 4), dtype=float)
    return np.floor(squares * 8).astype(np.int64).reshape(len(ndvi), 196)


def expected(
    windows: dict[str, np.ndarray],
    targets: tuple[str, ...],
    noise: dict[str, np.ndarray],
    uniform: dict[str, np.ndarray],
    options: GenerationOptions,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the toy makes of windows, by target: values and tokens, in float64."""
    count, index = len(next(iter(windows.values()))), {"S1GRD": 0, "NDVI": 1, "LULC": 2}
    seen, place = [], np.zeros((count, 0, 12))
    if "coordinates" in options.inputs:
        numbers = np.rint((windows["coordinates"][:, ::-1].astype(float) + np.array([90, 180])) * 4) * 0.001
        place = np.concatenate([numbers, np.full((count, 1), 0.5)], axis=1)[..., None].repeat(12, 2)
    for number, (name, (bands, scale)) in enumerate(EMBEDDED.items()):
        if name in options.inputs:
            squares = windows[name].reshape(count, bands, 14, 16, 14, 16).mean((3, 5), dtype=float)
            patches = squares.reshape(count, bands, 196).transpose(0, 2, 1) * scale
            taken = patches[..., max(0, bands - 12) :]
            seen.append(np.tile(taken, 12 // taken.shape[-1]) + 0.01 * number)
    given = {"NDVI": tokenised(windows["NDVI"])} if "NDVI" in options.inputs else {}
    values, tokens = {}, {}
    if "embedding" in targets:
        pieces = [
            *seen,
            *(np.repeat(ids[..., None] * 0.01 * (index[name] + 1), 12, 2) for name, ids in given.items()),
        ]
        values["embedding"] = np.mean(pieces, axis=0).transpose(0, 2, 1).reshape(count, 12, 14, 14)
    generated = [target for target in targets if target not in ("embedding", "coordinates")]
    for k, target in enumerate(generated):
        before = generated[:k] if options.conditioning == "chained" else ()
        chain = [*given.items(), *((name, tokens[name]) for name in before)]
        earlier = [np.repeat(ids[..., None] * 0.01 * (index[name] + 1), 12, 2) for name, ids in chain]
        context = np.concatenate([*seen, *earlier, place], axis=1)
        hidden = context[:, :196] + context.mean(1, keepdims=True) + 0.1 * index[target]
        chance = uniform[target].reshape(count, 196) * (0.8 if options.sampling == "nucleus" else 0)
        tokens[target] = np.floor(hidden.mean(2) * 100 + 4 * chance).astype(np.int64) % 8
        if options.reconstruct:
            tokens[target] = given[target] % 8
        plane = tokens[target].reshape(count, 1, 14, 14)
        told = np.concatenate([plane // b % 2 for b in (1, 2, 4)], axis=1).mean(1, keepdims=True)
        wide = told.repeat(16, 2).repeat(16, 3)
        if target == "LULC":
            odds = np.exp(wide * np.arange(10)[:, None, None])
            values[target] = odds / odds.sum(1, keepdims=True)
            continue
        x, clip = noise[target].astype(float), dict(options.x0_clips).get(target) or options.x0_clip or 1
        for step in ddim_steps(SCHEDULE, options.steps):
            x0 = 0.5 * x + wide + step.t / 1000
            x = step.a * np.clip(x0, -clip, clip) + step.b * x - step.c * x0
        mean, std = (np.array(numbers[target])[:, None, None] for numbers in (MEAN, STD))
        values[target] = x * std + mean
    if "coordinates" in targets:
        before = generated if options.conditioning == "chained" else ()
        chain = [*given.items(), *((name, tokens[name]) for name in before)]
        earlier = [np.repeat(ids[..., None] * 0.01 * (index[name] + 1), 12, 2) for name, ids in chain]
        level = np.fmod(100 * np.concatenate([*seen, *earlier], axis=1).mean((1, 2)), 3)
        chance = uniform["coordinates"].reshape(count, 196) * (0.8 if options.sampling == "nucleus" else 0)
        words = np.stack([np.floor(level + 4 * k + 4 * chance[:, k]) for k in range(2)], axis=1)
        tokens["coordinates"] = words.astype(np.int64) % 8
        values["coordinates"] = places_said(tokens["coordinates"])
    return values, tokens


def places_said(words: np.ndarray) -> np.ndarray:
    """Latitude and longitude by the words 0 to 7 that the toy draws, (N, 2)."""
    latitude, longitude = words.T
    is_place = (latitude < 4) & (longitude >= 4)
    found = np.stack([SOUTH_WEST[0] + latitude / 4, SOUTH_WEST[1] + (longitude - 4) / 4], axis=1)
    return np.where(is_place[:, None], found, np.nan)
