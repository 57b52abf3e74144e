import pytest

from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name


def test_a_known_name_is_returned():
    assert check_name("arch", "conv", ["conv", "dense"]) == "conv"


def test_an_unknown_name_gets_all_names_and_the_nearest():
    with pytest.raises(InputError) as caught:
        check_name("dataset", "minst", ["mnist", "cifar10"])

    assert str(caught.value) == ("dataset must be one of mnist, cifar10. Received: dataset=minst. Did you mean mnist?")


def test_an_unknown_name_that_resembles_none_gets_no_suggestion():
    with pytest.raises(InputError) as caught:
        check_name("arch", "xyz", ["conv", "dense"])

    assert str(caught.value) == "arch must be one of conv, dense. Received: arch=xyz"
