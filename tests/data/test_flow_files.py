import numpy as np
import pytest
from PIL import Image

from jaxvision.data import flow_files
from jaxvision.errors import InputError

FLOW = np.linspace(-20, 20, 24).reshape(3, 4, 2).astype(np.float32)


@pytest.mark.parametrize("kind", ["flo", "pfm", "colour.pfm"])
def test_what_is_written_is_read(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    values = {"flo": FLOW, "pfm": FLOW[..., 0], "colour.pfm": np.repeat(FLOW[..., :1], 3, -1)}[kind]
    write, read = (getattr(flow_files, f"{verb}_{kind[-3:]}") for verb in ("write", "read"))
    write(path, values)
    assert np.array_equal(read(path), values)


def test_flow_is_truncated_to_a_64th_of_a_pixel_and_hidden_where_invalid(tmp_path):
    path, valid = tmp_path / "a.png", FLOW[..., 0] > 0
    flow_files.write_flow_png(path, FLOW, valid)
    found, mask = flow_files.read_flow_png(path)
    assert np.array_equal(mask, valid)
    assert np.array_equal(found[valid], np.floor(FLOW[valid] * 64) / 64)
    assert (found[~valid] == -512).all()  # stored as 0
    kept = flow_files.encode_flow(FLOW, valid, keep_invalid=True)
    assert (kept[~valid][:, :2] > 0).all()


def test_disparity_above_0_stays_above_0(tmp_path):
    path, disparity = tmp_path / "a.png", np.float32([[0, -1, 1e-4, 0.7, 300]])
    flow_files.write_disparity_png(path, disparity)
    wanted = np.float32([[0, 0, 1, 179, 65535]]) / 256
    assert np.array_equal(flow_files.read_disparity_png(path), wanted)


@pytest.mark.parametrize("read", [flow_files.read_flow_png, flow_files.read_disparity_png])
def test_eight_bits_are_refused(tmp_path, read):
    path, mode = tmp_path / "a.png", "RGB" if read is flow_files.read_flow_png else "L"
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(InputError, match=r"a\.png: expected 16-bit .* got 8-bit values"):
        read(path)


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (flow_files.read_flo, b"PIEX" + bytes(8), "does not start with"),
        (flow_files.read_flo, b"PIEH\x02\0\0\0\x02\0\0\0" + bytes(31), "of 2 x 2 x 2 floats"),
        (flow_files.read_flo, b"PIEH\xff\xff\xff\xff\x02\0\0\0", "expected those of"),
        (flow_files.read_pfm, b"P6\n2 2\n-1\n", "expected 'Pf'"),
        (flow_files.read_pfm, b"Pf\n2 2\n-1\nabc", "3 bytes of values"),
        (flow_files.read_pfm, b"Pf\n" + b"9" * 5000 + b" 2\n-1\n", "expected 'Pf'"),
        (flow_files.read_calibration, b"P_rect_02:" + b" 1_0" * 12, "expected 12 numbers"),
        (flow_files.read_calibration, b"P_rect_03: 1 2", "no line P_rect_02"),
        (flow_files.read_calibration, b"P_rect_02: 1 2", "expected 12 numbers"),
    ],
)
def test_damaged_files_are_named(tmp_path, read, content, said):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"file: .*{said}|{said}"):
        read(path)
