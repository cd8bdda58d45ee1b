"""`flux2 quantize`: the same network bit for bit, found by itself, noticed when it no longer fits, written whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlx.utils import tree_flatten

from flux2 import events as ev
from flux2.architecture import limits
from flux2.backend.mlx import mx
from flux2.bench.synthetic import write_synthetic
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.checkpoint.safetensors_file import read_header, read_metadata
from flux2.cli import main
from flux2.errors import CheckpointError, Flux2Error, RequestError
from flux2.paths import cache_dir, pocket_checkpoint, quantized_folder
from flux2.pipeline import Flux2Pipeline
from flux2.quantization import to_disk as quantize
from flux2.quantization.from_disk import Prequantized, find_prequantized, fingerprint
from flux2.quantization.linear import MODES, Quantization
from flux2.quantization.to_disk import quantize_transformer
from tests.unit.checkpoints import writable_copy, write_raw

INT4, QINT8 = MODES["int4"], MODES["qint8"]
FILE = "diffusion_pytorch_model.safetensors"
SHARD = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"
SMALL: dict[str, Any] = {"prompt": "a red fox", "height": 64, "width": 64, "num_inference_steps": 1, "seed": 7}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Pocket, of whose weights one shard may be changed."""
    folder = writable_copy(pocket_checkpoint(), tmp_path / "model")
    (folder / SHARD).unlink()
    shutil.copy(pocket_checkpoint() / SHARD, folder / SHARD)
    return folder


def source_of(folder: Path) -> NetworkSource:
    return NetworkSource.check(open_checkpoint(folder), TRANSFORMER)


def found(folder: Path, mode: Quantization | None = INT4) -> Prequantized | None:
    assert mode
    return find_prequantized(source_of(folder), mode)


def assert_same_arrays(one: Any, other: Any) -> None:
    first, second = dict(tree_flatten(one.parameters())), dict(tree_flatten(other.parameters()))
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype, name
        assert mx.array_equal(array, second[name]), name


def draw(folder: Path) -> tuple[bytes, list[str], set[int]]:
    """The picture at int4, what was warned of, and how many bytes the load said it would read."""
    events: list[ev.Event] = []
    image = Flux2Pipeline.from_pretrained(folder, quantization="int4")(**SMALL, on_event=events.append).images[0]
    totals = {event.total for event in events if isinstance(event, ev.PhaseProgress) and event.phase == "load"}
    return image.tobytes(), [event.message for event in events if isinstance(event, ev.Warned)], totals


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")] if folder.exists() else []


@pytest.mark.parametrize("mode", [INT4, QINT8])
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float32])
def test_loads_the_very_arrays_that_quantizing_while_loading_gives(mode: Quantization, dtype: mx.Dtype) -> None:
    made = quantize_transformer("pocket", mode.name)
    files = found(pocket_checkpoint(), mode)
    assert made.made and files
    told: list[int] = []
    loaded = files.load(dtype, told.append)
    assert sum(told) == files.nbytes <= made.nbytes
    assert_same_arrays(loaded, source_of(pocket_checkpoint()).load(dtype, mode))
    x = mx.random.normal((3, 320)).astype(dtype)
    layer = loaded.single_transformer_blocks[0].attn.to_qkv_mlp_proj
    assert (layer.bits, layer.group_size) == (mode.bits, 64)
    assert layer(x).dtype == dtype


def test_the_file_is_what_other_mlx_programs_read() -> None:
    made = quantize_transformer("pocket", "int4")
    arrays, metadata = mx.load(str(made.folder / FILE), return_metadata=True)
    name = "single_transformer_blocks.0.attn.to_qkv_mlp_proj"
    assert [arrays[f"{name}.{part}"].dtype for part in ("weight", "scales", "biases")] == [
        mx.uint32,
        mx.bfloat16,
        mx.bfloat16,
    ]
    assert metadata["format"] == "mlx"
    assert (metadata["mode"], metadata["bits"], metadata["group_size"]) == ("affine", "4", "64")
    assert metadata["program"].startswith("flux2-tui ")


def test_the_pipeline_finds_the_file_and_draws_the_same_picture() -> None:
    before, no_warning, of_checkpoint = draw(pocket_checkpoint())
    quantize_transformer("pocket", "int4")
    after, none_either, of_file = draw(pocket_checkpoint())
    assert after == before
    assert no_warning == none_either
    files = found(pocket_checkpoint())
    assert files and of_file == {files.nbytes} != of_checkpoint


def test_a_second_run_makes_nothing_anew() -> None:
    made = quantize_transformer("pocket", "int4")
    stamp = (made.folder / FILE).stat().st_mtime_ns
    again = quantize_transformer("pocket", "int4")
    assert (again.folder, again.nbytes, again.made) == (made.folder, made.nbytes, False)
    assert (made.folder / FILE).stat().st_mtime_ns == stamp


