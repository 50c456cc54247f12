"""Retiming of folders and videos with a stand-in for the network."""

import itertools
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import media
from jaxvision.data.frame_stream import VideoStream, read_bgr_with_notes
from jaxvision.errors import InputError
from jaxvision.methods.emavfi import prediction
from jaxvision.methods.emavfi.retiming import (
    FrameSignature,
    Retimer,
    Retiming,
    check_time,
    is_cut,
)
from jaxvision.viz.video_stream import write_segment
from methods.emavfi.stand_in import Blend, decoded, flat, write_frames

VIDEOS = Path(__file__).parents[2] / "goldens" / "emavfi" / "videos"


def retime(path, outdir, network=None, retiming=None, segment=7, cut=0.5, gap=0.0, **key):
    retimer = Retimer(network or Blend(), retiming or Retiming(2), cut, gap)
    job = prediction.VideoJob(VideoStream(path), path.stem, key, segment)
    video, table = prediction.retime_video(retimer, job, outdir)
    return decoded(video), json.loads(table.read_text())


def grey_video(path, values, rate=10, size=(24, 32)):
    frames = [(Fraction(i, rate), flat(value, size)) for i, value in enumerate(values)]
    write_segment(path, frames, Fraction(rate), quality=4)
    return path


def test_every_interval_is_filled_and_given_times_stay(tmp_path):
    source = grey_video(tmp_path / "ramp.mp4", range(40, 200, 16))
    frames, report = retime(source, tmp_path, retiming=Retiming(4))
    assert [t for t, _ in frames] == [Fraction(i, 40) for i in range(37)]
    np.testing.assert_allclose([v for _, v in frames], np.arange(37) * 4 + 40, atol=2)
    assert (report["frames"], report["made"], report["cuts"]) == (10, 27, [])


@pytest.mark.parametrize("rate", [4, 10, 24, 25])
def test_a_target_rate_is_met_exactly(tmp_path, rate):
    source = grey_video(tmp_path / "ramp.mp4", range(40, 200, 16))
    frames, _ = retime(source, tmp_path, retiming=Retiming(rate=Fraction(rate)))
    count = int(Fraction(9, 10) * rate) + 1
    times = np.array([float(t) for t, _ in frames])
    np.testing.assert_allclose(times, np.arange(count) / rate, atol=1e-4)
    np.testing.assert_allclose([v for _, v in frames], 40 + 160 * times, atol=3)


def test_irregular_times_are_kept(tmp_path):
    source = VIDEOS / "variable_rate.mp4"
    given = [t for t, _ in decoded(source)]
    gaps = np.diff([float(t) for t in given])
    assert gaps.max() > 1.5 * gaps.min()
    frames, _ = retime(source, tmp_path)
    times = [t for t, _ in frames]
    assert len(times) == 2 * len(given) - 1
    np.testing.assert_allclose(np.array(times[::2], float), np.array(given, float), atol=2e-5)
    middle = [(a + b) / 2 for a, b in itertools.pairwise(given)]
    np.testing.assert_allclose(np.array(times[1::2], float), np.array(middle, float), atol=2e-5)


def test_sound_is_copied_packet_by_packet_at_its_times(tmp_path):
    def packets(path):
        with av.open(str(path)) as container:
            audio = container.streams.audio[0]
            return [
                (float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio) if p.size
            ]

    source = VIDEOS / "with_audio.mp4"
    _, report = retime(source, tmp_path)
    before, after = packets(source), packets(tmp_path / "with_audio_retimed.mp4")
    assert report["sound"] == "kept"
    assert [data for _, data in before] == [data for _, data in after]
    np.testing.assert_allclose([t for t, _ in before], [t for t, _ in after], atol=1e-4)


class Interrupted(Blend):
    def between(self, first, last, times):
        if len(self.asked) == 12:
            raise KeyboardInterrupt
        return super().between(first, last, times)


def test_a_stopped_job_goes_on_where_it_was(tmp_path):
    source = grey_video(tmp_path / "ramp.mp4", range(40, 200, 8))

    with pytest.raises(KeyboardInterrupt):
        retime(source, tmp_path, Interrupted(), segment=5)
    rest = Blend()
    frames, report = retime(source, tmp_path, rest, segment=5)
    assert report["segments_taken_from_an_earlier_run"] == 2
    assert len(rest.asked) == 19 - 10
    whole = decoded(tmp_path / "ramp_retimed.mp4")
    retime(source, tmp_path / "again", segment=5)
    assert whole == decoded(tmp_path / "again" / "ramp_retimed.mp4") == frames


