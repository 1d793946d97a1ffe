from mnistzoo.testing import check_model


def test_mnistconvnet_keeps_the_contract() -> None:
    check_model("mnistconvnet")
