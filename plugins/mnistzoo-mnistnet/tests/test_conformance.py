from mnistzoo.testing import check_model


def test_mnistnet_keeps_the_contract() -> None:
    check_model("mnistnet")
