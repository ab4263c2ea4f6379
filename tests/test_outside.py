"""What other libraries hold gives the model that the same array in memory gives."""

import os

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from diabolo import Autoencoder
from diabolo.data import mapped
from diabolo.data.outside import brought
from diabolo.errors import InputError

X = np.random.default_rng(0).integers(0, 255, (300, 6, 5), dtype=np.uint8)


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.from_numpy(X))


class Deadly(Items):
    def __getitem__(self, i):
        if i == 280:
            os._exit(1)
        return self.items[i]


def hdf5(folder, **options):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=X, **options)
    return h5py.File(folder / "x.h5")["x"]


def zarred(folder):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(folder / "x.zarr", shape=X.shape, chunks=(70, 6, 5), dtype="uint8")
    array[:] = X
    return array


def hugging_face(folder):
    datasets = pytest.importorskip("datasets")
    features = {"x": datasets.Array2D((6, 5), "uint8"), "y": datasets.Value("int64")}
    rows = {"x": list(X), "y": list(range(len(X)))}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


WAYS = {
    "hdf5": hdf5,
    "hdf5 in chunks": lambda folder: hdf5(folder, chunks=(70, 6, 5), compression="gzip"),
    "zarr": zarred,
    "hugging face": hugging_face,
    "dataset": lambda folder: Items([(x, 1) for x in X]),
    "loader": lambda folder: DataLoader(Items(list(X)), batch_size=7, shuffle=True),
    "workers": lambda folder: DataLoader(Items(list(X)), num_workers=1),
    "stream": lambda folder: DataLoader(Stream(), batch_size=64),
}


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_every_way_gives_the_samples(way, large, tmp_path, monkeypatch):
    if large:
        monkeypatch.setattr(mapped, "LARGE", 1000)
    before = torch.get_rng_state()
    found = brought(WAYS[way](tmp_path))
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(found, mapped.OnDisk if large else np.ndarray)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(found), X)


def test_a_dataset_trains_like_its_array(monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 1000)
    options = {"latent_dim": 3, "epochs": 2, "batch_size": 32, "random_state": 0}
    a, b = (Autoencoder(**options).fit(given) for given in (X, Items(list(X))))
    assert a.data_ == b.data_
    np.testing.assert_array_equal(a.transform(X), b.transform(Items(list(X))))


def test_a_parquet_data_set_is_its_rows(tmp_path):
    dataset = pytest.importorskip("pyarrow.dataset")
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": np.arange(50), "b": np.arange(50) / 7})
    for part in range(2):
        table[part * 25 : part * 25 + 25].to_parquet(tmp_path / f"{part}.parquet")
    found = brought(dataset.dataset(tmp_path))
    np.testing.assert_array_equal(found, table.to_numpy().astype(np.float32))
    table.assign(c="word").to_parquet(tmp_path / "2.parquet")
    with pytest.raises(InputError, match='"c" is not numeric'):
        brought(dataset.dataset(tmp_path / "2.parquet"))


MISTAKES = {
    "keys image, label, which are no arrays": lambda: Items([{"image": X[0], "label": 1}]),
    "type str, which are no arrays": lambda: Items(["a", "b"]),
    "type tuple, which are no arrays": lambda: Items([(), ()]),
    "items of several shapes": lambda: Items([X[0], X[0, :3]]),
    "holds no samples": lambda: Items([]),
    "worker of the DataLoader died": lambda: DataLoader(Deadly(list(X)), num_workers=1),
}


@pytest.mark.parametrize("sentence", MISTAKES)
@pytest.mark.filterwarnings("ignore")
def test_a_mistake_is_a_sentence(sentence):
    with pytest.raises(InputError, match=sentence):
        Autoencoder().fit(MISTAKES[sentence]())


def test_a_full_disk_is_a_sentence(monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": 10}))
    with pytest.raises(InputError, match="set TMPDIR"):
        brought(Items(list(X)))
