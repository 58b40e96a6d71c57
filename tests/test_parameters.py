"""Parameters: what a profile may say, and one sentence on whatever it may not."""

from pathlib import Path

import pytest
import yaml

from lib.experiments.chapters import wanted
from lib.experiments.parameters import ParameterError, Parameters, check, load, validate
from lib.files import ROOT

GOOD = {
    "profile": "mine",
    "seeds": [0, 1],
    "prime": 11,
    "train_fraction": 0.6,
    "epochs": 300,
    "ticket_epoch": 200,
    "pruning_rate": 0.6,
    "images": "digits",
    "device": "cpu",
}
PROFILES = sorted((ROOT / "params").glob("*.yml"), key=lambda path: path.stem)


def refusal(values, where="mine.yml"):
    """What is said of the values; one line."""
    with pytest.raises(ParameterError) as caught:
        validate(values, where)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- profiles -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_profiles_are_valid_and_bear_the_name_of_their_file(path):
    parameters = load(path.stem)
    assert parameters.profile == path.stem
    assert set(yaml.safe_load(path.read_text())) == set(Parameters.model_fields)
    assert wanted(parameters).runs


def test_smoke_and_paper_are_there():
    assert {"smoke", "paper"} <= {path.stem for path in PROFILES}


def test_a_profile_that_is_not_there_is_named_beside_those_that_are(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.yml").write_text("{}")
    with pytest.raises(ParameterError, match=r"^there is no profile 'big' in params/; there are a, b$"):
        load("big", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [0, 1\nprime: 11\n", r"x\.yml is not YAML: .*line 2"),
        ("", r"x\.yml must be a list of 'name: value' lines$"),
        ("- seeds\n- prime\n", r"x\.yml must be a list of 'name: value' lines$"),
        ("colour: red\n", r"^x\.yml: unknown parameter colour; the parameters are profile, seeds, prime, "),
    ],
)
def test_a_file_that_is_no_profile_is_named(tmp_path, text, message):
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(ParameterError, match=message) as caught:
        load("x", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_is_read_as_it_stands(tmp_path):
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(GOOD))
    assert load("mine", tmp_path).model_dump() == GOOD


# --- values ---------------------------------------------------------------------------------------------------------------------


def test_good_values_are_taken():
    assert validate(GOOD, "x").model_dump() == GOOD
    assert validate({k: v for k, v in GOOD.items() if k != "device"}, "x").device == "cpu"


@pytest.mark.parametrize("text", ["[7]", "[7, 8]", "7", 7])
def test_seeds_may_come_as_papermill_hands_them_over(text):
    """`papermill -p seeds "[7]"` passes text."""
    assert validate(GOOD | {"seeds": text}, "x").seeds == ([7, 8] if "8" in str(text) else [7])


@pytest.mark.parametrize(
    ("name", "text", "value"), [("epochs", "500", 500), ("pruning_rate", "0.5", 0.5), ("prime", "13", 13)]
)
def test_numbers_may_come_as_text(name, text, value):
    assert getattr(validate(GOOD | {name: text}, "x"), name) == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_fraction": "1e-3"}, "mine.yml: train_fraction is '1e-3'; input should be a valid number (share of the pairs to train on, such as 0.4)"),
        ({"train_fraction": 1.5}, "mine.yml: train_fraction is 1.5; input should be less than 1 (share of the pairs to train on, such as 0.4)"),
        ({"train_fraction": 0}, "mine.yml: train_fraction is 0; input should be greater than 0 (share"),
        ({"train_fraction": float("nan")}, "mine.yml: train_fraction is nan; "),
        ({"pruning_rate": 1.0}, "mine.yml: pruning_rate is 1.0; input should be less than or equal to 0.99 (share of the weights that a ticket lacks, such as 0.6;"),
        ({"pruning_rate": -0.1}, "mine.yml: pruning_rate is -0.1; input should be greater than or equal to 0 (share"),
        ({"pruning_rate": True}, "mine.yml: pruning_rate is True; input should be a valid number (share"),
        ({"seeds": [1, 2, 1]}, "mine.yml: seeds is [1, 2, 1]; seeds must be different whole numbers from 0 to 4,294,967,295 (one run"),
        ({"seeds": [-1]}, "mine.yml: seeds is [-1]; seeds must be different whole numbers from 0 to 4,294,967,295 (one run"),
        ({"seeds": []}, "mine.yml: seeds is []; name at least one seed, and at most 1,000 (one run of each arm"),
        ({"seeds": [0.5]}, "mine.yml: seeds is [0.5]; input should be a valid integer (one run of each arm for each seed, such as [0, 1, 2], or recorded: those in results/)"),
        ({"seeds": "seven"}, "mine.yml: seeds is 'seven'; input should be a valid list (one run"),
        ({"seeds": "[7"}, "mine.yml: seeds is '[7'; input should be a valid list (one run"),
        ({"prime": 15}, "mine.yml: prime is 15; must be a prime number, such as 67 (the modulus p, a prime number)"),
        ({"prime": 49}, "mine.yml: prime is 49; must be a prime number, such as 67 (the modulus p, a prime number)"),
        ({"prime": 2}, "mine.yml: prime is 2; input should be greater than or equal to 7 (the modulus p, a prime number)"),
        ({"prime": 67.0}, "mine.yml: prime is 67.0; input should be a valid integer (the modulus p, a prime number)"),
        ({"epochs": 0}, "mine.yml: epochs is 0; input should be greater than or equal to 14 (training steps"),
        ({"epochs": "many"}, "mine.yml: epochs is 'many'; input should be a valid integer (training steps of every run, such as 30000)"),
        ({"epochs": None}, "mine.yml: epochs is None; input should be a valid integer (training steps"),
        ({"ticket_epoch": 301}, "mine.yml: ticket_epoch is 301; it must not lie beyond epochs, 300"),
        ({"ticket_epoch": -1}, "mine.yml: ticket_epoch is -1; input should be greater than or equal to 0 (epoch of the base"),
        ({"device": "tpu"}, "mine.yml: device is 'tpu'; must be cpu or cuda (cpu or cuda)"),
        ({"profile": 3}, "mine.yml: profile is 3; input should be a valid string (the name of the set, shown on every figure)"),
        ({"prime": 100_003}, "mine.yml: prime is 100003; it must be at most 339, for a stack of runs to fit into 8 GB of memory (the"),
        ({"train_fraction": 0.0001}, "mine.yml: train_fraction is 0.0001; of the 45 pairs of a task with prime = 11 it leaves none to train on; it must be at least 0.0223 and below 1"),
        ({"pruning_rate": 0.9999}, "mine.yml: pruning_rate is 0.9999; input should be less than or equal to 0.99 (share"),
        ({"prime": 347}, "mine.yml: prime is 347; it must be at most 339, for"),
        ({"prime": 10**400}, f"mine.yml: prime is 1{'0' * 99}...; it must be at most 339, for"),
        ({"prime": -7}, "mine.yml: prime is -7; input should be greater than or equal to 7 (the"),
        ({"prime": True}, "mine.yml: prime is True; input should be a valid integer (the"),
        ({"prime": 7, "train_fraction": 0.06}, "mine.yml: train_fraction is 0.06; of the 15 pairs of a task with prime = 7 it leaves none"),
        ({"train_fraction": float("inf")}, "mine.yml: train_fraction is inf; input should be less than 1 (share"),
        ({"train_fraction": "yes"}, "mine.yml: train_fraction is True; input should be a valid number (share"),
        ({"epochs": 10**12}, "mine.yml: epochs is 1000000000000; input should be less than or equal to 1000000 (training"),
        ({"epochs": -300}, "mine.yml: epochs is -300; input should be greater than or equal to 14 (training"),
        ({"epochs": True}, "mine.yml: epochs is True; input should be a valid integer (training"),
        ({"epochs": "1e5"}, "mine.yml: epochs is '1e5'; input should be a valid integer (training"),
        ({"pruning_rate": ".nan"}, "mine.yml: pruning_rate is nan; input should be less than or equal to 0.99 (share"),
        ({"ticket_epoch": 0.5}, "mine.yml: ticket_epoch is 0.5; input should be a valid integer (epoch"),
        ({"seeds": "[]"}, "mine.yml: seeds is []; name at least one seed, and at most 1,000 (one"),
        ({"seeds": ""}, "mine.yml: seeds is None; input should be a valid list (one"),
        ({"seeds": "[0, true]"}, "mine.yml: seeds is [0, True]; input should be a valid integer (one"),
        ({"seeds": list(range(1001))}, "mine.yml: seeds is [0, 1, 2, "),
        ({"seeds": "9" * 5000}, "mine.yml: seeds is '9999"),
        ({"profile": ""}, "mine.yml: profile is ''; string should have at least 1 character (the"),
        ({"seeds": [2**32]}, "mine.yml: seeds is [4294967296]; seeds must be different whole numbers from 0 to 4,294,967,295 (one run"),
        ({"images": "~nosuchuser/x"}, "mine.yml: images is '~nosuchuser/x'; there is no such file or folder; mnist and"),
        ({"images": "x" * 5000}, f"mine.yml: images is '{'x' * 99}...; there is no such file or folder; mnist and digits"),
        ({"sedes": [1], 7: 8}, "mine.yml: unknown parameter 7; the parameters are profile, seeds, prime,"),
        ({"sedes": [1]}, "mine.yml: unknown parameter sedes; the parameters are profile, seeds, prime, train_fraction, epochs,"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_would_be_right(change, message):
    assert refusal(GOOD | change).startswith(message)


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"device", "images"}))
def test_a_missing_parameter_is_named_and_explained(name):
    message = refusal({key: value for key, value in GOOD.items() if key != name})
    assert message == f"mine.yml: {name} is missing ({Parameters.model_fields[name].description})"


