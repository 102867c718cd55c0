"""`thinklogit merge` as typed."""

import pytest
from pico_members import save_adapter, save_members

from thinklogit.models.trios import load

pytest_plugins = ["commands"]


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = save_members(tmp_path_factory.mktemp("members"))
    save_adapter(folder / "adapter", folder / "base")
    return folder


def test_a_trio_with_an_adapter_becomes_one_without(thinklogit, members, tmp_path):
    trio, out = tmp_path / "trio", tmp_path / "merged"
    three = ("--target", members / "target", "--guider", members / "base", "--base", members / "base")
    assert thinklogit("compose", *three, "--guider-adapter", members / "adapter", "-o", trio).code == 0
    done = thinklogit("merge", "--trio", trio, "-o", out)
    assert (done.code, done.err) == (0, "")
    assert f"wrote the guider, its adapter merged: {out / 'guider'}\n" in done.out
    assert f"wrote the trio {out}, which refers to it" in done.out
    assert load(out).model.config.guider_refs[0].guider.adapter is None
    again = thinklogit("merge", "--trio", trio, "-o", out)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"thinklogit: {out}: is there already; name a new or empty folder to write the merged trio to\n"
