"""A model in use, with what the page asks of it; what is dear is made when it is first needed."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from diabolo import recipes
from diabolo.commands import listing, runs
from diabolo.commands.generating import fitting_components
from diabolo.data.files import quietly
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.loading import load
from diabolo.studio.rows import given, rows
from diabolo.tasks import embedding
from diabolo.tasks.anomaly import AnomalyDetector
from diabolo.tasks.sampling import LatentSampler

KEPT = 4  # models in memory
CALIBRATING = 2000  # test samples that set the threshold of a model without one
LEARNING = 10_000  # training samples whose codes teach a law
RATE = 0.05
MNIST = "ae"  # whose data a model of its images, outside a run folder, is shown
NO_DATA = "The data of this model are not there: open one of a run folder."


def _once(make: Callable[[Any], Any]) -> Any:
    """A property that is made when it is first asked for, by one thread."""

    def made(self: "Opened") -> Any:
        with self.lock:
            if make not in self.made:
                self.made[make] = make(self)
            return self.made[make]

    return property(made, doc=make.__doc__)


class Opened:
    """A model file: the model, its detector, the law its codes are drawn from, and its data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loaded: Any = load(runs.model_file(path))
        self.model: Estimator = getattr(self.loaded, "model_", self.loaded)
        self.recipe = runs.recipe_beside(path)
        self.made: dict[Callable[[Any], Any], Any] = {}
        self.lock = threading.RLock()

    @_once
    def split(self) -> runs.Split | None:
        """The data of its run; None where there is no run, or they are not there any more."""
        recipe = self.recipe
        if recipe is None and (self.model.sample_shape_, self.model.dtype_) == ((28, 28), "uint8"):
            recipe = recipes.read(MNIST)
        try:
            return None if recipe is None else runs.load_split(recipe, self.model.seed_)
        except InputError:
            return None

    @property
    def data(self) -> runs.Split:
        """As `split`. Raises `InputError` where there is none."""
        split: runs.Split | None = self.split
        if split is None:
            raise InputError(NO_DATA)
        return split

    @_once
    def train(self) -> np.ndarray:
        """The training samples, as `rows` gives them. Raises as `data` does."""
        return rows(self.model, self.data.train)

    @_once
    def test(self) -> np.ndarray:
        """The test samples, as `rows` gives them. Raises as `data` does."""
        return rows(self.model, self.data.test.array)

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """The samples of a part, "train" or "test", and their labels."""
        if name == "train":
            return self.train, self.data.labels
        return self.test, self.data.test.labels

    @_once
    def detector(self) -> AnomalyDetector | None:
        """The detector in the file, or one calibrated on test samples; None without these."""
        if isinstance(self.loaded, AnomalyDetector):
            return self.loaded
        if self.split is None:
            return None
        detector = AnomalyDetector(self.model, prefit=True, false_alarm_rate=RATE, random_state=0)
        with quietly(), suppress(InputError):  # of a table that none can be made for
            return detector.fit(given(self.model, self.test[:CALIBRATING]))
        return None

    def need_detector(self) -> AnomalyDetector:
        """The detector. Raises `InputError` where there is none."""
        detector: AnomalyDetector | None = self.detector
        if detector is None:
            raise InputError(NO_DATA)
        return detector

    @_once
    def law(self) -> tuple[Any, str]:
        """What new samples are drawn from, and its name."""
        if isinstance(self.loaded, LatentSampler):
            return self.loaded, "the law in its file"
        if self.model.net_.bottleneck.prior() is not None:
            return self.model, "its prior"
        x = given(self.model, self.train[:LEARNING])
        count = fitting_components(len(x))
        law = LatentSampler(self.model, components=count, random_state=0).fit(x)
        return law, f"a mixture of {count} Gaussians on its codes"

    @_once
    def mean_code(self) -> np.ndarray:
        """The mean (K,) of the codes of test samples, or the middle of their range."""
        if self.split is None:
            return np.asarray(self.model.code_range_.mean(axis=0))
        return np.asarray(self.encode(self.test[:CALIBRATING]).mean(axis=0))

    def map(self, count: int) -> np.ndarray:
        """The codes of the first test samples in the plane, (n, 2), from 0 to 1."""
        places = embedding.plane(self.encode(self.test[:count]))[0]
        low, high = places.min(axis=0), places.max(axis=0)
        return (places - low) / np.where(high > low, high - low, 1)

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """The codes of samples, as `rows` gives these."""
        return np.asarray(self.model.transform(given(self.model, samples)))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The samples of codes, as `rows` gives them."""
        return rows(self.model, self.model.inverse_transform(codes))

    def sample(self, n: int, temperature: float, seed: int) -> np.ndarray:
        """New samples, as `rows` gives them."""
        law, how = self.law[0], {"temperature": temperature, "random_state": seed}
        if isinstance(law, LatentSampler):
            return self.decode(law.sample_codes(n, **how))
        return rows(self.model, law.sample(n, **how))

    def look(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes, outputs and scores (not a number without a detector) of samples."""
        codes, detector = self.encode(seen), self.detector
        scores = np.full(len(seen), np.nan)
        if detector is not None:
            scores = np.asarray(detector.score_samples(given(self.model, seen)))
        return codes, self.decode(codes), scores


class _Entry:
    """A model that is read by whoever asks for it first; others wait for their own alone."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.read: Opened | None = None

    def opened(self) -> Opened:
        with self.lock:
            self.read = self.read or Opened(self.path)
            return self.read


class Shelf:
    """The models of the folder that is served, the last few kept open."""

    def __init__(self, root: Path, default: Path | None = None) -> None:
        self.root, self.given = root, default
        self._open: OrderedDict[tuple[Path, int, int], _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> Opened:
        """The model of that name, a path below the folder; of no name the default.

        Raises `InputError` where there is none, and where its file is damaged.
        """
        given = self.given is not None and name == self.name(self.given)
        path = listing.within(self.root, name) if name and not given else self.default
        if path is None:
            raise InputError("There is no model yet: train one.")
        state = runs.model_file(path).stat()
        key = (path, state.st_mtime_ns, state.st_size)
        with self._lock:
            entry = self._open.setdefault(key, _Entry(path))
            self._open.move_to_end(key)
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
        return entry.opened()

    @property
    def default(self) -> Path | None:
        """The model that the service was started with, or else the newest."""
        if self.given is not None:
            return self.given
        newest = next(listing.models(self.root), None)
        return self.root / newest.path if newest else None

    def name(self, path: Path) -> str:
        """The name under which a path is asked for."""
        path, root = path.resolve(), self.root.resolve()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
