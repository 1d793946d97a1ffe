from mnistzoo.testing import check_model


def test_sprint_keeps_the_contract() -> None:
    check_model("sprint")
