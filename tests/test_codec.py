"""Compression: what comes back is what was given, everywhere, or an error says why not."""

import hashlib
import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import plain_codec
import pytest
import torch
from conftest import failed, run
from PIL import Image
from sklearn.datasets import load_sample_images

from diabolo import Autoencoder, Codec, data, load, recipes, shipped
from diabolo.codec import entropy
from diabolo.codec.lossless import Lossless
from diabolo.errors import InputError
from diabolo.integers import EXACT, Whole, stepped, unit
from diabolo.likelihood.causal import Causal, every
from diabolo.likelihood.guessed import Guessed
from diabolo.likelihood.neighbours import Neighbours, Places


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def law_of(shape, seed=0, kind=Neighbours, **more):
    sizes = {"units": 16, "layers": 1, "hidden": 16, "reach": 2} | more
    law = kind(shape, **sizes, generator=draw(seed))
    for shift in (law.rows, law.columns, law.channels):
        torch.nn.init.normal_(shift, generator=draw(seed))
    with torch.no_grad():
        law.first.weight[:, -1] = 0
    return law


def tensors_of(law):
    """As a file has them."""
    tensors = {name: t.numpy().astype(float) for name, t in law.state_dict().items()}
    weights = {
        n: stepped(m.weight).detach() for n, m in law.named_modules() if isinstance(m, Whole)
    }
    tensors |= {f"{name}.weight": t.numpy().astype(float) for name, t in weights.items()}
    for name in ("rows", "columns", "channels"):
        tensors[name] = np.rint(tensors[name] * 32) / 32
    return tensors


def some_images(n, *shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (n, *shape)) * (rng.random((n, *shape)) < 0.4)).astype(np.uint8)


@pytest.fixture(scope="module")
def digits():
    return Codec(load("digits", device="cpu"), name="digits")


@pytest.fixture(scope="module")
def images():
    return np.array(data.read("mnist:train:55000-55011").array)


@pytest.fixture(scope="module")
def content(digits, images):
    return digits.compress(images)


# ---- integers


def test_a_whole_layer_is_exact_in_any_order_and_as_it_was_trained():
    layer = Whole(300, 20)
    torch.nn.init.normal_(layer.weight, generator=draw())
    weight, bias = layer.exact()
    x = torch.randint(0, 256, (50, 300), generator=draw(1)).float()
    product = (x.double() @ weight.double()).round() + bias
    turned = torch.randperm(300, generator=draw(2))
    for found in (
        x @ weight,
        x[:, turned] @ weight[turned],
        sum(x[:, i : i + 1] * weight[i] for i in turned),
    ):
        assert torch.equal(found.round() + bias, product.float())
    assert torch.equal(layer(x / 32) * 32, product.float())
    assert ((weight.t() / unit(layer.weight)).abs().sum(1) * 255 < EXACT).all()
    assert torch.equal(stepped(stepped(layer.weight)), stepped(layer.weight))
    assert torch.equal(stepped(layer.weight).half().float(), stepped(layer.weight))


def test_a_layer_of_too_many_inputs_is_refused():
    layer = Whole(2000, 1)
    torch.nn.init.ones_(layer.weight)
    with pytest.raises(InputError, match="too many inputs"):
        layer.exact()


# ---- the entropy coder


def test_tables_are_whole_and_near_the_softmax():
    logits = np.random.default_rng(0).integers(-300, 300, (100, 255))
    tables = entropy.tables(logits)
    assert (tables >= 1).all()
    assert (tables.sum(1) == entropy.TOTAL).all()
    assert np.array_equal(tables, np.rint(tables))
    expected = torch.from_numpy(logits / 32).softmax(1).numpy()
    np.testing.assert_allclose(tables / entropy.TOTAL, expected, rtol=1e-3, atol=2e-5)
    alike = entropy.tables(np.zeros((2, 2), int))
    assert (alike == entropy.TOTAL / 2).all()


def test_the_coder_is_told_exactly_the_tables_and_takes_as_many_bits_as_they_say():
    rng, steps, bits = np.random.default_rng(0), [], 0.0
    for n in (2, 255, 3, 256):
        tables = entropy.tables(rng.integers(-99, 99, (40, n)))
        ends = tables.cumsum(1)
        symbols = (rng.random((40, 1)) * entropy.TOTAL > ends).sum(1)
        steps.append((symbols, tables))
        bits -= np.log2(tables[np.arange(40), symbols] / entropy.TOTAL).sum()
    content = entropy.encode_backwards(reversed(steps))
    assert 0 <= 8 * len(content) - bits < 64
    fast, plain = entropy.Decoder(content), plain_codec.Coder(content)
    for symbols, tables in steps:
        assert np.array_equal(fast.take(tables), symbols)
        assert np.array_equal(plain.take(tables.astype(np.int64)), symbols)
    assert (fast.empty, plain.state) == (True, 0)


