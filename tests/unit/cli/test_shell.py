"""Commands that are shown to be typed: a shell reads the same words back, and a terminal obeys none of them."""

import subprocess

import pytest

from dreamopt.cli.shell import shell_command

WORDS = ["plain", "two words", "it's", '"', "$HOME `id`", "a\x1b[2Jb", "line\nbreak'\\", "\u202eabc", "é", "\udcff", "-x", ""]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_the_word_back(word: str) -> None:
    command = shell_command(["printf", "%s|", word])
    assert command.isprintable()
    if word.isprintable() or "bash" in subprocess.run(["sh", "-c", "command -v bash"], capture_output=True, text=True, check=False).stdout:
        done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
        assert done.stdout == word.encode("utf-8", "surrogateescape") + b"|"
