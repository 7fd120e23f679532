"""What stands below one another in a table does so on a terminal."""

from unlearning.review.columns import aligned


def test_columns_line_up_whatever_the_script():
    """Must fail if 写 counts as one column, or an accent of its own as one."""
    rows = aligned([["image", "x"], ["写真.jpg", ""], ["e\u0301te\u0301.jpg", "long"]])
    assert rows == [["image   ", "x   "], ["写真.jpg", "    "], ["e\u0301te\u0301.jpg ", "long"]]
