"""A hyperparameter declared once: constructor, check, file, command line."""

import inspect
import json
from typing import Annotated, Literal

import numpy as np
import pytest
import tomli_w
from annotated_types import Ge, Gt, Le, Lt
from pydantic import InstanceOf
from sklearn.base import clone

from diabolo import Autoencoder
from diabolo.corruption import Corruption, GaussianNoise, Masking, SaltAndPepper
from diabolo.errors import InputError
from diabolo.models import MODELS
from diabolo.params import Parameters, describe, from_config, named, parse, to_config


class Sample(Parameters):
    """An example."""

    count: Annotated[Annotated[int, Ge(1), Le(10)], "How many."] = 3
    rate: Annotated[Annotated[float, Gt(0), Lt(1)], "How fast."] = 0.5
    free: Annotated[float, "Any number."] = 0.0
    flag: Annotated[bool, "Yes or no."] = False
    name: Annotated[Literal["red", "green"], "Colour."] = "red"
    sizes: Annotated[tuple[Annotated[int, Ge(1)], ...] | None, "Sizes."] = None
    trio: Annotated[tuple[int, int, int] | None, "Three."] = None
    part: Annotated[InstanceOf[Corruption] | None, "A part."] = None
    quoted: "Annotated[Annotated[int, Ge(0)], 'Its annotation is a string.']" = 0


KINDS = {"Sample": Sample}
GOOD = {
    "count": [1, 10, np.int64(4), np.uint8(4)],
    "rate": [0.25, np.float32(0.25), np.float64(0.25)],
    "free": [1, -2.5, np.int64(3), np.float32(1.5)],
    "flag": [True, False, np.bool_(True)],
    "name": ["red", "green"],
    "sizes": [None, (), (1, 2), [3], (np.int64(3),)],
    "trio": [None, (1, 2, 3), [1, 2, 3]],
    "part": [None, GaussianNoise(0.1)],
    "quoted": [0, 7],
}
BAD = {
    "count": [0, 11, -1, "3", True, 3.0, 3.5, None, np.bool_(True), [3]],
    "rate": [0, 0.0, 1, 1.0, "0.5", True, float("nan"), float("inf"), None],
    "free": [float("inf"), float("-inf"), float("nan"), np.float32("inf"), "1", True],
    "flag": [1, 0, "yes", None],
    "name": ["blue", "Red", 1, None],
    "sizes": [(0,), (1, "2"), (True,), 3, "1,2", (1.5,)],
    "trio": [(1, 2), (1, 2, 3, 4), (1, 2, "3")],
    "part": ["gaussian", 0.5, GaussianNoise],
    "quoted": [-1, "0"],
}


def pairs(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), pairs(GOOD), ids=repr)
def test_what_fits_is_accepted_and_left_as_given(name, value):
    example = Sample(**{name: value})
    checked = getattr(example.validated(), name)
    assert getattr(example, name) is value
    assert checked == (tuple(value) if isinstance(value, list) else value)
    assert not isinstance(checked, np.generic)


@pytest.mark.parametrize(("name", "value"), pairs(BAD), ids=repr)
def test_what_does_not_fit_is_refused_by_name_in_one_sentence(name, value):
    with pytest.raises(InputError) as error:
        Sample(**{name: value}).validated()
    message = str(error.value)
    assert message.startswith(f"{name} must be ")
    assert repr(value) in message
    assert "\n" not in message


@pytest.mark.parametrize(("name", "value"), pairs(BAD), ids=repr)
def test_from_config_refuses_the_same(name, value):
    with pytest.raises(InputError):
        from_config({"kind": "Sample", name: value}, KINDS)


def test_a_part_is_checked_too():
    with pytest.raises(InputError, match="std must be a number of at least 0"):
        Sample(part=GaussianNoise(-1.0)).validated()
    with pytest.raises(InputError, match="std must be"):
        Autoencoder(corruption=GaussianNoise("0.5")).fit(np.zeros((4, 4)))


def test_the_constructor_is_keyword_only_with_its_defaults_in_the_signature():
    parameters = inspect.signature(Sample).parameters
    assert list(parameters) == list(GOOD)
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())
    assert parameters["count"].default == 3
    with pytest.raises(TypeError):
        Sample(4)
    with pytest.raises(TypeError):
        Sample(counts=4)
    assert GaussianNoise(0.25).std == 0.25


def test_the_documentation_names_every_parameter_its_range_and_default():
    assert (
        "count : an integer of at least 1 and at most 10, default 3\n    How many."
        in Sample.__doc__
    )
    assert "rate : a number above 0 and below 1, default 0.5" in Sample.__doc__
    assert "one of 'red', 'green'" in Sample.__doc__
    assert "Its annotation is a string." in Sample.__doc__
    assert Sample.__doc__.count("Parameters\n") == 1


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_parameter_of_a_model_has_help_and_a_description(model):
    for p in model.declared():
        assert p.help.endswith("."), p.name
        assert describe(p.hint), p.name
    assert model.__doc__.count("Parameters\n") == 1


def test_an_override_without_annotation_raises():
    with pytest.raises(TypeError, match=r"Child\.count .*annotate"):

        class Child(Sample):
            count = 4


def test_an_annotated_override_changes_the_default_and_keeps_its_place():
    class Child(Sample):
        count: Annotated[Annotated[int, Ge(1)], "More."] = 4

    assert Child().count == 4
    assert [p.name for p in Child.declared()] == list(GOOD)
    assert Sample().count == 3


