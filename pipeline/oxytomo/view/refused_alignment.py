"""Picture of the frames for a refused alignment, to show the problem at a glance."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from oxytomo.errors import InputError, StoreError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.stores import read_store

PER_SERIES, SERIES = 4, 3


@contextmanager
def shown_when_refused(path: Path, stores: Mapping[str, Path]) -> Iterator[None]:
    """Write a picture of frames to ``path`` if the alignment is refused; add it to the error."""
    path.unlink(missing_ok=True)
    try:
        yield
    except InputError as error:
        try:
            _write(path, stores, error.subject)
        except (StoreError, OSError):
            raise error from None
        raise InputError(
            error.subject,
            expected=error.expected,
            got=error.got,
            fix=f"{error.fix}; frames are shown in {path}",
        ) from error


def _write(path: Path, stores: Mapping[str, Path], subject: str) -> None:
    """Write four frames each of the named, the first and the last series."""
    series = list(stores)
    names = list(dict.fromkeys([*(n for n in series if n in subject), series[0], series[-1]]))
    frames, titles = [], []
    for name in names[:SERIES]:
        store = read_store(stores[name])
        value = store.array("value")
        for t in np.unique(np.linspace(0, value.shape[0] - 1, PER_SERIES).astype(int)):
            frames.append(np.asarray(value[int(t)], np.float32))
            number, tilt = store["acquisition_index"][t], store["tilt_deg"][t]
            titles.append(f"{name}, frame {number} ({tilt:g}°)")
    if len({frame.shape for frame in frames}) > 1:
        frames = [frame for frame in frames if frame.shape == frames[0].shape]
    from oxytomo.view.slices import thumbnails  # only if there is something to show
    from oxytomo.view.style import to_png

    with complete_or_absent(path) as partial:
        partial.write_bytes(to_png(thumbnails(np.stack(frames), titles)))
