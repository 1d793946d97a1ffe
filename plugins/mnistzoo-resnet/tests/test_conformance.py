from mnistzoo.testing import check_model


def test_resnet_keeps_the_contract() -> None:
    check_model("resnet")
