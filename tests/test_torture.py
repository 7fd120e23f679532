"""The pipeline survives being killed; `make torture N=100` tries it for longer."""

from torture import torture


def test_killed_runs_end_with_the_bytes_of_an_undisturbed_one(tmp_path):
    """Must fail if outputs are not written whole, a state is taken up wrongly, or an orphan goes unnoticed."""
    (tmp_path / "clone").mkdir()
    tally = torture(tmp_path / "clone", kills=4, seed=0)
    assert sum(tally.kills.values()) == 4
    assert (tally.differing, tally.corrupt, tally.complaints) == ([], [], [])