def test_clone_get_and_set_params_reach_into_a_part():
    example = Sample(count=np.int64(5), sizes=[1, 2], part=GaussianNoise(0.25))
    twin = clone(example)
    assert twin is not example
    assert twin.part is not example.part
    assert to_config(twin) == to_config(example)
    twin.set_params(part__std=0.75, count=1)
    assert (twin.part.std, example.part.std) == (0.75, 0.25)
    assert example.get_params()["part__std"] == 0.25
    with pytest.raises(ValueError, match="Invalid parameter"):
        twin.set_params(cuont=1)


def full():
    return Sample(
        count=np.int64(5),
        rate=np.float64(0.125),
        name="green",
        sizes=(4, 2),
        trio=None,
        part=SaltAndPepper(0.2),
        flag=True,
    )


def test_a_config_survives_json_and_toml():
    import tomllib

    config = to_config(full())
    assert config["kind"] == "Sample"
    assert config["part"] == {"kind": "salt-and-pepper", "p": 0.2}
    assert config["trio"] == "none"
    for back in (json.loads(json.dumps(config)), tomllib.loads(tomli_w.dumps(config))):
        read = from_config(back, KINDS)
        assert to_config(read) == config
        assert vars(read.validated()).keys() == vars(full().validated()).keys()
        assert read.validated().sizes == (4, 2)
        assert isinstance(read.part, SaltAndPepper)
        assert read.trio is None


def test_from_config_does_not_modify_what_it_is_given():
    config = to_config(full())
    before = json.dumps(config)
    from_config(config, KINDS)
    assert json.dumps(config) == before


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_defaults_of_every_model_survive_a_config(model):
    config = to_config(model())
    assert set(config) == {"kind", *(p.name for p in model.declared())}
    read = from_config(json.loads(json.dumps(config)), MODELS)
    assert type(read) is model
    assert read.get_params() == model().get_params()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "Autoencoder", "epoch": 3}, "no parameter 'epoch'; did you mean 'epochs'?"),
        ({"kind": "Autoencoder", "latentdim": 3}, "did you mean 'latent_dim'?"),
        ({"kind": "Autoencodr"}, "no kind 'Autoencodr'; did you mean 'Autoencoder'?"),
        ({"kind": "Autoencoder", "zzz": 3}, "no parameter 'zzz'; known are "),
        ({}, "There is no kind 'missing'"),
        ({"kind": ["VAE"]}, "There is no kind"),
        ({"kind": "Autoencoder", "corruption": {"kind": "gausian"}}, "mean 'gaussian'?"),
        ({"kind": "Autoencoder", "corruption": {"kind": "gaussian", "sdt": 1}}, "mean 'std'?"),
        ({"kind": "Autoencoder", "corruption": {"kind": "gaussian", "std": -1}}, "at least 0"),
        ({"kind": "Autoencoder", "corruption": "gaussian"}, "corruption must be"),
        ({"kind": "Autoencoder", "epochs": {"kind": "gaussian"}}, "epochs must be an integer"),
        ({"kind": "Autoencoder", "epochs": 0}, "epochs must be an integer of at least 1"),
        ({"kind": "Autoencoder", "network": "convv"}, "network must be one of 'conv', 'conv-map'"),
    ],
)
def test_mistakes_in_a_config_are_named(config, message):
    with pytest.raises(InputError) as error:
        from_config(config, MODELS)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


PARAMETERS = {p.name: p for p in Sample.declared()}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("rate", "0.25", 0.25),
        ("rate", "1e-3", 1e-3),
        ("free", "-2", -2.0),
        ("flag", "true", True),
        ("flag", "false", False),
        ("name", "green", "green"),
        ("sizes", "128,64", (128, 64)),
        ("sizes", "128", (128,)),
        ("sizes", "none", None),
        ("trio", "3,13,9", (3, 13, 9)),
    ],
)
def test_a_text_from_the_command_line_is_read(name, text, value):
    read = parse(PARAMETERS[name], text)
    assert read == value
    assert type(read) is type(value)


def test_a_part_is_read_by_its_name():
    assert PARAMETERS["part"].kinds == Corruption.kinds()
    assert {"gaussian", "salt-and-pepper", "masking"} <= set(Corruption.kinds())
    assert isinstance(parse(PARAMETERS["part"], "masking"), Masking)
    assert parse(PARAMETERS["part"], "none") is None
    with pytest.raises(InputError, match="did you mean 'masking'"):
        parse(PARAMETERS["part"], "maskng")
    assert PARAMETERS["count"].kinds == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "0"),
        ("count", "3.5"),
        ("count", "many"),
        ("count", "none"),
        ("rate", "nan"),
        ("free", "inf"),
        ("flag", "perhaps"),
        ("name", "blue"),
        ("sizes", "128,x"),
        ("sizes", "128,0"),
        ("sizes", ""),
        ("trio", "1,2"),
    ],
)
def test_a_text_that_does_not_fit_is_refused(name, text):
    with pytest.raises(InputError, match=f"{name} must be"):
        parse(PARAMETERS[name], text)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_default_that_has_a_text_is_read_back(model):
    for p in model.declared():
        value = p.default
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert parse(p, text) == value, p.name


def test_named_gives_what_is_known():
    assert named("thing", "a", {"a": 1}) == 1
