"""The code on a card is the code of the script beside it."""

from __future__ import annotations

import ast

from graded_runs import SCHEME

from lungsev.train.sharing.examples import bundle_code, network_code, script


def test_code_and_script_compile_and_name_the_scheme() -> None:
    for code in (network_code(SCHEME), bundle_code(), script(SCHEME), script(None)):
        ast.parse(code)
        assert not {"FOLDER", "IMAGE", "SCHEME"} & {*code.replace('"', " ").split()}
    assert 'outputs["probabilities.brixia"]' in network_code(SCHEME)
    assert 'load_network(".")' in network_code(SCHEME)
    assert "load_network(Path(__file__).parent)" in script(SCHEME)
    assert "torch" not in script(None)