def test_another_job_does_not_take_over_old_parts(tmp_path):
    source = grey_video(tmp_path / "ramp.mp4", range(40, 200, 8))

    with pytest.raises(KeyboardInterrupt):
        retime(source, tmp_path, Interrupted(), segment=5, weights="one")
    _, report = retime(source, tmp_path, segment=5, weights="other")
    assert report["segments_taken_from_an_earlier_run"] == 0


def photograph(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC))


def test_scene_cuts_are_found_and_not_interpolated_across(tmp_path):
    one, other = photograph(1), photograph(2)
    frames = [np.roll(one, 2 * i, 1) for i in range(4)] + [np.roll(other, i, 0) for i in range(4)]
    source = tmp_path / "two_scenes.mp4"
    write_segment(source, [(Fraction(i, 10), f) for i, f in enumerate(frames)], Fraction(10), 4)
    network = Blend()
    _, report = retime(source, tmp_path, network, Retiming(4))
    assert report["cuts"] == [0.4]
    assert len(network.asked) == 3 * 6
    _, report = retime(source, tmp_path, network, Retiming(4), cut=0.0)
    assert report["cuts"] == []


def test_motion_and_flicker_are_no_cuts():
    base = photograph(3)
    signature = FrameSignature.of(base)
    assert not is_cut(signature, FrameSignature.of(np.roll(base, 20, 1)), 0.5)
    assert not is_cut(
        signature, FrameSignature.of(np.clip(base.astype(int) + 12, 0, 255).astype(np.uint8)), 0.5
    )
    assert is_cut(signature, FrameSignature.of(photograph(4)), 0.5)


def test_a_corrupt_frame_in_a_folder_is_skipped_counted_and_its_time_kept(tmp_path):
    paths = write_frames(tmp_path / "clip", [40, 60, 80, 100])
    paths[1].write_bytes(paths[1].read_bytes()[:40])
    written = prediction.retime_folder(
        Retimer(Blend(), Retiming(rate=Fraction(2)), 0), 2, paths, tmp_path / "out"
    )
    report = json.loads(written[-1].read_text())
    assert len(report["skipped"]) == 1
    assert "001.png" in report["skipped"][0]
    values = [np.asarray(Image.open(path)).mean() for path in written[:-1]]
    np.testing.assert_allclose(values, [40, 50, 60, 70, 80, 90, 100], atol=1)


def test_a_folder_goes_on_where_it_was(tmp_path):
    paths = write_frames(tmp_path / "clip", [40, 60, 80, 100])

    def retimer(network):
        return Retimer(network, Retiming(rate=Fraction(4)), 0)

    written = prediction.retime_folder(retimer(Blend()), 4, paths, tmp_path / "out")
    assert len(written) == 13 + 1
    for path in written[5:8]:
        path.unlink()
    rest = Blend()
    again = prediction.retime_folder(retimer(rest), 4, paths, tmp_path / "out")
    assert again == written
    assert {first for first, _, _ in rest.asked} == {60}


def test_a_damaged_video_keeps_the_times_of_what_decodes(tmp_path):
    source = VIDEOS / "damaged_middle.mkv"
    given = [t for t, _ in [(f.time, f.image) for f in VideoStream(source)]]
    frames, report = retime(source, tmp_path)
    assert report["frames"] == len(given) < 60
    assert report["skipped"]
    times = np.array([t for t, _ in frames], float)
    np.testing.assert_allclose(times[::2], np.array(given, float), atol=2e-5)