# ---- lossless


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 6, 5), (1, 1, 9), (3, 4, 1)])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", [Neighbours, Guessed])
def test_images_come_back_by_both_decoders(shape, n, kind):
    law, images = law_of(shape, kind=kind), some_images(n, *shape)
    codec, told, heard = Lossless(law), [], []
    content = codec.encode(images, told.append)
    (found,) = codec.decode([content], [n], shape, heard.append)
    assert np.array_equal(found, images)
    assert told == heard == sorted(told)
    assert told[-1] == 1
    tensors = tensors_of(law)
    assert np.array_equal(plain_codec.Law(tensors).images(content, n, *shape), images)


@pytest.mark.parametrize("kind", [Neighbours, Guessed])
def test_without_places_images_of_any_size_come_back_and_gray_ones(kind):
    law = law_of((3, 4, 4), kind=kind, placed=False)
    codec, tensors = Lossless(law), tensors_of(law)
    for shape in ((3, 9, 5), (3, 1, 2), (1, 5, 4)):
        images = some_images(2, *shape)
        codec.check(shape)
        content = codec.encode(images)
        (found,) = codec.decode([content], [2], shape)
        assert np.array_equal(found, images)
        assert np.array_equal(plain_codec.Law(tensors).images(content, 2, *shape), images)
    with pytest.raises(InputError, match="of 3 channels"):
        codec.check((4, 4, 4))


def test_a_guess_follows_edges_and_slopes_and_the_other_colours():
    law = law_of((3, 6, 6), kind=Guessed)
    row, column = np.indices((1, 1, 6, 6), np.uint8)[2:]
    slope, edge = 60 + column - 2 * row, 90 * (column > 2)
    colours = np.concatenate([slope, 2 * slope + edge, edge], 1)
    images = torch.from_numpy(colours.astype(np.uint8))
    at = every(1, (3, 6, 6), images.device)
    padded = law.padded(images)
    near = law.near(padded, at)
    symbols = law.symbols(law.pixels(padded, at), near)
    inside = (at.row > 0) & (at.column > 0) & (at.column < 4)
    assert not symbols[inside].any()
    assert torch.equal(law.values(symbols, near), law.pixels(padded, at))


def test_photographs_are_smaller_than_webp_makes_them():
    photo = np.ascontiguousarray(load_sample_images().images[1][120:148, 220:252])
    images, webp = photo.transpose(2, 0, 1)[None], BytesIO()
    Image.fromarray(photo).save(webp, "WEBP", lossless=True, method=6)
    codec = Codec(load("photo-lossless", device="cpu"), name="photo-lossless")
    content = codec.compress(images)
    assert np.array_equal(codec.decompress(content), images)
    assert len(content) < len(webp.getvalue())
    assert codec.coder.law.shape[1] == recipes.read("photo-lossless").data["patch_size"]
    model = shipped.find("photo-lossless").read_bytes()
    assert np.array_equal(plain_codec.decode(content, model)[0], images)


def test_differences_and_symbols_are_one_to_one():
    law = law_of((1, 2, 2), kind=Guessed)
    values, guesses = (
        t.flatten() for t in torch.meshgrid(*2 * [torch.arange(256)], indexing="ij")
    )
    near = guesses[:, None].to(torch.uint8)
    symbols = law.symbols(values, near)
    assert torch.equal(law.values(symbols, near), values.to(torch.uint8))
    assert symbols[values == guesses].max() == 0
    near_by = (values - guesses).abs() == 1
    assert set(symbols[near_by].tolist()) == {1, 2}


def test_the_file_is_as_long_as_the_likelihood_says(digits, images):
    law, x = digits.coder.law, torch.from_numpy(images).unsqueeze(1)
    at = every(len(x), (1, 28, 28), x.device)
    nats = law.nll(law.padded(x), at, torch.zeros(x.numel())).sum().item()
    content = digits.coder.encode(x.numpy())
    assert 0 <= 8 * (len(content) - len(x)) - nats / np.log(2) < 64 + 0.001 * 8 * len(content)


def test_a_pixel_depends_on_none_that_comes_after():
    law, images = law_of((1, 6, 6)), torch.from_numpy(some_images(1, 1, 6, 6))
    for row, column in ((0, 0), (2, 3), (5, 5)):
        at = Places(*(torch.tensor([n]) for n in (0, 0, row, column)))
        before = law.near(law.padded(images), at)
        later = images.flatten(1).clone()
        later[:, 6 * row + column :] ^= 255
        assert torch.equal(law.near(law.padded(later.view(1, 1, 6, 6)), at), before)