@pytest.mark.parametrize(
    ("change", "label", "is_paper"),
    [
        ({}, "paper", True),
        ({"seeds": [7, 8]}, "paper", True),
        ({"prime": 11}, "paper, with prime = 11", False),
        ({"epochs": 30_001, "train_fraction": 0.5}, "paper, with train_fraction = 0.5, epochs = 30001", False),
        ({"images": "digits"}, "paper, with images = digits", False),
        ({"images": "."}, "paper, with images = a file", False),
    ],
)
def test_only_the_papers_values_are_called_paper(change, label, is_paper):
    parameters = validate(dict(load("paper")) | change, "x")
    assert (parameters.label, parameters.is_paper) == (label, is_paper)
    assert validate(dict(load("smoke")), "x").is_paper is False


def test_cuda_where_there_is_none(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert (
        refusal(GOOD | {"device": "cuda"})
        == "mine.yml: device is 'cuda'; no GPU can be used here; take cpu (cpu or cuda)"
    )


@pytest.mark.parametrize("name", ["mnist", "digits", ".", "{}", "{}/mine.npz", "~", "~/mine.npz"])
def test_images_are_mnist_digits_or_a_file_or_folder_that_is_there(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.npz").touch()
    name = name.format(tmp_path)
    assert validate(GOOD | {"images": name}, "x").images == name


@pytest.mark.parametrize("name", ["mnist-10k", "MNIST", "{}/mine.npz", "~/mine.npz"])
def test_images_that_are_not_there_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    name = name.format(tmp_path)
    assert refusal(GOOD | {"images": name}) == (
        f"mine.yml: images is {name!r}; there is no such file or folder; mnist and digits need none "
        "(mnist, digits, or a local file or folder of MNIST)"
    )


@pytest.mark.parametrize("prime", [7, 11, 13, 67, 97, 113])
def test_primes_are_taken(prime):
    assert validate(GOOD | {"prime": prime}, "x").prime == prime


# --- in a notebook --------------------------------------------------------------------------------------------------------------


def test_check_reads_the_parameters_among_all_other_names():
    assert check(GOOD | {"np": object(), "colour": "red", "In": ["", "colour = 'red'"]}).model_dump() == GOOD


def test_check_refuses_an_unknown_name_that_papermill_injected():
    cells = ["colour = 'red'", "# Parameters\nseeds = [7]\nsedes = [8]\n", "# Parameterless\nnote = 1"]
    with pytest.raises(
        ParameterError, match="^parameters: unknown parameter sedes; the parameters are profile, seeds, "
    ):
        check(GOOD | {"colour": "red", "sedes": [8], "note": 1, "In": cells})


def test_check_takes_injected_values():
    assert check(GOOD | {"seeds": "[7]", "In": ['# Parameters\nseeds = "[7]"\n']}).seeds == [7]


def test_a_notebook_shows_the_sentence_in_place_of_a_traceback():
    with pytest.raises(ParameterError) as caught:
        check(GOOD | {"epochs": 0})
    assert caught.value._render_traceback_() == [str(caught.value)]
    assert Path(__file__).name not in str(caught.value)
