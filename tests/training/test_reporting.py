"""What a person reads of a run."""

from jaxvision.training.reporting import Reporter


def test_names_of_files_cannot_move_the_cursor(tmp_path, capsys):
    with Reporter(tmp_path, 1, True) as reporter:
        reporter.say("unreadable: a\x1b[2J.mp4: no such file")
    out = capsys.readouterr().out
    assert r"a\x1b[2J.mp4" in out
    assert "\x1b[2J" not in out
