"""One directory, one experiment: what may be added, what is refused and how it is named."""

import errno
import json
import os
import signal
import threading

import pytest

from kinetics_jax.commands.stop_signal import Stopped, StopSignal
from kinetics_jax.errors import InputError
from kinetics_jax.storage import run_lock as lock
from kinetics_jax.storage.run_lock import DirectoryLock
from kinetics_jax.sweep import manifest
from kinetics_jax.sweep.model_sources import fingerprint
from kinetics_jax.sweep.sweep import Sweep, load_tasks


@pytest.fixture
def describe(small):
    def make(**options):
        experiment = small(**options)
        return manifest.describe(experiment, load_tasks(experiment))

    return make


@pytest.fixture
def written(describe, tmp_path):
    manifest.write(tmp_path, describe())
    return tmp_path


def test_the_same_experiment_is_let_in(written, describe):
    manifest.check(written, describe())
    assert manifest.read(written) == describe()


@pytest.mark.parametrize(
    "more",
    [
        {"trials": 9},
        {"policies": ("dense", "block_topk(16, 2)", "topk(k=4)")},
        {"models": ("tiny-dense=random", "tiny-moe=random")},
        {"chip": ("h100",)},
        {"lengths": (4, 8)},
        {"bootstrap": 3},
        {"slice": {}},
        {"grading_processes": 3},
    ],
)
def test_what_is_added_is_let_in_and_written_down(written, describe, more):
    manifest.check(written, describe(**more))
    manifest.write(written, describe(**more))
    assert manifest.read(written) == describe(**more)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"trials": 2}, "3 trials of tiny-dense, not 2"),
        ({"policies": ("dense",)}, "it has policy block_topk"),
        ({"models": ("tiny-moe=random",)}, "it has model tiny-dense"),
        ({"models": ("tiny-dense=random:1",)}, 'models tiny-dense weights is "random", not "random:1"'),
        ({"max_tokens": 13}, "tasks gsm8k max_tokens is 12, not 13"),
        ({"limit": 2}, "tasks gsm8k problems"),
        ({"seed": 1}, "sampling seed is 0, not 1"),
        ({"temperature": 0.5}, "sampling temperature is 1.0, not 0.5"),
        ({"repetition": False}, "repetition"),
        ({"name": "other"}, 'its name is "small", not "other"'),
        ({"thinking": False}, "thinking is true, not false"),
        ({"dtype": "float16"}, "dtype"),
        ({"stop_strings": ("x",)}, "stop_strings"),
        ({"page_size": 16}, "page_size is null, not 16"),
    ],
)
def test_another_experiment_is_refused_with_the_difference(written, describe, other, words):
    before = (written / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="holds another experiment") as caught:
        manifest.check(written, describe(**other))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (written / "manifest.json").read_bytes() == before


def test_changed_problems_are_another_experiment(written, small, problems, tmp_path):
    rows = [json.loads(line) for line in problems.read_text().splitlines()]
    rows[2]["answer"] = "77"
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    experiment = small(tasks=(f"gsm8k={other}",))
    with pytest.raises(InputError, match="tasks gsm8k problems"):
        manifest.check(written, manifest.describe(experiment, load_tasks(experiment)))


def test_somebody_elses_folder_is_refused(tmp_path, describe):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt and no manifest\.json"):
        manifest.check(tmp_path, describe())
    with pytest.raises(InputError, match="is a file"):
        manifest.check(tmp_path / "notes.txt", describe())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format":"kinetics-jax sweep"}', "\x00"])
def test_a_broken_manifest_is_named(written, describe, text):
    (written / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json: not the manifest"):
        manifest.check(written, describe())


def test_the_fingerprint_follows_what_is_in_the_files(small, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"x" * 3_000_000)
    (choice,) = small(models=(f"tiny-dense={folder}",), slice={}).models
    first = fingerprint(choice)
    assert fingerprint(choice) == first
    (folder / "model.safetensors").write_bytes(b"x" * 2_999_999 + b"y")
    assert fingerprint(choice) != first


def test_one_holder_at_a_time(tmp_path):
    with DirectoryLock(tmp_path), pytest.raises(InputError, match="another run is at work there"):
        DirectoryLock(tmp_path)
    DirectoryLock(tmp_path).close()


def test_a_claim_on_an_object_store_is_renewed_released_and_outlived(bucket, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(lock.time, "time", lambda: now[0])
    first = DirectoryLock(bucket)
    with pytest.raises(InputError, match=r"seen 0 s ago\); wait 600 s"):
        DirectoryLock(bucket)
    now[0] += lock.LEASE_SECONDS  # its holder was killed
    second = DirectoryLock(bucket)
    second.close()
    DirectoryLock(bucket).close()
    first.close()


def test_a_system_prompt_is_part_of_the_experiment(written, describe):
    with pytest.raises(InputError, match=r'its system_prompt is null, not "Be brief\."'):
        manifest.check(written, describe(system_prompt="Be brief."))
    assert "system_prompt" not in describe()


def _described(sweep):
    return manifest.describe(sweep.experiment, sweep.tasks)


def test_the_day_that_templates_print_is_the_one_the_sweep_began_on(small, tmp_path):
    began = Sweep(small(date="2024-07-26"), tmp_path)
    manifest.write(tmp_path, _described(began))
    assert Sweep(small(), tmp_path).experiment.date == "2024-07-26"
    assert manifest.read(tmp_path)["date"] == "2024-07-26"
    with pytest.raises(InputError, match='its date is "2024-07-26", not "2025-01-01"'):
        manifest.check(tmp_path, _described(Sweep(small(date="2025-01-01"), tmp_path)))
    assert Sweep(small(), tmp_path / "new").experiment.date


def test_a_directory_from_before_dates_were_written_down_goes_on(small, written):
    sweep = Sweep(small(), written)
    assert sweep.experiment.date == ""
    manifest.check(written, _described(sweep))


def test_a_full_disk_leaves_the_manifest_as_it_was(written, describe, monkeypatch):
    before = sorted(written.iterdir()), (written / "manifest.json").read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(manifest.os, "fsync", full)
    with pytest.raises(InputError, match=r"manifest\.json: not written \(No space left") as caught:
        manifest.write(written, describe(trials=9))
    assert "\n" not in str(caught.value)
    assert (sorted(written.iterdir()), (written / "manifest.json").read_bytes()) == before


@pytest.mark.parametrize(
    "change",
    [{"models": []}, {"models": {"m": "x"}}, {"models": {"m": {}}}, {"tasks": None}, {"policies": 3}],
)
def test_a_manifest_whose_parts_are_no_objects_is_named(written, describe, change):
    fields = json.loads((written / "manifest.json").read_text())
    fields["experiment"] |= change
    (written / "manifest.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match=r"manifest\.json: not the manifest"):
        manifest.check(written, describe())


def test_stops_wait_to_be_asked_for_or_strike_at_once():
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested  # and the program went on
        with pytest.raises(Stopped):
            stop.check()
        with pytest.raises(Stopped), stop.at_once():
            raise AssertionError("it was asked for before")

    def swallowing():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except Exception:  # noqa: BLE001 - what some library may do
            return

    with StopSignal() as stop, pytest.raises(Stopped), stop.at_once():
        swallowing()
    assert stop.received == signal.SIGINT


def test_a_sweep_may_run_outside_the_main_thread():
    failed = []

    def enter():
        try:
            with StopSignal() as stop:
                assert not stop.requested
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failed
