"""The vocabulary of coordinates, of the hub's tokenizer: its file is in the format of Hugging Face's `tokenizers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from terramosaic.errors import ModelError, one_line
from terramosaic.model.coordinates import LATITUDES, LONGITUDES, PER_DEGREE, Vocabulary

#: Numbers that terratorch has in its code, of ``[S_1]``, which stands before what is generated, and of ``[EOS]``.
START, END = 5, 3

#: Words that every tokenizer of TerraMind begins with.
_SPECIAL = ("[PAD]", "[UNK]", "[SOS]", "[EOS]", "[S_0]", "[S_1]", "[S_2]")


def read_tokenizer(path: Path) -> Any:
    """The tokenizer of a file.

    Raises:
        ModelError: the package `tokenizers` is missing, or the file is no tokenizer.
    """
    tokenizers = _package()
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare ones
        raise ModelError(f"{path}: is no tokenizer of coordinates: {one_line(error)[:200]}") from error


def made_up_tokenizer() -> Any:
    """A tokenizer with the words that the hub's has, for models with random weights; their numbers may be others."""
    tokenizers = _package()
    words = dict.fromkeys((*_SPECIAL, *_words("lat", LATITUDES), *_words("lon", LONGITUDES)))
    model = tokenizers.models.WordLevel(
        {word: number for number, word in enumerate(words)}, unk_token="[UNK]"
    )
    found = tokenizers.Tokenizer(model)
    found.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    found.add_special_tokens(list(_SPECIAL))
    return found


def vocabulary_of(tokenizer: Any, source: str) -> Vocabulary:
    """The numbers of all words on the grid, as terratorch would put them in.

    Of the two zeros that a rounded number can be written as, the plain one is taken.

    Raises:
        ModelError: ``source`` has no word for some place on the grid.
    """

    def number_of(word: str) -> int:
        ids = tokenizer.encode(word).ids
        if len(ids) != 1 or tokenizer.decode(ids, skip_special_tokens=False) != word:
            raise ModelError(
                f"{source}: has no word {word!r}; is it the tokenizer of TerraMind's coordinates?"
            )
        return int(ids[0])

    special = {word: number_of(word) for word in ("[S_1]", "[EOS]")}
    if special != {"[S_1]": START, "[EOS]": END}:
        raise ModelError(
            f"{source}: numbers {special}, and terratorch takes [S_1] to be {START} and [EOS] {END}"
        )
    return Vocabulary(
        latitudes=tuple(map(number_of, _words("lat", LATITUDES))),
        longitudes=tuple(map(number_of, _words("lon", LONGITUDES))),
        start=START,
        end=END,
    )


def _words(name: str, count: int) -> list[str]:
    """Words from the smallest number of degrees on, such as ``lat=-90.00``."""
    first = -(count // 2)
    return [f"{name}={(first + step) / PER_DEGREE:.2f}" for step in range(count)]


def _package() -> Any:
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.pre_tokenizers
    except ImportError as error:
        raise ModelError(
            f"coordinates need the package tokenizers ({error}); install it with: pip install 'terramosaic[export]'"
        ) from error
    return tokenizers