def test_digits_come_back_by_a_decoder_without_torch(images, content, tmp_path):
    (tmp_path / "a.dia").write_bytes(content)
    code = (
        "import sys; import numpy as np; from pathlib import Path; import plain_codec;"
        f"f, = plain_codec.decode(Path({str(tmp_path / 'a.dia')!r}).read_bytes(),"
        f" Path({str(shipped.find('digits'))!r}).read_bytes());"
        f"np.save({str(tmp_path / 'a.npy')!r}, f); assert 'torch' not in sys.modules"
    )
    folder = Path(__file__).parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)
    assert np.array_equal(np.load(tmp_path / "a.npy")[:, 0], images)


def test_what_is_asked_beside_and_how_many_threads_change_nothing(digits, images, content):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - threads if threads < 3 else 1)
        assert digits.compress(images) == content
        assert np.array_equal(digits.decompress(content), images)
    finally:
        torch.set_num_threads(threads)


KERNELS = [
    {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Prescott"},
    {"ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    {"DNNL_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    {"OMP_NUM_THREADS": "2"},
]


@pytest.mark.stress
@pytest.mark.parametrize("other", KERNELS)
@pytest.mark.parametrize("name", ["digits", "photo-lossless", "photo-codec"])
def test_other_kernels_make_the_same_bytes_and_images(name, other, images, tmp_path):
    china = load_sample_images().images[0].transpose(2, 0, 1)
    x = images if name == "digits" else np.array(china[None, :, 100:180, 100:220])
    codec = Codec(load(name, device="cpu"), name=name)
    content = codec.compress(x)
    wanted = hashlib.sha256(content + codec.decompress(content).tobytes()).hexdigest()
    np.save(tmp_path / "x.npy", x)
    code = (
        "import hashlib, numpy as np; from diabolo import Codec, load;"
        f"c = Codec(load({name!r}, device='cpu'), name={name!r});"
        f"made = c.compress(np.load({str(tmp_path / 'x.npy')!r}));"
        "print(hashlib.sha256(made + c.decompress(made).tobytes()).hexdigest())"
    )
    words = [sys.executable, "-c", code]
    made = subprocess.run(
        words, env=os.environ | other, check=True, capture_output=True, text=True
    )
    assert made.stdout.strip() == wanted


def test_arrays_come_back_as_they_were_given(digits, images):
    groups = [images[:2], images[2:3, None], images[3:5].reshape(2, -1)]
    found = digits.decompress(digits.compress(groups))
    for before, after in zip(groups, found, strict=True):
        np.testing.assert_array_equal(after, before, strict=True)
    masks = images > 99
    assert digits.decompress(digits.compress(masks)).dtype == bool
    assert np.array_equal(digits.decompress(digits.compress(masks)), masks)


# ---- damage


def mutations(content, count, seed=0):
    """Bytes with a few flipped, cut out or put in."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        found, at = bytearray(content), int(rng.integers(len(content)))
        match rng.integers(4):
            case 0:
                found[at] ^= 1 << int(rng.integers(8))
            case 1:
                del found[at:]
            case 2:
                found[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(9)))
            case 3:
                found[at : at + 4] = rng.bytes(4)
        yield bytes(found)


def check_mutations(digits, images, count):
    content = digits.compress(images)
    for changed in mutations(content, count):
        if changed != content:
            with pytest.raises(InputError):
                digits.decompress(changed)


def test_what_is_changed_is_refused(digits, images):
    check_mutations(digits, images[:2], 300)


@pytest.mark.stress
def test_what_is_changed_in_ten_thousand_ways_is_refused(digits, images):
    check_mutations(digits, images, 10_000)


def test_a_stream_that_is_changed_gives_no_image_with_a_right_check():
    law, images = law_of((1, 6, 6)), some_images(1, 1, 6, 6)
    codec = Lossless(law)
    content = codec.encode(images)
    for changed in mutations(content, 60):
        try:
            (found,) = codec.decode([changed], [1], (1, 6, 6))
        except InputError:
            continue
        assert np.array_equal(found, images)


def test_images_before_a_damage_are_kept(digits, images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("diabolo.codec.coder.VALUES", 4 * 784)
    (tmp_path / "a.dia").write_bytes(digits.compress(images)[:-1])
    said = failed(capsys, "decompress", tmp_path / "a.dia", "--out", tmp_path / "a.npy")
    assert said.endswith("in chunk 3. The images before are kept.")
    assert np.array_equal(np.load(tmp_path / "a.npy"), images[:8])


# ---- the likelihood


def small(**more):
    law = Causal(units=8, layers=1, hidden=8, reach=2, **more)
    return Autoencoder(
        latent_dim=2, hidden=(), likelihood=law, epochs=2, random_state=0, device="cpu"
    )


@pytest.fixture(scope="module")
def bars():
    """Images of one bar each, whose first row says all."""
    where = np.random.default_rng(0).integers(0, 6, 300)
    found = np.zeros((300, 6, 6), np.uint8)
    found[np.arange(300), :, where] = 200
    return found


@pytest.mark.parametrize("told", [False, True])
def test_any_model_is_trained_by_it_kept_and_samples_by_it(bars, tmp_path, told):
    model = small(told=told).set_params(epochs=1 if told else 10, learning_rate=1e-2).fit(bars)
    assert told or model.history_["loss"][-1] < 0.5 < model.history_["loss"][0]
    model.save(tmp_path / "a.safetensors")
    other = load(tmp_path / "a.safetensors", device="cpu")
    assert np.array_equal(other.score_samples(bars), model.score_samples(bars))
    if told:
        with pytest.raises(InputError, match="told=false"):
            Codec(model)
        return
    codec = Codec(other)
    bits = -model.score_samples(bars).sum() / np.log(2)
    content = codec.compress(bars)
    assert abs(8 * (len(content) - 250 - len(bars)) - bits) < 0.05 * bits + 2000
    assert np.array_equal(Codec(model).decompress(content), bars)
    drawn = model.sample(50, random_state=0)
    assert np.array_equal(drawn, model.sample(50, random_state=0))
    straight = (drawn > 0).all(1).sum(1)
    assert (straight > 0).mean() > 0.4  # independent pixels would hardly ever be


# ---- mistakes


def test_mistakes_get_a_sentence(digits, images, content, tmp_path, capsys):
    plain = Autoencoder(latent_dim=2, epochs=1, device="cpu").fit(images)
    with pytest.raises(InputError, match="no codec: train one with likelihood='causal'"):
        Codec(plain)
    for wrong, words in (
        (images[:, :20], "of images of 1 x 28 x 28"),
        (images.astype(np.float32), "of 8 bits or bool"),
        (images[:0], "no images"),
        ([images, images > 9], "of one type"),
    ):
        with pytest.raises(InputError, match=words):
            digits.compress(wrong)
    with pytest.raises(InputError, match="newer than 1"):
        digits.decompress(content[:8] + b"\x02" + content[9:])
    with pytest.raises(InputError, match="not a compressed file"):
        digits.decompress(b"PNG")
    other = small().fit(np.zeros((9, 28, 28), np.uint8))
    with pytest.raises(InputError, match="made by digits with the hash"):
        Codec(other).decompress(content)
    (tmp_path / "a.dia").write_bytes(Codec(other, name="mine").compress(images[:1]))
    said = failed(capsys, "decompress", tmp_path / "a.dia", "--out", tmp_path / "b")
    assert "made by the model 'mine' with the hash" in said


def test_without_the_library_it_is_said_what_to_install(digits, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(InputError, match=r"diabolo\[codec\]"):
        digits.compress(images)


def test_the_commands_keep_names_and_say_the_size_on_disk(images, tmp_path, capsys):
    data.write(tmp_path / "in", images)
    (tmp_path / "in" / "rubbish.png").write_bytes(b"no")
    said = failed(capsys, "compress", "digits", tmp_path / "in", "--out", tmp_path / "a.dia")
    assert said == "rubbish.png is not an image that can be read"
    (tmp_path / "in" / "rubbish.png").rename(tmp_path / "rubbish")
    clear = tmp_path / "in" / "clear.png"
    Image.fromarray(images[0]).convert("LA").save(tmp_path / "in" / "opaque.png")
    half = np.stack([images[0], images[0] // 2 + 99], axis=-1)
    Image.fromarray(half).save(clear)
    words = ("compress", "digits", tmp_path / "in", "--out", tmp_path / "a.dia", "--force")
    lost = "clear.png has transparency, which would be lost: give a copy without"
    assert failed(capsys, *words) == lost
    assert failed(capsys, "compress", "digits", clear, "--out", tmp_path / "b.dia") == f"{lost}."
    assert not (tmp_path / "b.dia").exists()
    data.write(tmp_path / "bad", images[:1, :20])
    clear.rename(tmp_path / "bad" / "clear.png")
    said = failed(capsys, "compress", "digits", tmp_path / "bad", "--out", tmp_path / "b.dia")
    assert said.endswith(f"has no image that this model takes; {lost}")
    capsys.readouterr()
    words = ("compress", "digits", tmp_path / "in", "--out", tmp_path / "a.dia", "--force")
    assert run(*words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bytes"] == (tmp_path / "a.dia").stat().st_size
    assert run("decompress", tmp_path / "a.dia", "--out", tmp_path / "out") == 0
    before, after = (data.read(tmp_path / name) for name in ("in", "out"))
    assert before.names == after.names
    assert np.array_equal(before.array, after.array)