def change_numbers(path: Path) -> None:
    """Other numbers under the same header, size and time: what no header tells."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    start = len(data) // 2
    for index in range(start, len(data), 2):
        data[index] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, (0, 0))


@pytest.mark.parametrize("change", [change_numbers, touch])
def test_a_changed_checkpoint_is_noticed_said_and_made_anew(model: Path, change: Any) -> None:
    made = quantize_transformer(str(model), "int4")
    change(model / SHARD)
    picture, warnings, totals = draw(model)
    assert any("is of another state of" in warning and "`flux2 quantize`" in warning for warning in warnings)
    assert totals == {source_of(model).plan.nbytes}
    said: list[str] = []
    again = quantize_transformer(str(model), "int4", say=said.append)
    assert again.made and again.folder == made.folder
    assert "another state" in said[0]
    assert not leftovers(made.folder.parent)
    same, no_warnings, _ = draw(model)
    assert same == picture
    assert not any("another state" in warning for warning in no_warnings)


def test_the_fingerprint_is_the_same_wherever_the_folder_lies(model: Path, tmp_path: Path) -> None:
    before = fingerprint(open_checkpoint(model).transformer)
    model.rename(tmp_path / "elsewhere")
    assert fingerprint(open_checkpoint(tmp_path / "elsewhere").transformer) == before


def cut_short(folder: Path) -> None:
    os.truncate(folder / FILE, (folder / FILE).stat().st_size - 1)


def cut_header(folder: Path) -> None:
    os.truncate(folder / FILE, 100)


def other_shape(folder: Path) -> None:
    header = {name: info for name, info in read_header(folder / FILE).items() if name.endswith(".scales")}
    info = next(iter(header.values()))
    raw = (folder / FILE).read_bytes()
    wrong = json.dumps(list(reversed(info.shape)), separators=(",", ":")).encode()
    right = json.dumps(list(info.shape), separators=(",", ":")).encode()
    assert raw.count(right) and len(wrong) == len(right)
    (folder / FILE).write_bytes(raw.replace(right, wrong, 1))


def lost(folder: Path) -> None:
    (folder / FILE).unlink()


def other_version(folder: Path) -> None:
    metadata, header = read_metadata(folder / FILE), read_header(folder / FILE)
    data = (folder / FILE).read_bytes()[min(info.offset for info in header.values()) :]
    start = min(info.offset for info in header.values())
    entries = {
        name: {
            "dtype": info.dtype,
            "shape": info.shape,
            "data_offsets": (info.offset - start, info.offset - start + info.nbytes),
        }
        for name, info in header.items()
    }
    write_raw(folder / FILE, {"__metadata__": {**metadata, "layout": "0"}, **entries}, data)


def flipped(folder: Path) -> None:
    data = bytearray((folder / FILE).read_bytes())
    data[len(data) // 3] ^= 0x40
    (folder / FILE).write_bytes(data)


def holed(folder: Path) -> None:
    data = bytearray((folder / FILE).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    (folder / FILE).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut_short, "is cut short"),
        (cut_header, "cut short"),
        (other_shape, "holds other tensors"),
        (lost, "is missing"),
        (other_version, "another version of this program"),
        (flipped, "is damaged"),
        (holed, "is damaged"),
    ],
)
def test_a_damaged_file_is_noticed_said_and_made_anew(damage: Any, sentence: str) -> None:
    made = quantize_transformer("pocket", "int4")
    whole, _, _ = draw(pocket_checkpoint())
    damage(made.folder)
    picture, warnings, _ = draw(pocket_checkpoint())
    assert picture == whole
    assert any(sentence in warning and "`flux2 quantize`" in warning for warning in warnings)
    assert not any("download" in warning for warning in warnings)
    assert quantize_transformer("pocket", "int4").made
    assert draw(pocket_checkpoint())[0] == whole
    assert found(pocket_checkpoint())


def test_a_file_that_breaks_off_while_it_is_read_is_no_failure() -> None:
    quantize_transformer("pocket", "int4")
    whole, _, _ = draw(pocket_checkpoint())
    files = found(pocket_checkpoint())
    assert files
    path = next(iter(files.tensors.values())).path
    pipe = Flux2Pipeline.from_pretrained("pocket", quantization="int4")
    events: list[ev.Event] = []

    def cut(event: ev.Event) -> None:
        events.append(event)
        if isinstance(event, ev.PhaseProgress) and event.phase == "load" and path.stat().st_size > 2**20:
            os.truncate(path, 2**20)

    assert pipe(**SMALL, on_event=cut).images[0].tobytes() == whole
    assert any("ends inside tensor" in event.message for event in events if isinstance(event, ev.Warned))


class Stop(Exception):  # noqa: N818
    pass


def test_giving_up_leaves_nothing_and_keeps_what_was_there(model: Path) -> None:
    made = quantize_transformer(str(model), "int4")
    before = (made.folder / FILE).read_bytes()
    touch(model / SHARD)
    done = 0

    def stop(count: int) -> None:
        nonlocal done
        done += count
        if done > 2**20:
            assert leftovers(made.folder.parent)  # it was under way
            raise Stop

    with pytest.raises(Stop):
        quantize_transformer(str(model), "int4", on_bytes=stop)
    assert [path.name for path in made.folder.parent.iterdir()] == [made.folder.name]
    assert (made.folder / FILE).read_bytes() == before


def test_a_disk_that_fills_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Flux2Error, match=r"can't be written \(No space left on device\); free some room"):
        quantize_transformer("pocket", "int4")
    assert not list((cache_dir() / "quantized").iterdir())


def test_a_disk_that_is_too_small_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 7 * 10**6})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    told: list[int] = []
    with pytest.raises(Flux2Error, match=r"would take 6\.85 MiB, but its disk has 6\.68 MiB left"):
        quantize_transformer("pocket", "int4", on_bytes=told.append)
    assert not told and not list((cache_dir() / "quantized").iterdir())


def test_the_room_asked_for_is_what_the_files_take(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(quantize, "_check_room", lambda _, needed: asked.append(needed))
    assert asked == [] and quantize_transformer("pocket", "qint8").nbytes == asked[0]


def test_shards_stay_below_the_limit_and_load_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MAX_SHARD", 2 * 2**20)
    made = quantize_transformer("pocket", "int4")
    shards = sorted(made.folder.glob("*.safetensors"))
    assert len(shards) == 4
    for path in shards:
        assert sum(info.nbytes for info in read_header(path).values()) <= 2 * 2**20
        assert read_metadata(path)["quantization"] == "int4"
    files = found(pocket_checkpoint())
    assert files
    assert_same_arrays(files.load(mx.float32), source_of(pocket_checkpoint()).load(mx.float32, INT4))
    shards[1].unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        found(pocket_checkpoint())


def test_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    folder = write_synthetic("klein-4b", tmp_path / "klein", divisor=4)
    plan = source_of(folder).plan
    largest = max(info.nbytes for info in plan.tensors)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    made = quantize_transformer(str(folder), "qint8")
    peak = mx.get_peak_memory() - before
    band = 6 * limits.QUANTIZING_NUMBERS["cpu"]  # of which codes are chosen at a time
    assert peak <= largest * (1 + 8.5 / 16) + band + 2**20 < made.nbytes
    assert mx.get_active_memory() - before < 2**20


def test_files_elsewhere_are_found_and_made_anew_there(model: Path, tmp_path: Path) -> None:
    quantize_transformer(str(model), "int4")
    chosen = tmp_path / "disk" / "pocket-int4"
    made = quantize_transformer(str(model), "int4", chosen)
    assert made.made and made.folder == chosen
    assert [path.name for path in chosen.iterdir()] == [FILE]
    files = found(model)
    assert files and quantized_folder(model / "transformer", "int4").resolve() == chosen
    assert not quantize_transformer(str(model), "int4", chosen).made
    touch(model / SHARD)
    again = quantize_transformer(str(model), "int4")
    assert again.made and again.folder == chosen
    assert found(model)
    shutil.rmtree(chosen)
    with pytest.raises(CheckpointError, match="is missing"):
        found(model)
    back = quantize_transformer(str(model), "int4")
    assert back.made and not back.folder.is_symlink() and found(model)


@pytest.mark.parametrize("name", ["notes.txt", FILE])
def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path, name: str) -> None:
    chosen = tmp_path / "mine"
    chosen.mkdir()
    mx.save_safetensors(str(chosen / "a.safetensors"), {"a": mx.ones(3)})
    (chosen / "a.safetensors").rename(chosen / name)
    before = (chosen / name).read_bytes()
    with pytest.raises(RequestError, match="holds something else than quantized weights"):
        quantize_transformer("pocket", "int4", chosen)
    assert (chosen / name).read_bytes() == before


def test_what_a_killed_process_left_is_cleaned_up_and_a_living_ones_not() -> None:
    folder = quantized_folder(pocket_checkpoint() / "transformer", "int4")
    dead, alive = (folder.with_name(f".{folder.name}.{pid}.partial") for pid in (2**22 + 1, 1))
    for path in (dead, alive):
        path.mkdir(parents=True)
        (path / FILE).write_bytes(b"half")
    quantize_transformer("pocket", "int4")
    assert alive.is_dir() and not dead.exists()


def test_bf16_has_nothing_to_quantize() -> None:
    with pytest.raises(RequestError, match=r"choose one of qint8, .*int4"):
        quantize_transformer("pocket", "bf16")


def test_the_command_prints_the_folder_and_models_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["quantize", "--model", "pocket", "--transformer-quant", "int4"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == f"{quantized_folder(pocket_checkpoint() / 'transformer', 'int4')}\n"
    assert "6.85 MiB · in " in err
    assert main([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["made"], facts["bytes"]) == (False, (Path(facts["folder"]) / FILE).stat().st_size)
    assert main(["models", "--json"]) == 0
    assert {row["name"]: row["prepared"] for row in json.loads(capsys.readouterr().out)}["pocket"] == ["int4"]
    assert main(["models"]) == 0
    assert "in this package (int4 prepared)" in capsys.readouterr().out


def test_the_commands_bad_arguments_are_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--transformer-quant", "bf16"], []):
        with pytest.raises(SystemExit) as caught:
            main(["quantize", "--model", "pocket", *arguments])
        assert caught.value.code == 2
    assert main(["quantize", "--model", "none/such folder", "--transformer-quant", "int4"]) == 2
    assert "There is no model or folder" in capsys.readouterr().err
