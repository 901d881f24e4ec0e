"""A log of samples: whole or absent lines, one writer a file, read back as it was; on object stores too."""

import errno
import json
import os

import numpy as np
import pytest

from kinetics_jax.engine.sample_log import LogError, SampleLog, iterate_samples, merged_samples
from kinetics_jax.records.sample import Sample
from kinetics_jax.storage import line_log


def sample(problem: str = "p", trial: int = 0, tokens: int = 3, **more) -> Sample:
    ids = tuple(range(tokens))
    fields = {
        "task": "t",
        "problem_id": problem,
        "trial": trial,
        "prompt_tokens": 5,
        "tokens": ids,
        "text": "é\n\u2028x",
        "finish_reason": "stop",
        "model": "tiny-dense",
    }
    return Sample(**(fields | more))


SAMPLES = [sample(f"p{i // 4}", i % 4, tokens=i) for i in range(12)]


def fill(folder, samples=SAMPLES, **options):
    with SampleLog(folder, **options) as log:
        for one in samples:
            log.append(one)


def test_what_is_appended_is_read_back(tmp_path):
    fill(tmp_path / "a")
    assert list(iterate_samples(tmp_path / "a")) == SAMPLES
    with SampleLog(tmp_path / "a") as log:
        assert log.done == {s.key for s in SAMPLES}
        with pytest.raises(LogError, match="there already"):
            log.append(SAMPLES[0])
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["samples-00000-of-00001.jsonl"]


def test_a_file_cut_anywhere_loses_only_the_line_that_was_cut(tmp_path):
    fill(tmp_path / "a")
    whole = (tmp_path / "a" / "samples-00000-of-00001.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    file = tmp_path / "b" / "samples-00000-of-00001.jsonl"
    file.parent.mkdir()
    for size in {*range(0, len(whole), 7), *ends, *(end - 1 for end in ends), *(e + 1 for e in ends)}:
        file.write_bytes(whole[:size])
        # A line that lacks but its newline is whole.
        finished = sum(size >= end - 1 for end in ends)
        assert list(iterate_samples(file.parent)) == SAMPLES[:finished]
        with SampleLog(file.parent) as log:
            assert log.done == {s.key for s in SAMPLES[:finished]}
            for one in SAMPLES[finished:]:
                log.append(one)
        assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "damage", [b"{}", b"null", b"\xff\xfe", b"", b'{"task":"t"', b"[" * 100_000, b'{"tokens":3}']
)
def test_damage_elsewhere_is_an_error_that_names_file_and_line(tmp_path, damage):
    fill(tmp_path)
    file = tmp_path / "samples-00000-of-00001.jsonl"
    lines = file.read_bytes().splitlines()
    lines[4] = damage
    before = b"\n".join(lines) + b"\n"
    file.write_bytes(before)
    for read in (SampleLog, merged_samples, lambda folder: list(iterate_samples(folder))):
        with pytest.raises(LogError, match=r"samples-00000-of-00001\.jsonl:5: ") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


def test_one_writer_a_file_and_several_a_folder(tmp_path):
    with SampleLog(tmp_path) as first:
        first.append(SAMPLES[0])
        with pytest.raises(LogError, match="another process is writing it"):
            SampleLog(tmp_path)
        with SampleLog(tmp_path, process=1, processes=2) as other:
            assert other.done == {SAMPLES[0].key}
            other.append(SAMPLES[1])
    SampleLog(tmp_path).close()
    assert merged_samples(tmp_path) == SAMPLES[:2]


def test_merging_sorts_by_key_and_keeps_the_first_of_two(tmp_path):
    order = np.random.default_rng(0).permutation(len(SAMPLES))
    shuffled = [SAMPLES[i] for i in order]
    fill(tmp_path, shuffled[:8], process=1, processes=2)
    other = sample(SAMPLES[order[2]].problem_id, SAMPLES[order[2]].trial, tokens=99)
    file = tmp_path / "samples-00000-of-00002.jsonl"  # as two runs without a common lock would
    file.write_text("".join(s.to_json() + "\n" for s in [*shuffled[8:], other]))
    merged = merged_samples(tmp_path)
    assert [s.key for s in merged] == sorted(s.key for s in SAMPLES)
    assert other in merged  # file 0 comes before file 1
    assert len([s for s in merged if s.key == other.key]) == 1