def test_odd_sides_are_padded(tmp_path):
    source = VIDEOS / "odd_size_444.mp4"
    frames, _ = retime(source, tmp_path)
    assert len(frames) == 119
    with av.open(str(tmp_path / "odd_size_444_retimed.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (212, 158)


def test_one_frame_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"one_frame.mp4: one frame; interpolation needs two"):
        retime(VIDEOS / "one_frame.mp4", tmp_path)


def test_sound_without_pictures_is_refused():
    with pytest.raises(InputError, match=r"audio_only\.mp4: holds no video"):
        VideoStream(VIDEOS / "audio_only.mp4")


def test_frames_of_different_size_are_refused(tmp_path):
    paths = write_frames(tmp_path / "clip", [40, 60])
    Image.fromarray(flat(80, (24, 30))).save(tmp_path / "clip" / "002.png")
    retimer = Retimer(Blend(), Retiming(rate=Fraction(2)), 0)
    paths.append(tmp_path / "clip" / "002.png")
    with pytest.raises(InputError, match=r"002.png: 30x24, but the frames before it have 32x24"):
        prediction.retime_folder(retimer, 2, paths, tmp_path / "out")


@pytest.mark.parametrize("t", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_time_outside_is_refused(t):
    with pytest.raises(InputError, match="not between 0 and 1"):
        check_time(t)


def test_pictures_of_other_kinds_are_converted(tmp_path):
    ramp = np.linspace(0, 65535, 64).reshape(8, 8)
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "deep.png")
    image, notes = read_bgr_with_notes(tmp_path / "deep.png")
    assert notes == ("16-bit grey converted to 8-bit",)
    np.testing.assert_array_equal(image[..., 1], np.round(ramp.astype(np.uint16) / 257))
    Image.fromarray(flat(9)[..., 0]).save(tmp_path / "grey.png")
    assert read_bgr_with_notes(tmp_path / "grey.png")[1] == ("grey converted to colour",)
    colour = np.dstack([flat(1), flat(128)[..., :1]])
    colour[..., 2] = 200
    Image.fromarray(colour).save(tmp_path / "alpha.png")
    image, notes = read_bgr_with_notes(tmp_path / "alpha.png")
    assert notes == ("alpha channel dropped",)
    np.testing.assert_array_equal(image[0, 0], [200, 1, 1])  # BGR


def test_a_resumed_job_reports_the_whole_of_it(tmp_path):
    one, other = photograph(1), photograph(2)
    frames = [np.roll(one, 2 * i, 1) for i in range(4)] + [np.roll(other, i, 0) for i in range(12)]
    source = tmp_path / "two_scenes.mp4"
    write_segment(source, [(Fraction(i, 10), f) for i, f in enumerate(frames)], Fraction(10), 4)
    with pytest.raises(KeyboardInterrupt):
        retime(source, tmp_path, Interrupted(), segment=5)
    _, resumed = retime(source, tmp_path, segment=5)
    _, whole = retime(source, tmp_path / "again", segment=5)
    assert resumed.pop("segments_taken_from_an_earlier_run") == 2
    assert whole.pop("segments_taken_from_an_earlier_run") == 0
    assert resumed == whole
    assert (whole["frames"], whole["made"], whole["cuts"]) == (16, 14, [0.4])


def test_a_gap_in_time_is_named_and_may_stay(tmp_path):
    times = [Fraction(i, 10) for i in range(5)] + [4 + Fraction(i, 10) for i in range(5, 10)]
    source = tmp_path / "paused.mp4"
    frames = [(time, flat(40 + 10 * i)) for i, time in enumerate(times)]
    write_segment(source, frames, Fraction(10), 4)
    filled = Blend()
    _, report = retime(source, tmp_path / "filled", filled)
    assert report["gaps"] == [{"from": 0.4, "seconds": pytest.approx(4.1)}]
    assert report["made"] == len(filled.asked) == 9
    left = Blend()
    _, report = retime(source, tmp_path / "left", left, gap=1.0)
    assert report["gaps"] == [{"from": 0.4, "seconds": pytest.approx(4.1)}]
    assert report["made"] == len(left.asked) == 8


def test_what_a_video_says_of_its_pixels_is_kept_and_told(tmp_path):
    def phone(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)

    green = np.full((32, 64, 3), (29, 199, 28), np.uint8)
    tags = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}
    source = media.video(
        tmp_path / "phone.mp4", [green] * 6, matrix=1, tags=tags, stream_setup=phone
    )
    _, report = retime(source, tmp_path)
    assert report["notes"] == [
        "turned upright, as its display matrix says",
        "pixels are 3/4 as wide as high",
    ]
    with av.open(str(tmp_path / "phone_retimed.mp4")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(video=0))
        assert (stream.height, stream.width) == (64, 32)
        assert stream.sample_aspect_ratio == Fraction(3, 4)
        assert {name: int(getattr(frame, name)) for name in tags} == tags
        np.testing.assert_allclose(frame.to_ndarray(format="rgb24")[30, 16], green[0, 0], atol=4)


def test_b_frames_in_avi_lose_nothing(tmp_path):
    frames = [flat(40 + 8 * i, (32, 48)) for i in range(24)]
    source = media.video(tmp_path / "old.avi", frames, options={"bf": "3", "b-adapt": "0"})
    values, report = retime(source, tmp_path)
    assert (report["frames"], report["skipped"]) == (24, [])
    np.testing.assert_allclose([v for _, v in values], 40 + 4 * np.arange(47), atol=3)


def test_both_sound_tracks_are_kept_and_said(tmp_path):
    frames = [flat(40 + 8 * i, (32, 48)) for i in range(10)]
    source = media.video(tmp_path / "dubbed.mp4", frames, sound_tracks=2)
    _, report = retime(source, tmp_path)
    assert report["sound"] == "kept (2 tracks)"
    with av.open(str(tmp_path / "dubbed_retimed.mp4")) as container:
        assert len(container.streams.audio) == 2
