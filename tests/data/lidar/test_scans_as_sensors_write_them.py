"""Own scans as sensors and surveyors leave them: places on a map, columns, scales, no returns."""

import json
import warnings

import numpy as np
import pytest

from jaxvision.data.conversions import Note, collecting
from jaxvision.data.lidar.boxed_scan import OwnBoxedScans, boxes_to_json, read_own
from jaxvision.data.lidar.own_scans import OwnScans, read_scan, scan_files
from jaxvision.data.lidar.ply import write_ply
from jaxvision.data.lidar.scan_format import ScanFormat, ScanWarning
from jaxvision.errors import InputError

UTM = np.array([448262.0, 5411932.0, 112.0])


def points_of(count: int, seed: int = 0, strength: float = 1.0) -> np.ndarray:
    """x, y, z and an intensity of 0 to `strength`."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(0, 20, (count, 3)), rng.uniform(0, strength, count)])


def write_bin(path, points):
    np.asarray(points, "<f4").tofile(path)
    return path


def write_doubles(path, xyz, **columns):
    fields = [(name, "f8") for name in "xyz"] + [
        (name, v.dtype.str[1:]) for name, v in columns.items()
    ]
    table = np.zeros(len(xyz), fields)
    for name, values in zip("xyz", xyz.T, strict=True):
        table[name] = values
    for name, values in columns.items():
        table[name] = values
    write_ply(path, table)
    return path


def test_map_coordinates_keep_every_place(tmp_path):
    xyz = points_of(6926)[:, :3]
    path = write_doubles(tmp_path / "utm.ply", xyz + UTM)
    with pytest.warns(ScanWarning, match="far from its sensor"):
        scan = read_scan(path)
    assert len(np.unique(scan.points[:, :3], axis=0)) == 6926
    np.testing.assert_allclose(scan.points[:, :3].astype(float) + scan.origin, xyz + UTM, atol=1e-4)
    # The same in float32 has lost places before it is read; it is said.
    with pytest.warns(ScanWarning, match="float32 has lost detail"):
        read_scan(write_bin(tmp_path / "utm.bin", np.column_stack([xyz + UTM, np.ones(6926)])))


def test_a_scan_around_its_sensor_stays_where_it_is(tmp_path):
    points = points_of(50).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan = read_scan(write_bin(tmp_path / "near.bin", points))
    np.testing.assert_array_equal(scan.points, points)
    assert scan.origin == (0, 0, 0)


def test_boxes_move_with_the_points_of_a_map(tmp_path):
    xyz = points_of(100)[:, :3]
    box = np.array([[1.0, 2, 0, 2, 4, 1.5, 0, 0, 0.5]], np.float32)
    write_doubles(tmp_path / "utm.ply", xyz + UTM)
    entries = boxes_to_json(box, ["car"], origin=tuple(UTM))
    (tmp_path / "utm.json").write_text(json.dumps({"boxes": entries}))
    with pytest.warns(ScanWarning):
        scan = OwnBoxedScans.open(tmp_path, ("car",))[0]
    again = boxes_to_json(scan.boxes, scan.names, origin=scan.origin)
    np.testing.assert_allclose(again[0]["translation"], UTM + np.array([1, 2, 0]), atol=1e-4)
    assert np.abs(scan.boxes[0, :2]).max() < 50


@pytest.mark.parametrize(("columns", "written"), [(4, 5), (5, 4)])
def test_columns_that_divide_but_are_others_are_refused(tmp_path, columns, written):
    points = np.column_stack([points_of(4 * 5 * 20), np.zeros(4 * 5 * 20)])[:, :written]
    path = write_bin(tmp_path / "scan.bin", points)
    with pytest.raises(InputError, match=rf"expected data\.columns={written}"):
        read_scan(path, form=ScanFormat(columns=columns))
    assert len(read_scan(path, form=ScanFormat(columns=written)).points) == 400


@pytest.mark.parametrize(("strength", "expected"), [(255, 1.0), (1, 255.0)])
def test_another_scale_of_intensities_is_said(tmp_path, strength, expected):
    path = write_bin(tmp_path / "scan.bin", points_of(64, strength=strength))
    with pytest.warns(ScanWarning, match=rf"expected 0 to {expected:g} \(data\.intensity\)"):
        read_scan(path, form=ScanFormat(intensity=expected))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_scan(path, form=ScanFormat(intensity=float(strength)))


def test_returns_of_nothing_are_left_out_where_asked(tmp_path):
    points = points_of(5)
    points[3, 1] = np.nan
    path = write_bin(tmp_path / "scan.bin", points)
    np.arange(5, dtype="<u4").tofile(tmp_path / "scan.label")
    with pytest.raises(InputError, match=r"data\.drop_invalid=True leaves them out"):
        read_scan(path)
    with pytest.warns(ScanWarning, match=r"points that are NaN or infinite left out \(1 of 5\)"):
        scan = read_scan(path, labelled=True, form=ScanFormat(drop_invalid=True))
    assert scan.labels.tolist() == [0, 1, 2, 4]
    np.testing.assert_array_equal(scan.points, points[[0, 1, 2, 4]].astype(np.float32))
    # An answer has a row for every point of the file.
    assert scan.in_file(np.array([7, 7, 8, 9])).tolist() == [7, 7, 8, 0, 9]
    # Where many scans are read, it is told with the others'.
    with collecting() as notes, warnings.catch_warnings(action="error"):
        read_scan(path, form=ScanFormat(drop_invalid=True))
    assert notes == [Note("points that are NaN or infinite left out", str(path), "1 of 5")]
    write_bin(path, np.full((3, 4), np.nan))
    with pytest.raises(InputError, match="all 3 points are NaN"):
        read_scan(path, form=ScanFormat(drop_invalid=True))


def test_properties_in_capitals_are_known(tmp_path):
    points = points_of(4)
    labels = np.arange(4, dtype=np.int32)
    path = write_doubles(tmp_path / "scan.ply", points[:, :3], Intensity=points[:, 3], Label=labels)
    scan = read_scan(path, labelled=True)
    np.testing.assert_array_equal(scan.points[:, 3], points[:, 3].astype(np.float32))
    assert scan.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [[0, 4, 1.5], [2, -4, 1.5]])
def test_a_box_without_extent_is_refused_by_number(tmp_path, size):
    write_bin(tmp_path / "scan.bin", points_of(8))
    box = {"name": "car", "translation": [0, 0, 0], "size": [2, 4, 1.5], "heading": 0}
    (tmp_path / "scan.json").write_text(json.dumps({"boxes": [box, box | {"size": size}]}))
    with pytest.raises(InputError, match=r"scan\.json: size .* of box 1 \(car\)"):
        OwnBoxedScans.open(tmp_path, ("car",))[0]


def test_a_table_of_another_kind_beside_a_scan_is_no_truth(tmp_path):
    path = write_bin(tmp_path / "scan.bin", points_of(8))
    (tmp_path / "scan.json").write_text(json.dumps({"scan": "scan.bin", "points": {"car": 8}}))
    assert len(read_own(path, ("car",), required=False).boxes) == 0
    with pytest.raises(InputError, match=r"scan\.json: no 'boxes' in it"):
        read_own(path, ("car",))


@pytest.mark.parametrize(
    ("name", "hint"), [("a.npy", "tofile"), ("a.pcd", "save it as .ply"), ("a.laz", "pdal")]
)
def test_scans_of_other_kinds_are_told_how_to_convert(tmp_path, name, hint):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"{name}: expected a .bin or .ply scan; .*{hint}"):
        scan_files(tmp_path)
    with pytest.raises(InputError, match=hint):
        read_scan(tmp_path / name)


def test_hidden_files_are_no_scans(tmp_path):
    write_bin(tmp_path / "scan.bin", points_of(8))
    (tmp_path / "._scan.bin").write_bytes(b"\x00\x05\x16\x07")
    assert OwnScans.open(tmp_path).paths == (tmp_path / "scan.bin",)


def test_intensities_below_zero_in_any_number_of_columns_are_said(tmp_path):
    places = write_bin(tmp_path / "places.bin", points_of(400)[:, :3])
    with pytest.warns(ScanWarning, match=r"intensities below 0: .*data\.columns"):
        read_scan(places)


def test_intensity_and_labels_of_cloud_compare_are_known(tmp_path):
    xyz, strength = points_of(5)[:, :3], np.linspace(0, 1, 5)
    columns = {"scalar_Reflectance": strength, "scalar_Classification": np.arange(5.0)}
    scan = read_scan(write_doubles(tmp_path / "a.ply", xyz, **columns), labelled=True)
    np.testing.assert_allclose(scan.points[:, 3], strength, atol=1e-6)
    np.testing.assert_array_equal(scan.labels, np.arange(5))


def test_a_cloud_without_intensity_is_said(tmp_path):
    path = write_doubles(tmp_path / "a.ply", points_of(5)[:, :3], amplitude=np.ones(5))
    with pytest.warns(ScanWarning, match=r"no intensity among .*\(x, y, z, amplitude\)"):
        assert not read_scan(path).points[:, 3].any()


@pytest.mark.parametrize(
    ("change", "why"), [({"heading": 90.0}, "heading 90 of box 1"), ({"name": "tram"}, "'tram'")]
)
@pytest.mark.parametrize("required", [True, False])
def test_truth_that_cannot_be_read_is_named(tmp_path, change, why, required):
    path = write_bin(tmp_path / "a.bin", points_of(50))
    box = {"name": "car", "translation": [0, 0, 0], "size": [4, 2, 1.5], "heading": 6.0}
    path.with_suffix(".json").write_text(json.dumps({"boxes": [box, {**box, **change}]}))
    with pytest.raises(InputError, match=why):
        read_own(path, ("car",), required=required)