def test_trials_sort_as_numbers(tmp_path):
    fill(tmp_path, [sample("p", trial) for trial in (10, 2, 0)])
    assert [s.trial for s in merged_samples(tmp_path)] == [0, 2, 10]


@pytest.mark.parametrize("taken", [0, 1, 40])
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch, taken):
    real = os.write

    def full(handle, data):
        if taken == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data[:taken])

    with SampleLog(tmp_path) as log:
        log.append(SAMPLES[0])
        monkeypatch.setattr(line_log.os, "write", full)
        with pytest.raises(LogError, match="not written"):
            log.append(SAMPLES[1])
        monkeypatch.setattr(line_log.os, "write", real)
        assert SAMPLES[1].key not in log.done
        log.append(SAMPLES[1])
    assert list(iterate_samples(tmp_path)) == SAMPLES[:2]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="cannot be made"):
        SampleLog(tmp_path / "file" / "x")


def test_an_object_store_takes_one_object_a_sample(bucket):
    fill(f"{bucket}/one", SAMPLES[:5])
    fill(f"{bucket}/one", SAMPLES[5:9], process=1, processes=2)
    with SampleLog(f"{bucket}/one") as log:
        assert log.done == {s.key for s in SAMPLES[:9]}
        for one in SAMPLES[9:]:
            log.append(one)
    assert merged_samples(f"{bucket}/one") == sorted(SAMPLES, key=lambda s: s.key)
    assert len(list(iterate_samples(f"{bucket}/one"))) == len(SAMPLES)
    assert merged_samples(f"{bucket}/nothing") == []


def test_lines_are_json_of_samples(tmp_path):
    fill(tmp_path)
    lines = (tmp_path / "samples-00000-of-00001.jsonl").read_text("utf-8").split("\n")[:-1]
    assert [Sample.from_json(line) for line in lines] == SAMPLES
    assert all(json.loads(line)["task"] == "t" for line in lines)


@pytest.mark.parametrize("newline", ["", "\n"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_policy_of_another_version_is_read_and_written_back(tmp_path, place, newline):
    lines = [one.to_json() for one in SAMPLES[:2]]
    lines[place] = lines[place].replace('{"name":"dense"}', '{"name":"clusters","centroids":64}')
    file = tmp_path / "samples-00000-of-00001.jsonl"
    file.write_text("\n".join(lines) + newline)
    found = list(iterate_samples(tmp_path))
    assert [s.key for s in found] == [s.key for s in SAMPLES[:2]]
    assert found[place].to_json() == lines[place]
    assert len(merged_samples(tmp_path)) == 2
    SampleLog(tmp_path).close()
    assert file.read_text() == "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "line", ['{"format":2,"answer":"long and paid for"}', "[1,2]", '{"trial":-5}', "7" * 5000]
)
@pytest.mark.parametrize("newline", ["", "\n"])
def test_a_whole_line_that_is_not_understood_is_never_destroyed(tmp_path, line, newline):
    file = tmp_path / "samples-00000-of-00001.jsonl"
    before = SAMPLES[0].to_json() + "\n" + line
    file.write_text(before + newline)
    for read in (lambda folder: list(iterate_samples(folder)), SampleLog):
        with pytest.raises(LogError, match=r"jsonl:2: ") as caught:
            read(tmp_path)
        assert "elete" not in str(caught.value)
        assert "move the line" in str(caught.value)
    assert file.read_text() == before + "\n"  # it was whole; all that it lacked was its end


@pytest.mark.parametrize("tail", [b'{"task":"t","tr', b"\0" * 64, b"\xff\xfe{", b'{"task":"t"}}'])
def test_what_a_kill_left_is_dropped(tmp_path, tail):
    fill(tmp_path, SAMPLES[:2])
    file = tmp_path / "samples-00000-of-00001.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + tail)
    assert list(iterate_samples(tmp_path)) == SAMPLES[:2]
    SampleLog(tmp_path).close()
    assert file.read_bytes() == whole


def test_an_object_store_that_refuses_is_one_line(bucket, monkeypatch):
    with SampleLog(f"{bucket}/x") as log:
        folder = type(log._log.folder)

        def refuse(self, data):
            raise OSError(errno.EACCES, "denied")

        monkeypatch.setattr(folder, "write_bytes", refuse)
        with pytest.raises(LogError, match=r"not written \(denied\)"):
            log.append(SAMPLES[0])
        monkeypatch.undo()
        log.append(SAMPLES[0])
